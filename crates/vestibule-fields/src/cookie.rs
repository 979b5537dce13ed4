//! `Cookie`, when a request has several fields.
//!
//! HTTP/2 clients may send each pair as a separate field, for better compression, and proxies pass
//! such fields on unchanged. An app that reads only the first field would miss the others, so they
//! are joined.
//!
//! Source: RFC 9113 section 8.2.3; RFC 6265 section 4.2.1 (`cookie-string`).
//!
//! ```
//! use http::{HeaderMap, header::COOKIE};
//! use vestibule_fields::cookie;
//!
//! let mut headers = HeaderMap::new();
//! headers.append(COOKIE, "a=1".parse().unwrap());
//! headers.append(COOKIE, "b=2; c=3".parse().unwrap());
//! cookie::join(&mut headers);
//! assert_eq!(headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
//! ```

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Joins all `Cookie` fields into one, with `; ` between them. Does nothing when there are fewer
/// than two.
pub fn join(headers: &mut HeaderMap) {
    let fields = || headers.get_all(COOKIE).iter();
    if fields().nth(1).is_none() {
        return;
    }
    let values: Vec<_> = fields().map(HeaderValue::as_bytes).collect();
    let is_sensitive = fields().any(HeaderValue::is_sensitive);
    // All bytes of valid values are valid in a longer value.
    if let Ok(mut joined) = HeaderValue::from_bytes(&values.join(&b"; "[..])) {
        joined.set_sensitive(is_sensitive);
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9113_8_2_3_several_fields_become_one() {
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&["a=1"], &["a=1"]),
            (&["a=1; b=2"], &["a=1; b=2"]),
            (&["a=1", "b=2"], &["a=1; b=2"]),
            (&["a=1", "b=2; c=3", "d=4"], &["a=1; b=2; c=3; d=4"]),
            (&["a=1", "a=1"], &["a=1; a=1"]),
            (&["a=\u{e9}", "b=2"], &["a=\u{e9}; b=2"]),
            (&["", "b=2"], &["; b=2"]),
        ];
        for (fields, want) in cases {
            let mut headers = HeaderMap::new();
            for field in *fields {
                let value = HeaderValue::from_bytes(field.as_bytes()).unwrap();
                headers.append(COOKIE, value);
            }
            join(&mut headers);
            let found: Vec<_> = headers.get_all(COOKIE).iter().collect();
            let found: Vec<_> = found.iter().map(|value| value.as_bytes()).collect();
            let want: Vec<_> = want.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(found, want, "{fields:?}");
        }
    }

    #[test]
    fn a_sensitive_value_stays_sensitive() {
        let mut headers = HeaderMap::new();
        let mut secret = HeaderValue::from_static("session=1");
        secret.set_sensitive(true);
        headers.append(COOKIE, HeaderValue::from_static("a=1"));
        headers.append(COOKIE, secret);
        join(&mut headers);
        assert!(headers[COOKIE].is_sensitive());
    }
}
