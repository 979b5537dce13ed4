//! Whether layers stand in an order that works, told before the first request.

use std::fmt;

use crate::{Outline, Stack};

/// What a layer does for those inside and outside of it: what the order of layers is about.
///
/// A middleware tells its role in `describe`, by [`Outline::role`]. The roles below have an order
/// that is known to [`Outline::check`]; a role of one's own has none but what layers tell by
/// [`Outline::requires`] and [`Outline::outside_of`].
///
/// ```
/// use vestibule_core::Role;
///
/// const TENANT: Role = Role::new("acme.tenant");
/// assert_eq!(TENANT.name(), "acme.tenant");
/// assert_ne!(TENANT, Role::SESSION);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Role {
    name: &'static str,
    is_once: bool,
}

impl Role {
    /// Writes a line for each request.
    pub const ACCESS_LOG: Self = Self::new("access log").once();
    /// Lets requests in by who sends them.
    pub const AUTH: Self = Self::new("auth");
    /// Refuses request bodies that are too large.
    pub const BODY_LIMIT: Self = Self::new("body limit");
    /// Reads bodies whole.
    pub const BUFFERING: Self = Self::new("buffering");
    /// Answers from a store.
    pub const CACHE: Self = Self::new("cache").once();
    /// Turns panics into responses.
    pub const CATCH_PANIC: Self = Self::new("catch panic");
    /// Finds the client's address behind proxies.
    pub const CLIENT_IP: Self = Self::new("client ip").once();
    /// Encodes response bodies.
    pub const COMPRESSION: Self = Self::new("compression").once();
    /// Tells browsers which origins may read.
    pub const CORS: Self = Self::new("cors").once();
    /// Refuses requests forged by other sites.
    pub const CSRF: Self = Self::new("csrf").once();
    /// Decodes request bodies.
    pub const DECOMPRESSION: Self = Self::new("decompression").once();
    /// Replaces the bodies of error responses.
    pub const ERROR_PAGES: Self = Self::new("error pages");
    /// Computes entity tags from response bodies.
    pub const ETAG: Self = Self::new("etag").once();
    /// Refuses requests of clients that send too many.
    pub const RATE_LIMIT: Self = Self::new("rate limit");
    /// Gives each request an id.
    pub const REQUEST_ID: Self = Self::new("request id").once();
    /// Loads a session for each request.
    pub const SESSION: Self = Self::new("session").once();
    /// Answers when the app takes too long.
    pub const TIMEOUT: Self = Self::new("timeout");

    /// A role of one's own. Its name begins with a prefix of its owner: `acme.tenant`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_once: false,
        }
    }

    /// Says that one layer of this role is enough: a second is a finding.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// The role's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Something wrong with the order of layers, why it is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the layer that is out of place.
    pub layer: String,
    /// Why it does not work.
    pub reason: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.layer, self.reason, self.fix)
    }
}

impl Outline {
    /// What is wrong with the order of the layers, from the outermost in; mounted apps included.
    ///
    /// Layers without a role are not judged, nor is an app that stands alone.
    ///
    /// ```
    /// use vestibule_core::{App, Outline, Request, Response, Role, Stack};
    ///
    /// struct Gzip<A> { app: A }
    ///
    /// impl<A: App> App for Gzip<A> {
    ///     async fn call(&self, request: Request) -> Response { self.app.call(request).await }
    ///     fn describe(&self, outline: &mut Outline) {
    ///         outline.role(Role::COMPRESSION).wraps(&self.app);
    ///     }
    /// }
    ///
    /// let twice = Stack::new().with(|app| Gzip { app }).with(|app| Gzip { app });
    /// let findings = twice.check();
    /// assert_eq!(findings[0].to_string(), "Gzip: another Gzip stands outside of it, \
    ///     and one layer does compression for all; remove one of them");
    /// ```
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_below(&mut Vec::new(), &mut findings);
        findings
    }

    /// `outer`: what stands outside of this app, outermost first.
    fn check_below<'a>(&'a self, outer: &mut Vec<&'a Self>, findings: &mut Vec<Finding>) {
        for finding in misplaced(self, outer) {
            // What is mounted in several places is found in each of them.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        outer.push(self);
        for (_, mounted) in self.mounts() {
            mounted.check_below(outer, findings);
        }
        if let Some(inner) = self.inner() {
            inner.check_below(outer, findings);
        }
        outer.pop();
    }
}

impl Stack {
    /// What is wrong with the order of the layers. See [`Outline::check`].
    ///
    /// ```
    /// use vestibule_core::{CatchPanic, Stack};
    ///
    /// assert!(Stack::new().with(CatchPanic::new).check().is_empty());
    /// ```
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        self.outline().check()
    }
}

