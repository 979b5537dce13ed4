//! Checks the order of layers before the first request.

use std::fmt;

use crate::{Outline, Stack};

/// Names the function of a layer, for the check of the order of layers.
///
/// A middleware declares its role in `describe`, by [`Outline::role`]. [`Outline::check`] knows the
/// order of the roles below. For other roles it knows only the order that layers declare by
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
    /// Allows or refuses requests by their sender.
    pub const AUTH: Self = Self::new("auth");
    /// Refuses request bodies that are too large.
    pub const BODY_LIMIT: Self = Self::new("body limit");
    /// Reads whole bodies into memory.
    pub const BUFFERING: Self = Self::new("buffering");
    /// Answers from stored responses.
    pub const CACHE: Self = Self::new("cache").once();
    /// Turns panics into responses.
    pub const CATCH_PANIC: Self = Self::new("catch panic");
    /// Finds the client's address behind proxies.
    pub const CLIENT_IP: Self = Self::new("client ip").once();
    /// Encodes response bodies.
    pub const COMPRESSION: Self = Self::new("compression").once();
    /// Sets the origins whose scripts may read a response.
    pub const CORS: Self = Self::new("cors").once();
    /// Refuses requests forged by other sites.
    pub const CSRF: Self = Self::new("csrf").once();
    /// Decodes request bodies.
    pub const DECOMPRESSION: Self = Self::new("decompression").once();
    /// Replaces the bodies of error responses.
    pub const ERROR_PAGES: Self = Self::new("error pages");
    /// Computes entity tags from response bodies.
    pub const ETAG: Self = Self::new("etag").once();
    /// Identifies the user of each request, for the layers inside.
    pub const IDENTITY: Self = Self::new("identity");
    /// Refuses requests of clients that send too many.
    pub const RATE_LIMIT: Self = Self::new("rate limit");
    /// Gives each request an id.
    pub const REQUEST_ID: Self = Self::new("request id").once();
    /// Loads a session for each request.
    pub const SESSION: Self = Self::new("session").once();
    /// Answers when the app takes too long.
    pub const TIMEOUT: Self = Self::new("timeout");

    /// Creates a custom role. Its name begins with a prefix of its owner: `acme.tenant`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            is_once: false,
        }
    }

    /// Declares that one layer of this role is enough: [`Outline::check`] reports a second one.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// Returns the name of the role.
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

/// A layer that is misplaced or missing, with the reason and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the affected layer.
    pub layer: String,
    /// Why this order does not work.
    pub reason: String,
    /// The fix.
    pub fix: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.layer, self.reason, self.fix)
    }
}

impl Outline {
    /// Checks the order of the layers from the outermost inwards, also of mounted apps.
    ///
    /// A misplaced layer is one finding, with all reasons and the one move that corrects it. A
    /// missing layer is a finding about the layer that needs it. Layers without a role are not
    /// checked, unless they require a role or declare an order. Servers run this check at start-up
    /// and log the findings.
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
    /// assert_eq!(findings[0].to_string(), "Gzip: another Gzip is outside of it, \
    ///     and one layer for compression is enough; remove one of them");
    /// ```
    #[must_use]
    pub fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.check_below(&mut Vec::new(), &mut findings);
        findings
    }

    /// `outer` lists the layers outside of this app, outermost first.
    fn check_below<'a>(&'a self, outer: &mut Vec<&'a Self>, findings: &mut Vec<Finding>) {
        for finding in misplaced(self, outer) {
            // An app with several mounts would be reported for each of them.
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
    /// Checks the order of the layers. See [`Outline::check`].
    ///
    /// A stack that is a part of another stack may need its layers, such as a `Require` whose
    /// `Authenticate` is further outside. Check the whole stack.
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

/// Checks `layer` inside of the layers of `outer`, which are listed outermost first.
fn misplaced(layer: &Outline, outer: &[&Outline]) -> Vec<Finding> {
    let place = match duplicate(layer, outer) {
        Some((role, other)) => Some((
            format!("another {other} is outside of it, and one layer for {role} is enough"),
            "remove one of them".to_owned(),
        )),
        None => wrong_order(layer, outer),
    };
    let found = place.into_iter().chain(missing(layer, outer));
    let finding = |(reason, fix)| Finding {
        layer: layer.name().to_owned(),
        reason,
        fix,
    };
    found.map(finding).collect()
}

/// Returns the layer outside of this one with the same role, if one layer of the role is enough.
fn duplicate<'a>(layer: &Outline, outer: &[&'a Outline]) -> Option<(Role, &'a str)> {
    outer.iter().find_map(|other| {
        let mut roles = layer.roles().iter().filter(|role| role.is_once);
        let role = roles.find(|role| other.roles().contains(role))?;
        Some((*role, other.name()))
    })
}

