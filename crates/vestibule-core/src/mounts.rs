//! Several apps in one URL space.

use http::StatusCode;
use http::header::HOST;

use crate::failure::status_page;
use crate::{App, BoxApp, IntoResponse, Mount, Outline, PathError, PathView, Request, Response};

/// Passes each request to the app with the longest matching path prefix, at its host.
///
/// A prefix ends at the end of a segment: `/css` matches `/css` and `/css/a`, not `/cssx`. The app
/// finds its [`Mount`] in the request's extensions; the URI stays unchanged. An axum router expects
/// the path without the prefix: mount it by `from_service(router).below_mount(true)` of
/// `vestibule-tower`.
///
/// A request without a mount gets 404, or the app given to [`or`](Self::or). An ambiguous path gets
/// 400 (see [`PathView`]). `OPTIONS *` is about the whole server and belongs to no mount: without
/// an `or` it gets 204.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Mount, Mounts, Request};
///
/// async fn api(request: Request) -> String {
///     Mount::rest_of(&request).to_owned()
/// }
///
/// let app = Mounts::new()
///     .at("/api", api)
///     .at("/", |_: Request| async { "home" })
///     .at_host("admin.example.org", "/", |_: Request| async { "admin" });
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/api/users".parse().unwrap();
/// assert_eq!(app.call(request).await.into_body().collect(99).await.unwrap(), "/users");
/// # }
/// ```
#[doc(alias("nest", "router", "prefix"))]
#[derive(Clone, Debug, Default)]
pub struct Mounts {
    /// Most specific first, so that the first match is the right one.
    points: Vec<MountPoint>,
    rest: Option<BoxApp>,
}

#[derive(Clone, Debug)]
struct MountPoint {
    host: Host,
    /// Decoded, with `/` between segments, without a slash at the end. Empty for the root.
    prefix: String,
    app: BoxApp,
}

/// The hosts of a mount. A greater value is more specific.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Any,
    /// All names below a domain, but not the domain: `*.example.org`, stored as `.example.org`.
    Below(String),
    Exactly(String),
}

impl Mounts {
    /// Creates an empty set of mounts, which answers every request with 404.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            points: Vec::new(),
            rest: None,
        }
    }

    /// Mounts `app` at `prefix`, at any host. `prefix` is decoded text, as in `/my files`.
    ///
    /// # Panics
    ///
    /// Panics unless the prefix begins with `/` and has no empty, `.` or `..` segment. Panics if
    /// another app is already mounted there.
    #[must_use]
    pub fn at(self, prefix: &str, app: impl App) -> Self {
        self.point(Host::Any, prefix, app.boxed())
    }

    /// Mounts `app` at `prefix` of one host, or of all hosts below a domain: `*.example.org`. Ports
    /// and case are ignored.
    ///
    /// # Panics
    ///
    /// Panics as [`Mounts::at`].
    #[must_use]
    pub fn at_host(self, host: &str, prefix: &str, app: impl App) -> Self {
        let host = host.to_ascii_lowercase();
        let host = match host.strip_prefix('*') {
            Some(below) => Host::Below(below.to_owned()),
            None => Host::Exactly(host),
        };
        self.point(host, prefix, app.boxed())
    }

    /// Sets the app for requests without a mount. It sees the unchanged request.
    #[must_use]
    pub fn or(mut self, app: impl App) -> Self {
        self.rest = Some(app.boxed());
        self
    }

    fn point(mut self, host: Host, prefix: &str, app: BoxApp) -> Self {
        let prefix = checked_prefix(prefix);
        let key = |point: &MountPoint| (point.host.clone(), point.prefix.matches('/').count());
        let point = MountPoint { host, prefix, app };
        let is_taken =
            |other: &MountPoint| (&other.host, &other.prefix) == (&point.host, &point.prefix);
        assert!(
            !self.points.iter().any(is_taken),
            "two apps are mounted at {:?}",
            point.label()
        );
        self.points.push(point);
        self.points
            .sort_by_key(|point| std::cmp::Reverse(key(point)));
        self
    }

    /// Returns the app for a request, and the length of its prefix in the path, in bytes.
    fn find(&self, request: &Request) -> Result<Option<(&BoxApp, usize)>, PathError> {
        let path = Mount::rest_of(request);
        if path == "*" {
            return Ok(None);
        }
        let view = PathView::parse(path)?;
        let host = host_of(request);
        Ok(self.points.iter().find_map(|point| {
            let (prefix, _) = view.split_at(&point.prefix)?;
            point.host.holds(host).then_some((&point.app, prefix.len()))
        }))
    }
}

