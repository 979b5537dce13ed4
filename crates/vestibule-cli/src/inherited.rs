//! The sockets of a service manager, and which place of the options takes which.

use vestibule::hyper::Bind;

/// Sockets with their names, until a place takes them.
pub(crate) struct Inherited {
    sockets: Vec<(String, Bind)>,
    /// The names that places ask for: they are not for the place that takes all others.
    wanted: Vec<String>,
}

impl Inherited {
    /// Sockets for the places that are given as `texts`.
    pub(crate) fn new<'a>(
        sockets: Vec<(String, Bind)>,
        texts: impl Iterator<Item = &'a String>,
    ) -> Self {
        let wanted = texts.filter_map(|text| name(text)).map(str::to_owned);
        Self {
            sockets,
            wanted: wanted.collect(),
        }
    }

    /// Returns the sockets for the place `text`, or `None` when it is an address.
    pub(crate) fn take(&mut self, text: &str) -> Option<Result<Vec<Bind>, String>> {
        let name = match text {
            ALL => None,
            text => Some(name(text)?),
        };
        let wanted = &self.wanted;
        let is_for = |socket: &str| match name {
            Some(name) => socket == name,
            None => wanted.iter().all(|it| it != socket),
        };
        let names = self.names();
        let all = std::mem::take(&mut self.sockets);
        let (taken, left) = all.into_iter().partition(|(socket, _)| is_for(socket));
        let taken: Vec<(String, Bind)> = taken;
        self.sockets = left;
        Some(match (name, taken.is_empty()) {
            (_, false) => Ok(taken.into_iter().map(|(_, socket)| socket).collect()),
            (None, true) => Err(NOTHING.to_owned()),
            (Some(_), true) if names.is_empty() => Err(NOTHING.to_owned()),
            (Some(name), true) => Err(format!(
                "no inherited socket is called `{name}`; there is {names} (`FileDescriptorName=` of the service manager)"
            )),
        })
    }

    /// The names of the sockets that no place has taken.
    pub(crate) fn names(&self) -> String {
        let names: Vec<_> = self
            .sockets
            .iter()
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        names.join(", ")
    }
}

/// Whether the place is a socket of a service manager.
pub(crate) fn is_inherited(text: &str) -> bool {
    text == ALL || name(text).is_some()
}

/// `inherited:NAME`.
fn name(text: &str) -> Option<&str> {
    text.strip_prefix(ALL)?.strip_prefix(':')
}

/// Says which sockets: all that no other place names.
const ALL: &str = "inherited";

const NOTHING: &str = "no sockets are inherited: a service manager has to start this process, with LISTEN_FDS and LISTEN_PID";

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(names: &[&str], texts: &[&str]) -> Inherited {
        let sockets = names
            .iter()
            .map(|name| (String::from(*name), Bind::from("127.0.0.1:0")));
        let texts: Vec<_> = texts.iter().map(|it| String::from(*it)).collect();
        Inherited::new(sockets.collect(), texts.iter())
    }

    /// How many sockets each place gets; 99 is an error.
    fn counts(names: &[&str], texts: &[&str]) -> Vec<usize> {
        let mut inherited = inherited(names, texts);
        let takes = texts.iter().filter_map(|text| inherited.take(text));
        takes.map(|it| it.map_or(99, |it| it.len())).collect()
    }

    #[test]
    fn each_place_has_its_sockets() {
        let cases: &[(&[&str], &[&str], &[usize])] = &[
            (&["a", "b"], &["inherited"], &[2]),
            (&["a", "b"], &["inherited:b"], &[1]),
            (&["a", "b", "b"], &["inherited:b", "inherited:a"], &[2, 1]),
            (&["a", "b", "c"], &["inherited", "inherited:b"], &[2, 1]),
            (
                &["a", "b", "c"],
                &["inherited:b", ":80", "inherited"],
                &[1, 2],
            ),
            (&["unknown", "unknown"], &["inherited:unknown"], &[2]),
            (&["a"], &["inherited:A"], &[99]),
            (&["a"], &["inherited:a", "inherited"], &[1, 99]),
            (&[], &["inherited"], &[99]),
            (&[], &["inherited:a"], &[99]),
            (&["a"], &["unix:inherited", "inherit:80"], &[]),
        ];
        for (names, texts, want) in cases {
            assert_eq!(counts(names, texts), *want, "{names:?} {texts:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_those_that_are() {
        let mut inherited = inherited(&["web", "plain"], &[]);
        let error = inherited.take("inherited:wbe").unwrap().unwrap_err();
        assert!(error.contains("`wbe`"), "{error}");
        assert!(error.contains("`web`, `plain`"), "{error}");
    }
}
