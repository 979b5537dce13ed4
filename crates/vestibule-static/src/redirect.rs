//! Where a directory's name without its slash leads.

use http::{HeaderValue, Uri};

/// The path of `uri` with a slash at its end, and its query: the value of `Location`.
///
/// It is relative to the host and begins with one slash; `None` when a browser could read another host into it, as into
/// `//example.org` or `/\example.org`. When a router may have removed a prefix of the path, it is relative to the path
/// that the client asked for: `./sub/`.
pub(crate) fn with_slash(uri: &Uri, is_whole: bool) -> Option<HeaderValue> {
    let path = uri.path();
    let below = path.strip_prefix('/')?;
    if below.starts_with(['/', '\\']) || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    let target = if is_whole {
        path.to_owned()
    } else {
        format!("./{last}")
    };
    let location = match uri.query() {
        Some(query) => format!("{target}/?{query}"),
        None => format!("{target}/"),
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
            let found = with_slash(&uri, true);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, want, "{uri}");
        }
    }

    #[test]
    fn locations_below_an_unknown_prefix() {
        let cases = [
            ("/sub", Some("./sub/")),
            ("/a/sub?q", Some("./sub/?q")),
            ("/a:b", Some("./a:b/")),
            ("//example.org", None),
        ];
        for (uri, want) in cases {
            let found = with_slash(&uri.parse().unwrap(), false);
            let found = found.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(found, want, "{uri}");
        }
    }
}
