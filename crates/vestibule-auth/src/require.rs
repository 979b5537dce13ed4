//! A guard: who may go where.

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use http::{Method, StatusCode};
use vestibule_core::{
    App, Failure, FailureKind, IntoResponse, Mount, Outline, PathError, PathView, Request,
    Response, Role,
};

use crate::authenticate::{Challenges, anonymous, answer};
use crate::{Identity, bearer};

/// Lets requests pass whose [`Identity`] fulfils all conditions; with none, anyone who has one.
///
/// A request without an identity is 401, with the challenges of the [`Authenticate`](crate::Authenticate)
/// around it, which is `optional` then; one with the wrong identity is 403. It guards all paths and
/// methods, or those that it is told.
///
/// Paths are whole paths as clients ask for them ([`PathView::whole_of`]), also below a mount and inside
/// a nested axum router, or paths as they are below any of the mounts around the guard. A path that could be read in two ways is never let past: one without a view is
/// 400, one with an escaped slash is guarded if any reading of it is, and one whose prefix a router may
/// have removed is 500 ([`UnknownPrefix`](vestibule_core::UnknownPrefix)).
///
/// It requires [`Role::IDENTITY`] of a layer outside of it, so `Stack::check` and the server's log say
/// when there is none. A client certificate is an identity by [`ClientCertificate`](crate::ClientCertificate),
/// a scheme of `Authenticate`: the TLS of an adapter alone gives none. A layer of your own that sets an
/// [`Identity`] tells the role in `describe`, or by [`in_role`](vestibule_core::in_role).
///
/// ```
/// use vestibule_auth::{Authenticate, Basic, Htpasswd, Require};
/// use vestibule_core::{App, Request, Stack};
/// use http::Method;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let users = || Htpasswd::new().with_user("alice", "secret").with_group("admins", ["alice"]);
/// let app = Stack::new()
///     .with(move |app| Authenticate::new(app, Basic::new(users())).optional())
///     .with(|app| Require::new(app).under("/admin").group("admins"))
///     .with(|app| Require::new(app).methods([Method::POST, Method::PUT]))
///     .app(|_: Request| async { "in" });
///
/// let mut request = Request::default();
/// *request.uri_mut() = "/%61dmin/users".parse().unwrap();
/// assert_eq!(app.call(request).await.status(), 401);
/// assert_eq!(app.call(Request::default()).await.status(), 200);
/// # }
/// ```
#[doc(alias("authorization", "guard", "permission", "role", "rbac"))]
#[derive(Clone, Debug)]
pub struct Require<A> {
    app: A,
    methods: Option<Vec<Method>>,
    under: Vec<String>,
    except: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Clone)]
struct Condition {
    text: Cow<'static, str>,
    scope: Option<String>,
    holds: Arc<dyn Fn(&Identity) -> bool + Send + Sync>,
}

