//! Decodes request bodies: [`Decompression`].

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::Body as _;
use vestibule_core::{
    App, Body, Failure, FailureKind, IntoResponse, Outline, Request, Response, Role,
};
use vestibule_fields::list::{Lines, Quotes, token};

use crate::decoded::{DecodedBody, Limits};
use crate::{Coding, policy};

/// Decodes the bodies of requests while the app reads them, and refuses bodies that expand too much.
///
/// Leaves a request without `Content-Encoding` unchanged. From others it removes the field, with
/// `Content-Length` and digests, and the app reads plain bytes. Up to three codings may be combined
/// (`deflate, gzip`). It decodes only the bytes that the app reads, so size limits inside and outside of
/// this layer hold.
///
/// It responds instead of the app:
///
/// | status | when |
/// |---|---|
/// | `415` | a coding is unknown, or there are more than three; `Accept-Encoding` lists the known ones |
/// | `413` | the decoded body has more than 64 MiB ([`max_bytes`](Self::max_bytes)), or more than 1 MiB and more than 100 times the received bytes ([`max_ratio`](Self::max_ratio)), or zstd needs a window of more than 8 MB |
/// | `400` | the body is not what its coding says: broken, cut off, or followed by other bytes |
///
/// The last two are found while the app reads: the body ends in a [`DecompressionError`], and the app's
/// response is replaced if it comes after that.
///
/// ```
/// use vestibule_compression::Decompression;
/// use vestibule_core::{App, Body, Failure, Request};
///
/// async fn echo(request: Request) -> Result<Vec<u8>, Failure> {
///     Ok(request.into_body().collect(1_000_000).await?.to_vec())
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = Decompression::new(echo);
/// let mut request = Request::new(Body::from("not gzip"));
/// request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
/// assert_eq!(app.call(request).await.status(), 400);
///
/// let mut request = Request::new(Body::from("..."));
/// request.headers_mut().insert("content-encoding", "snappy".parse().unwrap());
/// let response = app.call(request).await;
/// assert_eq!(response.status(), 415);
/// assert!(response.headers()["accept-encoding"].to_str().unwrap().contains("gzip"));
/// # }
/// ```
///
/// Source: RFC 9110, sections 8.4 (Content-Encoding), 12.5.3 (Accept-Encoding in a 415), 15.5.14, 15.5.16.
#[doc(alias("gunzip", "content-encoding", "zip bomb"))]
#[derive(Clone, Debug)]
pub struct Decompression<A> {
    app: A,
    max_bytes: u64,
    max_ratio: u64,
    is_one_member: bool,
}

impl<A: App> Decompression<A> {
    /// Wraps `app`.
    pub const fn new(app: A) -> Self {
        Self {
            app,
            max_bytes: MAX_BYTES,
            max_ratio: MAX_RATIO,
            is_one_member: false,
        }
    }

    /// Sets the maximum size of a decoded body, in bytes. Defaults to 64 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum number of decoded bytes for each received byte. Defaults to 100. The first MiB of
    /// output does not count, because small bodies may repeat.
    #[must_use]
    pub const fn max_ratio(mut self, ratio: u32) -> Self {
        self.max_ratio = ratio as u64;
        self
    }

    /// Refuses bodies of more than one gzip member or zstd frame with a 400. RFC 1952, section 2.2, and
    /// RFC 8878, section 3.1, allow them, but some decoders stop after the first, and so read another
    /// body. Defaults to allowing them.
    #[must_use]
    pub const fn one_member(mut self, is_one_member: bool) -> Self {
        self.is_one_member = is_one_member;
        self
    }
}

impl<A: App> App for Decompression<A> {
    async fn call(&self, request: Request) -> Response {
        if !request.headers().contains_key(CONTENT_ENCODING) {
            return self.app.call(request).await;
        }
        let codings = match codings(request.headers()) {
            Ok(codings) => codings,
            Err(error) => return error.into_response(),
        };
        let limits = Arc::new(Limits {
            max_bytes: self.max_bytes,
            max_ratio: self.max_ratio,
            is_one_member: self.is_one_member,
            fault: OnceLock::new(),
            wire: Default::default(),
        });
        let (mut head, mut body) = request.into_parts();
        head.headers.remove(CONTENT_ENCODING);
        if !codings.is_empty() {
            head.headers.remove(CONTENT_LENGTH);
            policy::remove_digests(&mut head.headers);
        }
        let mut is_wire = true;
        for coding in codings.into_iter().rev() {
            if !body.is_end_stream() {
                body = Body::new(DecodedBody::new(body, coding, limits.clone(), is_wire));
                is_wire = false;
            }
        }

        let response = self.app.call(Request::from_parts(head, body)).await;

        match limits.fault.get() {
            Some(error) => error.clone().into_response(),
            None => response,
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::DECOMPRESSION)
            .option("max_bytes", self.max_bytes.to_string())
            .option("max_ratio", self.max_ratio.to_string())
            .wraps(&self.app);
    }
}

