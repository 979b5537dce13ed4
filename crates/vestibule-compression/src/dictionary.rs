//! Dictionaries that client and server share: [`Dictionary`], and the codings `dcb` and `dcz`.
//!
//! Source: RFC 9842.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
use vestibule_fields::cache_control::CacheControl;
use vestibule_fields::list::Lines;

use crate::Coding;
use crate::codec::{CodecError, brotli_with_dictionary, zstd_with_dictionary};

/// Bytes that a client already has, and that responses are encoded against: the previous version of a
/// bundle, or the common parts of a site's pages.
///
/// A client with the dictionary sends its SHA-256 in `Available-Dictionary`, and lists `dcb` or `dcz` in
/// `Accept-Encoding`.
///
/// ```
/// use vestibule_compression::{Compression, Dictionary};
/// use vestibule_core::{App, IntoResponse, Request, Response};
///
/// const OLD: &str = "the old bundle, and most of it is in the new one too ...";
///
/// async fn bundles(request: Request) -> Response {
///     let text = match request.uri().path() {
///         "/app.1.js" => OLD.repeat(100),
///         _ => OLD.repeat(100) + "and a little more",
///     };
///     ([("content-type", "text/javascript")], text).into_response()
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), vestibule_compression::InvalidDictionary> {
/// let old = Dictionary::new(OLD.repeat(100)).served_at("/app.1.js", "/app.*.js")?;
/// let app = Compression::new(bundles).dictionary(old);
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/app.1.js".parse().unwrap();
/// let response = app.call(request).await;
/// assert_eq!(response.headers()["use-as-dictionary"], "match=\"/app.*.js\"");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Dictionary(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    bytes: Bytes,
    hash: [u8; HASH],
    /// The value of `Available-Dictionary` of clients that have it.
    available: String,
    served: Option<(String, HeaderValue)>,
}

impl Dictionary {
    /// Creates a dictionary of these bytes, which clients get from the app.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let hash: [u8; HASH] = Sha256::digest(&bytes).into();
        Self(Arc::new(Inner {
            available: format!(":{}:", base64(&hash)),
            bytes,
            hash,
            served: None,
        }))
    }

    /// Announces the body of responses to `path` as this dictionary, in `Use-As-Dictionary`, for the URLs
    /// that `matching` matches. It is a pattern such as `/app.*.js` (RFC 9842, section 2.1.1).
    ///
    /// # Errors
    ///
    /// Fails when `matching` has a quote, a backslash, or a character that is not printable ASCII.
    pub fn served_at(self, path: &str, matching: &str) -> Result<Self, InvalidDictionary> {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !matching.bytes().all(is_plain) {
            return Err(InvalidDictionary);
        }
        let value = HeaderValue::try_from(format!("match=\"{matching}\""));
        let value = value.map_err(|_| InvalidDictionary)?;
        let mut inner = (*self.0).clone();
        inner.served = Some((path.to_owned(), value));
        Ok(Self(Arc::new(inner)))
    }

    /// Returns the value of `Use-As-Dictionary` if this dictionary is served at `path`.
    pub(crate) fn use_as(&self, path: &str) -> Option<&HeaderValue> {
        let (own, value) = self.0.served.as_ref()?;
        (own == path).then_some(value)
    }

    /// Encodes `plain` against this dictionary.
    pub(crate) fn encode(
        &self,
        coding: DictionaryCoding,
        plain: &[u8],
    ) -> Result<Bytes, CodecError> {
        let Inner { bytes, hash, .. } = &*self.0;
        let mut out = Vec::with_capacity(plain.len() / 8 + 256);
        out.extend_from_slice(coding.magic());
        out.extend_from_slice(hash);
        match coding {
            DictionaryCoding::Brotli => brotli_with_dictionary(bytes, plain, &mut out)?,
            DictionaryCoding::Zstd => zstd_with_dictionary(bytes, plain, &mut out)?,
        }
        Ok(out.into())
    }
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("bytes", &self.0.bytes.len())
            .field("available", &self.0.available)
            .field("served", &self.0.served)
            .finish()
    }
}

/// The error for a pattern that a header field cannot contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDictionary;

impl fmt::Display for InvalidDictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pattern of a dictionary has a character that a header cannot hold")
    }
}

