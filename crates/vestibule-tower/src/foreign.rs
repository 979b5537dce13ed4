//! Conversion between our requests and those of a foreign router: the client address, and the path
//! below a removed prefix.
//!
//! [`enter`] converts a foreign request to one of ours: the URI is complete, a removed prefix
//! becomes a [`Mount`], and the client becomes a [`Peer`]. [`leave`] converts it back. The code for
//! the extensions of axum is in [`axum`](crate::axum), behind the feature `axum`.
//!
//! axum stores the removed prefixes as a pattern: `/api` or `/{tenant}`. A pattern without captures
//! is equal to the removed text. For captures, the text comes from the URI before the routers. If
//! the two do not match, the prefix is unknown.

use std::any::{TypeId, type_name};
use std::sync::Once;

use http::Uri;
use vestibule_core::{Body, Mount, OriginalUri, Request, UnknownPrefix};

#[cfg(not(feature = "axum"))]
use self::no_framework as framework;
#[cfg(feature = "axum")]
use crate::axum as framework;

/// The part of a path that a foreign service sees, when the request is below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignPath {
    /// The whole path, but without a prefix that a foreign router removed earlier: unchanged.
    AsItCame,
    /// The whole path.
    Whole,
    /// The path below the mount.
    BelowMount,
}

impl ForeignPath {
    /// Returns the path for a service. A service that wraps one of our apps returns the request to
    /// our side; any other service does not.
    pub(crate) const fn of(wraps_our_app: bool) -> Self {
        if wraps_our_app {
            Self::Whole
        } else {
            Self::AsItCame
        }
    }

    /// Returns the path below the mount if `enabled`, or else this one.
    pub(crate) const fn below_mount(self, enabled: bool) -> Self {
        if enabled { Self::BelowMount } else { self }
    }
}

/// Converts a foreign request, whose body had the type `B`, to one of ours.
pub(crate) fn enter<B: 'static>(request: &mut Request) {
    let has_peer = framework::peer_from_connect_info(request.extensions_mut());
    if TypeId::of::<B>() != TypeId::of::<Body>() {
        came_from_outside::<B>(request, has_peer);
    }
    match removed_prefix(request) {
        Removed::Nothing => {}
        Removed::Prefix(prefix) => restore(request, &prefix),
        Removed::Unknown => mark_unknown(request),
    }
}

/// Converts one of our requests for a foreign service.
pub(crate) fn leave(request: &mut Request, path: ForeignPath) {
    framework::connect_info_from_peer(request.extensions_mut());
    let mount = match path {
        // The request returns to our side, which then compares it with its pattern at that time.
        ForeignPath::Whole => return,
        ForeignPath::BelowMount => Mount::of(&*request),
        ForeignPath::AsItCame => None,
    };
    let extensions = request.extensions();
    let original = framework::original_uri(extensions);
    let is_original = original.is_none_or(|uri| uri.path() == request.uri().path());
    // The common case: axum's extensions describe the request completely.
    if mount.is_none() && is_original && extensions.get::<Border>().is_none() {
        return;
    }
    let mount = mount.cloned();
    remove_prefix(request, mount, is_original);
}

/// Removes the prefix of `mount`, or else the prefix that was restored when the request entered.
/// Stores the facts that axum's extensions cannot hold.
fn remove_prefix(request: &mut Request, mount: Option<Mount>, is_original: bool) {
    let is_below_mount = mount.is_some();
    let (prefix, outer, is_told) = match request.extensions_mut().remove() {
        Some(Border::Entered {
            mount: entered,
            outer,
            is_told,
            ..
        }) => (mount.or(Some(entered)), outer, is_told),
        _ => (mount, None, true),
    };
    // A rewrite may have moved the path out of the prefix. Then the service sees the new path.
    let without = |mount: &Mount| without_prefix(request.uri(), mount.prefix());
    let rest = prefix.as_ref().and_then(without);
    let is_removed = rest.is_some() == prefix.is_some();
    if !(is_original && is_told && is_removed) || is_below_mount {
        let removed = prefix.as_ref().filter(|_| rest.is_some());
        let left = Border::Left {
            whole: request.uri().clone(),
            removed: removed.map_or(0, |mount| mount.prefix().len()),
            pattern: pattern(request.extensions()).len(),
        };
        request.extensions_mut().insert(left);
    }
    if prefix.is_some() {
        request.extensions_mut().remove::<Mount>();
    }
    if let Some(uri) = rest {
        let whole = std::mem::replace(request.uri_mut(), uri);
        let extensions = request.extensions_mut();
        if let Some(mount) = outer {
            extensions.insert(mount);
        }
        if is_below_mount {
            framework::set_original_uri(extensions, &whole);
            extensions.get_or_insert_with(|| OriginalUri(whole));
        }
    }
}