/// What is wrong with `layer` in its place inside of `outer`.
fn misplaced(layer: &Outline, outer: &[&Outline]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |reason: String, fix: String| {
        let layer = layer.name().to_owned();
        findings.push(Finding { layer, reason, fix });
    };
    let (name, roles) = (layer.name(), layer.roles());
    for &other in outer {
        let theirs = other.name();
        for role in roles.iter().filter(|role| role.is_once) {
            if other.roles().contains(role) {
                find(
                    format!(
                        "another {theirs} stands outside of it, and one layer does {role} for all"
                    ),
                    "remove one of them".to_owned(),
                );
            }
        }
        let told = layer.order().iter().filter(|(role, _)| {
            // What is one of its own kind is no wrong order.
            other.roles().contains(role) && !roles.contains(role)
        });
        let told = told.map(|(_, why)| &**why);
        let known = roles.iter().flat_map(|own| {
            let theirs = other.roles().iter();
            theirs.filter_map(|their| reason_to_be_outside(*own, *their))
        });
        if let Some(why) = told.chain(known).next() {
            find(
                format!("it stands inside of {theirs}, and {why}"),
                format!("move {name} outside of {theirs}"),
            );
        }
    }
    for (role, why) in layer.needs() {
        let is_there = outer.iter().any(|other| other.roles().contains(role));
        let inside = layer.layers().skip(1);
        let mut inside = inside.filter(|other| other.roles().contains(role));
        match (is_there, inside.next()) {
            (true, _) => {}
            (false, Some(other)) => find(
                format!("it needs what {} does, and {why}", other.name()),
                format!("move {} outside of {name}", other.name()),
            ),
            (false, None) => find(
                format!("it needs a layer for {role} outside of it, and {why}"),
                format!("add a layer for {role} outside of {name}"),
            ),
        }
    }
    findings
}

/// Why a layer that is `own` has to stand outside of one that is `other`, if it has to.
fn reason_to_be_outside(own: Role, other: Role) -> Option<&'static str> {
    let is_outermost = |role| matches!(role, Role::ACCESS_LOG | Role::REQUEST_ID | Role::CLIENT_IP);
    let order = ORDER
        .iter()
        .find(|(outside, inside, _)| (*outside, *inside) == (own, other));
    match (own, order) {
        (_, Some((_, _, why))) => Some(why),
        (Role::ACCESS_LOG, None) if has_known_order(other) && !is_outermost(other) => {
            Some("what answers outside of the log is not in it")
        }
        (Role::REQUEST_ID, None) if has_known_order(other) && !is_outermost(other) => {
            Some("answers that are given outside of it have no id")
        }
        _ => None,
    }
}

/// Roles of one's own may stand anywhere.
fn has_known_order(role: Role) -> bool {
    KNOWN.contains(&role)
}

/// What stands outside, what stands inside, and why.
const ORDER: &[(Role, Role, &str)] = &[
    (
        Role::CORS,
        Role::AUTH,
        "a browser's preflight has no credentials: it would be refused",
    ),
    (
        Role::CORS,
        Role::ERROR_PAGES,
        "an error page without CORS headers cannot be read by the script that caused it",
    ),
    (
        Role::CORS,
        Role::CSRF,
        "a refusal without CORS headers looks like a network error to scripts",
    ),
    (
        Role::CORS,
        Role::RATE_LIMIT,
        "a refusal without CORS headers looks like a network error to scripts",
    ),
    (
        Role::CORS,
        Role::BODY_LIMIT,
        "a refusal without CORS headers looks like a network error to scripts",
    ),
    (
        Role::COMPRESSION,
        Role::ETAG,
        "a tag of compressed bytes changes with the coding, and the body is not whole there",
    ),
    (
        Role::COMPRESSION,
        Role::CACHE,
        "a cache outside of it keeps a copy for each coding",
    ),
    (
        Role::COMPRESSION,
        Role::ERROR_PAGES,
        "a page that replaces a compressed one would keep its Content-Encoding",
    ),
    (
        Role::BODY_LIMIT,
        Role::BUFFERING,
        "a body would be in memory before its size is limited",
    ),
    (
        Role::CLIENT_IP,
        Role::RATE_LIMIT,
        "all clients behind a proxy would count as one",
    ),
    (
        Role::ERROR_PAGES,
        Role::CATCH_PANIC,
        "the 500 of a panic would have no page",
    ),
];

