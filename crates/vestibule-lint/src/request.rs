//! Rules for the head of a request.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri, Version};
use vestibule_core::{Mount, Request};

use crate::grammar::{self, is_connection_field, value_with_spaces};
use crate::rule::checked_rules;

/// The head of a request, for the checks of its response.
#[derive(Clone, Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
}

impl RequestHead {
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
        }
    }
}

checked_rules! {
    /// Each check returns a description of the violation, or `None`.
    REQUEST_RULES: fn(&Request) -> Option<String> = [

    "asterisk-with-options", "RFC 9112, section 3.2.4",
    "The target `*` is only for OPTIONS." =>
        |request| (is_asterisk(request) && request.method() != Method::OPTIONS)
            .then(|| format!("{} *", request.method()));

    "authority-with-connect", "RFC 9112, section 3.2.3",
    "A target that is only an authority is only for CONNECT." =>
        |request| (is_authority(request.uri()) && request.method() != Method::CONNECT)
            .then(|| format!("{} {}", request.method(), request.uri()));

    "connect-names-a-port", "RFC 9110, section 9.3.6",
    "The target of a CONNECT over HTTP/1 is a host and a port." =>
        |request| {
            let uri = request.uri();
            let is_plain = request.method() == Method::CONNECT && request.version() < Version::HTTP_2;
            (is_plain && !(is_authority(uri) && uri.port_u16().is_some()))
                .then(|| format!("CONNECT {uri}"))
        };

    "target-is-ascii", "RFC 3986, section 2",
    "A target is ASCII: other characters are percent-encoded." =>
        |request| {
            let target = request.uri().path_and_query()?.as_str();
            (!target.is_ascii()).then(|| format!("{target:?}"))
        };

    "scheme-is-http", "RFC 9110, section 4.2",
    "The scheme of a target, if it has one, is http or https." =>
        |request| {
            let scheme = request.uri().scheme_str()?;
            let is_known = ["http", "https"].iter().any(|own| scheme.eq_ignore_ascii_case(own));
            (!is_known).then(|| format!("{scheme}:"))
        };

    "no-user-in-target", "RFC 9110, section 4.2.4",
    "A target has no user name and no password." =>
        |request| {
            let authority = request.uri().authority()?;
            authority.as_str().contains('@').then(|| "the target has an `@`".to_owned())
        };

    "host-is-a-host", "RFC 9110, section 7.2",
    "A Host is a host with an optional port of digits." =>
        |request| request.headers().get_all(HOST).iter()
            .find(|host| !grammar::is_host(host.as_bytes()))
            .map(|host| format!("Host: {host:?}"));

    "host-once", "RFC 9112, section 3.2",
    "A request has at most one Host." =>
        |request| more_than_once(request.headers(), "host");

    "request-length-is-digits", "RFC 9110, section 8.6",
    "The Content-Length of a request occurs once and has only digits." =>
        |request| bad_length(request.headers());

    "one-framing", "RFC 9112, section 6.3",
    "A request has a Content-Length or a Transfer-Encoding, never both." =>
        |request| {
            let headers = request.headers();
            (headers.contains_key(CONTENT_LENGTH) && headers.contains_key(TRANSFER_ENCODING))
                .then(|| "the request has both".to_owned())
        };

    "no-connection-fields-on-http2", "RFC 9113, section 8.2.2",
    "A request over HTTP/2 and above has no connection fields." =>
        |request| (request.version() >= Version::HTTP_2).then_some(())
            .and_then(|()| request.headers().keys().find(|name| is_connection_field(name.as_str())))
            .map(|name| format!("{name} over {:?}", request.version()));

    "request-values-are-trimmed", "RFC 9110, section 5.5",
    "The values of a request's fields neither begin nor end with white space." =>
        |request| value_with_spaces(request.headers());

    "mount-is-the-path", "Vestibule",
    "The prefix and the rest of a Mount together are the whole path of the URI." =>
        |request| {
            let mount = Mount::of(request)?;
            let whole = [mount.prefix(), mount.rest()].concat();
            (whole != request.uri().path())
                .then(|| format!("the mount says {whole:?}, the URI {:?}", request.uri().path()))
        };
    ]
}

/// Returns the violation of a Content-Length, if the message has one.
pub(crate) fn bad_length(headers: &HeaderMap) -> Option<String> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next()?;
    if lengths.next().is_some() {
        return Some("it occurs more than once".to_owned());
    }
    let is_number = grammar::number(first.as_bytes()).is_some();
    (!is_number).then(|| format!("Content-Length: {first:?}"))
}

pub(crate) fn more_than_once(headers: &HeaderMap, name: &str) -> Option<String> {
    let count = headers.get_all(name).iter().count();
    (count > 1).then(|| format!("{name} occurs {count} times"))
}

fn is_asterisk(request: &Request) -> bool {
    request.uri().path() == "*"
}

fn is_authority(uri: &Uri) -> bool {
    uri.scheme().is_none() && uri.authority().is_some()
}
