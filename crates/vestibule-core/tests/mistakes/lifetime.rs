//! A middleware with a lifetime: an app must be `'static`, since it lives as long as its server.

use vestibule_core::{App, Request, Response};

struct Named<'a, A> {
    app: A,
    name: &'a str,
}

impl<'a, A: App> App for Named<'a, A> {
    async fn call(&self, request: Request) -> Response {
        println!("{}", self.name);
        self.app.call(request).await
    }
}

fn main() {}