impl<A: App> Require<A> {
    /// Wraps `app`; every request has to have an identity.
    pub const fn new(app: A) -> Self {
        Self {
            app,
            methods: None,
            under: Vec::new(),
            except: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// Guards these methods only; GET is HEAD as well.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        let mut methods: Vec<Method> = methods.into_iter().collect();
        if methods.contains(&Method::GET) {
            methods.push(Method::HEAD);
        }
        self.methods.get_or_insert_default().extend(methods);
        self
    }

    /// Guards only requests at or below `path`; more calls add more paths.
    ///
    /// `path` is decoded text, compared by whole segments with the whole path of a request. Below a
    /// mount, and in a nested axum router, the segments of the mount's prefix may be left out, from the
    /// left: below `/v1/api`, each of `/v1/api/admin`, `/api/admin` and `/admin` guards the same. So an
    /// app whose guard works can be mounted elsewhere.
    #[must_use]
    pub fn under(mut self, path: impl Into<String>) -> Self {
        self.under.push(path.into());
        self
    }

    /// Does not guard requests at or below `path`. It is spelt as the path of [`under`](Self::under) is;
    /// without `under`, as a whole path or as the path below the innermost mount.
    #[must_use]
    pub fn except(mut self, path: impl Into<String>) -> Self {
        self.except.push(path.into());
        self
    }

    /// Requires the group `name`.
    #[must_use]
    pub fn group(self, name: impl Into<String>) -> Self {
        let name = name.into();
        let text = format!("the group `{name}`");
        self.condition(text, None, move |it| it.is_in(&name))
    }

    /// Requires the scope `name`. A bearer that lacks it is told so (RFC 6750 section 3.1).
    #[must_use]
    pub fn scope(self, name: impl Into<String>) -> Self {
        let name = name.into();
        let text = format!("the scope `{name}`");
        self.condition(text, Some(name.clone()), move |it| it.has_scope(&name))
    }

    /// Requires claims of type `T` of which `holds` is true; `text` is for the log and the outline.
    #[must_use]
    pub fn claim<T: Any + Send + Sync>(
        self,
        text: impl Into<Cow<'static, str>>,
        holds: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.condition(text, None, move |it| it.claims().is_some_and(&holds))
    }

    /// Requires that `holds` is true; `text` is for the log and the outline.
    #[must_use]
    pub fn that(
        self,
        text: impl Into<Cow<'static, str>>,
        holds: impl Fn(&Identity) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.condition(text, None, holds)
    }

    fn condition(
        mut self,
        text: impl Into<Cow<'static, str>>,
        scope: Option<String>,
        holds: impl Fn(&Identity) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.conditions.push(Condition {
            text: text.into(),
            scope,
            holds: Arc::new(holds),
        });
        self
    }

    /// The answer to a request that may not pass; `None` when it may.
    fn refusal(&self, request: &Request) -> Option<Response> {
        let methods = self.methods.as_ref();
        if methods.is_some_and(|methods| !methods.contains(request.method())) {
            return None;
        }
        let mount = Mount::of(request).map_or("", Mount::prefix).len();
        let whole = PathView::whole_of(request);
        match is_guarded(whole, mount, &self.under, &self.except) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => return Some(error.into_response()),
        }
        let challenges = request.extensions().get::<Challenges>();
        let challenges = challenges.map_or(&[][..], |challenges| &challenges.0);
        let Some(identity) = Identity::of(request) else {
            return Some(anonymous(request.method(), challenges));
        };
        let failed = self.conditions.iter().find(|it| !(it.holds)(identity))?;
        let failure = Failure::new(Denied {
            subject: identity.subject().to_owned(),
            lacks: failed.text.clone(),
        });
        let failure = failure
            .kind(FailureKind::Request)
            .status(StatusCode::FORBIDDEN)
            .layer("Require");
        let mut told = None;
        if let (bearer::NAME, Some(scope)) = (identity.scheme(), &failed.scope) {
            let challenge = bearer::challenge(None, None)
                .parameter("error", "insufficient_scope")
                .parameter("scope", scope.clone());
            told = Some(challenge);
        }
        Some(answer(request.method(), told.as_slice(), failure))
    }
}

impl<A: App> App for Require<A> {
    async fn call(&self, request: Request) -> Response {
        match self.refusal(&request) {
            Some(response) => response,
            None => self.app.call(request).await,
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::AUTH)
            .requires(Role::IDENTITY, NO_IDENTITY);
        for path in &self.under {
            outline.option("under", path);
        }
        for path in &self.except {
            outline.option("except", path);
        }
        for method in self.methods.iter().flatten() {
            outline.option("method", method);
        }
        for condition in &self.conditions {
            outline.option("requires", &condition.text);
        }
        outline.wraps(&self.app);
    }
}

/// The reason for the required role, in a finding of the check of the order.
const NO_IDENTITY: &str = "without one it refuses every request that it guards (`Authenticate` is one, or `ForwardAuth` with `user`)";

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An identity that may not go where it wanted; the cause of a 403, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    subject: String,
    lacks: Cow<'static, str>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} lacks {}", self.subject, self.lacks)
    }
}

impl Error for Denied {}

