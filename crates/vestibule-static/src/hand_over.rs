//! Files that the server in front sends: the response names the file and has no bytes.
//!
//! Source: nginx, ngx_http_proxy_module, "X-Accel-Redirect", which decodes escapes; mod_xsendfile
//! 0.12 for Apache, "X-SENDFILE", which does not decode them.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use http::{HeaderName, HeaderValue};

/// The header that tells the server in front which file to send.
#[doc(alias("sendfile", "X-Sendfile", "X-Accel-Redirect"))]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOver {
    /// `X-Sendfile: /srv/public/a b.txt`, for Apache's mod_xsendfile: the absolute path of the
    /// file, not escaped. lighttpd reads it too, but decodes a `%` in the name as an escape.
    XSendfile,
    /// `X-Accel-Redirect: /files/a%20b.txt`, for nginx: a URL prefix, here `/files`, and the name
    /// of the file below the root. The prefix is that of an `internal` location whose `alias` is
    /// the root.
    XAccelRedirect(Cow<'static, str>),
}

impl HandOver {
    /// Returns the header for the file `name`, opened from `path`; `None` when a header cannot hold
    /// its path.
    pub(crate) fn header(&self, name: &[u8], path: &Path) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::XSendfile => {
                let path = std::path::absolute(path).ok()?;
                let path = path.as_os_str().as_encoded_bytes();
                Some((X_SENDFILE, HeaderValue::from_bytes(path).ok()?))
            }
            Self::XAccelRedirect(prefix) => {
                let text = format!("{}/{}", prefix.trim_end_matches('/'), escaped(name));
                Some((X_ACCEL_REDIRECT, HeaderValue::try_from(text).ok()?))
            }
        }
    }
}

impl fmt::Display for HandOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::XSendfile => f.write_str("x-sendfile"),
            Self::XAccelRedirect(prefix) => write!(f, "x-accel-redirect {prefix}"),
        }
    }
}

/// Escapes all bytes of a path that have a meaning in a URL, except `/`.
fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");
const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let accel = |prefix: &'static str| HandOver::XAccelRedirect(prefix.into());
        let cases = [
            (accel("/files"), "a.txt", "x-accel-redirect", "/files/a.txt"),
            (
                accel("/files/"),
                "sub/a b%.txt",
                "x-accel-redirect",
                "/files/sub/a%20b%25.txt",
            ),
            (accel(""), "a?b#c.txt", "x-accel-redirect", "/a%3Fb%23c.txt"),
            (HandOver::XSendfile, "ä %.txt", "x-sendfile", "/srv/ä %.txt"),
        ];
        for (hand_over, name, header, value) in cases {
            let path = Path::new("/srv").join(name);
            let made = hand_over.header(name.as_bytes(), &path).unwrap();
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            assert_eq!(made, (HeaderName::from_static(header), value));
        }
        assert_eq!(
            HandOver::XSendfile.header(b"a", Path::new("/srv/a\r\nb")),
            None
        );
    }
}
