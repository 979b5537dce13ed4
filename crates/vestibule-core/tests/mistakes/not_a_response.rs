//! The returned type cannot become a response.

use vestibule_core::{Request, Stack};

struct User;

async fn user(_: Request) -> User {
    User
}

fn main() {
    Stack::new().app(user);
}
