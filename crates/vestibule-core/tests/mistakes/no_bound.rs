//! The middleware lacks the bound `A: App` for the wrapped app.

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
