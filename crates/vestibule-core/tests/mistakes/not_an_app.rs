//! A type that nothing makes an app.

use vestibule_core::Stack;

struct Site;

fn main() {
    Stack::new().app(Site);
}