impl std::error::Error for InvalidDictionary {}

/// A coding with a dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DictionaryCoding {
    Zstd,
    Brotli,
}

impl DictionaryCoding {
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Zstd => "dcz",
            Self::Brotli => "dcb",
        }
    }

    /// Returns the first bytes of a body, before the hash (RFC 9842, sections 4 and 5).
    const fn magic(self) -> &'static [u8] {
        match self {
            Self::Zstd => &[0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0],
            Self::Brotli => &[0xff, 0x44, 0x43, 0x42],
        }
    }
}

/// Returns the dictionary that the client has, and its coding, unless the client prefers one of `offered`
/// or the plain bytes.
pub(crate) fn available(
    headers: &HeaderMap,
    dictionaries: &[Dictionary],
    offered: &[Coding],
) -> Option<(Dictionary, DictionaryCoding)> {
    let sent = Lines::from_headers(headers, AVAILABLE_DICTIONARY).only()?;
    let sent = sent.trim_ascii();
    let own = dictionaries
        .iter()
        .find(|dictionary| dictionary.0.available.as_bytes() == sent)?;
    if CacheControl::from_headers(headers).no_transform {
        return None;
    }
    let with_it = [DictionaryCoding::Zstd, DictionaryCoding::Brotli];
    let tokens = with_it.iter().map(|coding| coding.token());
    let tokens: Vec<_> = tokens
        .chain(offered.iter().map(|coding| coding.token()))
        .collect();
    let Choice::Coding(token) = AcceptEncoding::from_headers(headers).choose(&tokens) else {
        return None;
    };
    let coding = with_it.into_iter().find(|coding| coding.token() == token)?;
    Some((own.clone(), coding))
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let six = (bits >> (18 - 6 * at)) & 63;
            text.push(match at > chunk.len() {
                true => '=',
                false => char::from(ALPHABET[six as usize]),
            });
        }
    }
    text
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The size of a SHA-256, in bytes.
const HASH: usize = 32;

/// Larger bodies are encoded without a dictionary, because both must fit brotli's window.
pub(crate) const MAX_BODY: usize = 8 << 20;

pub(crate) const AVAILABLE_DICTIONARY: HeaderName = HeaderName::from_static("available-dictionary");
pub(crate) const USE_AS_DICTIONARY: HeaderName = HeaderName::from_static("use-as-dictionary");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc4648_10() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, coded) in cases {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn who_has_a_dictionary_says_its_hash() {
        let own = Dictionary::new("abc");
        let hash = ":ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        let cases = [
            (hash, "dcz", Some(DictionaryCoding::Zstd)),
            (hash, "gzip, dcb, dcz", Some(DictionaryCoding::Zstd)),
            (hash, "gzip, dcb", Some(DictionaryCoding::Brotli)),
            (hash, "gzip, dcb;q=0", None),
            (hash, "gzip", None),
            (hash, "zstd, br;q=0.5, dcz;q=0.9, dcb;q=0.1", None),
            (
                hash,
                "zstd;q=0.5, dcb;q=0.9",
                Some(DictionaryCoding::Brotli),
            ),
            (hash, "identity, dcz;q=0.5", None),
            (hash, "*", Some(DictionaryCoding::Zstd)),
            (":AAAA:", "dcz", None),
            ("", "dcz", None),
        ];
        for (sent, accept, want) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(AVAILABLE_DICTIONARY, sent.parse().unwrap());
            headers.insert("accept-encoding", accept.parse().unwrap());
            let found =
                |headers: &HeaderMap| available(headers, std::slice::from_ref(&own), Coding::ALL);
            let coding = found(&headers).map(|(_, coding)| coding);
            assert_eq!(coding, want, "{sent} {accept}");
            headers.insert("cache-control", "no-transform".parse().unwrap());
            assert!(found(&headers).is_none(), "{sent} {accept}");
        }
    }

    #[test]
    fn patterns_stand_in_a_header() {
        let own = Dictionary::new("abc");
        assert!(own.clone().served_at("/a", "/b*").is_ok());
        assert!(own.clone().served_at("/a", "/\"").is_err());
        assert!(own.served_at("/a", "/\r\n").is_err());
    }
}
