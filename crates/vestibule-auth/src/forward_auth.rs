//! Another server says who may pass.

use http::header::{LOCATION, SET_COOKIE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use vestibule_core::{
    App, BoxApp, Failure, FailureKind, IntoResponse, Outline, PathError, RemoteUser, Request,
    Response, Role, UnknownPrefix,
};

use crate::Identity;

/// Asks a server about each request; a 2xx lets it pass, as nginx's `auth_request` and Traefik's
/// `ForwardAuth` do.
///
/// It sends a GET for its URL with the headers of the request, without those of its body and its
/// connection, and with `X-Forwarded-Method` and `X-Forwarded-Uri` (path and query). Of the answer,
/// 401 and 403 go to the client, with `WWW-Authenticate` and `Set-Cookie`, and redirections with
/// `Location`; everything else is 502, and nothing gets in. Fields that are told by
/// [`copy`](ForwardAuth::copy) go from a 2xx to the request, in place of what the client sent under
/// these names.
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
            user: None,
        }
    }

    /// Copies a field of the answer to the request. What the client sent under the name is dropped,
    /// whether the answer has it or not.
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

    fn question(&self, request: &Request) -> Request {
        let mut question = Request::default();
        *question.uri_mut() = self.uri.clone();
        *question.headers_mut() = forwarded(request, &self.copied);
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
        for name in &self.copied {
            request.headers_mut().remove(name);
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
        outline.wraps(&self.app);
    }
}

/// What the other server hears of a request: nothing that the client could have made up as the
/// answer, and nothing that is about its body or its connection.
fn forwarded(request: &Request, copied: &[HeaderName]) -> HeaderMap {
    let mut headers = request.headers().clone();
    // What `Connection` names is for one connection only (RFC 9110 section 7.6.1). By what the app inside
    // judges as well, the client may not keep from who is asked.
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !name.as_str().starts_with("x-forwarded-") && !KEPT.contains(&name.as_str()))
        .collect();
    for name in named.iter().chain(copied) {
        headers.remove(name);
    }
    for name in OWN {
        headers.remove(*name);
    }
    let method = HeaderValue::from_str(request.method().as_str());
    let target = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let told = [
        ("x-forwarded-method", method),
        ("x-forwarded-uri", HeaderValue::from_str(target)),
    ];
    for (name, value) in told {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    headers
}

/// What the client is told of an answer that is no 2xx.
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
/// Fields that say who asks, beside `X-Forwarded-*`.
const KEPT: &[&str] = &["authorization", "cookie", "forwarded", "x-real-ip"];
/// Fields about the body, the connection and what the client has already, and those that are ours to say.
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
    "x-forwarded-method",
    "x-forwarded-uri",
];
