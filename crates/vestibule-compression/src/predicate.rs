//! Predicates that choose the responses worth encoding.

use vestibule_core::Response;
use vestibule_fields::media_type::MediaType;

use crate::policy::is_grpc_web;

/// A test of a response, before its body is read.
///
/// Every `Fn(&Response) -> bool` is a predicate.
///
/// ```
/// use vestibule_compression::{ContentType, Predicate, Types};
/// use vestibule_core::{Body, IntoResponse, Response};
///
/// let mine = Types.or(ContentType("application/x-mine")).and(|response: &Response| {
///     !response.headers().contains_key("set-cookie")
/// });
///
/// let page = ([("content-type", "application/x-mine")], "...").into_response();
/// assert!(mine.test(&page));
/// assert!(!mine.not().test(&page));
/// ```
pub trait Predicate: Send + Sync + 'static {
    /// Returns whether the predicate holds for `response`.
    fn test(&self, response: &Response) -> bool;

    /// Combines two predicates: both must hold.
    fn and<P: Predicate>(self, other: P) -> And<Self, P>
    where
        Self: Sized,
    {
        And(self, other)
    }

    /// Combines two predicates: one of them must hold.
    fn or<P: Predicate>(self, other: P) -> Or<Self, P>
    where
        Self: Sized,
    {
        Or(self, other)
    }

    /// Negates the predicate.
    fn not(self) -> Not<Self>
    where
        Self: Sized,
    {
        Not(self)
    }
}

impl<F: Fn(&Response) -> bool + Send + Sync + 'static> Predicate for F {
    fn test(&self, response: &Response) -> bool {
        self(response)
    }
}

/// Holds when both predicates hold.
#[derive(Clone, Copy, Debug)]
pub struct And<P, Q>(P, Q);

impl<P: Predicate, Q: Predicate> Predicate for And<P, Q> {
    fn test(&self, response: &Response) -> bool {
        self.0.test(response) && self.1.test(response)
    }
}

/// Holds when one of two predicates holds.
#[derive(Clone, Copy, Debug)]
pub struct Or<P, Q>(P, Q);

impl<P: Predicate, Q: Predicate> Predicate for Or<P, Q> {
    fn test(&self, response: &Response) -> bool {
        self.0.test(response) || self.1.test(response)
    }
}

/// Holds when a predicate does not.
#[derive(Clone, Copy, Debug)]
pub struct Not<P>(P);

impl<P: Predicate> Predicate for Not<P> {
    fn test(&self, response: &Response) -> bool {
        !self.0.test(response)
    }
}

/// The default: media types that shrink. These are text, JSON, XML, scripts, WebAssembly, SVG, playlists,
/// and uncompressed fonts, by the table that static files and sidecars use as well
/// ([`MediaType::shrinks`]).
///
/// It does not hold for a response without a `Content-Type` or of an unknown type, nor for images, video,
/// archives and PDF, which are compressed already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Types;

impl Predicate for Types {
    fn test(&self, response: &Response) -> bool {
        MediaType::from_headers(response.headers()).is_some_and(|media| shrinks(&media))
    }
}

/// Responses of one type, such as `application/x-mine`; parameters and case do not count.
#[derive(Clone, Copy, Debug)]
pub struct ContentType(pub &'static str);

impl Predicate for ContentType {
    fn test(&self, response: &Response) -> bool {
        MediaType::from_headers(response.headers()).is_some_and(|media| media.is(self.0))
    }
}

/// Returns whether bytes of a media type shrink. gRPC-Web is not a type of files, so the table lacks it.
fn shrinks(media: &MediaType<'_>) -> bool {
    media.shrinks()
        || media.main().eq_ignore_ascii_case("application") && is_grpc_web(media.subtype())
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn types_that_shrink() {
        let cases = [
            ("text/html; charset=utf-8", true),
            ("TEXT/HTML", true),
            ("text/event-stream", true),
            ("application/json", true),
            ("application/problem+json", true),
            ("application/ATOM+XML", true),
            ("application/javascript", true),
            ("application/x-javascript", true),
            ("application/vnd.apple.mpegurl", true),
            ("audio/mpegurl", true),
            ("application/postscript", true),
            ("application/x-x509-ca-cert", false),
            ("application/x-tar", false),
            ("application/wasm", true),
            ("application/grpc-web+proto", true),
            ("image/svg+xml", true),
            ("image/x-icon", true),
            ("font/ttf", true),
            ("font/woff", false),
            ("font/woff2", false),
            ("image/png", false),
            ("image/jpeg", false),
            ("video/mp4", false),
            ("audio/mpeg", false),
            ("application/zip", false),
            ("application/gzip", false),
            ("application/pdf", false),
            ("application/octet-stream", false),
            ("application/grpc", false),
            ("application/grpc+proto", false),
            ("multipart/x-mixed-replace; boundary=a", false),
            ("text", false),
            ("", false),
        ];
        for (value, want) in cases {
            let mut response = Response::default();
            response
                .headers_mut()
                .insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(Types.test(&response), want, "{value}");
        }
        assert!(!Types.test(&Response::default()));
    }
}
