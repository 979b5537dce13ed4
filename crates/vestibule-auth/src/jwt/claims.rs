//! Claims by name or path, in the shapes that identity providers give them.
//!
//! Source: RFC 7519, section 4.3 (private claims); RFC 8693, section 4.2 (`scope`); the table of
//! providers in `tests/providers.rs`.

use std::borrow::Cow;

use serde_json::Value;

use super::token::{JwtError, Registered, Words};

/// The claims that make an identity, and those that have to be there.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimNames {
    /// In order of preference; empty for `sub`.
    pub(super) subject: Vec<String>,
    /// All of them; empty for `scope`.
    pub(super) scopes: Vec<String>,
    /// All of them; empty for `groups`.
    pub(super) groups: Vec<String>,
    /// Each path has to have one of the values that are listed for it.
    pub(super) required: Vec<(String, String)>,
}

/// Who a token is of, as its claims say.
pub(crate) struct Named {
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) groups: Vec<String>,
}

impl ClaimNames {
    /// Reads the claims. The payload is parsed once more only when a claim has another name.
    pub(super) fn read(&self, payload: &str, claims: Registered<'_>) -> Result<Named, JwtError> {
        let needs_all = !(self.subject.is_empty()
            && self.scopes.is_empty()
            && self.groups.is_empty()
            && self.required.is_empty());
        let all = match needs_all {
            true => serde_json::from_str(payload).map_err(|_| JwtError::Claims)?,
            false => Value::Null,
        };
        self.check_required(&all)?;
        let is_name = |name: &String| !name.is_empty();
        let subject = match &*self.subject {
            [] => one(claims.sub).filter(is_name),
            // An empty one is passed over: Cloudflare's tokens of services have an empty `sub`.
            names => names
                .iter()
                .find_map(|name| text(find(&all, name)?).filter(is_name)),
        };
        let scopes = match &*self.scopes {
            [] => texts(claims.scope),
            names => values(&all, names),
        };
        let groups = match &*self.groups {
            [] => texts(claims.groups),
            names => values(&all, names),
        };
        let words = |text: String| -> Vec<String> {
            text.split_ascii_whitespace().map(str::to_owned).collect()
        };
        Ok(Named {
            subject: subject.ok_or(JwtError::Subject)?,
            scopes: scopes.into_iter().flat_map(words).collect(),
            groups,
        })
    }

    /// Several values for one path are alternatives.
    fn check_required(&self, all: &Value) -> Result<(), JwtError> {
        let has = |path: &str, wanted: &str| match find(all, path) {
            Some(Value::Array(values)) => {
                values.iter().any(|it| text(it).as_deref() == Some(wanted))
            }
            Some(value) => scalar(value).as_deref() == Some(wanted),
            None => false,
        };
        let is_met = |(path, _): &(String, String)| {
            self.required
                .iter()
                .any(|(other, wanted)| other == path && has(path, wanted))
        };
        match self.required.iter().all(is_met) {
            true => Ok(()),
            false => Err(JwtError::Claim),
        }
    }
}

/// Finds a claim. A name is taken whole first, since some have dots of their own
/// (`https://example.com/roles`, `kubernetes.io`), and then cut at each dot.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    if let Some(found) = members.get(path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| {
        let (name, rest) = path.split_at_checked(at)?;
        find(members.get(name)?, rest.strip_prefix('.')?)
    })
}

fn one(words: Option<Words<'_>>) -> Option<String> {
    let words = words.filter(|words| !words.is_list)?;
    words
        .texts
        .into_iter()
        .next()
        .map(|text| text.0.into_owned())
}

fn texts(words: Option<Words<'_>>) -> Vec<String> {
    let words = words.unwrap_or_default();
    words
        .texts
        .into_iter()
        .map(|text| Cow::into_owned(text.0))
        .collect()
}

/// The texts of all claims of these names: a string is one, an array as many as it has strings or
/// numbers, and any other shape none.
fn values(all: &Value, names: &[String]) -> Vec<String> {
    let found = names.iter().filter_map(|name| find(all, name));
    found
        .flat_map(|value| match value {
            Value::Array(values) => values.iter().filter_map(text).collect(),
            value => text(value).into_iter().collect::<Vec<_>>(),
        })
        .collect()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        _ => None,
    }
}

/// A text, or `true` and `false`, which only a required claim can be.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(is_true) => Some(is_true.to_string()),
        value => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_before_it_is_a_path() {
        let all = serde_json::json!({
            "a": { "b": { "c": 1 }, "b.c": 2 },
            "https://example.com/roles": 3,
            "kubernetes.io": { "serviceaccount": { "name": 4 } },
            "x.y": 5, "x": { "y": 6 },
            "list": [{ "a": 7 }],
        });
        let cases = [
            ("a.b.c", Some(2)),
            ("https://example.com/roles", Some(3)),
            ("kubernetes.io.serviceaccount.name", Some(4)),
            ("x.y", Some(5)),
            ("a.c", None),
            ("list.a", None),
            ("list.0.a", None),
            ("", None),
            (".", None),
            ("a..b", None),
        ];
        for (path, want) in cases {
            assert_eq!(find(&all, path).and_then(Value::as_u64), want, "{path}");
        }
    }

    #[test]
    fn shapes_of_one_claim() {
        let cases = [
            (serde_json::json!("a b"), vec!["a b"]),
            (serde_json::json!(["a", "b c"]), vec!["a", "b c"]),
            (
                serde_json::json!(["a", 7, null, { "b": 1 }, ["c"], 1.5, true]),
                vec!["a", "7"],
            ),
            (serde_json::json!({ "a": "b" }), vec![]),
            (serde_json::json!(null), vec![]),
            (serde_json::json!(true), vec![]),
        ];
        for (value, want) in cases {
            let all = serde_json::json!({ "claim": value });
            assert_eq!(values(&all, &["claim".to_owned()]), want, "{all}");
        }
    }
}
