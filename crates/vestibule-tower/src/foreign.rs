//! The border between our requests and those of a foreign router: the client's address, and the path
//! below a removed prefix.
//!
//! [`enter`] makes a foreign request one of ours: the URI is whole, a removed prefix is a [`Mount`], and
//! the client is a [`Peer`]. [`leave`] makes it foreign again. What axum calls these facts is in
//! [`axum`](crate::axum), behind the feature `axum`.

use std::any::{TypeId, type_name};
use std::sync::Once;

use http::Uri;
use vestibule_core::{Body, Mount, OriginalUri, Peer, Request, UnknownPrefix};

#[cfg(feature = "axum")]
use crate::axum as framework;

/// What a foreign service sees of the path of a request that is below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForeignPath {
    /// The whole path, but without the prefix that a foreign router had removed: as it came.
    AsItCame,
    /// The whole path.
    Whole,
    /// The path below the mount.
    BelowMount,
}

impl ForeignPath {
    /// A service that wraps an app of ours hands the request back to it; any other is an end of ours.
    pub(crate) const fn of(wraps_our_app: bool) -> Self {
        if wraps_our_app {
            Self::Whole
        } else {
            Self::AsItCame
        }
    }

    /// The path below the mount if `enabled`, else this one.
    pub(crate) const fn below_mount(self, enabled: bool) -> Self {
        if enabled { Self::BelowMount } else { self }
    }
}

/// Makes a foreign request, which had a body of type `B`, one of ours.
pub(crate) fn enter<B: 'static>(request: &mut Request) {
    // A test, or a service between two of ours.
    let is_foreign = TypeId::of::<B>() != TypeId::of::<Body>();
    if Peer::of(&*request).is_none() {
        #[cfg(feature = "axum")]
        let is_known = framework::peer_from_connect_info(request.extensions_mut());
        #[cfg(not(feature = "axum"))]
        let is_known = false;
        if is_foreign && !is_known {
            warn_of_unknown_peer::<B>();
        }
    }
    match whole_uri(request).map(|whole| compare(whole, request.uri())) {
        None | Some(Change::Nothing) => {}
        Some(Change::Removed(uri, length)) => restore(request, uri, length),
        Some(Change::Unknown) => mark_unknown(request),
    }
    if is_foreign && Source::of::<B>() == Source::UnreadableAxum {
        mark_unknown(request);
    }
}

/// Makes one of our requests foreign again, for a service that is not ours.
pub(crate) fn leave(request: &mut Request, path: ForeignPath) {
    #[cfg(feature = "axum")]
    framework::connect_info_from_peer(request.extensions_mut());
    if path == ForeignPath::Whole {
        return;
    }
    let removed = request.extensions_mut().remove::<RemovedPrefix>();
    let below = match path {
        ForeignPath::BelowMount => Mount::of(&*request),
        _ => None,
    };
    let is_below = below.is_some();
    let mount = below.or(removed.as_ref().map(|removed| &removed.mount));
    // A rewrite may have left the prefix.
    let uri = mount.and_then(|mount| without_prefix(request.uri(), mount.prefix()));
    let Some(uri) = uri else {
        return;
    };
    let whole = std::mem::replace(request.uri_mut(), uri);
    let extensions = request.extensions_mut();
    extensions.remove::<Mount>();
    if let Some(mount) = removed.and_then(|removed| removed.outer) {
        extensions.insert(mount);
    }
    if is_below {
        #[cfg(feature = "axum")]
        framework::set_original_uri(extensions, &whole);
        extensions.get_or_insert_with(|| OriginalUri(whole.clone()));
        extensions.insert(WholeUri(whole));
    }
}

/// The prefix that a foreign router had removed, and the mount that the request had there; an extension
/// of requests that [`enter`] leaves for [`leave`].
#[derive(Clone, Debug)]
struct RemovedPrefix {
    mount: Mount,
    outer: Option<Mount>,
}

/// The URI before [`leave`] removed the prefix of a mount of ours; an extension of requests.
///
/// [`OriginalUri`] is not good for this: after a rewrite it is another URI.
#[derive(Clone, Debug)]
struct WholeUri(Uri);

/// The URI before any router removed a prefix; `None` when none did.
fn whole_uri(request: &Request) -> Option<&Uri> {
    #[cfg(feature = "axum")]
    let theirs = framework::original_uri(request.extensions());
    #[cfg(not(feature = "axum"))]
    let theirs: Option<&Uri> = None;
    // Mostly this is the URI of the request, and nothing else has to be looked for.
    if theirs.is_some_and(|uri| uri.path() == request.uri().path()) {
        return None;
    }
    let own = request.extensions().get().map(|WholeUri(uri)| uri);
    own.or(theirs)
}

fn restore(request: &mut Request, uri: Uri, length: usize) {
    let mount = Mount::new(uri.path(), length);
    *request.uri_mut() = uri;
    let extensions = request.extensions_mut();
    let outer = extensions.insert(mount.clone());
    extensions.insert(RemovedPrefix { mount, outer });
}

/// What routers have changed in a path.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// Nothing.
    Nothing,
    /// They removed a prefix of this length from the path of this URI.
    Removed(Uri, usize),
    /// They made another path of it.
    Unknown,
}

