//! A page that draws a stack as it stands: each layer's own time as a bar, its p50, p90 and p99,
//! how often it answered early; and the last slow requests as waterfalls. It refreshes itself each
//! second. The same as JSON is at `json` below it.
//!
//! ```rust
//! use vestibule_core::{App, CatchPanic, Mounts, Request, Stack};
//! use vestibule_inspect::Inspect;
//!
//! let stack = Stack::new().with(CatchPanic::new).timed();
//! let app = stack.app(
//!     Mounts::new()
//!         .at("/-/stack", Inspect::new(&stack))
//!         .at("/", |_: Request| async { "hello" }),
//! );
//! # let _ = app;
//! ```
//!
//! It is there only where it is mounted, and only for clients on this machine, unless it is told
//! otherwise: it shows the names and the options of the layers, and the paths of slow requests
//! (without their queries). It is one HTML file without a framework, asks for nothing from
//! elsewhere, and follows the browser's light or dark scheme.
//!
//! Times are from a layer's call to the head of its response, without what is inside of it; bodies
//! are not in them. A stack that is not [`timed`](vestibule_core::Stack::timed) is drawn without
//! times.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod inspect;
mod json;

pub use inspect::Inspect;