/// The last crossing of a request; an extension of requests. It exists only if axum's own
/// extensions are not sufficient.
#[derive(Clone, Debug)]
enum Border {
    /// It entered below a removed prefix, which is `mount` now; `outer` is the previous mount.
    Entered {
        mount: Mount,
        outer: Option<Mount>,
        /// The length of axum's pattern at that time, and whether it covers the whole prefix.
        pattern: usize,
        is_told: bool,
    },
    /// It left with this URI, and without the first `removed` bytes of its path.
    Left {
        whole: Uri,
        removed: usize,
        /// The length of axum's pattern at that time.
        pattern: usize,
    },
}

/// The prefix that routers have removed from the path since the request was one of ours.
#[derive(Debug, PartialEq, Eq)]
enum Removed {
    Nothing,
    /// This text was removed.
    Prefix(String),
    /// The current and the former path do not show the prefix.
    Unknown,
}

fn removed_prefix(request: &Request) -> Removed {
    let extensions = request.extensions();
    let pattern = pattern(extensions);
    let (whole, removed, before) = match extensions.get() {
        None if pattern.is_empty() => return Removed::Nothing,
        None => (framework::original_uri(extensions), 0, 0),
        Some(Border::Entered { pattern, .. }) => (framework::original_uri(extensions), 0, *pattern),
        Some(Border::Left {
            whole,
            removed,
            pattern,
        }) => (Some(whole), *removed, *pattern),
    };
    let whole = whole.map_or("", Uri::path);
    compare(
        whole,
        removed,
        pattern.get(before..).unwrap_or_default(),
        request.uri().path(),
    )
}

/// Compares the path before (`whole`) with the current path (`path`), which may have been
/// rewritten. We have removed the first `removed` bytes, and routers have then removed `pattern`.
fn compare(whole: &str, removed: usize, pattern: &str, path: &str) -> Removed {
    let (ours, rest) = whole.split_at_checked(removed).unwrap_or_default();
    if ours.is_empty() && pattern.is_empty() {
        return Removed::Nothing;
    }
    if !path.starts_with('/') {
        return Removed::Unknown;
    }
    if !pattern.contains(['{', '}']) {
        return Removed::Prefix(format!("{ours}{pattern}"));
    }
    // axum writes `/` for an empty path: `/api` in `nest("/api", ..)`.
    let theirs = rest.strip_suffix(path).or((path == "/").then_some(rest));
    match theirs {
        Some(theirs) if segments(theirs) == segments(pattern) => {
            Removed::Prefix(format!("{ours}{theirs}"))
        }
        _ => Removed::Unknown,
    }
}

fn segments(path: &str) -> usize {
    path.matches('/').count()
}

/// Returns the pattern of all prefixes that axum's routers have removed, without a slash at its
/// end.
fn pattern(extensions: &http::Extensions) -> &str {
    framework::nested_path(extensions).trim_end_matches('/')
}

/// Restores a removed prefix, and stores it as a mount.
fn restore(request: &mut Request, prefix: &str) {
    let path = request.uri().path();
    // `/api` and `/api/` are equal without `/api`. The first is a mount with an empty rest.
    let is_bare = path == "/" && was(request, prefix);
    let whole = if is_bare {
        prefix.to_owned()
    } else {
        format!("{prefix}{path}")
    };
    let Some(uri) = with_path(request.uri(), &whole) else {
        return mark_unknown(request);
    };
    *request.uri_mut() = uri;
    let mount = Mount::new(whole, prefix.len());
    let pattern = pattern(request.extensions()).len();
    let is_told = !matches!(
        request.extensions().get(),
        Some(Border::Left { removed: 1.., .. } | Border::Entered { is_told: false, .. })
    );
    let extensions = request.extensions_mut();
    let outer = extensions.insert(mount.clone());
    extensions.insert(Border::Entered {
        mount,
        outer,
        pattern,
        is_told,
    });
}

/// Returns whether the path of a request was `path` before.
fn was(request: &Request, path: &str) -> bool {
    let extensions = request.extensions();
    let whole = match extensions.get() {
        Some(Border::Left { whole, .. }) => Some(whole),
        _ => framework::original_uri(extensions),
    };
    whole.is_some_and(|whole| whole.path() == path)
}

/// Returns the URI without `prefix`, or `None` if its path is not below it.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    match uri.path().strip_prefix(prefix)? {
        "" => with_path(uri, "/"),
        rest if rest.starts_with('/') => with_path(uri, rest),
        _ => None,
    }
}

