//! Rules for the head of a response.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, AGE, ALLOW, CACHE_CONTROL,
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES,
    HeaderName, LAST_MODIFIED, LOCATION, PROXY_AUTHENTICATE, RANGE, RETRY_AFTER, SET_COOKIE,
    STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING, UPGRADE, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body::Body as _;
use vestibule_core::{Failure, Response};

use crate::grammar::{self, ContentRange, Cookie, is_connection_field, value_with_spaces};
use crate::request::{RequestHead, bad_length, more_than_once};
use crate::rule::checked_rules;

checked_rules! {
    /// Each check returns a description of the violation, or `None`.
    RESPONSE_RULES: fn(&RequestHead, &Response) -> Option<String> = [

    "status-in-range", "RFC 9110, section 15",
    "A status is below 600." =>
        |_, response| (response.status().as_u16() >= 600).then(|| status(response));

    "answer-is-final", "RFC 9110, section 15.2",
    "An app responds with a final status; of the informational statuses, only 101 is allowed." =>
        |_, response| {
            let is_interim = response.status().is_informational();
            (is_interim && response.status() != 101).then(|| status(response))
        };

    "no-101-on-http2", "RFC 9113, section 8.6",
    "101 is not allowed over HTTP/2 and above." =>
        |request, response| (response.status() == 101 && request.version >= Version::HTTP_2)
            .then(|| format!("101 over {:?}", request.version));

    "upgrade-with-101", "RFC 9110, section 15.2.2",
    "A 101 has an Upgrade field." =>
        |_, response| without(response, StatusCode::SWITCHING_PROTOCOLS, &UPGRADE);

    "chosen-was-offered", "RFC 9110, section 7.8",
    "The protocol of a 101 is one that the request offered." =>
        |request, response| {
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                return None;
            }
            let offered = all_members(&request.headers, &UPGRADE);
            let chosen = all_members(response.headers(), &UPGRADE);
            let strange = chosen.into_iter().find(|own| {
                !offered.iter().any(|other| own.eq_ignore_ascii_case(other))
            })?;
            Some(format!("{} was not offered", String::from_utf8_lossy(strange)))
        };

    "upgrade-with-426", "RFC 9110, section 15.5.22",
    "A 426 has an Upgrade field." =>
        |_, response| without(response, StatusCode::UPGRADE_REQUIRED, &UPGRADE);

    "no-connection-fields", "RFC 9110, section 7.6.1; PEP 3333",
    "The server sets connection fields; an app sets only Upgrade and Connection, with 101 and 426." =>
        |_, response| {
            let may_upgrade = matches!(response.status().as_u16(), 101 | 426);
            let mut names = response.headers().keys();
            let name = names.find(|name| {
                let is_allowed = may_upgrade && matches!(name.as_str(), "upgrade" | "connection");
                is_connection_field(name.as_str()) && !is_allowed
            })?;
            Some(format!("{name} with {}", response.status().as_u16()))
        };

    "no-status-field", "Rack, SPEC",
    "A response has no Status field." =>
        |_, response| response.headers().contains_key("status").then(|| "the response has a status field".to_owned());

    "values-are-trimmed", "RFC 9110, section 5.5",
    "The values of a response's fields neither begin nor end with white space." =>
        |_, response| value_with_spaces(response.headers());

    "once-only", "RFC 9110, section 5.3",
    "Date and other fields with one value occur at most once." =>
        |_, response| SINGLE.iter().find_map(|name| more_than_once(response.headers(), name));

    "length-is-digits", "RFC 9110, section 8.6",
    "The Content-Length of a response occurs once and has only digits." =>
        |_, response| bad_length(response.headers());

    "no-length-without-body", "RFC 9110, section 8.6",
    "1xx and 204 have no Content-Length, and a 304 has no Content-Length of 0." =>
        |_, response| {
            let length = response.headers().get(CONTENT_LENGTH)?;
            let code = response.status();
            let is_never = code.is_informational() || code == StatusCode::NO_CONTENT;
            let is_zero = code == StatusCode::NOT_MODIFIED && length == "0";
            (is_never || is_zero).then(|| format!("Content-Length: {length:?} with {}", code.as_u16()))
        };

    "no-type-without-body", "RFC 9110, section 15.4.5; Rack, SPEC",
    "1xx, 204 and 304 do not describe a body: no Content-Type, -Encoding, -Language, -Range." =>
        |_, response| {
            let code = response.status();
            let about_content = [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_RANGE];
            has_no_body(code).then_some(())?;
            let name = about_content.iter().find(|name| response.headers().contains_key(*name))?;
            Some(format!("{name} with {}", code.as_u16()))
        };

    "nothing-with-205", "RFC 9110, section 15.3.6",
    "A 205 has no content, and no Content-Length except 0." =>
        |_, response| {
            if response.status() != StatusCode::RESET_CONTENT {
                return None;
            }
            let length = response.headers().get(CONTENT_LENGTH).filter(|length| *length != "0");
            let has_bytes = response.body().size_hint().lower() > 0;
            (length.is_some() || has_bytes).then(|| "the response has content".to_owned())
        };

    "range-with-206", "RFC 9110, section 15.3.7",
    "A 206 has a Content-Range, or is multipart/byteranges; never both." =>
        |_, response| {
            if response.status() != StatusCode::PARTIAL_CONTENT {
                return None;
            }
            let kind = response.headers().get(CONTENT_TYPE).map(|kind| kind.as_bytes());
            let start = kind.unwrap_or_default().get(..20).unwrap_or_default();
            let is_multipart = start.eq_ignore_ascii_case(b"multipart/byteranges");
            match (response.headers().contains_key(CONTENT_RANGE), is_multipart) {
                (true, true) => Some("the response has both".to_owned()),
                (false, false) => Some("the response has neither".to_owned()),
                _ => None,
            }
        };

    "range-was-asked", "RFC 9110, section 15.3.7",
    "A 206 answers a request with a Range." =>
        |request, response| {
            let is_part = response.status() == StatusCode::PARTIAL_CONTENT;
            (is_part && !request.headers.contains_key(RANGE)).then(|| "the request has no Range".to_owned())
        };

    "content-range-syntax", "RFC 9110, section 14.4",
    "A Content-Range is `bytes 0-4/10` or, with 416, `bytes */10`; other statuses have none." =>
        |_, response| {
            let value = response.headers().get(CONTENT_RANGE)?;
            let range = grammar::content_range(value.as_bytes());
            let is_sound = matches!(
                (response.status(), range),
                (StatusCode::PARTIAL_CONTENT, Some(ContentRange::Part(_) | ContentRange::Other))
                    | (StatusCode::RANGE_NOT_SATISFIABLE, Some(ContentRange::Unsatisfied | ContentRange::Other))
            );
            (!is_sound).then(|| format!("{value:?} with {}", response.status().as_u16()))
        };

    "part-is-as-long-as-it-says", "RFC 9110, section 14.4",
    "The Content-Length of a part is the length of its Content-Range." =>
        |_, response| {
            let range = response.headers().get(CONTENT_RANGE)?;
            let length = grammar::number(response.headers().get(CONTENT_LENGTH)?.as_bytes())?;
            match (response.status(), grammar::content_range(range.as_bytes())) {
                (StatusCode::PARTIAL_CONTENT, Some(ContentRange::Part(part))) if part != length => {
                    Some(format!("Content-Length: {length}, Content-Range: {range:?}"))
                }
                _ => None,
            }
        };

    "location-with-30x", "RFC 9110, section 15.4",
    "301, 302, 303, 307 and 308 have a Location." =>
        |_, response| {
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            (is_redirect && !response.headers().contains_key(LOCATION)).then(|| status(response))
        };

    "location-syntax", "RFC 9110, section 10.2.2",
    "A Location is a URI reference: no control bytes, no spaces, no backslashes, no bytes above ASCII." =>
        |_, response| bad(response, &LOCATION, grammar::is_uri_reference);

    "condition-with-304", "RFC 9110, section 15.4.5",
    "A 304 answers a GET or HEAD with If-None-Match or If-Modified-Since." =>
        |request, response| {
            let is_read = matches!(request.method, Method::GET | Method::HEAD);
            let is_conditional = ["if-none-match", "if-modified-since"].iter()
                .any(|name| request.headers.contains_key(*name));
            (response.status() == StatusCode::NOT_MODIFIED && !(is_read && is_conditional))
                .then(|| format!("{} without a condition", request.method))
        };

    "challenge-with-401", "RFC 9110, section 15.5.2",
    "A 401 has a WWW-Authenticate field." =>
        |_, response| without(response, StatusCode::UNAUTHORIZED, &WWW_AUTHENTICATE);

    "challenge-with-407", "RFC 9110, section 15.5.8",
    "A 407 has a Proxy-Authenticate field." =>
        |_, response| without(response, StatusCode::PROXY_AUTHENTICATION_REQUIRED, &PROXY_AUTHENTICATE);

    "challenge-syntax", "RFC 9110, section 11.3",
    "A challenge begins with a scheme name." =>
        |_, response| bad(response, &WWW_AUTHENTICATE, grammar::is_challenge);

    "allow-with-405", "RFC 9110, section 15.5.6",
    "A 405 has an Allow field." =>
        |_, response| without(response, StatusCode::METHOD_NOT_ALLOWED, &ALLOW);

    "allow-syntax", "RFC 9110, section 10.2.1",
    "An Allow is a list of methods." =>
        |_, response| bad(response, &ALLOW, grammar::is_token_list);

    "range-with-416", "RFC 9110, section 15.5.17",
    "A 416 has the size in a Content-Range." =>
        |_, response| without(response, StatusCode::RANGE_NOT_SATISFIABLE, &CONTENT_RANGE);

    "no-framing-of-a-tunnel", "RFC 9110, section 9.3.6",
    "A 2xx to CONNECT has no Content-Length and no Transfer-Encoding." =>
        |request, response| {
            let is_tunnel = request.method == Method::CONNECT && response.status().is_success();
            let framing = [CONTENT_LENGTH, TRANSFER_ENCODING];
            let name = framing.iter().find(|name| response.headers().contains_key(*name))?;
            is_tunnel.then(|| format!("{name} on a tunnel"))
        };

    "type-syntax", "RFC 9110, section 8.3.1",
    "A Content-Type is a type, a subtype and parameters." =>
        |_, response| bad(response, &CONTENT_TYPE, grammar::is_media_type);

    "coding-syntax", "RFC 9110, section 8.4",
    "A Content-Encoding is a list of codings without identity." =>
        |_, response| bad(response, &CONTENT_ENCODING, |value| {
            let members = grammar::members(value);
            !members.is_empty() && members.into_iter()
                .all(|coding| grammar::is_token(coding) && !coding.eq_ignore_ascii_case(b"identity"))
        });

    "vary-syntax", "RFC 9110, section 12.5.5",
    "A Vary is `*` or a list of field names." =>
        |_, response| bad(response, &VARY, |value| {
            let members = grammar::members(value);
            let has_star = members.contains(&&b"*"[..]);
            grammar::is_token_list(value) && !(has_star && members.len() > 1)
        });

    "etag-syntax", "RFC 9110, section 8.8.3",
    "An ETag is a quoted string, optionally after `W/`." =>
        |_, response| bad(response, &ETAG, grammar::is_entity_tag);

    "dates-are-fixdates", "RFC 9110, section 5.6.7",
    "Date, Last-Modified and Expires have the form `Sun, 06 Nov 1994 08:49:37 GMT`." =>
        |_, response| [http::header::DATE, LAST_MODIFIED, EXPIRES].iter()
            .find_map(|name| bad(response, name, grammar::is_fixdate));

    "retry-after-syntax", "RFC 9110, section 10.2.3",
    "A Retry-After is a number of seconds or a date." =>
        |_, response| bad(response, &RETRY_AFTER, |value| {
            grammar::number(value).is_some() || grammar::is_fixdate(value)
        });

    "age-syntax", "RFC 9111, section 5.1",
    "An Age is a number of seconds." =>
        |_, response| bad(response, &AGE, |value| grammar::number(value).is_some());

    "cache-control-syntax", "RFC 9111, section 5.2",
    "A Cache-Control is a list of directives." =>
        |_, response| bad(response, &CACHE_CONTROL, grammar::is_directive_list);

    "cookie-syntax", "RFC 6265, section 4.1.1",
    "A Set-Cookie is a name, a value and attributes, with the bytes that cookies may have." =>
        |_, response| bad(response, &SET_COOKIE, |value| {
            Cookie::parse(value).is_some_and(|cookie| cookie.is_grammatical())
        });

    "cookie-expires-is-a-date", "RFC 6265, section 4.1.1",
    "The Expires of a cookie has the form `Sun, 06 Nov 1994 08:49:37 GMT`." =>
        |_, response| bad(response, &SET_COOKIE, |value| {
            let expires = Cookie::parse(value).and_then(|cookie| cookie.attribute("expires"));
            expires.is_none_or(|date| date.is_some_and(|date| grammar::is_fixdate(date.as_bytes())))
        });

    "cookie-keeps-its-promise", "RFC 6265bis, section 4.1.3",
    "A cookie is Secure if its prefix or SameSite=None requires it, and `__Host-` has Path=/ and no Domain." =>
        |_, response| response.headers().get_all(SET_COOKIE).iter().find_map(|value| {
            let cookie = Cookie::parse(value.as_bytes())?;
            let broken = cookie.broken_promise()?;
            Some(format!("{}: {broken}", cookie.name))
        });

    "cookie-once", "RFC 6265, section 4.1.1",
    "A cookie of one name, domain and path is set once." =>
        |_, response| {
            let mut seen = Vec::new();
            response.headers().get_all(SET_COOKIE).iter().find_map(|value| {
                let cookie = Cookie::parse(value.as_bytes())?;
                let key = (cookie.name, cookie.attribute("domain"), cookie.attribute("path"));
                let is_known = seen.contains(&key);
                seen.push(key);
                is_known.then(|| format!("{} is set twice", cookie.name))
            })
        };

    "no-sts-over-http", "RFC 6797, section 7.2",
    "A response over plain http has no Strict-Transport-Security." =>
        |request, response| {
            let is_plain = request.uri.scheme_str() == Some("http");
            (is_plain && response.headers().contains_key(STRICT_TRANSPORT_SECURITY))
                .then(|| format!("{} is http", request.uri))
        };

    "sts-syntax", "RFC 6797, section 6.1",
    "A Strict-Transport-Security has a max-age, a number of seconds." =>
        |_, response| bad(response, &STRICT_TRANSPORT_SECURITY, |value| {
            String::from_utf8_lossy(value).split(';').any(|part| {
                let age = part.trim().split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"));
                age.is_some_and(|(_, age)| grammar::number(age.trim().trim_matches('"').as_bytes()).is_some())
            })
        });

    "no-credentials-for-all", "Fetch, section 3.3.5",
    "Access-Control-Allow-Origin is not `*` if credentials are allowed." =>
        |_, response| {
            let headers = response.headers();
            let is_any = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|origin| origin == "*");
            let allows = headers.get(ACCESS_CONTROL_ALLOW_CREDENTIALS).is_some_and(|value| value == "true");
            (is_any && allows).then(|| "credentials are allowed for `*`".to_owned())
        };

    "allowed-origin-syntax", "Fetch, section 3.3.2",
    "Access-Control-Allow-Origin is `*`, `null` or one origin." =>
        |_, response| bad(response, &ACCESS_CONTROL_ALLOW_ORIGIN, grammar::is_allowed_origin);

    "cause-is-not-told", "Vestibule",
    "The body of a 5xx does not contain the cause from its Failure." =>
        |_, response| {
            let cause = Failure::of(response).filter(|_| response.status().is_server_error())?;
            let (cause, body) = (cause.to_string(), response.body().as_bytes()?);
            let is_told = cause.len() >= CAUSE_MIN && body.windows(cause.len()).any(|part| part == cause.as_bytes());
            is_told.then(|| format!("the body contains {cause:?}"))
        };
    ]
}

/// Returns whether responses with this status never have a body.
pub(crate) fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Returns a violation if the response has this status and lacks this field.
fn without(response: &Response, code: StatusCode, name: &HeaderName) -> Option<String> {
    (response.status() == code && !response.headers().contains_key(name))
        .then(|| format!("{} without {name}", code.as_u16()))
}

/// Returns the first value of a field that does not follow its grammar.
fn bad(response: &Response, name: &HeaderName, is_sound: impl Fn(&[u8]) -> bool) -> Option<String> {
    let mut values = response.headers().get_all(name).iter();
    let value = values.find(|value| !is_sound(value.as_bytes()))?;
    Some(format!("{name}: {value:?}"))
}

fn all_members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a [u8]> {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| grammar::members(value.as_bytes()))
        .collect()
}

fn status(response: &Response) -> String {
    format!("the status is {}", response.status().as_u16())
}

/// Fields with one value. Parsers disagree about the meaning of two.
const SINGLE: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "age",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "server",
    "strict-transport-security",
];

/// A shorter cause may be in a body by chance.
const CAUSE_MIN: usize = 8;
