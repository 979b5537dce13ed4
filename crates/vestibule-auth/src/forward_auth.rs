//! Another server decides who may pass.

use http::header::{CACHE_CONTROL, HOST, LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use vestibule_core::{
    App, BoxApp, Failure, FailureKind, IntoResponse, Outline, PathError, Peer, RemoteUser, Request,
    Response, Role, Scheme, UnknownPrefix,
};
use vestibule_fields::forwarding;
use vestibule_fields::host::Host;

use crate::Identity;

/// Asks a server about each request; a 2xx lets it pass, as nginx's `auth_request` and Traefik's
/// `ForwardAuth` do. It works with the endpoints of Authelia, Authentik and oauth2-proxy.
///
/// It sends a GET for its URL with the headers of the request, without those of its body and its
/// connection. All fields that proxies set are removed (`vestibule_fields::forwarding`), and these are
/// set from the request itself:
///
/// | field | value |
/// |---|---|
/// | `X-Forwarded-Method`, `X-Original-Method` | the method |
/// | `X-Forwarded-Proto` | `http` or `https`, by [`Scheme`] |
/// | `X-Forwarded-Host` | `Host` with its port, when it is valid |
/// | `X-Forwarded-Uri` | path and query |
/// | `X-Original-URL` | these three as one URL |
/// | `X-Forwarded-For`, `X-Real-IP` | the address of the [`Peer`], when it has one |
///
/// Behind a proxy it goes inside of `ProxyHeaders` of `vestibule-security`, which finds out the client.
///
/// Of the answer, 401 and 403 go to the client, with `WWW-Authenticate` and `Set-Cookie`, and
/// redirections with `Location`; everything else is 502, and nothing gets in. Fields that are named by
/// [`copy`](ForwardAuth::copy) go from a 2xx to the request and replace what the client sent under
/// these names. `Set-Cookie` of a 2xx goes to the client, so that the server can renew its session; the
/// fields of [`copy_to_response`](ForwardAuth::copy_to_response) do as well.
///
/// The request that goes in keeps no field of a proxy that `ProxyHeaders` has not checked: an app that
/// follows `X-Original-URL` would serve another path than the one that was asked about.
///
/// What asks is an [`App`]: an HTTP client, or an app of this process. How long it may take is its
/// business.
///
/// ```
/// use vestibule_auth::ForwardAuth;
/// use vestibule_core::{App, Request};
/// use http::{HeaderName, StatusCode};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let judge = |request: Request| async move {
///     match request.headers().contains_key("cookie") {
///         true => Ok([("remote-user", "alice")]).map(|user| (user, "")),
///         false => Err(StatusCode::UNAUTHORIZED),
///     }
/// };
/// let app = |request: Request| async move { request.headers()["remote-user"].to_str().unwrap().to_owned() };
/// let app = ForwardAuth::new(app, "http://127.0.0.1:9000/check".parse().unwrap(), judge)
///     .user(HeaderName::from_static("remote-user"));
///
/// let mut request = Request::default();
/// request.headers_mut().insert("remote-user", "root".parse().unwrap());
/// assert_eq!(app.call(request).await.status(), 401);
/// # }
/// ```
#[doc(alias("auth_request", "single sign-on", "sso"))]
#[derive(Clone, Debug)]
pub struct ForwardAuth<A> {
    app: A,
    uri: Uri,
    client: BoxApp,
    copied: Vec<HeaderName>,
    told: Vec<HeaderName>,
    user: Option<HeaderName>,
}

impl<A: App> ForwardAuth<A> {
    /// Wraps `app`; `client` asks the server at `uri`.
    pub fn new(app: A, uri: Uri, client: impl App) -> Self {
        Self {
            app,
            uri,
            client: client.boxed(),
            copied: Vec::new(),
            told: Vec::new(),
            user: None,
        }
    }

    /// Copies a field of the answer to the request. The field that the client sent is removed, whether
    /// the answer has it or not, and so is one whose name is spelled with `_`.
    #[must_use]
    pub fn copy(mut self, name: HeaderName) -> Self {
        self.copied.push(name);
        self
    }

    /// Copies the field, and takes its value for the name of the user: an [`Identity`]. Without this
    /// option a [`Require`](crate::Require) further in finds no identity.
    #[must_use]
    pub fn user(mut self, name: HeaderName) -> Self {
        self.user = Some(name.clone());
        self.copy(name)
    }

    /// Copies a field of a 2xx to the response, as `Set-Cookie` always is. It replaces the app's own.
    ///
    /// ```
    /// use vestibule_auth::ForwardAuth;
    /// use vestibule_core::{App, Request};
    /// use http::HeaderName;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let judge = |_: Request| async { ([("x-session-ends", "60"), ("set-cookie", "s=2")], "") };
    /// let app = ForwardAuth::new(|_: Request| async { "in" }, "/check".parse().unwrap(), judge)
    ///     .copy_to_response(HeaderName::from_static("x-session-ends"));
    /// let response = app.call(Request::default()).await;
    /// assert_eq!(response.headers()["x-session-ends"], "60");
    /// assert_eq!(response.headers()["set-cookie"], "s=2");
    /// # }
    /// ```
    #[must_use]
    pub fn copy_to_response(mut self, name: HeaderName) -> Self {
        self.told.push(name);
        self
    }

    fn question(&self, request: &Request) -> Request {
        let mut question = Request::default();
        *question.uri_mut() = self.uri.clone();
        *question.headers_mut() = asked(request, &self.copied);
        question
    }
}

impl<A: App> App for ForwardAuth<A> {
    async fn call(&self, mut request: Request) -> Response {
        // The server that is asked decides by the whole path.
        if UnknownPrefix::of(&request).is_some() {
            return PathError::UnknownPrefix.into_response();
        }
        let answer = self.client.call(self.question(&request)).await;
        if !answer.status().is_success() {
            return refusal(request.method(), &answer);
        }
        let is_checked = Peer::of(&request).is_some_and(Peer::is_proxied);
        if !is_checked {
            forwarding::clear(request.headers_mut());
        }
        for name in &self.copied {
            forwarding::remove(request.headers_mut(), name);
            for value in answer.headers().get_all(name) {
                request.headers_mut().append(name, value.clone());
            }
        }
        let name = self
            .user
            .as_ref()
            .and_then(|name| answer.headers().get(name));
        let name = name.and_then(|name| std::str::from_utf8(name.as_bytes()).ok());
        let user = name.filter(|name| !name.is_empty()).map(|name| {
            let extensions = request.extensions_mut();
            extensions.insert(Identity::new(name, NAME));
            let user = RemoteUser::new(name, NAME);
            extensions.insert(user.clone());
            user
        });
        let mut response = self.app.call(request).await;
        if let Some(user) = user {
            response.extensions_mut().insert(user);
        }
        tell(&mut response, answer.headers(), &self.told);
        response
    }

    fn describe(&self, outline: &mut Outline) {
        outline.role(Role::AUTH).option("asks", &self.uri);
        if self.user.is_some() {
            outline.role(Role::IDENTITY);
        }
        for name in &self.copied {
            outline.option("copies", name);
        }
        for name in &self.told {
            outline.option("tells", name);
        }
        outline.wraps(&self.app);
    }
}

/// The fields that the other server gets: none that the client could have made up as the answer or as
/// the word of a proxy, and none about its body or its connection.
fn asked(request: &Request, copied: &[HeaderName]) -> HeaderMap {
    let mut headers = request.headers().clone();
    for name in forwarding::named_by_connection(&headers) {
        headers.remove(name);
    }
    for name in copied {
        forwarding::remove(&mut headers, name);
    }
    for name in OWN {
        headers.remove(*name);
    }
    forwarding::clear(&mut headers);
    forwarding::clear_user(&mut headers);

    let method = request.method().as_str();
    let scheme = Scheme::of(request).as_str();
    let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let host = host(request);
    let url = host
        .as_ref()
        .map(|host| format!("{scheme}://{host}{target}"));
    let ip = Peer::of(request).and_then(|peer| peer.address().ip());
    let ip = ip.map(|ip| ip.to_canonical().to_string());
    let told = [
        ("x-forwarded-method", Some(method)),
        ("x-original-method", Some(method)),
        ("x-forwarded-proto", Some(scheme)),
        ("x-forwarded-host", host.as_deref()),
        ("x-forwarded-uri", Some(target)),
        ("x-original-url", url.as_deref()),
        ("x-forwarded-for", ip.as_deref()),
        ("x-real-ip", ip.as_deref()),
    ];
    for (name, value) in told {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            headers.insert(name, value);
        }
    }
    headers
}

