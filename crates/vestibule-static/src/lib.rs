#![doc = include_str!("../README.md")]

mod buffer;
mod coding;
mod conditions;
mod directory;
#[cfg(feature = "embed")]
mod embed;
mod embedded;
mod file_body;
mod glob;
mod hand_over;
#[cfg(target_os = "linux")]
mod handles;
mod hash;
mod hashed;
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
#[cfg(feature = "precompress")]
mod precompress;
mod redirect;
mod respond;
mod source;
mod static_files;

pub use directory::{Directory, Symlinks};
#[cfg(feature = "embed")]
pub use embed::Embed;
pub use embedded::{Embedded, EmbeddedFile};
pub use glob::Glob;
pub use hand_over::HandOver;
pub use hashed::has_hashed_name;
pub use indexed::IndexedFiles;
pub use memory::Memory;
pub use mime::{is_compressible, media_type};
pub use open_file::FileChanged;
#[cfg(feature = "precompress")]
pub use precompress::{Precompress, Progress, Report};
pub use source::{Entry, Listed, Source, Stored, Wait};
pub use static_files::StaticFiles;