/// Whether a path is guarded, of which the first `mount` bytes are the prefix of a mount.
///
/// A guard does not know where the app around it is mounted. So a path of `under` is found at the
/// beginning of the path, and behind each segment of the mount's prefix. An exception is found in the same
/// part of the path, so never by a prefix that the client chose.
fn is_guarded(
    whole: Result<PathView<'_>, PathError>,
    mount: usize,
    under: &[String],
    except: &[String],
) -> Result<bool, PathError> {
    if under.is_empty() && except.is_empty() {
        return Ok(true);
    }
    let whole = match whole {
        Ok(view) => view.raw(),
        // `OPTIONS *` is about no path and about all.
        Err(PathError::NotAbsolute) => return Ok(true),
        Err(error) => return Err(error),
    };
    if under.iter().all(|path| segments(path) == 0) {
        return is_outside(whole, mount, except).map(|is_free| !is_free);
    }
    let starts = whole.match_indices('/').map(|(at, _)| at);
    for start in starts.take_while(|start| *start <= mount) {
        if is_in(&PathView::parse(&whole[start..])?, under, except) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a path is one of `except`: its part below the mount is, or the exception names a whole path that
/// ends below the mount's prefix.
fn is_outside(whole: &str, mount: usize, except: &[String]) -> Result<bool, PathError> {
    let (prefix, rest) = whole.split_at_checked(mount).unwrap_or(("", whole));
    if !is_in(&PathView::parse(rest)?, &[], except) {
        return Ok(true);
    }
    let whole = PathView::parse(whole)?;
    let reaches_below = |path: &&String| segments(path) > segments(prefix);
    let except: Vec<String> = except.iter().filter(reaches_below).cloned().collect();
    Ok(!is_in(&whole, &[], &except))
}

fn segments(path: &str) -> usize {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .count()
}

/// Whether a path is one of those `under`, or `under` is empty, and it is none of those `except`. A path
/// with an escaped slash is one of `under` if any reading of it is.
fn is_in(view: &PathView<'_>, under: &[String], except: &[String]) -> bool {
    let flat = flattened(view);
    let Some(flat) = flat else {
        let starts_with = |path: &String| view.starts_with(path);
        let is_free = except.iter().any(starts_with);
        return !is_free && (under.is_empty() || under.iter().any(starts_with));
    };
    let climbs = flat.iter().any(|segment| segment == b"..");
    let starts_with = |path: &String| view.starts_with(path) || is_below(&flat, path);
    climbs || under.is_empty() || under.iter().any(starts_with)
}

/// The segments as someone would see them who decodes first and cuts then; `None` when it is the same.
fn flattened(view: &PathView<'_>) -> Option<Vec<Vec<u8>>> {
    let is_slash = |byte: &u8| matches!(byte, b'/' | b'\\');
    if !view.segments().any(|segment| segment.iter().any(is_slash)) {
        return None;
    }
    let mut flat = Vec::new();
    for segment in view.segments() {
        let parts = segment.split(is_slash);
        let parts = parts.filter(|part| !part.is_empty() && *part != b".");
        flat.extend(parts.map(<[u8]>::to_vec));
    }
    Some(flat)
}

fn is_below(segments: &[Vec<u8>], path: &str) -> bool {
    let mut own = segments.iter();
    let mut wanted = path.split('/').filter(|segment| !segment.is_empty());
    wanted.all(|wanted| own.next().is_some_and(|own| own == wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_paths_are_guarded() {
        let cases = [
            ("/admin", Ok(true)),
            ("/admin/", Ok(true)),
            ("/admin/x", Ok(true)),
            ("/%61dmin", Ok(true)),
            ("/admin/open", Ok(false)),
            ("/admin/open/x", Ok(false)),
            ("/admin/openx", Ok(true)),
            ("/administrator", Ok(false)),
            ("/", Ok(false)),
            ("/x/admin", Ok(false)),
            // What a program that decodes first would read as /admin.
            ("/admin%2Fx", Ok(true)),
            ("/admin%5cx", Ok(true)),
            ("/%2Fadmin", Ok(true)),
            ("/.%2Fadmin", Ok(true)),
            ("/x%2F..%2Fadmin", Ok(true)),
            ("/admin/open%2F..%2Fx", Ok(true)),
            ("/admin%2Fopen", Ok(true)),
            ("/x%2Fy", Ok(false)),
            ("/x/..%2Fadmin", Ok(true)),
            ("//admin", Err(PathError::EmptySegment)),
            ("/x/../admin", Err(PathError::DotSegment)),
            ("/admin%00", Err(PathError::Nul)),
            ("/%zz", Err(PathError::BrokenEscape)),
            ("*", Ok(true)),
        ];
        let (under, except) = (["/admin".to_owned()], ["/admin/open".to_owned()]);
        for (path, expected) in cases {
            let view = PathView::parse(path);
            let found = is_guarded(view, 0, &under, &except);
            assert_eq!(found, expected, "{path}");
        }
        let view = PathView::parse("//");
        assert_eq!(is_guarded(view, 0, &[], &[]), Ok(true));
        let open = |path| {
            let view = PathView::parse(path);
            is_guarded(view, 0, &[], &except)
        };
        assert_eq!(open("/admin/open"), Ok(false));
        assert_eq!(open("/x"), Ok(true));
        assert_eq!(open("/admin/open%2Fx"), Ok(true));
    }

    #[test]
    fn which_paths_below_a_mount_are_guarded() {
        let list = |paths: &[&str]| {
            paths
                .iter()
                .map(|&path| path.to_owned())
                .collect::<Vec<_>>()
        };
        // the prefixes of mounts, outermost first, the rest, what is guarded, what is excepted, and the answer
        type Case<'a> = (&'a [&'a str], &'a str, &'a [&'a str], &'a [&'a str], bool);
        let cases: [Case<'_>; 22] = [
            (&["/api"], "/admin", &["/admin"], &[], true),
            (&["/api"], "/admin", &["/api/admin"], &[], true),
            (&["/api"], "/%61dmin", &["/api/admin"], &[], true),
            (&["/api"], "/admin%2Fx", &["/api/admin"], &[], true),
            (&["/api"], "/x", &["/admin"], &[], false),
            (&["/api"], "", &["/admin"], &[], false),
            (&[], "/api/admin", &["/admin"], &[], false),
            // An app that works is mounted once more.
            (&["/v1", "/api"], "/admin", &["/api/admin"], &[], true),
            (&["/v1", "/api"], "/admin", &["/v1/api/admin"], &[], true),
            (&["/v1", "/api"], "/admin", &["/admin"], &[], true),
            (&["/acme", "/admin"], "/users", &["/admin"], &[], true),
            (&["/v1", "/api"], "/open", &["/api/admin"], &[], false),
            // Exceptions are spelt as the guarded paths are.
            (
                &["/api"],
                "/admin/open",
                &["/admin"],
                &["/admin/open"],
                false,
            ),
            (
                &["/api"],
                "/admin/open",
                &["/api/admin"],
                &["/api/admin/open"],
                false,
            ),
            (
                &["/api"],
                "/admin/open",
                &["/api/admin"],
                &["/admin/open"],
                true,
            ),
            // A client chooses the prefix, as of `nest("/{tenant}", ..)`.
            (
                &["/admin", "/open"],
                "/admin",
                &["/admin"],
                &["/admin/open"],
                true,
            ),
            (&["/login"], "/secret", &[], &["/login"], true),
            (&["/acme"], "/login", &[], &["/login"], false),
            (&["/acme"], "/login", &["/"], &["/login"], false),
            (&["/login"], "/secret", &["/"], &["/login"], true),
            (&["/api"], "/open", &[], &["/api/open"], false),
            (&["/api"], "/x", &[], &["/api/open"], true),
        ];
        for (mounts, rest, under, except, want) in cases {
            let prefix = mounts.concat();
            let path = format!("{prefix}{rest}");
            let whole = PathView::parse(&path);
            let found = is_guarded(whole, prefix.len(), &list(under), &list(except));
            assert_eq!(
                found,
                Ok(want),
                "{mounts:?} {rest} under {under:?} except {except:?}"
            );
        }
        let unknown = Err(PathError::UnknownPrefix);
        assert_eq!(
            is_guarded(unknown, 0, &list(&["/a"]), &[]),
            unknown.map(|_| true)
        );
        assert_eq!(is_guarded(unknown, 0, &[], &[]), Ok(true));
    }
}
