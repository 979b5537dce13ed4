//! Decides which responses may be encoded, and changes the head of an encoded response.
//!
//! Source: RFC 9110, sections 8.4 (Content-Encoding), 12.5.5 (Vary), 14.4 (Content-Range), 15.4.5
//! (304); RFC 9111, section 5.2.2.6 (no-transform); RFC 9530 (digests).

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use vestibule_fields::cache_control::CacheControl;
use vestibule_fields::list::{Lines, Quotes};
use vestibule_fields::media_type::MediaType;

/// Returns whether another `Accept-Encoding` might get another response, by the head alone.
pub(crate) fn may_be_coded(status: StatusCode, headers: &HeaderMap) -> bool {
    let has_content = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        );
    has_content && !headers.contains_key(CONTENT_RANGE) && !is_as_it_stays(headers)
}

/// Returns whether a response has a coding, or forbids one.
pub(crate) fn is_as_it_stays(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_ENCODING)
        || (headers.contains_key(CACHE_CONTROL) && CacheControl::from_headers(headers).no_transform)
}

/// Returns whether a response has several parts of another one, each with its own type.
pub(crate) fn is_byteranges(headers: &HeaderMap) -> bool {
    MediaType::from_headers(headers).is_some_and(|media| media.is("multipart/byteranges"))
}

/// Returns whether every frame must be flushed, because clients of the type wait for each one.
pub(crate) fn is_flushed_by_frame(headers: &HeaderMap) -> bool {
    MediaType::from_headers(headers).is_some_and(|media| {
        FLUSHED.iter().any(|essence| media.is(essence))
            || media.main().eq_ignore_ascii_case("application") && is_grpc_web(media.subtype())
    })
}

/// `grpc-web`, `grpc-web+proto`, `grpc-web-text`, ...
pub(crate) fn is_grpc_web(subtype: &str) -> bool {
    let start = subtype.get(..GRPC_WEB.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(GRPC_WEB))
}

/// Adds `name` to `Vary` if it is missing.
pub(crate) fn vary(headers: &mut HeaderMap, name: HeaderValue) {
    let is_there = Lines::from_headers(headers, VARY)
        .elements(Quotes::Escaped)
        .any(|other| other == b"*" || other.eq_ignore_ascii_case(name.as_bytes()));
    if !is_there {
        headers.append(VARY, name);
    }
}

/// Removes fields that hold only for the plain bytes, and sets the coding.
pub(crate) fn mark(headers: &mut HeaderMap, token: &'static str) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(token));
    headers.remove(CONTENT_LENGTH);
    headers.remove(ACCEPT_RANGES);
    remove_digests(headers);
}

/// Removes the digests of the plain bytes.
pub(crate) fn remove_digests(headers: &mut HeaderMap) {
    for name in &DIGESTS {
        headers.remove(name);
    }
}

/// Returns the size in the head.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");

const GRPC_WEB: &str = "grpc-web";

const FLUSHED: [&str; 6] = [
    "text/event-stream",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-seq",
    "multipart/x-mixed-replace",
];

const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        lines.iter().map(pair).collect()
    }

    #[test]
    fn what_is_never_encoded() {
        type Case = (u16, &'static [(&'static str, &'static str)], bool);
        let cases: &[Case] = &[
            (200, &[], true),
            (201, &[], true),
            (404, &[], true),
            (500, &[], true),
            (304, &[], true),
            (100, &[], false),
            (101, &[], false),
            (103, &[], false),
            (204, &[], false),
            (205, &[], false),
            (206, &[], false),
            (200, &[("content-encoding", "gzip")], false),
            (200, &[("content-encoding", "identity")], false),
            (200, &[("content-range", "bytes 0-1/2")], false),
            (416, &[("content-range", "bytes */2")], false),
            (200, &[("cache-control", "public, no-transform")], false),
            (200, &[("cache-control", "NO-TRANSFORM")], false),
            (200, &[("cache-control", "public, max-age=1")], true),
            (200, &[("cache-control", "a=\"no-transform\"")], true),
        ];
        for (status, lines, want) in cases {
            let status = StatusCode::from_u16(*status).unwrap();
            let found = may_be_coded(status, &headers(lines));
            assert_eq!(found, *want, "{status} {lines:?}");
        }
    }

    #[test]
    fn vary_is_merged() {
        let cases: &[(&[&'static str], &[&str])] = &[
            (&[], &["accept-encoding"]),
            (&["Accept"], &["Accept", "accept-encoding"]),
            (&["Accept-Encoding"], &["Accept-Encoding"]),
            (&["origin, ACCEPT-ENCODING"], &["origin, ACCEPT-ENCODING"]),
            (
                &["origin", "accept-encoding"],
                &["origin", "accept-encoding"],
            ),
            (&["*"], &["*"]),
        ];
        for (before, after) in cases {
            let mut headers = HeaderMap::new();
            for value in *before {
                headers.append(VARY, HeaderValue::from_static(value));
            }
            vary(&mut headers, ACCEPT_ENCODING);
            let found: Vec<_> = headers.get_all(VARY).iter().collect();
            assert_eq!(found, *after);
        }
    }

    #[test]
    fn who_waits_for_each_frame() {
        let cases = [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/x-ndjson", true),
            ("application/grpc-web+proto", true),
            ("application/grpc-web-text", true),
            ("application/grpc", false),
            ("multipart/x-mixed-replace; boundary=x", true),
            ("multipart/form-data", false),
            ("text/html", false),
            ("", false),
        ];
        for (value, want) in cases {
            let found = is_flushed_by_frame(&headers(&[("content-type", value)]));
            assert_eq!(found, want, "{value}");
        }
    }

    #[test]
    fn what_was_true_of_the_plain_bytes_is_taken_off() {
        let mut headers = headers(&[
            ("content-length", "5"),
            ("accept-ranges", "bytes"),
            ("content-md5", "x"),
            ("digest", "x"),
            ("content-digest", "x"),
            ("repr-digest", "x"),
            ("content-type", "text/plain"),
        ]);
        mark(&mut headers, "gzip");
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "content-type"]);
    }
}
