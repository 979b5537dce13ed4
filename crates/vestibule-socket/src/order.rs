//! The check of the order of layers, in the log of a server that starts.

use vestibule_core::Outline;

/// Logs what [`Outline::check`] finds in the app of a server: a line at WARN for each layer in the wrong
/// place, and for each that is missing. A server calls it once, when it starts to serve.
///
/// A server puts layers of its own around the app, such as a `CatchPanic`: pass the outline of what is
/// inside of them.
///
/// ```
/// use vestibule_core::{CatchPanic, Request, Stack};
///
/// let app = Stack::new().with(CatchPanic::new).app(|_: Request| async { "hello" });
/// vestibule_socket::log_order(&app.outline()); // logs nothing: the order is right
/// ```
pub fn log_order(app: &Outline) {
    for finding in app.check() {
        tracing::warn!(target: "vestibule", "layer {finding}");
    }
}
