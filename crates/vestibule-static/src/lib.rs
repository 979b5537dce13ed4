//! Static files as a Vestibule app, with conditions and ranges by RFC 9110.
//!
//! ```rust
//! use vestibule_core::{App, Request};
//! use vestibule_static::StaticFiles;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! async fn api(_: Request) -> &'static str { "api" }
//!
//! // Serves files first. The app answers all other paths.
//! let app = StaticFiles::new("public").or(api);
//! assert_eq!(app.call(Request::default()).await.status(), 200);
//! # }
//! ```
//!
//! **Safe.** No name leads out of the root folder. On Linux the kernel resolves every name below it
//! (`openat2`, `RESOLVE_BENEATH`), also while links are swapped. Paths are parsed once, by the same
//! view that guards and mounts use. Dot files are not served, except below `/.well-known/`. Pipes
//! and devices are never served and never block a thread.
//!
//! **Correct.** Conditions are evaluated in the order of RFC 9110, section 13.2.2. A request can
//! have one or several ranges; the response keeps their order. `If-Range` works with tags and
//! dates, and HEAD is answered as GET. A file that grows while it is sent ends cleanly at the
//! length it had when it was opened. A file that is truncated or overwritten ends the body with an
//! error, never with padding or mixed content.
//!
//! Entity tags are strong: a hash of size and modification time, so that replicas share them. The
//! hash also covers the inode in two cases: the modification time is a constant that archive tools
//! set, or it is too recent for the resolution of the clock. A client that got such a tag for a new
//! file can still use it later. Copies share tags only if they keep the time to the nanosecond (`cp
//! -p`, `rsync -t`; GNU tar keeps whole seconds).
//!
//! **Fast.** A file in the page cache is opened, read and answered on the calling thread, with five
//! system calls (`openat2`, `fstat`, `preadv2`, `fstat`, `close`). Other files need one call to the
//! blocking pool. A file up to 1 MiB that is requested again within 100 ms needs one `fstat`, which
//! detects changes. This cache keeps at most 64 files and 8 MB; its size does not depend on the
//! size of the tree.
//!
//! Other files up to 128 KiB are one buffer. Larger files are sent in pieces of 64 to 256 KiB from
//! pooled buffers. `cargo bench -p vestibule-static` compares the CPU time of a request with that
//! of the bare system calls; `cargo bench --bench files` compares it with nginx and tower-http.
//!
//! With an index ([`StaticFiles::indexed`]), a request for a file up to 1 MiB does not use the file
//! system: it takes one look-up, and headers and bytes are in memory.
//!
//! **Types.** The media type of a file comes from its name, by the table that compression also uses
//! ([`FileType`](vestibule_fields::file_type::FileType)). A file without an extension is
//! `text/plain` when its first 512 bytes are UTF-8 text, at the cost of one `preadv2`; it is never
//! HTML. `.svgz` is an image in gzip. [`StaticFiles::stored_encoded`] names other files that are
//! stored in a content coding.
//!
//! | item | purpose |
//! |---|---|
//! | [`StaticFiles`] | the app, and all options for its files: index names, dot files, symbolic links, sidecars, clean URLs, single-page apps, error pages, caching and headers, listings, archives, types, files that are stored encoded |
//! | [`IndexedFiles`] | the same files, indexed at start |
//! | [`Source`], [`Directory`], [`Memory`] | stores of files |
//! | [`Embedded`] | files that are built into the program by `Embed` (feature `embed`) |
//! | [`HandOver`] | lets the server in front send the bytes: `X-Sendfile`, `X-Accel-Redirect` |
//! | [`Glob`], [`GlobError`] | patterns of names, for rules; a pattern that can never match is an error that says how to fix it |
//! | [`HeaderRules`], [`RedirectRules`] | the files `_headers` and `_redirects` of Netlify and Cloudflare Pages |
//! | [`media_type`], [`is_compressible`], [`has_hashed_name`] | facts that a file name shows |
//! | [`FileChanged`] | the body error of a file that changed while it was sent |
//! | `Precompress` (feature `precompress`) | writes sidecars in brotli, zstd and gzip |
//!
//! ```rust
//! use vestibule_static::StaticFiles;
//!
//! let app = StaticFiles::new("public")
//!     .precompressed(true)                   // app.js.br, app.js.zst, app.js.gz
//!     .hashed_names(true)                    // app-B7sZ3kfd.js is cached for a year, index.html is not
//!     .header("*", "referrer-policy", "same-origin")
//!     .not_found("404.html");
//! # let _ = app;
//! ```
//!
//! ## Deploys
//!
//! A browser caches a file without `Cache-Control` for a tenth of its age. After a deploy it can
//! show an old page, which requests scripts that are gone. With
//! [`hashed_names`](StaticFiles::hashed_names) or [`spa`](StaticFiles::spa), responses have these
//! headers:
//!
//! | file | `Cache-Control` |
//! |---|---|
//! | a content hash in its name ([`has_hashed_name`]), with `hashed_names` | `public, max-age=31536000, immutable` |
//! | images, fonts, sound, video | none |
//! | all others: pages, scripts, styles, data, manifests, service workers | `no-cache` |
//!
//! A rule of [`cache_control`](StaticFiles::cache_control) takes precedence. Redirects of folders
//! always have `no-cache`.
//!
//! ## Headers of a site
//!
//! [`header`](StaticFiles::header) and [`header_rules`](StaticFiles::header_rules) apply to each
//! response whose path matches. This includes errors, redirects and listings, so that a missing map
//! tile is not a CORS error. `Cache-Control`, `Expires` and the headers that describe content are
//! set only on 200, 206 and 304. Responses of the app given to [`or`](StaticFiles::or) are not
//! changed.
//!
//! This crate does not compress responses, write files or run programs. For compression, add a
//! middleware: small files are sent as whole buffers, so that it can compress them.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod buffer;
#[cfg(target_os = "linux")]
mod cached_bytes;
mod coding;
mod conditions;
mod content_check;
mod directory;
#[cfg(feature = "embed")]
mod embed;
mod embedded;
#[cfg(any(test, target_vendor = "apple", not(unix)))]
mod exact_name;
mod file_body;
#[cfg(target_os = "linux")]
mod file_cache;
mod file_kind;
mod glob;
mod hand_over;
mod hash;
mod hashed;
mod header_rules;
mod indexed;
mod listing;
mod memory;
mod mime;
mod multipart;
mod name;
mod open_file;
mod options;
mod path_pattern;
#[cfg(feature = "precompress")]
mod precompress;
mod readme;
mod redirect;
mod redirect_rules;
mod respond;
#[cfg(feature = "precompress")]
mod rights;
#[cfg(unix)]
mod root_names;
mod sidecar_rights;
mod source;
mod static_files;

pub use directory::{Directory, Symlinks};
#[cfg(feature = "embed")]
pub use embed::Embed;
pub use embedded::{Embedded, EmbeddedFile};
pub use glob::{Glob, GlobError};
pub use hand_over::HandOver;
pub use hashed::has_hashed_name;
pub use header_rules::{HeaderRules, RuleFault, RuleFaults};
pub use indexed::IndexedFiles;
pub use memory::Memory;
pub use mime::{is_compressible, media_type};
pub use open_file::FileChanged;
#[cfg(feature = "precompress")]
pub use precompress::{Precompress, Progress, Report};
pub use redirect_rules::RedirectRules;
pub use source::{Entry, Listed, Source, Stored, Wait};
pub use static_files::StaticFiles;
