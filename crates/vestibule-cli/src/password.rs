//! Users of the command line and of the environment, for a server that has no password file.

use std::env::{self, VarError};
use std::io;

use vestibule::auth::Htpasswd;

use crate::values::Secret;

/// The users of `--auth`, or of the environment when there are none.
///
/// # Errors
///
/// When a pair is not `USER:PASSWORD`. The message does not show it.
pub(crate) fn users(given: &[Secret]) -> io::Result<Option<Htpasswd>> {
    if !given.is_empty() {
        return pairs("--auth", given.iter().map(Secret::reveal)).map(Some);
    }
    match env::var(VARIABLE) {
        Ok(text) => pairs(VARIABLE, lines(&text)).map(Some),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(invalid(VARIABLE, "it is not UTF-8")),
    }
}

/// Whether the environment has users.
pub(crate) fn is_in_environment() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// One pair a line; a line end at the end, as a file of secrets has it, is not a pair.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.strip_suffix('\n')
        .unwrap_or(text)
        .split('\n')
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
}

/// Adds each `USER:PASSWORD`. Only a keyed hash of the password is kept.
fn pairs<'a>(from: &str, pairs: impl Iterator<Item = &'a str>) -> io::Result<Htpasswd> {
    let (mut users, mut names) = (Htpasswd::new(), Vec::new());
    for pair in pairs {
        // The name ends at the first colon (RFC 7617, section 2), so that a password may have others.
        let Some((name, password)) = pair.split_once(':') else {
            return Err(invalid(from, "a name and a password, as in alice:secret"));
        };
        if name.is_empty() || password.is_empty() {
            return Err(invalid(from, "the name and the password may not be empty"));
        }
        if pair.contains(char::is_control) {
            return Err(invalid(
                from,
                "control characters cannot be sent by a browser",
            ));
        }
        if names.contains(&name) {
            return Err(invalid(from, &format!("{name:?} has two passwords")));
        }
        names.push(name);
        users = users.with_user(name, password);
    }
    Ok(users)
}

fn invalid(from: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{from}: {text}"))
}

/// The variable of the environment that has users: one pair on each line.
pub(crate) const VARIABLE: &str = "VESTIBULE_AUTH";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_and_what_is_not_one() {
        let count = |text: &str| pairs("x", lines(text)).map(|users| users.len());
        for (text, expected) in [
            ("alice:secret", 1),
            ("alice:secret\nbob:other\n", 2),
            ("alice:secret\r\nbob:other\r\n", 2),
            ("alice:with:colons:", 1),
            ("alice: ", 1),
            ("älice:pässword", 1),
        ] {
            assert_eq!(count(text).unwrap(), expected, "{text}");
        }
        for (text, why) in [
            ("", "a name and a password"),
            ("secretword", "a name and a password"),
            ("alice:", "may not be empty"),
            (":secretword", "may not be empty"),
            ("alice:secretword\n\nbob:x", "a name and a password"),
            (
                "alice:secretword\nalice:other",
                "\"alice\" has two passwords",
            ),
            ("alice:secretword\tx", "control characters"),
        ] {
            let error = count(text).unwrap_err().to_string();
            assert!(
                error.starts_with("x: ") && error.contains(why),
                "{text}: {error}"
            );
            assert!(!error.contains("secretword"), "{error}");
        }
    }
}