fn compare(whole: &Uri, current: &Uri) -> Change {
    let (whole, rest) = (whole.path(), current.path());
    if whole == rest {
        return Change::Nothing;
    }
    let length = match whole.strip_suffix(rest) {
        Some(prefix) => prefix.len(),
        // axum writes `/` for nothing: `/api` in `nest("/api", ..)`.
        None if rest == "/" => whole.len(),
        None => return Change::Unknown,
    };
    match with_path(current, whole) {
        Some(uri) => Change::Removed(uri, length),
        None => Change::Unknown,
    }
}

/// The URI without `prefix`; `None` when its path is not below it.
fn without_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    match uri.path().strip_prefix(prefix)? {
        "" => with_path(uri, "/"),
        rest if rest.starts_with('/') => with_path(uri, rest),
        _ => None,
    }
}

/// The same URI with another path. Its query stays.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}").parse(),
        None => path.parse(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.ok()?);
    Uri::from_parts(parts).ok()
}

/// The framework that a request came from, by the type of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// axum, whose extensions we read.
    Axum,
    /// axum, in a version that we do not read, or without the feature.
    UnreadableAxum,
    /// Any other.
    Other,
}

impl Source {
    fn of<B: 'static>() -> Self {
        #[cfg(feature = "axum")]
        let is_readable = framework::is_body::<B>();
        #[cfg(not(feature = "axum"))]
        let is_readable = false;
        // The name is for diagnostics, so a release may change it. Then this finds nothing.
        match (is_readable, type_name::<B>()) {
            (true, _) => Self::Axum,
            (false, "axum_core::body::Body") => Self::UnreadableAxum,
            (false, _) => Self::Other,
        }
    }
}

/// Logs once that the client of a request is not known, and the line that mends it.
fn warn_of_unknown_peer<B: 'static>() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let fix = match Source::of::<B>() {
            Source::Axum => {
                "serve by `axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())`"
            }
            Source::UnreadableAxum => {
                "turn on the feature `axum` of `vestibule-tower` or `vestibule`, which is for axum 0.8"
            }
            Source::Other => "insert a `vestibule_core::Peer` into the extensions of each request",
        };
        tracing::warn!(target: "vestibule", fix, "the address of the client is not known");
    });
}

fn mark_unknown(request: &mut Request) {
    if UnknownPrefix::of(&*request).is_none() {
        request.extensions_mut().insert(UnknownPrefix);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_a_path() {
        use Change::{Nothing, Removed, Unknown};
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let cases = [
            ("/api/users", "/users", Removed(uri("/api/users"), 4)),
            (
                "/api/users",
                "/users?q=1",
                Removed(uri("/api/users?q=1"), 4),
            ),
            ("/api/users?a", "/users", Removed(uri("/api/users"), 4)),
            ("/api", "/", Removed(uri("/api"), 4)),
            ("/api/", "/", Removed(uri("/api/"), 4)),
            ("/a/b/b", "/b", Removed(uri("/a/b/b"), 4)),
            ("/%41/%42", "/%42", Removed(uri("/%41/%42"), 4)),
            (
                "http://h/api/x",
                "http://h/x",
                Removed(uri("http://h/api/x"), 4),
            ),
            ("/users", "/users", Nothing),
            ("/", "/", Nothing),
            ("*", "*", Nothing),
            ("/old", "/new", Unknown),
            ("/api/users", "/user", Unknown),
        ];
        for (original, current, want) in cases {
            assert_eq!(
                compare(&uri(original), &uri(current)),
                want,
                "{original} {current}"
            );
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
    fn a_request_leaves_as_it_came() {
        let mut request = Request::default();
        *request.uri_mut() = "/users?q".parse().unwrap();
        let whole = WholeUri("/app/api/users?q".parse().unwrap());
        request.extensions_mut().insert(whole);
        let outer = Mount::new("/app/api/users", 4);
        request.extensions_mut().insert(outer.clone());

        enter::<Body>(&mut request);
        assert_eq!(request.uri(), "/app/api/users?q");
        assert_eq!(Mount::of(&request), Some(&Mount::new("/app/api/users", 8)));

        leave(&mut request, ForeignPath::AsItCame);
        assert_eq!(request.uri(), "/users?q");
        assert_eq!(Mount::of(&request), Some(&outer));
    }

    #[test]
    fn a_rewrite_between_may_stay_below_the_prefix_or_leave_it() {
        let cases = [
            ("/app/new", "/new"),
            ("/app", "/"),
            ("/abc/new", "/abc/new"),
        ];
        for (rewritten, left) in cases {
            let mut request = Request::default();
            *request.uri_mut() = "/users".parse().unwrap();
            let whole = WholeUri("/app/users".parse().unwrap());
            request.extensions_mut().insert(whole);
            enter::<Body>(&mut request);
            *request.uri_mut() = rewritten.parse().unwrap();
            leave(&mut request, ForeignPath::AsItCame);
            assert_eq!(request.uri(), left, "{rewritten}");
        }
    }

    /// The only test whose requests are foreign and have no peer: the warning is one for the process.
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
        assert_eq!(lines.lines().count(), 1, "{lines}");
        let says = |text: &str| lines.contains(text);
        assert!(
            says("WARN vestibule: the address of the client is not known") && says(fix),
            "{lines}"
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
