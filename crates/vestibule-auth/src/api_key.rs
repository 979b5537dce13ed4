//! API keys: an opaque token in a field of its own, in a cookie, or in the query.

use std::sync::Arc;

use http::header::COOKIE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use vestibule_core::Request;
use vestibule_fields::www_authenticate::Challenge;

use crate::{Reason, Refusal, Scheme, Tokens, Verdict};

/// API keys in `X-Api-Key`, or where it is told to look. What is found first counts: the header, the
/// cookie, the query. A repeated key is refused.
///
/// Keys in the query are off: they end in logs, histories and `Referer`. There is no registered
/// scheme for API keys; the challenge is `ApiKey`, as many servers send it. Nor do caches know that an
/// answer is for one key only, as they know of `Authorization` (RFC 9111 section 3.5): the app says so,
/// with `Cache-Control: private`.
///
/// ```
/// use vestibule_auth::{ApiKey, Authenticate, Identity, Tokens};
/// use vestibule_core::{App, Request};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let keys = Tokens::new().with("k-123", Identity::new("shop", "ApiKey"));
/// let app = Authenticate::new(|_: Request| async { "in" }, ApiKey::new(keys));
/// let mut request = Request::default();
/// request.headers_mut().insert("x-api-key", "k-123".parse().unwrap());
/// assert_eq!(app.call(request).await.status(), 200);
/// # }
/// ```
#[doc(alias("api key", "x-api-key"))]
#[derive(Clone, Debug)]
pub struct ApiKey {
    keys: Arc<Tokens>,
    header: Option<HeaderName>,
    cookie: Option<&'static str>,
    query: Option<&'static str>,
}

impl ApiKey {
    /// The keys of a list, in `X-Api-Key`.
    #[must_use]
    pub fn new(keys: Tokens) -> Self {
        Self {
            keys: Arc::new(keys),
            header: Some(HeaderName::from_static("x-api-key")),
            cookie: None,
            query: None,
        }
    }

    /// Looks in another header; `None` for none.
    #[must_use]
    pub fn header(mut self, name: impl Into<Option<HeaderName>>) -> Self {
        self.header = name.into();
        self
    }

    /// Looks in the cookie `name` as well. Whoever uses it needs a guard against forged requests.
    #[must_use]
    pub fn cookie(mut self, name: &'static str) -> Self {
        self.cookie = Some(name);
        self
    }

    /// Looks in the query parameter `name` as well. The value is taken as it stands, without decoding.
    #[must_use]
    pub fn query(mut self, name: &'static str) -> Self {
        self.query = Some(name);
        self
    }

    fn find<'a>(&self, request: &'a Request) -> Found<'a> {
        let headers = request.headers();
        let header = self.header.as_ref().map(|name| in_header(headers, name));
        let cookie = self.cookie.map(|name| in_cookie(headers, name));
        let query = self.query.map(|name| {
            let query = request.uri().query().unwrap_or_default().as_bytes();
            let pairs = query.split(|byte| *byte == b'&');
            only(pairs.filter_map(|pair| value_of(pair, name)))
        });
        let mut all = [header, cookie, query].into_iter().flatten();
        all.find(|found| *found != Found::Nothing)
            .unwrap_or(Found::Nothing)
    }
}

impl Scheme for ApiKey {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn identify(&self, request: &Request) -> Verdict {
        let refused = |reason, why| Verdict::Refused(Refusal::new(NAME, reason, why));
        match self.find(request) {
            Found::Nothing => Verdict::Absent,
            Found::Several => refused(Reason::Malformed, "the key is repeated"),
            Found::Key(key) if key.len() > MAX_KEY => {
                refused(Reason::Denied, "the key is too long")
            }
            Found::Key(key) => match self.keys.find(key) {
                Some(identity) => Verdict::Known(identity),
                None => refused(Reason::Denied, "the key is wrong"),
            },
        }
    }

    fn challenges(&self, _: Option<&Refusal>, to: &mut Vec<Challenge>) {
        to.push(Challenge::new(NAME));
    }

    fn strip(&self, request: &mut Request) {
        if let Some(name) = &self.header {
            request.headers_mut().remove(name);
        }
        if let Some(name) = self.cookie {
            strip_cookie(request, name);
        }
        if let Some(name) = self.query {
            *request.uri_mut() = without_parameter(request.uri(), name);
        }
    }
}

