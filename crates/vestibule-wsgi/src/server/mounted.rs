//! The app below a path of the site: `--mount /app`.

use std::borrow::Cow;

use vestibule::http::StatusCode;
use vestibule::{App, BoxApp, IntoResponse, Mount, Outline, Request, Response};

/// Sends requests below a prefix to the app, and answers the others 404.
///
/// `Mounts` refuses paths that can be read in two ways, as `/app//a` and `/app/../a`. A Python app may
/// want them, so only the segments of the prefix are compared here, and the rest is the app's as it came.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Without a slash at its end.
    prefix: String,
    app: BoxApp,
}

impl Mounted {
    pub(crate) fn new(prefix: &str, app: BoxApp) -> Self {
        Self {
            prefix: prefix.to_owned(),
            app,
        }
    }
}

impl App for Mounted {
    async fn call(&self, mut request: Request) -> Response {
        let Some(length) = held(Mount::rest_of(&request), &self.prefix) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let above = Mount::of(&request).map_or(0, |outer| outer.prefix().len());
        let mount = Mount::new(request.uri().path(), above + length);
        request.extensions_mut().insert(mount);
        self.app.call(request).await
    }

    fn describe(&self, outline: &mut Outline) {
        outline.rename("Mounts").mount(&self.prefix, &self.app);
    }
}

/// Returns how many bytes of `path` are the prefix, or `None` when it is not below it.
fn held(path: &str, prefix: &str) -> Option<usize> {
    let mut at = 0;
    for wanted in prefix.split('/').skip(1) {
        let rest = path.get(at..)?.strip_prefix('/')?;
        let segment = rest.split('/').next().unwrap_or_default();
        if *decoded(segment) != *wanted.as_bytes() {
            return None;
        }
        at += 1 + segment.len();
    }
    Some(at)
}

/// The bytes of a segment, with its escapes decoded (RFC 3986, section 2.1).
fn decoded(segment: &str) -> Cow<'_, [u8]> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment.as_bytes());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let pair = after
            .get(..2)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let is_hex = |pair: &&str| pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        let escape = pair
            .filter(|_| *first == b'%')
            .filter(is_hex)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        bytes.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { &after[2..] } else { after };
    }
    Cow::Owned(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_a_prefix() {
        for (path, prefix, want) in [
            ("/app", "/app", Some(4)),
            ("/app/", "/app", Some(4)),
            ("/app/a", "/app", Some(4)),
            ("/app//a/../b/%zz", "/app", Some(4)),
            ("/%61pp/a", "/app", Some(6)),
            ("/a/b/c", "/a/b", Some(4)),
            ("/a/%62/c", "/a/b", Some(6)),
            ("/", "/app", None),
            ("/apple", "/app", None),
            ("/App", "/app", None),
            ("//app", "/app", None),
            ("/./app", "/app", None),
            ("/app%2Fa", "/app", None),
            ("/app%2F", "/app", None),
            ("/a%", "/app", None),
            ("/a%2", "/app", None),
            ("/a//b", "/a/b", None),
            ("/a", "/a/b", None),
            ("*", "/app", None),
            ("", "/app", None),
        ] {
            assert_eq!(held(path, prefix), want, "{path} {prefix}");
        }
    }
}
