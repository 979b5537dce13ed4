//! The middleware forgets that what it wraps is an app.

use vestibule_core::{App, Request, Response};

struct Plain<A> {
    app: A,
}

impl<A: Send + Sync + 'static> App for Plain<A> {
    async fn call(&self, request: Request) -> Response {
        self.app.call(request).await
    }
}

fn main() {}