/// A credential in a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Nothing,
    Key(&'a [u8]),
    Several,
}

/// Looks in the header `name`, which may be there once.
pub(crate) fn in_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Found<'a> {
    only(headers.get_all(name).iter().map(HeaderValue::as_bytes))
}

/// Looks in the cookie `name`, which may be there once.
pub(crate) fn in_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Found<'a> {
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';'));
    only(pairs.filter_map(|pair| value_of(pair.trim_ascii(), name)))
}

fn only<'a>(mut all: impl Iterator<Item = &'a [u8]>) -> Found<'a> {
    match (all.next(), all.next()) {
        (None, _) => Found::Nothing,
        (Some(key), None) => Found::Key(key),
        (Some(_), Some(_)) => Found::Several,
    }
}

fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

pub(crate) fn strip_cookie(request: &mut Request, name: &str) {
    let headers = request.headers_mut();
    let is_key = |pair: &[u8]| value_of(pair.trim_ascii(), name).is_some();
    let lines: Vec<HeaderValue> = headers.get_all(COOKIE).iter().cloned().collect();
    let has_key = |line: &HeaderValue| line.as_bytes().split(|byte| *byte == b';').any(is_key);
    if !lines.iter().any(has_key) {
        return;
    }
    headers.remove(COOKIE);
    for line in lines {
        let pairs = line.as_bytes().split(|byte| *byte == b';');
        let kept: Vec<&[u8]> = pairs
            .filter(|pair| !is_key(pair))
            .map(<[u8]>::trim_ascii)
            .collect();
        match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
            Ok(line) if !line.is_empty() => {
                headers.append(COOKIE, line);
            }
            _ => {}
        }
    }
}

/// The target without a parameter of its query; the path stays byte for byte.
pub(crate) fn without_parameter(uri: &Uri, name: &str) -> Uri {
    let Some(query) = uri.query() else {
        return uri.clone();
    };
    let is_kept = |pair: &&str| value_of(pair.as_bytes(), name).is_none();
    let kept: Vec<&str> = query.split('&').filter(is_kept).collect();
    let target = match kept.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), kept.join("&")),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    // Parts of a URI without some of its query are those of a URI.
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

const NAME: &str = "ApiKey";
const MAX_KEY: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Request {
        let mut request = Request::default();
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(*name, value);
        }
        request
    }

    #[test]
    fn where_a_key_is_found() {
        let keys = Tokens::new().with("k", Identity::new("k", NAME));
        let plain = ApiKey::new(keys.clone());
        let all = ApiKey::new(keys).cookie("key").query("key");
        use Found::{Key, Nothing, Several};
        let cases = [
            (&plain, request("/?key=q", &[("cookie", "key=c")]), Nothing),
            (&all, request("/?key=q", &[("cookie", "key=c")]), Key(b"c")),
            (
                &all,
                request("/?a=1&key=q", &[("cookie", "akey=c")]),
                Key(b"q"),
            ),
            (&all, request("/?key=q", &[("x-api-key", "h")]), Key(b"h")),
            (&all, request("/?key=q&key=r", &[]), Several),
            (
                &all,
                request("/", &[("x-api-key", "h"), ("x-api-key", "h")]),
                Several,
            ),
            (
                &all,
                request("/", &[("cookie", "key=c; b=1"), ("cookie", "key=d")]),
                Several,
            ),
            (&all, request("/?akey=q&key", &[]), Nothing),
        ];
        for (scheme, request, found) in cases {
            assert_eq!(scheme.find(&request), found, "{request:?}");
        }
    }

    #[test]
    fn what_is_left_when_it_is_taken_off() {
        let all = ApiKey::new(Tokens::new()).cookie("key").query("key");
        let mut it = request(
            "http://a/b%2F?x=1&key=q&y",
            &[
                ("cookie", "a=1; key=c;b=2"),
                ("cookie", "key=d"),
                ("x-api-key", "h"),
            ],
        );
        all.strip(&mut it);
        assert_eq!(it.uri(), "http://a/b%2F?x=1&y");
        let cookies: Vec<_> = it.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2"]);
        assert!(!it.headers().contains_key("x-api-key"));
        assert_eq!(without_parameter(&"/?key=q".parse().unwrap(), "key"), "/");
    }
}