/// The host that the request is for, with its port: of the one `Host` field, or else of the target.
fn host(request: &Request) -> Option<String> {
    let headers = request.headers();
    let text = match (headers.contains_key(HOST), request.uri().authority()) {
        (false, Some(authority)) => authority.as_str(),
        _ => headers
            .get(HOST)
            .filter(|_| headers.get_all(HOST).iter().count() == 1)
            .and_then(|host| host.to_str().ok())?,
    };
    Host::is_valid(text).then(|| text.to_owned())
}

/// Hands the client what the other server has for it beside its consent.
fn tell(response: &mut Response, answer: &HeaderMap, told: &[HeaderName]) {
    let headers = response.headers_mut();
    for name in told.iter().filter(|name| **name != SET_COOKIE) {
        let mut values = answer.get_all(name).iter();
        if let Some(first) = values.next() {
            headers.insert(name, first.clone());
        }
        for value in values {
            headers.append(name, value.clone());
        }
    }
    for cookie in answer.get_all(SET_COOKIE) {
        headers.append(SET_COOKIE, cookie.clone());
    }
    if answer.contains_key(SET_COOKIE) {
        // The app did not know that its response would hold a session (RFC 9111, section 5.2.2.4).
        let guarded = HeaderValue::from_static("no-cache=\"set-cookie\"");
        headers.append(CACHE_CONTROL, guarded);
    }
}

/// Makes the response to the client of an answer that is not a 2xx.
fn refusal(method: &Method, answer: &Response) -> Response {
    let status = answer.status();
    let is_told = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        || (status.is_redirection()
            && status != StatusCode::NOT_MODIFIED
            && answer.headers().contains_key(LOCATION));
    let (status, kind) = match is_told {
        true => (status, FailureKind::Request),
        false => (StatusCode::BAD_GATEWAY, FailureKind::Upstream),
    };
    let failure = Failure::new(format!(
        "the server that was asked said {}",
        answer.status()
    ))
    .kind(kind)
    .layer("ForwardAuth")
    .status(status);
    let mut response = failure.into_response();
    if is_told {
        for name in [WWW_AUTHENTICATE, SET_COOKIE, LOCATION] {
            for value in answer.headers().get_all(&name) {
                response.headers_mut().append(&name, value.clone());
            }
        }
    }
    match *method {
        Method::HEAD => response.map(vestibule_core::Body::without_bytes),
        _ => response,
    }
}

const NAME: &str = "Forward";
/// Fields about the body, the connection and what the client has already.
const OWN: &[&str] = &[
    "content-length",
    "connection",
    "expect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "proxy-connection",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