const KNOWN: &[Role] = &[
    Role::ACCESS_LOG,
    Role::AUTH,
    Role::BODY_LIMIT,
    Role::BUFFERING,
    Role::CACHE,
    Role::CATCH_PANIC,
    Role::CLIENT_IP,
    Role::COMPRESSION,
    Role::CORS,
    Role::CSRF,
    Role::DECOMPRESSION,
    Role::ERROR_PAGES,
    Role::ETAG,
    Role::RATE_LIMIT,
    Role::REQUEST_ID,
    Role::SESSION,
    Role::TIMEOUT,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, BoxApp, Mounts, Request, Response};

    const TENANT: Role = Role::new("acme.tenant");

    /// A layer of one role, which may need another and stand outside of a third.
    struct Plays {
        app: BoxApp,
        role: Role,
        needs: Option<Role>,
        outside: Option<Role>,
    }

    impl App for Plays {
        async fn call(&self, request: Request) -> Response {
            self.app.call(request).await
        }

        fn describe(&self, outline: &mut Outline) {
            outline.rename(self.role.name()).role(self.role);
            if let Some(role) = self.needs {
                outline.requires(role, "it asks it");
            }
            if let Some(role) = self.outside {
                outline.outside_of(role, "it said so");
            }
        }
    }

    fn plays(role: Role) -> impl Fn(BoxApp) -> Plays + Send + Sync + 'static {
        move |app| Plays {
            app,
            role,
            needs: None,
            outside: None,
        }
    }

    fn stack(roles: &[Role]) -> Stack {
        roles.iter().fold(Stack::new(), |stack, role| {
            stack.named(role.name(), plays(*role))
        })
    }

    #[test]
    fn each_known_order_is_found_and_its_reverse_is_not() {
        for (outside, inside, why) in ORDER {
            assert_eq!(
                stack(&[*outside, *inside]).check(),
                [],
                "{outside}, {inside}"
            );
            let findings = stack(&[*inside, *outside]).check();
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].reason.ends_with(why), "{findings:?}");
            assert_eq!(
                findings[0].fix,
                format!("move {outside} outside of {inside}")
            );
        }
    }

    #[test]
    fn logs_and_ids_are_outermost() {
        let good = [Role::CLIENT_IP, Role::REQUEST_ID, Role::ACCESS_LOG];
        let all = KNOWN.iter().filter(|role| !good.contains(role));
        for role in all {
            for outermost in [Role::REQUEST_ID, Role::ACCESS_LOG] {
                assert_eq!(stack(&[outermost, *role]).check(), []);
                assert_eq!(stack(&[*role, outermost]).check().len(), 1, "{role}");
                assert_eq!(stack(&[TENANT, outermost]).check(), []);
            }
        }
        assert_eq!(stack(&good).check(), []);
        assert_eq!(stack(&[Role::ACCESS_LOG, Role::REQUEST_ID]).check(), []);
    }

    #[test]
    fn a_good_stack_has_no_findings() {
        let good = [
            Role::CLIENT_IP,
            Role::REQUEST_ID,
            Role::ACCESS_LOG,
            Role::CORS,
            Role::COMPRESSION,
            Role::ERROR_PAGES,
            Role::CATCH_PANIC,
            Role::RATE_LIMIT,
            Role::BODY_LIMIT,
            Role::SESSION,
            Role::AUTH,
            Role::CSRF,
            Role::CACHE,
            Role::ETAG,
            Role::BUFFERING,
        ];
        assert_eq!(stack(&good).check(), []);
    }

    #[test]
    fn duplicates_count_on_one_path_only() {
        let cors = |app: BoxApp| stack(&[Role::CORS]).app(app);
        let leaf = || (async |_: Request| ()).boxed();
        let apart = Mounts::new().at("/a", cors(leaf())).at("/b", cors(leaf()));
        assert_eq!(apart.boxed().outline().check(), []);
        let nested = cors(Mounts::new().at("/a", cors(leaf())).boxed());
        let findings = nested.outline().check();
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].fix, "remove one of them");
        assert_eq!(stack(&[Role::AUTH, Role::AUTH]).check(), []);
        assert_eq!(stack(&[TENANT, TENANT]).check(), []);
        assert_eq!(stack(&[TENANT.once(), TENANT.once()]).check().len(), 1);
    }

    #[test]
    fn what_layers_tell_themselves() {
        let needs = |app| Plays {
            needs: Some(TENANT),
            ..plays(Role::AUTH)(app)
        };
        let before = |app| Plays {
            outside: Some(TENANT),
            ..plays(Role::AUTH)(app)
        };
        let cases = [
            (Stack::new().with(plays(TENANT)).with(needs), None),
            (
                Stack::new().with(needs),
                Some("add a layer for acme.tenant outside of Plays"),
            ),
            (
                Stack::new().with(needs).named("tenant", plays(TENANT)),
                Some("move tenant outside of Plays"),
            ),
            (Stack::new().with(before).with(plays(TENANT)), None),
            (
                Stack::new().named("tenant", plays(TENANT)).with(before),
                Some("move Plays outside of tenant"),
            ),
        ];
        for (stack, fix) in cases {
            let findings = stack.check();
            assert_eq!(findings.first().map(|found| &*found.fix), fix, "{stack:?}");
        }
    }
}
