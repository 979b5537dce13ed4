//! Where a directory's name without its slash leads.

use http::{HeaderValue, Uri};

/// The path of `uri` with a slash at its end, and its query: the value of `Location`.
///
/// It is relative to the host and begins with one slash; `None` when a browser could read another host into it, as into
/// `//example.org` or `/\example.org`.
pub(crate) fn with_slash(uri: &Uri) -> Option<HeaderValue> {
    let path = uri.path();
    let below = path.strip_prefix('/')?;
    if below.starts_with(['/', '\\']) || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    let location = match uri.query() {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    };
    HeaderValue::try_from(location).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let cases = [
            ("/sub", Some("/sub/")),
            ("/sub?a=b&c", Some("/sub/?a=b&c")),
            ("/sub?", Some("/sub/?")),
            ("/assets/sub", Some("/assets/sub/")),
            ("/a%20b", Some("/a%20b/")),
            ("/%5Cexample.org", Some("/%5Cexample.org/")),
            ("http://h/sub?q", Some("/sub/?q")),
            ("//example.org", None),
            ("/\\example.org", None),
            ("*", None),
        ];
        for (uri, want) in cases {
            let Ok(uri) = uri.parse() else {
                assert_eq!(want, None, "{uri}");
                continue;
            };
            let found = with_slash(&uri);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, want, "{uri}");
        }
    }
}
