//! An app of any type is a `BoxApp`, and not a `Box<dyn App>`.

use vestibule_core::{App, Request, Response};

struct Plain {
    app: Box<dyn App>,
}

impl App for Plain {
    async fn call(&self, request: Request) -> Response {
        self.app.call(request).await
    }
}

fn main() {}