/// Parses the codings of a body, in the order in which they were applied.
fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, DecompressionError> {
    let mut codings = Vec::new();
    for element in Lines::from_headers(headers, CONTENT_ENCODING).elements(Quotes::Escaped) {
        let name = token(element).ok_or(DecompressionError::Unsupported)?;
        if name.eq_ignore_ascii_case("identity") {
            continue;
        }
        if codings.len() == MAX_CODINGS {
            return Err(DecompressionError::Unsupported);
        }
        codings.push(Coding::from_token(name).ok_or(DecompressionError::Unsupported)?);
    }
    Ok(codings)
}

/// The error that ends a request body which cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecompressionError {
    /// A coding is unknown, or there are too many: `415`.
    Unsupported,
    /// The decoded body is too large: `413`.
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body expands too much: `413`.
    TooDense {
        /// The limit, in decoded bytes for each received byte.
        limit: u64,
    },
    /// Its decoder would need too much memory: `413`.
    Window,
    /// The bytes are not valid in their coding: `400`.
    Corrupt(&'static str),
    /// The body ended before the end of its coding: `400`.
    Truncated,
    /// Bytes follow the end of the coding: `400`.
    Trailing,
}

impl DecompressionError {
    /// Returns the status of the response for this error.
    ///
    /// ```
    /// use vestibule_compression::DecompressionError;
    ///
    /// assert_eq!(DecompressionError::Truncated.status(), 400);
    /// ```
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge { .. } | Self::TooDense { .. } | Self::Window => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Corrupt(_) | Self::Truncated | Self::Trailing => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for DecompressionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("the coding of the body is not known"),
            Self::TooLarge { limit } => write!(f, "the body decodes to more than {limit} bytes"),
            Self::TooDense { limit } => {
                write!(f, "a byte of the body decodes to more than {limit}")
            }
            Self::Window => f.write_str("the body asks for a larger window than is allowed"),
            Self::Corrupt(why) => write!(f, "the body is not what its coding says: {why}"),
            Self::Truncated => f.write_str("the body breaks off before the end of its coding"),
            Self::Trailing => f.write_str("the body goes on after the end of its coding"),
        }
    }
}

impl Error for DecompressionError {}

impl IntoResponse for DecompressionError {
    fn into_response(self) -> Response {
        let is_unsupported = self == Self::Unsupported;
        let status = self.status();
        let failure = Failure::new(self).kind(FailureKind::Request);
        let mut response = failure
            .status(status)
            .layer("Decompression")
            .into_response();
        if is_unsupported {
            let known: Vec<_> = Coding::ALL.iter().map(|coding| coding.token()).collect();
            if let Ok(known) = HeaderValue::try_from(known.join(", ")) {
                response.headers_mut().insert(ACCEPT_ENCODING, known);
            }
        }
        response
    }
}

const MAX_BYTES: u64 = 64 << 20;

const MAX_RATIO: u64 = 100;

/// Real clients apply one or two.
const MAX_CODINGS: usize = 3;

#[cfg(test)]
#[cfg(feature = "gzip")]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_4() {
        use Coding::*;
        let cases: &[(&[&'static str], Option<&[Coding]>)] = &[
            (&["gzip"], Some(&[Gzip])),
            (&["GZIP"], Some(&[Gzip])),
            (&["x-gzip"], Some(&[Gzip])),
            (&["gzip, identity"], Some(&[Gzip])),
            (&["identity"], Some(&[])),
            (&[""], Some(&[])),
            (&[", ,"], Some(&[])),
            (&["deflate, gzip"], Some(&[Deflate, Gzip])),
            (&["deflate", "gzip"], Some(&[Deflate, Gzip])),
            (&["gzip,gzip,gzip"], Some(&[Gzip; 3])),
            (&["gzip,gzip,gzip,gzip"], None),
            (&["compress"], None),
            (&["gzip;q=1"], None),
            (&["*"], None),
            (&["gzip snappy"], None),
            (&["\"gzip\""], None),
        ];
        for (lines, want) in cases {
            let mut headers = HeaderMap::new();
            for line in *lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(codings(&headers).ok().as_deref(), *want, "{lines:?}");
        }
    }
}
