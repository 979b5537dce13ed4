//! A value that is not `Send` is held across an await.

use std::rc::Rc;

use vestibule_core::{App, Request, Response};

struct Counted<A> {
    app: A,
}

impl<A: App> App for Counted<A> {
    async fn call(&self, request: Request) -> Response {
        let count = Rc::new(1);
        let response = self.app.call(request).await;
        drop(count);
        response
    }
}

fn main() {}
