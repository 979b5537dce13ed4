//! The type does not implement `App`.

use vestibule_core::Stack;

struct Site;

fn main() {
    Stack::new().app(Site);
}
