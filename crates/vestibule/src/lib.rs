//! The idea of WSGI for Rust: one callable contract between servers and apps, and middleware that
//! stacks between them.
//!
//! ```no_run
//! use vestibule::prelude::*;
//! use vestibule::{files::StaticFiles, logging::AccessLog};
//!
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let app = Stack::new()
//!         .with(AccessLog::new)
//!         .around(|request, next| async move { next.call(request).await })
//!         .app(StaticFiles::new("public"));
//!     println!("{}", app.outline());
//!     vestibule::serve("127.0.0.1:8080", app).await
//! }
//! ```
//!
//! This crate only re-exports: the contract, [`vestibule_core`], is at the root, and each other crate
//! of the workspace is a module behind a feature.
//!
//! | module | crate | feature |
//! |---|---|---|
//! | the root | `vestibule-core` | |
//! | `auth` | `vestibule-auth` | `auth`, `jwt-ring`, off |
//! | `client` | `vestibule-client` | `client`, `client-tls`, off |
//! | [`compression`] | `vestibule-compression` | `compression`; `brotli`, `libdeflate` and `zstd` are off |
//! | `environ` | `vestibule-environ` | `environ`, off |
//! | [`fields`] | `vestibule-fields` | |
//! | `gateway` | `vestibule-gateway` | `gateway`, off |
//! | [`inspect`] | `vestibule-inspect` | `inspect` |
//! | [`logging`] | `vestibule-logging` | `logging` |
//! | [`security`] | `vestibule-security` | `security` |
//! | [`hyper`], and [`serve`] | `vestibule-hyper` | `server`; `tls`, `tls-self-signed`, `handover` and `socket-activation` are off |
//! | [`files`] | `vestibule-static` | `static` |
//! | [`tower`] | `vestibule-tower` | `tower` |
//!
//! # The allocator of a server
//!
//! An allocator belongs to the whole program, so this crate sets none. On Linux, glibc's allocator
//! keeps most of the memory of a crowd of clients after they have left, and jemalloc without its
//! background thread does the same while no request comes. A program that serves many clients adds
//! these lines to its manifest:
//!
//! ```toml
//! [dependencies.tikv-jemallocator]
//! version = "0.6"
//! features = ["background_threads", "unprefixed_malloc_on_supported_platforms"]
//! ```
//!
//! and these to its `main.rs`:
//!
//! ```text
//! #[global_allocator]
//! static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
//! ```
//!
//! The background thread then gives free pages back to the system, in about 15 s. The second
//! feature is for libraries in C, such as zstd, which call `malloc` themselves. The program
//! `vestibule` has the same two features.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "auth")]
pub use vestibule_auth as auth;
#[cfg(feature = "client")]
pub use vestibule_client as client;
#[cfg(feature = "compression")]
pub use vestibule_compression as compression;
pub use vestibule_core::*;
#[cfg(feature = "environ")]
pub use vestibule_environ as environ;
pub use vestibule_fields as fields;
#[cfg(feature = "gateway")]
pub use vestibule_gateway as gateway;
#[cfg(feature = "server")]
pub use vestibule_hyper as hyper;
#[cfg(feature = "server")]
pub use vestibule_hyper::serve;
#[cfg(feature = "inspect")]
pub use vestibule_inspect as inspect;
#[cfg(feature = "logging")]
pub use vestibule_logging as logging;
#[cfg(feature = "security")]
pub use vestibule_security as security;
#[cfg(feature = "static")]
pub use vestibule_static as files;
#[cfg(feature = "tower")]
pub use vestibule_tower as tower;

/// The common imports of apps and middleware.
pub mod prelude {
    pub use vestibule_core::{
        App, Body, BoxApp, Failure, IntoResponse, Mounts, Next, Request, Response, Stack,
    };
}

/// Compiles the program in the README, so that it stays correct.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
