//! Reads PEM files, in which certificates and keys are kept, and the DER values inside.
//!
//! Each `-----BEGIN` line of a file becomes a [`Block`] or an error that names the line. A block that is broken is never
//! passed over in silence, so that a certificate cannot get lost. Text around the blocks is ignored (RFC 7468, section 2).
//!
//! ```
//! let file = b"# of the intranet\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
//! let blocks = vestibule_pem::blocks(file)?;
//! assert_eq!((&*blocks[0].label, blocks[0].line), ("CERTIFICATE", 2));
//! assert_eq!(blocks[0].der, [0x30, 0]);
//!
//! // Two files were joined without a newline.
//! let joined = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE----------BEGIN CERTIFICATE-----\n";
//! let error = vestibule_pem::blocks(joined).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 3: two blocks meet on the same line: a newline is missing between `-----END ...-----` and `-----BEGIN ...-----`",
//! );
//! # Ok::<(), vestibule_pem::PemError>(())
//! ```

mod der;
mod pem;

pub use der::Der;
pub use pem::{Block, PemError, PemFault, blocks};