impl App for Mounts {
    async fn call(&self, mut request: Request) -> Response {
        match (self.find(&request), &self.rest) {
            (Ok(Some((app, prefix))), _) => {
                Mount::descend(&mut request, prefix);
                app.call(request).await
            }
            (Ok(None), Some(rest)) => rest.call(request).await,
            (Ok(None), None) if request.uri().path() == "*" => {
                StatusCode::NO_CONTENT.into_response()
            }
            (Ok(None), None) => status_page(StatusCode::NOT_FOUND),
            (Err(error), _) => error.into_response(),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        for point in &self.points {
            outline.mount(point.label(), &point.app);
        }
        if let Some(rest) = &self.rest {
            outline.mount("otherwise", rest);
        }
    }
}

impl MountPoint {
    fn label(&self) -> String {
        let prefix = if self.prefix.is_empty() {
            "/"
        } else {
            &self.prefix
        };
        match &self.host {
            Host::Any => prefix.to_owned(),
            Host::Below(host) => format!("*{host}{prefix}"),
            Host::Exactly(host) => format!("{host}{prefix}"),
        }
    }
}

impl Host {
    fn holds(&self, host: Option<&str>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exactly(own), Some(host)) => own.eq_ignore_ascii_case(host),
            (Self::Below(own), Some(host)) => {
                host.len() > own.len()
                    && host
                        .get(host.len() - own.len()..)
                        .is_some_and(|tail| tail.eq_ignore_ascii_case(own))
            }
        }
    }
}

/// Returns the host of a request without its port: from the target, or else from the `Host` field.
fn host_of(request: &Request) -> Option<&str> {
    if let Some(host) = request.uri().host() {
        return Some(host);
    }
    let host = request.headers().get(HOST)?.to_str().ok()?;
    Some(match host.rfind(':') {
        // A colon inside `[::1]` does not begin a port.
        Some(colon) if !host.ends_with(']') => &host[..colon],
        _ => host,
    })
}

fn checked_prefix(prefix: &str) -> String {
    let rule = "a mount's prefix begins with `/` and has no empty, `.` or `..` segment";
    assert!(prefix.starts_with('/'), "{rule}: {prefix:?}");
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let is_sound = |segment: &str| !matches!(segment, "" | "." | "..");
    assert!(
        prefix.split('/').skip(1).all(is_sound),
        "{rule}: {prefix:?}"
    );
    prefix.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates an app that returns its name, its prefix and its rest.
    fn named(name: &'static str) -> impl App {
        move |request: Request| async move {
            let mount = Mount::of(&request);
            let (prefix, rest) = mount.map_or(("-", "-"), |mount| (mount.prefix(), mount.rest()));
            assert!(mount.is_none_or(|_| format!("{prefix}{rest}") == request.uri().path()));
            format!("{name} {prefix} {rest}")
        }
    }

    async fn get(app: &impl App, host: &'static str, path: &str) -> String {
        let mut request = Request::default();
        *request.uri_mut() = path.parse().unwrap();
        if !host.is_empty() {
            request.headers_mut().insert(HOST, host.parse().unwrap());
        }
        let response = app.call(request).await;
        let status = response.status();
        let body = response.into_body().collect(1000).await.unwrap();
        match status {
            StatusCode::OK => String::from_utf8(body.to_vec()).unwrap(),
            _ => status.as_u16().to_string(),
        }
    }

    #[tokio::test]
    async fn the_longest_prefix_at_the_closest_host() {
        let app = Mounts::new()
            .at("/a", named("a"))
            .at("/a/b/", named("ab"))
            .at_host("x.org", "/", named("x"))
            .at_host("*.x.org", "/a", named("sub"))
            .or(named("or"));
        let cases = [
            ("", "/a", "a /a "),
            ("", "/a/", "a /a /"),
            ("", "/a/b", "ab /a/b "),
            ("", "/a/b/c", "ab /a/b /c"),
            ("", "/a/bc", "a /a /bc"),
            ("", "/%61/b", "ab /%61/b "),
            ("", "/ab", "or - -"),
            ("", "/a%2Fb", "or - -"),
            ("", "/", "or - -"),
            ("x.org", "/a/b", "x  /a/b"),
            ("X.org:8080", "/", "x  /"),
            ("w.x.org", "/a/b", "sub /a /b"),
            (".x.org", "/a", "a /a "),
            ("ax.org", "/", "or - -"),
            ("[::1]:80", "/a", "a /a "),
            ("", "/a/../b", "400"),
            ("", "//a", "400"),
            ("", "*", "or - -"),
        ];
        for (host, path, answer) in cases {
            assert_eq!(get(&app, host, path).await, answer, "{host} {path}");
        }
    }

    #[tokio::test]
    async fn mounts_in_mounts_add_up() {
        let inner = Mounts::new().at("/b", named("b")).at("/", named("root"));
        let app = Mounts::new().at("/a", inner);
        assert_eq!(get(&app, "", "/a/b/c").await, "b /a/b /c");
        assert_eq!(get(&app, "", "/a/x").await, "root /a /x");
        assert_eq!(get(&app, "", "/a").await, "root /a ");
        assert_eq!(get(&app, "", "/x").await, "404");
    }

    #[tokio::test]
    async fn options_asterisk_is_204() {
        let app = Mounts::new().at("/", named("root"));
        assert_eq!(get(&app, "", "*").await, "204");
    }

    #[test]
    #[should_panic(expected = "two apps are mounted at \"/a\"")]
    fn two_apps_at_one_prefix_panic() {
        let _ = Mounts::new().at("/a", named("1")).at("/a/", named("2"));
    }

    #[test]
    #[should_panic(expected = "a mount's prefix begins with `/`")]
    fn a_prefix_without_a_slash_panics() {
        let _ = Mounts::new().at("a", named("1"));
    }
}
