//! Targets of redirects for paths that are spelled differently from the file.

use http::{HeaderValue, Uri};
use vestibule_core::PathView;

use crate::name::Name;

/// Returns the path of `uri` with a slash at its end, and its query: the value of `Location`.
///
/// The value begins with one slash, without scheme and host. Returns `None` when a browser could
/// read a host into it, as in `//example.org` or `/\example.org`. When a router may have removed a
/// prefix of the path, the value is relative to the path that the client requested: `./sub/`.
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

/// Returns the path of `uri` without the slash at its end, and its query, by the rules of
/// [`with_slash`].
pub(crate) fn without_slash(uri: &Uri, is_whole: bool) -> Option<HeaderValue> {
    let path = uri.path().strip_suffix('/')?;
    let below = path.strip_prefix('/')?;
    if below.starts_with(['/', '\\']) || path.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    let last = path.rsplit('/').next().filter(|last| !last.is_empty())?;
    let target = if is_whole {
        path.to_owned()
    } else {
        format!("../{last}")
    };
    HeaderValue::try_from(with_query(target, uri)).ok()
}

/// Returns the path of `uri` with single slashes, and its query, when empty segments are its only
/// fault.
///
/// The value begins with one slash, so that `//example.org` does not lead to another host. Returns
/// `None` when a router may have removed a prefix of the path, since clients resolve a reference
/// relative to an empty segment in different ways.
pub(crate) fn single_slashes(uri: &Uri, is_whole: bool) -> Option<HeaderValue> {
    if !is_whole {
        return None;
    }
    let target = merged(uri.path())?;
    HeaderValue::try_from(with_query(target, uri)).ok()
}

/// Returns `path` with single slashes; `None` when the result is not the path of a file.
pub(crate) fn merged(path: &str) -> Option<String> {
    let mut target = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !target.ends_with('/') {
            target.push(c);
        }
    }
    // An escaped `%` would be an escape for a proxy that decodes twice.
    let is_sound = target.bytes().all(|byte| byte > b' ' && byte != 0x7f)
        && !target.contains("%25")
        && PathView::parse(&target).is_ok_and(|view| Name::of(&view, false).is_ok());
    is_sound.then_some(target)
}

fn with_query(target: String, uri: &Uri) -> String {
    match uri.query() {
        Some(query) => format!("{target}?{query}"),
        None => target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: Option<&HeaderValue>) -> Option<&str> {
        value.map(|value| value.to_str().unwrap())
    }

    #[test]
    fn locations_without_a_slash() {
        let cases = [
            ("/blog/", true, Some("/blog")),
            ("/blog/?a=b", true, Some("/blog?a=b")),
            ("/a%20b/", true, Some("/a%20b")),
            ("/a/blog/?q", false, Some("../blog?q")),
            ("/", true, None),
            ("/blog", true, None),
            ("//example.org/", true, None),
        ];
        for (uri, is_whole, want) in cases {
            let found = without_slash(&uri.parse().unwrap(), is_whole);
            assert_eq!(shown(found.as_ref()), want, "{uri}");
        }
    }

    #[test]
    fn locations_with_single_slashes() {
        let cases = [
            ("//", Some("/")),
            ("///", Some("/")),
            ("//a", Some("/a")),
            ("//example.org", Some("/example.org")),
            ("//example.org//", Some("/example.org/")),
            ("///example.org/%20", Some("/example.org/%20")),
            ("/a//b", Some("/a/b")),
            ("/a//b///c//?x=//y", Some("/a/b/c/?x=//y")),
            ("//.well-known//x", Some("/.well-known/x")),
            ("//.git/config", None),
            ("//..;/config", None),
            ("/%252e%252e//secret", None),
            ("/a//../b", None),
            ("//..//a", None),
            ("//%2e%2e/", None),
            ("/a//b%2fc", None),
            ("/a//b%2f", None),
            ("//%5cexample.org", None),
            ("//\\example.org", None),
            ("/\\/example.org", None),
            ("/a//%00", None),
            ("/a//%0d%0ab", None),
            ("/a//%", None),
        ];
        for (uri, want) in cases {
            let Ok(uri) = uri.parse::<Uri>() else {
                assert_eq!(want, None, "{uri}");
                continue;
            };
            let found = single_slashes(&uri, true);
            assert_eq!(shown(found.as_ref()), want, "{uri}");
            assert_eq!(single_slashes(&uri, false), None, "{uri}");
            assert!(want.is_none_or(|it| !it.starts_with("//") && !it.starts_with("/\\")));
        }
    }

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
