//! A page that shows the layers of a running stack. Each layer has a bar for its own time, its p50,
//! p90 and p99, and the number of early responses. The last slow requests are shown as waterfalls.
//! The page refreshes itself every second. The same data is available as JSON at `json` below the
//! page.
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
//! The page exists only where it is mounted. It shows the names and options of the layers, and the
//! paths of slow requests without their queries. So by default, only clients on this machine can see
//! it. It is one HTML file without a framework, loads nothing from other sites, and follows the
//! browser's light or dark scheme.
//!
//! A time is from the call of a layer to its response head, without the layers inside. Response
//! bodies are not included. The page shows a stack without [`timed`](vestibule_core::Stack::timed)
//! without times.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod inspect;
mod json;

pub use inspect::Inspect;