/// Returns the reason and the fix if this layer must be outside of a layer in `outer`.
fn wrong_order(layer: &Outline, outer: &[&Outline]) -> Option<(String, String)> {
    let mut outermost = None;
    // Each reason once, with the names of its layers.
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for &other in outer {
        let Some(why) = reason_to_move(layer, other) else {
            continue;
        };
        outermost.get_or_insert(other.name());
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, names)) => names.push(other.name()),
            None => reasons.push((why, vec![other.name()])),
        }
    }
    let fix = format!("move {} outside of {}", layer.name(), outermost?);
    let reasons = reasons.iter().enumerate().map(|(index, (why, names))| {
        let subject = if index == 0 { "it is " } else { "" };
        format!("{subject}inside of {}, and {why}", listed(names))
    });
    Some((reasons.collect::<Vec<_>>().join("; "), fix))
}

/// Returns the reason if `layer` must be outside of `other`.
fn reason_to_move<'a>(layer: &'a Outline, other: &Outline) -> Option<&'a str> {
    let own = layer.order().iter().filter(|(role, _)| {
        // The order does not apply to a layer of the same kind.
        other.roles().contains(role) && !layer.roles().contains(role)
    });
    let own = own.map(|(_, why)| &**why);
    let known = layer.roles().iter().flat_map(|own| {
        let theirs = other.roles().iter();
        theirs.filter_map(|their| reason_to_be_outside(*own, *their))
    });
    own.chain(known).next()
}

/// Returns a reason and a fix for each role that this layer requires and that is missing outside of
/// it.
fn missing(layer: &Outline, outer: &[&Outline]) -> impl Iterator<Item = (String, String)> {
    let needs = layer.needs().iter().filter(|(role, _)| {
        let mut outer = outer.iter();
        !outer.any(|other| other.roles().contains(role))
    });
    needs.map(|(role, why)| {
        let mut inside = layer.layers().skip(1);
        let fix = match inside.find(|other| other.roles().contains(role)) {
            Some(other) => format!("move {} outside of {}", other.name(), layer.name()),
            None => format!("add a layer for {role} outside of {}", layer.name()),
        };
        let reason = format!("it needs a layer for {role} outside of it, and {why}");
        (reason, fix)
    })
}

/// Formats a list: `a`, `a and b`, `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

/// Returns the reason if a layer with the role `own` must be outside of a layer with the role
/// `other`.
fn reason_to_be_outside(own: Role, other: Role) -> Option<&'static str> {
    let is_outermost = |role| matches!(role, Role::ACCESS_LOG | Role::REQUEST_ID | Role::CLIENT_IP);
    let order = ORDER
        .iter()
        .find(|(outside, inside, _)| (*outside, *inside) == (own, other));
    match (own, order) {
        (_, Some((_, _, why))) => Some(why),
        (Role::ACCESS_LOG, None) if has_known_order(other) && !is_outermost(other) => {
            Some("responses of outer layers are not logged")
        }
        (Role::REQUEST_ID, None) if has_known_order(other) && !is_outermost(other) => {
            Some("responses of outer layers have no id")
        }
        _ => None,
    }
}

/// Custom roles have no known order.
fn has_known_order(role: Role) -> bool {
    KNOWN.contains(&role)
}