/// Returns the URI with another path and the same query.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.ok()?);
    Uri::from_parts(parts).ok()
}

/// Inspects a request of another framework: warns if its path or its client cannot be read.
fn came_from_outside<B: 'static>(request: &mut Request, has_peer: bool) {
    let source = Source::of::<B>(request);
    if source == Source::Unreadable {
        mark_unknown(request);
    }
    if !has_peer {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let fix = match source {
                Source::Axum => {
                    "serve by `axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())`; \
                     for other listeners, insert a `vestibule_core::Peer` into the extensions of each request"
                }
                Source::Unreadable => TURN_ON,
                Source::Other => "insert a `vestibule_core::Peer` into the extensions of each request",
            };
            tracing::warn!(target: "vestibule", fix, "the address of the client is not known");
        });
    }
}

/// The framework that a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// axum in the version whose extensions this crate reads.
    Axum,
    /// Possibly axum: another version, or the feature is off.
    Unreadable,
    /// Another framework.
    Other,
}

impl Source {
    /// Decides by the name of the body type. The name is meant for diagnostics, and a release may
    /// change it.
    fn of<B: 'static>(request: &Request) -> Self {
        if framework::is_body::<B>() || framework::original_uri(request.extensions()).is_some() {
            return Self::Axum;
        }
        let name = type_name::<B>();
        // A layer may have wrapped axum's body, or erased its type.
        let may_be_axum = ["axum_core::", "tonic::", "BoxBody"]
            .iter()
            .any(|part| name.contains(part));
        if may_be_axum {
            Self::Unreadable
        } else {
            Self::Other
        }
    }
}

fn mark_unknown(request: &mut Request) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::warn!(
            target: "vestibule",
            fix = TURN_ON,
            "the whole path of a request is not known, so guards of paths refuse it"
        );
    });
    if UnknownPrefix::of(&*request).is_none() {
        request.extensions_mut().insert(UnknownPrefix);
    }
}

const TURN_ON: &str = "turn on the feature `axum` of `vestibule-tower` or `vestibule`, which is for axum 0.8; with it, \
    do not rewrite a path between a router and a `nest` with captures";

/// Without the feature, axum's extensions cannot be read.
#[cfg(not(feature = "axum"))]
mod no_framework {
    use http::{Extensions, Uri};

