//! Static files as a Vestibule app: right by RFC 9110, safe by construction, and fast.
//!
//! ```rust
//! use vestibule_core::{App, Request};
//! use vestibule_static::StaticFiles;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! async fn api(_: Request) -> &'static str { "api" }
//!
//! // Files first; what is not a file is the app's.
//! let app = StaticFiles::new("public").or(api);
//! assert_eq!(app.call(Request::default()).await.status(), 200);
//! # }
//! ```
//!
//! **Safe.** No name leaves the folder: on Linux the kernel holds every name below it (`openat2`,
//! `RESOLVE_BENEATH`), also while links are being swapped. Paths are read once, by the view that
//! guards and mounts use too. Dot files are not served except below `/.well-known/`; a pipe or a
//! device never is, and never keeps a thread.
//!
//! **Right.** Conditions in the order of RFC 9110 section 13.2.2, ranges single and several in the
//! order of the request, `If-Range` by tag and date, HEAD as GET. A file that is appended to while it
//! is sent ends cleanly at its opening length. One that is truncated or overwritten ends in an
//! error, never in padding or in a mixture.
//!
//! Entity tags are strong: a hash of size and modification time, so that replicas share them. The
//! hash covers the inode too where that time is a constant of archives, or younger than the grain of
//! the clock. A client that got such a tag from a new file can use it later. Copies share tags only if
//! they keep the time to the nanosecond (`cp -p`, `rsync -t`; GNU tar keeps whole seconds).
//!
//! **Fast.** What the page cache has is opened, read and answered in place, in five system calls
//! (`openat2`, `fstat`, `preadv2`, `fstat`, `close`); what it has not takes one call to the
//! blocking pool. A file up to 1 MiB that is asked for again within a tenth of a second takes one
//! (`fstat`), which finds out whether it was touched; at most 64 such are kept, of 8 MB in all, and
//! a tree of any size costs nothing else. Others up to 128 KiB are one whole buffer, larger ones
//! come in pieces of 64 to 256 KiB from buffers that are used again. `cargo bench -p
//! vestibule-static` holds the CPU time of a request against that of the bare system calls, `cargo
//! bench --bench files` against nginx and tower-http.
//!
//! With an index ([`StaticFiles::indexed`]) a request for a file up to 1 MiB asks no file system at
//! all: one look-up, headers that were made once, bytes that are held.
//!
//! **Types.** The type of a file comes from its name, by the table that compression uses too
//! ([`FileType`](vestibule_fields::file_type::FileType)). A file without an extension is
//! `text/plain` when its first 512 bytes are text in UTF-8, at the cost of one `preadv2`; it is
//! never HTML. `.svgz` is an image in gzip, and [`StaticFiles::stored_encoded`] names other files
//! that are stored in a content coding.
//!
//! | where | what |
//! |---|---|
//! | [`StaticFiles`] | the app, and all options for its files: index names, dot files, symbolic links, sidecars, clean URLs, single-page apps, error pages, caching and headers, listings, archives, types, files that are stored encoded |
//! | [`IndexedFiles`] | the same files, looked at once |
//! | [`Source`], [`Directory`], [`Memory`] | where files come from |
//! | [`Embedded`] | files that are part of the program, which `Embed` (feature `embed`) builds into it |
//! | [`HandOver`] | the server in front sends the bytes: `X-Sendfile`, `X-Accel-Redirect` |
//! | [`Glob`], [`GlobError`] | patterns of names, for rules; one that can match nothing is an error with its fix |
//! | [`HeaderRules`], [`RedirectRules`] | the files `_headers` and `_redirects` of Netlify and Cloudflare Pages |
//! | [`media_type`], [`is_compressible`], [`has_hashed_name`] | what a name says of its file |
//! | [`FileChanged`] | the body error of a file that changed while it was sent |
//! | `Precompress` (feature `precompress`) | makes the sidecars in brotli, zstd and gzip |
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
//! A browser keeps a file without `Cache-Control` for a tenth of its age. After a deploy it can show
//! an old page, which asks for scripts that are gone. With [`hashed_names`](StaticFiles::hashed_names)
//! or [`spa`](StaticFiles::spa):
//!
//! | file | `Cache-Control` |
//! |---|---|
//! | a content hash in its name ([`has_hashed_name`]), with `hashed_names` | `public, max-age=31536000, immutable` |
//! | images, fonts, sound, video | none |
//! | all others: pages, scripts, styles, data, manifests, service workers | `no-cache` |
//!
//! A rule of [`cache_control`](StaticFiles::cache_control) comes first. Redirects of folders always
//! have `no-cache`.
//!
//! ## Headers of a site
//!
//! [`header`](StaticFiles::header) and [`header_rules`](StaticFiles::header_rules) apply to each
//! answer whose path matches: errors, redirects and listings too, so that a missing tile of a map is
//! not a CORS error. `Cache-Control`, `Expires` and the headers that describe content are on 200, 206
//! and 304 alone. Answers of the app given to [`or`](StaticFiles::or) are its own.
//!
//! What it does not do: compress while it sends (that is a middleware's work, and it leaves room
//! for it: small files are whole buffers), write, or run anything.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod archive;
mod buffer;
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
mod file_kind;
mod glob;
mod hand_over;
#[cfg(target_os = "linux")]
mod handles;
mod hash;
mod hashed;
mod header_rules;
mod indexed;
#[cfg(target_os = "linux")]
mod kept;
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
