//! Builds a response from a file and a request: conditions, ranges, headers and body.

use std::io;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use vestibule_core::{Body, Response};
use vestibule_fields::content_range::ContentRange;
use vestibule_fields::date::HttpDate;
use vestibule_fields::etag::ETag;
use vestibule_fields::method::is_registered;
use vestibule_fields::range::{Outcome, Range};

use crate::conditions::{Verdict, evaluate, range_counts};
use crate::file_body::{FileBody, SMALL, Segment, read_whole};
use crate::multipart::Multipart;
use crate::source::{Content, Made, Stored, Wait};

/// The parts of a GET or HEAD request that the response depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestParts<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    /// Whether the path is complete: no router can have removed a prefix.
    pub(crate) is_whole_path: bool,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) now: HttpDate,
    pub(crate) wait: Wait,
}

/// The representation to send: a file and its description.
#[derive(Clone, Debug)]
pub(crate) struct Representation {
    pub(crate) stored: Stored,
    /// Prepared header values, if the file itself has none.
    pub(crate) made: Option<Made>,
    /// 200, or the error status that this page is for. Only 200 has conditions and ranges.
    pub(crate) status: StatusCode,
    pub(crate) content_type: HeaderValue,
    pub(crate) encoding: Option<&'static str>,
    /// Whether another `Accept-Encoding` may select another representation.
    pub(crate) varies_by_coding: bool,
    /// Whether another `Accept` may select another representation.
    pub(crate) varies_by_type: bool,
    pub(crate) cache_control: Option<HeaderValue>,
}

/// Responds with a representation: 200, 206, 304, 412 or 416.
///
/// # Errors
///
/// `WouldBlock` when the bytes of a small file are not in memory and the request must not wait;
/// other errors when the bytes cannot be read.
pub(crate) fn respond(asked: &RequestParts<'_>, file: Representation) -> io::Result<Response> {
    let Representation {
        mut stored,
        made,
        status,
        content_type,
        encoding,
        varies_by_coding,
        varies_by_type,
        cache_control,
    } = file;
    let is_ok = status == StatusCode::OK;
    let modified = stored.modified.filter(|_| is_ok);
    let modified = modified.map(|modified| modified.min(asked.now));
    stored.take_tag_of_request(asked.headers, encoding, asked.now);
    let (verdict, outcome) = match is_ok {
        true => weigh(asked, &stored, modified),
        false => (Verdict::Proceed, Outcome::Whole),
    };
    let kept = stored.made.take();
    let made = kept.as_deref().or(made.as_ref());
    let modified_value = match (modified, made.and_then(|made| made.modified.as_ref())) {
        (Some(modified), Some(value)) if stored.modified == Some(modified) => Some(value.clone()),
        // A date in the future must not be sent (RFC 9110, section 8.8.2.1).
        (Some(modified), _) => Some(modified.to_header_value()),
        (None, _) => None,
    };

    // The allocator is fast for a header map with up to six fields, and slow for a larger one.
    let more = [
        cache_control.is_some(),
        varies_by_type || varies_by_coding,
        encoding.is_some(),
    ];
    let more = more.into_iter().filter(|is_there| *is_there).count();
    let mut headers = HeaderMap::with_capacity(6 + more);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Some(cache_control) = cache_control {
        headers.insert(CACHE_CONTROL, cache_control);
    }
    if varies_by_type {
        headers.append(VARY, ACCEPT);
    }
    if varies_by_coding {
        headers.append(VARY, ACCEPT_ENCODING);
    }
    let tag = stored.tag.take().filter(|_| is_ok);
    match verdict {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            // A tag is more precise than a date, and is enough (RFC 9110, section 15.4.5).
            match (tag, modified_value) {
                (Some(tag), _) => drop(headers.insert(ETAG, tag)),
                (None, Some(modified)) => drop(headers.insert(LAST_MODIFIED, modified)),
                (None, None) => {}
            }
            return Ok(build(StatusCode::NOT_MODIFIED, headers, Body::empty()));
        }
        Verdict::Failed => return Ok(status_page(StatusCode::PRECONDITION_FAILED)),
    }
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
    if let Some(modified) = modified_value {
        headers.insert(LAST_MODIFIED, modified);
    }
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if is_ok {
        headers.insert(ACCEPT_RANGES, BYTES);
    }
    match outcome {
        Outcome::Unsatisfiable => {
            let mut response = status_page(StatusCode::RANGE_NOT_SATISFIABLE);
            let range = ContentRange::unsatisfied(stored.length).to_header_value();
            response.headers_mut().insert(CONTENT_RANGE, range);
            Ok(response)
        }
        Outcome::Satisfiable(ranges) if ranges.len() == 1 => {
            let range = ContentRange::new(ranges[0], stored.length).to_header_value();
            headers.insert(CONTENT_RANGE, range);
            headers.insert(CONTENT_TYPE, content_type);
            headers.insert(CONTENT_LENGTH, ranges[0].bytes().into());
            let body = part(asked, &stored, made, ranges[0].first(), ranges[0].bytes())?;
            Ok(build(StatusCode::PARTIAL_CONTENT, headers, body))
        }
        Outcome::Satisfiable(ranges) => {
            let parts = Multipart::new(&ranges, &content_type, stored.length);
            headers.insert(CONTENT_TYPE, parts.content_type());
            headers.insert(CONTENT_LENGTH, parts.length().into());
            let body = several(&stored, parts);
            Ok(build(StatusCode::PARTIAL_CONTENT, headers, body))
        }
        Outcome::Whole => {
            headers.insert(CONTENT_TYPE, content_type);
            let length = made.map_or_else(|| stored.length.into(), |made| made.length.clone());
            headers.insert(CONTENT_LENGTH, length);
            let body = part(asked, &stored, made, 0, stored.length)?;
            Ok(build(status, headers, body))
        }
    }
}