/// Each row: a role, a role that must be inside of it, and the reason.
///
/// IDENTITY and AUTH have no order. Address rules (AUTH) are often outside of `Authenticate`
/// (IDENTITY), and a guard that needs an identity requires the role. IDENTITY and SESSION have no
/// order either. A login by session requires SESSION, and a session may belong to a user that is
/// already known.
const ORDER: &[(Role, Role, &str)] = &[
    (
        Role::CORS,
        Role::AUTH,
        "a browser's preflight has no credentials: it would be refused",
    ),
    (
        Role::CORS,
        Role::IDENTITY,
        "a refusal without CORS headers looks like a network error to scripts",
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
        "a tag of compressed bytes changes with the coding, and the body is streamed there",
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
        Role::CLIENT_IP,
        Role::IDENTITY,
        "the failed logins of all clients behind a proxy would count as those of one",
    ),
    (
        Role::IDENTITY,
        Role::CACHE,
        "a response stored for one user would be sent to others",
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
    Role::IDENTITY,
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

    /// A layer with one role, which may require a second role and be outside of a third.
    struct RoleLayer {
        app: BoxApp,
        role: Role,
        needs: Option<Role>,
        outside: Option<Role>,
    }

    impl App for RoleLayer {
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

    fn role_layer(role: Role) -> impl Fn(BoxApp) -> RoleLayer + Send + Sync + 'static {
        move |app| RoleLayer {
            app,
            role,
            needs: None,
            outside: None,
        }
    }

    fn stack(roles: &[Role]) -> Stack {
        roles.iter().fold(Stack::new(), |stack, role| {
            stack.named(role.name(), role_layer(*role))
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
            Role::IDENTITY,
            Role::AUTH,
            Role::CSRF,
            Role::CACHE,
            Role::ETAG,
            Role::BUFFERING,
        ];
        assert_eq!(stack(&good).check(), []);
    }

    /// Each row: the layers, outermost first, and the findings.
    #[test]
    fn a_misplaced_layer_is_one_finding() {
        let cases: &[(&[Role], &[&str])] = &[
            (
                &[Role::AUTH, Role::RATE_LIMIT, Role::CSRF, Role::CORS],
                &[
                    "cors: it is inside of auth, and a browser's preflight has no credentials: it would \
                   be refused; inside of rate limit and csrf, and a refusal without CORS headers looks \
                   like a network error to scripts; move cors outside of auth",
                ],
            ),
            (
                &[Role::COMPRESSION, Role::CORS, Role::AUTH, Role::ACCESS_LOG],
                &[
                    "access log: it is inside of compression, cors and auth, and responses of \
                   outer layers are not logged; move access log outside of compression",
                ],
            ),
            // Two layers are two findings.
            (
                &[Role::CACHE, Role::IDENTITY, Role::COMPRESSION],
                &[
                    "identity: it is inside of cache, and a response stored for one user would be sent \
                   to others; move identity outside of cache",
                    "compression: it is inside of cache, and a cache outside of it keeps a copy for each \
                   coding; move compression outside of cache",
                ],
            ),
            // A layer that is to be removed has no second finding about its order.
            (
                &[Role::CORS, Role::AUTH, Role::CORS],
                &[
                    "cors: another cors is outside of it, and one layer for cors is enough; remove one of \
                   them",
                ],
            ),
            // Address rules may be outside or inside of the layer that identifies users.
            (&[Role::AUTH, Role::IDENTITY, Role::AUTH], &[]),
            (&[Role::SESSION, Role::IDENTITY], &[]),
            (&[Role::IDENTITY, Role::SESSION], &[]),
            (&[Role::IDENTITY, Role::IDENTITY], &[]),
        ];
        for (roles, expected) in cases {
            let found = stack(roles).check();
            let found: Vec<_> = found.iter().map(Finding::to_string).collect();
            assert_eq!(found, *expected, "{roles:?}");
        }
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
    fn layers_may_require_and_order_custom_roles() {
        let needs = |app| RoleLayer {
            needs: Some(TENANT),
            ..role_layer(Role::AUTH)(app)
        };
        let before = |app| RoleLayer {
            outside: Some(TENANT),
            ..role_layer(Role::AUTH)(app)
        };
        let cases = [
            (Stack::new().with(role_layer(TENANT)).with(needs), None),
            (
                Stack::new().with(needs),
                Some("add a layer for acme.tenant outside of RoleLayer"),
            ),
            (
                Stack::new().with(needs).named("tenant", role_layer(TENANT)),
                Some("move tenant outside of RoleLayer"),
            ),
            (Stack::new().with(before).with(role_layer(TENANT)), None),
            (
                Stack::new()
                    .named("tenant", role_layer(TENANT))
                    .with(before),
                Some("move RoleLayer outside of tenant"),
            ),
        ];
        for (stack, fix) in cases {
            let findings = stack.check();
            assert_eq!(findings.first().map(|found| &*found.fix), fix, "{stack:?}");
        }
    }
}
