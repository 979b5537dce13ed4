//! The constructor takes more than the app. A closure would pass the other arguments.

use vestibule_core::{App, Request, Response, Stack};

struct Named<A> {
    app: A,
    name: &'static str,
}

impl<A> Named<A> {
    fn new(app: A, name: &'static str) -> Self {
        Self { app, name }
    }
}

impl<A: App> App for Named<A> {
    async fn call(&self, request: Request) -> Response {
        println!("{}", self.name);
        self.app.call(request).await
    }
}

fn main() {
    let _ = Stack::new().with(Named::new);
}