/// Returns the response that lets the server in front send a file, named in `header`.
pub(crate) fn handed_over(header: (HeaderName, HeaderValue), file: Representation) -> Response {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    if let Some(cache_control) = file.cache_control {
        headers.insert(CACHE_CONTROL, cache_control);
    }
    if file.varies_by_type {
        headers.append(VARY, ACCEPT);
    }
    headers.insert(CONTENT_TYPE, file.content_type);
    headers.insert(CONTENT_LENGTH, 0.into());
    headers.insert(header.0, header.1);
    build(file.status, headers, Body::empty())
}

/// Evaluates the conditions and the ranges of a request. An empty file has no ranges.
fn weigh(
    asked: &RequestParts<'_>,
    stored: &Stored,
    modified: Option<HttpDate>,
) -> (Verdict, Outcome) {
    let tag = stored.tag.as_ref().and_then(ETag::parse);
    let verdict = evaluate(asked.headers, tag.as_ref(), modified, asked.now);
    if asked.method != Method::GET || stored.length == 0 {
        return (verdict, Outcome::Whole);
    }
    let outcome = match Range::from_headers(asked.headers) {
        Some(range) if range_counts(asked.headers, tag.as_ref(), modified, asked.now) => {
            range.within(stored.length)
        }
        _ => Outcome::Whole,
    };
    (verdict, outcome)
}

/// Returns the body for one part of a file; an empty one for HEAD.
fn part(
    asked: &RequestParts<'_>,
    stored: &Stored,
    made: Option<&Made>,
    start: u64,
    length: u64,
) -> io::Result<Body> {
    if asked.method == Method::HEAD || length == 0 {
        return Ok(Body::empty());
    }
    match &stored.content {
        Content::Memory(bytes) => Ok(Body::from(slice(bytes, start, length))),
        Content::File(file) => {
            let part = file.part(start, length);
            let held = made.and_then(|made| made.bytes.as_ref());
            let body = match (held, usize::try_from(length)) {
                (Some(bytes), _) => Body::from(slice(bytes, start, length)),
                (None, Ok(size)) if length <= SMALL => {
                    Body::from(read_whole(file, start, size, asked.wait)?)
                }
                _ => Body::new(FileBody::new(
                    file.clone(),
                    [Segment::File { start, length }],
                )),
            };
            Ok(body.with_file(part))
        }
    }
}

/// Returns the body for several parts of a file.
fn several(stored: &Stored, parts: Multipart) -> Body {
    match &stored.content {
        Content::File(file) => Body::new(FileBody::new(file.clone(), parts.into_segments())),
        Content::Memory(bytes) => {
            let mut whole = Vec::new();
            for segment in parts.into_segments() {
                match segment {
                    Segment::Bytes(bytes) => whole.extend_from_slice(&bytes),
                    Segment::File { start, length } => {
                        whole.extend_from_slice(&slice(bytes, start, length));
                    }
                }
            }
            Body::from(whole)
        }
    }
}

/// Returns the bytes of a range that is within `bytes`.
fn slice(bytes: &Bytes, start: u64, length: u64) -> Bytes {
    let place = |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
    bytes.slice(place(start)..place(start.saturating_add(length)))
}

fn build(status: StatusCode, headers: HeaderMap, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Tells browsers not to guess the type.
pub(crate) fn no_sniff(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}

/// Returns a response with the reason phrase of its status as text.
pub(crate) fn status_page(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("Error");
    let text = format!("{} {reason}\n", status.as_u16());
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(CONTENT_TYPE, TEXT);
    headers.insert(CONTENT_LENGTH, text.len().into());
    build(status, headers, Body::from(text))
}

/// Returns `308 Permanent Redirect` to `location`. Caches must revalidate it, since a folder may be
/// a file after the next deploy.
pub(crate) fn redirect(location: HeaderValue) -> Response {
    redirect_as(StatusCode::PERMANENT_REDIRECT, location)
}

/// Returns the same response as [`redirect`], with another status.
pub(crate) fn redirect_as(status: StatusCode, location: HeaderValue) -> Response {
    let mut response = status_page(status);
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    response
}

/// Returns `204 No Content` with the allowed methods.
pub(crate) fn options() -> Response {
    let mut response = build(StatusCode::NO_CONTENT, HeaderMap::new(), Body::empty());
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

/// Returns `405 Method Not Allowed` with the allowed methods, or `501 Not Implemented` for a method that is
/// not registered with IANA.
pub(crate) fn method_not_allowed(method: &Method) -> Response {
    if !is_registered(method) {
        return status_page(StatusCode::NOT_IMPLEMENTED);
    }
    let mut response = status_page(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(ALLOW, METHODS);
    response
}

const ACCEPT: HeaderValue = HeaderValue::from_static("accept");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("accept-encoding");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");
pub(crate) const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
