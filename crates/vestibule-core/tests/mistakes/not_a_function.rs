//! A finished middleware, where the stack expects a function that creates it.

use vestibule_core::{App, Request, Response, Stack};

struct Plain<A> {
    app: A,
}

impl<A: App> App for Plain<A> {
    async fn call(&self, request: Request) -> Response {
        self.app.call(request).await
    }
}

async fn hello(_: Request) -> &'static str {
    "hello"
}

fn main() {
    Stack::new().with(Plain { app: hello });
}
