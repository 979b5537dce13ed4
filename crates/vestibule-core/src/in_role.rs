//! Adds a role to a layer that does not declare one.

use std::future::Future;
use std::sync::Arc;

use crate::{App, BoxApp, Outline, Request, Response, Role, WrapFn};

/// Adds `role` to a middleware, for [`Outline::check`].
///
/// Use it for a layer that cannot declare a role: a tower layer, a closure, a type of another
/// crate. The layer keeps its name, its options and its own roles. It adds no cost to a request.
///
/// ```
/// use vestibule_core::{Role, Stack, in_role, map_request};
///
/// let user = in_role(Role::IDENTITY, map_request(|request| request));
/// let stack = Stack::new().with(user).with(in_role(Role::CORS, map_request(|request| request)));
///
/// assert_eq!(stack.check()[0].fix, "move MapRequest outside of MapRequest");
/// assert_eq!(stack.outline().roles(), [Role::IDENTITY]);
/// ```
pub fn in_role<A: App>(
    role: Role,
    wrap: impl WrapFn<A> + Send + Sync + 'static,
) -> impl Fn(BoxApp) -> InRole<A> + Send + Sync + Clone + 'static {
    let wrap = Arc::new(wrap);
    move |app| InRole {
        app: wrap(app),
        role,
    }
}

/// A middleware with an additional role; created by [`in_role`].
#[derive(Clone, Debug)]
pub struct InRole<A> {
    app: A,
    role: Role,
}

impl<A: App> App for InRole<A> {
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
        self.app.call(request)
    }

    fn describe(&self, outline: &mut Outline) {
        self.app.describe(outline);
        outline.role(self.role);
    }

    fn name() -> &'static str {
        A::name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CatchPanic, Stack};

    #[test]
    fn the_rest_of_the_outline_is_that_of_the_layer() {
        let app = Stack::new()
            .with(in_role(Role::CORS, CatchPanic::new))
            .with(in_role(Role::CATCH_PANIC, CatchPanic::new))
            .app(async |_: Request| ());
        let outline = app.outline();
        let roles: Vec<_> = outline.layers().map(Outline::roles).collect();
        let both: &[Role] = &[Role::CATCH_PANIC, Role::CORS];
        assert_eq!(roles, [both, &both[..1], &[]]);
        let names: Vec<_> = outline.layers().map(Outline::name).collect();
        assert_eq!(names[..2], ["CatchPanic", "CatchPanic"]);
    }
}
