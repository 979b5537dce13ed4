//! Pure parsers and writers of HTTP field values, shared by static files, compression, auth, caches
//! and gateways.
//!
//! Every parser takes linear time, never panics, and borrows from the header map where possible.
//! The crate depends only on [`http`](https://docs.rs/http), and does not use the rest of
//! Vestibule.
//!
//! ```rust
//! use http::{HeaderMap, header};
//! use vestibule_fields::accept_encoding::{AcceptEncoding, Choice};
//! use vestibule_fields::etag::{ETag, ETagList};
//!
//! let mut request = HeaderMap::new();
//! request.insert(header::ACCEPT_ENCODING, "gzip;q=0.8, br".parse().unwrap());
//! request.insert(header::IF_NONE_MATCH, r#"W/"v1", "v2""#.parse().unwrap());
//!
//! let coding = AcceptEncoding::from_headers(&request).choose(&["gzip", "br"]);
//! assert_eq!(coding, Choice::Coding("br"));
//!
//! let current = ETag::parse(r#""v1""#).unwrap();
//! let not_modified = ETagList::from_headers(&request, header::IF_NONE_MATCH)
//!     .is_some_and(|list| list.weak_match(&current));
//! assert!(not_modified); // 304
//! ```
//!
//! Each file handles one field, and all files have the same structure: the grammar and its source,
//! the type, pure functions, limits, tests. `parse` reads one value (`&str`, `&[u8]`,
//! `&HeaderValue`), `from_headers` reads the field with all its lines, `to_header_value` and
//! `Display` write.
//!
//! | field | file | type |
//! |---|---|---|
//! | `Accept-Encoding` | `accept_encoding.rs` | `AcceptEncoding`, `Choice` |
//! | `Authorization`, `Proxy-Authorization` | `authorization.rs` | `Authorization` |
//! | `Cache-Control` | `cache_control.rs` | `CacheControl` |
//! | `Content-Range` | `content_range.rs` | `ContentRange`, write only |
//! | `Content-Type` | `media_type.rs` | `MediaType` |
//! | `Cookie` | `cookie.rs` | none: `join` joins several fields |
//! | `Date`, `Last-Modified`, `If-Modified-Since`, ... | `date.rs` | `HttpDate` |
//! | `ETag`, `If-Match`, `If-None-Match` | `etag.rs` | `ETag`, `ETagList` |
//! | `Content-Type` of a file, from its name | `file_type.rs` | `FileType` |
//! | `Forwarded` | `forwarded.rs` | `Forwarded`, `Hop`, `Node` |
//! | all fields of proxies, such as `X-Forwarded-For` | `forwarding.rs` | functions that find and remove them |
//! | `Host` | `host.rs` | `Host` |
//! | `If-Range` | `if_range.rs` | `IfRange` |
//! | `Range` | `range.rs` | `Range`, and its `Outcome` for a length |
//! | `traceparent`, `tracestate` | `trace_context.rs` | `TraceParent`, `TraceId`, `SpanId` |
//! | `WWW-Authenticate`, `Proxy-Authenticate` | `www_authenticate.rs` | `Challenge`, write only |
//! | request methods | `method.rs` | `is_registered` |
//! | `;q=` of any field | `quality.rs` | `Quality`, `Weights` |
//! | lists, tokens, quoted strings of any field | `list.rs` | `List`, `Lines` |
//!
//! Each type defines the meaning of a broken value. A field that may occur only once is `None` when
//! it is broken or repeated. A list skips invalid elements. An invalid validator matches nothing,
//! so that a broken `If-Match` prevents a write, and a broken `If-None-Match` or `If-Range` sends
//! the whole file.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a field value comes from the network, and no input may panic"
    )
)]

pub mod accept_encoding;
pub mod authorization;
pub mod cache_control;
pub mod content_range;
pub mod cookie;
pub mod date;
pub mod etag;
pub mod file_type;
pub mod forwarded;
pub mod forwarding;
pub mod host;
pub mod if_range;
pub mod list;
pub mod media_type;
pub mod method;
pub mod quality;
pub mod range;
pub mod trace_context;
pub mod www_authenticate;

use http::HeaderValue;

/// Converts `value` to a header value. All writers produce printable ASCII or obs-text, which is
/// always valid.
fn header_value(value: Vec<u8>) -> HeaderValue {
    #[expect(
        clippy::expect_used,
        reason = "only a bug in a writer can break this, not an input"
    )]
    HeaderValue::try_from(value).expect("writers make only visible ASCII, spaces and obs-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long inputs that are hard for parsers. A quadratic parser would make this test visibly slow.
    #[test]
    fn hostile_values_cost_linear_time() {
        let now = date::HttpDate::MIN;
        let seeds = [
            ",",
            ";",
            "\"",
            "\\",
            "\"\\",
            "=",
            " ",
            "\t",
            ";q=",
            ";;;,,,q=",
            "a",
            "a,",
            "a;",
            "W/\"",
            "\"a\",",
            "\"a\" ",
            "*,",
            "*;q=0,",
            "bytes=",
            "0-1,",
            "-",
            "9",
            "[",
            "]",
            ":",
            "%41",
            "max-age=9,",
            "a/b;c=\"",
        ];
        for prefix in ["", "a/b;", "bytes=0-0,", "\"", "a:", "["] {
            for seed in seeds {
                let value = prefix.to_owned() + &seed.repeat((1 << 15) / seed.len());
                let _ = accept_encoding::AcceptEncoding::parse(&value).choose(&["br", "gzip"]);
                let _ = authorization::Authorization::parse(&value)
                    .map(|it| (it.token68(), it.parameter("q")));
                let _ = cache_control::CacheControl::parse(&value);
                let _ = date::HttpDate::parse(&value, now);
                let _ = etag::ETag::parse(&value);
                let _ = etag::ETagList::parse(&value).iter().count();
                let _ = file_type::FileType::of_name(&value);
                let _ = media_type::MediaType::parse(&value).map(|found| found.shrinks());
                let _ = forwarded::Forwarded::parse(&value).hops();
                let _ = host::Host::parse(&value);
                let _ = if_range::IfRange::parse(&value, now);
                let _ = list::unquote(value.as_bytes());
                let _ =
                    media_type::MediaType::parse(&value).map(|found| found.parameters().count());
                let weights = quality::Weights::parse(&value);
                let _ = weights
                    .iter()
                    .map(|weight| weight.parameters().count())
                    .sum::<usize>();
                let _ = range::Range::parse(&value).map(|range| range.within(1000));
                let _ = trace_context::TraceParent::parse(&value);
                let mut state = http::HeaderMap::new();
                state.insert(
                    trace_context::TRACESTATE,
                    value.parse().expect("visible ASCII"),
                );
                let _ = trace_context::state_from_headers(&state);
            }
        }
    }
}