    #[expect(
        clippy::extra_unused_type_parameters,
        reason = "the body of axum has no name here"
    )]
    pub(super) const fn is_body<B>() -> bool {
        false
    }

    pub(super) fn peer_from_connect_info(extensions: &mut Extensions) -> bool {
        extensions.get::<vestibule_core::Peer>().is_some()
    }

    pub(super) const fn connect_info_from_peer(_: &mut Extensions) {}

    pub(super) const fn original_uri(_: &Extensions) -> Option<&Uri> {
        None
    }

    pub(super) const fn set_original_uri(_: &mut Extensions, _: &Uri) {}

    pub(super) const fn nested_path(_: &Extensions) -> &str {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_known_by_the_pattern_or_by_the_path_before() {
        use Removed::{Nothing, Unknown};
        let prefix = |text: &str| Removed::Prefix(text.to_owned());
        // Each row: the path before, the length that we removed, axum's pattern of the rest, the
        // current path.
        let cases = [
            ("/api/users", 0, "/api", "/users", prefix("/api")),
            ("/api", 0, "/api", "/", prefix("/api")),
            ("/api/users", 0, "", "/api/users", Nothing),
            // A rewrite between two routers, and a rewrite without routers.
            ("/de/api/admin", 0, "/api", "/admin", prefix("/api")),
            ("/old", 0, "/api", "/admin", prefix("/api")),
            ("/old", 0, "", "/new", Nothing),
            ("/page/", 0, "", "/page", Nothing),
            // Captures.
            ("/acme/users", 0, "/{tenant}", "/users", prefix("/acme")),
            (
                "/acme/b/users",
                0,
                "/{tenant}/{b}",
                "/users",
                prefix("/acme/b"),
            ),
            ("/acme", 0, "/{tenant}", "/", prefix("/acme")),
            ("/%61/%62", 0, "/{tenant}", "/%62", prefix("/%61")),
            ("/de/acme/users", 0, "/{tenant}", "/users", Unknown),
            ("/old", 0, "/{tenant}", "/users", Unknown),
            ("", 0, "/{tenant}", "/users", Unknown),
            // Below one of our mounts.
            ("/app/users", 4, "", "/users", prefix("/app")),
            ("/app/api/users", 4, "/api", "/users", prefix("/app/api")),
            (
                "/app/acme/users",
                4,
                "/{tenant}",
                "/users",
                prefix("/app/acme"),
            ),
            ("/app/old", 4, "", "/new", prefix("/app")),
            // A foreign layer has set a path that does not begin with a slash.
            ("/foo*", 0, "/foo", "*", Unknown),
        ];
        for (whole, removed, pattern, path, want) in cases {
            let found = compare(whole, removed, pattern, path);
            assert_eq!(found, want, "{whole} {removed} {pattern} {path}");
        }
    }

    #[test]
    fn prefixes_are_removed_at_segments() {
        let cases = [
            ("/api/users?q", Some("/users?q")),
            ("/api", Some("/")),
            ("/api/", Some("/")),
            ("/api?q", Some("/?q")),
            ("/apis", None),
            ("/a", None),
            ("/abc/users", None),
            ("http://h/api/users", Some("http://h/users")),
        ];
        for (uri, want) in cases {
            let found = without_prefix(&uri.parse().unwrap(), "/api");
            assert_eq!(found, want.map(|want| want.parse().unwrap()), "{uri}");
        }
    }

    #[test]
    fn a_request_comes_back_as_it_left_below_a_mount() {
        // Each row: the URI, the path for the foreign service, the path that it sets, and the path
        // for the app inside.
        let cases = [
            (
                "/app/users?q",
                "/users?q",
                "/users?q",
                "/app/users?q",
                Some("/app"),
            ),
            ("/app", "/", "/", "/app", Some("/app")),
            ("/app/", "/", "/", "/app/", Some("/app")),
            ("/app/old", "/old", "/new", "/app/new", Some("/app")),
            // A rewrite has moved the path out of the mount.
            ("/abc/new", "/abc/new", "/abc/new", "/abc/new", None),
        ];
        for (uri, outside, rewritten, inside, mount) in cases {
            let mut request = Request::default();
            *request.uri_mut() = uri.parse().unwrap();
            let path = request.uri().path().to_owned();
            let path = if path.starts_with("/app") {
                path
            } else {
                "/app/old".to_owned()
            };
            request.extensions_mut().insert(Mount::new(path, 4));
            leave(&mut request, ForeignPath::BelowMount);
            assert_eq!(request.uri(), outside, "{uri}");
            *request.uri_mut() = rewritten.parse().unwrap();
            enter::<Body>(&mut request);
            assert_eq!(request.uri(), inside, "{uri}");
            assert_eq!(Mount::of(&request).map(Mount::prefix), mount, "{uri}");
        }
    }

    /// The only test whose requests are foreign and have no peer, since the warning is logged once
    /// per process.
    #[test]
    fn a_request_of_axum_is_read_or_marked_and_the_warning_says_what_to_do() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        let mut request = Request::default();
        tracing::subscriber::with_default(subscriber, || {
            enter::<::axum::body::Body>(&mut request);
            enter::<::axum::body::Body>(&mut Request::default());
            enter::<String>(&mut Request::default());
        });
        let fix = if cfg!(feature = "axum") {
            assert!(UnknownPrefix::of(&request).is_none());
            "into_make_service_with_connect_info"
        } else {
            assert!(UnknownPrefix::of(&request).is_some());
            "turn on the feature `axum`"
        };
        let lines = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let unread = usize::from(!cfg!(feature = "axum"));
        assert_eq!(lines.lines().count(), 1 + unread, "{lines}");
        let says = |text: &str| lines.contains(text);
        assert!(
            says("WARN vestibule: the address of the client is not known") && says(fix),
            "{lines}"
        );
    }

    /// A layer between axum and our code may have wrapped axum's body, or erased its type.
    #[test]
    fn a_body_that_may_be_of_axum_is_read_or_marked() {
        type Limited = http_body_util::Limited<::axum::body::Body>;
        type Erased = http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, ::axum::Error>;
        fn source<B: 'static>() -> Source {
            Source::of::<B>(&Request::default())
        }
        let bare = if cfg!(feature = "axum") {
            Source::Axum
        } else {
            Source::Unreadable
        };
        assert_eq!(source::<::axum::body::Body>(), bare);
        assert_eq!(source::<Limited>(), Source::Unreadable);
        assert_eq!(source::<Erased>(), Source::Unreadable);
        assert_eq!(source::<hyper::body::Incoming>(), Source::Other);
        assert_eq!(
            source::<http_body_util::Full<bytes::Bytes>>(),
            Source::Other
        );
    }

    #[derive(Clone, Default)]
    struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
