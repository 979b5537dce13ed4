//! The files of unix sockets.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::UnixStream;

/// The file of a unix socket, by its place and identity. A clone is the same file.
///
/// When the last of them is dropped the file is removed, if it is still the same.
#[derive(Clone, Debug)]
pub struct SocketFile(Arc<OwnFile>);

#[derive(Debug)]
struct OwnFile {
    path: PathBuf,
    identity: (u64, u64),
    is_ours: AtomicBool,
}

impl SocketFile {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        // A later change of directory does not change what is ours.
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self(Arc::new(OwnFile {
            path,
            identity,
            is_ours: AtomicBool::new(true),
        })))
    }

    /// Whether it goes when the last of its clones does.
    pub fn set_ours(&self, is_ours: bool) {
        self.0.is_ours.store(is_ours, Ordering::Relaxed);
    }

    /// Removes the file now, so that nothing can connect any more.
    pub(crate) fn remove(&self) {
        self.0.remove();
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = std::fs::symlink_metadata(path)?;
        Ok((metadata.dev(), metadata.ino()))
    }
}

impl OwnFile {
    fn remove(&self) {
        // Another server may have put its own socket in this place.
        let is_there =
            || SocketFile::identity(&self.path).is_ok_and(|identity| identity == self.identity);
        if self.is_ours.load(Ordering::Relaxed) && is_there() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Removes the socket that a process left when it was killed: one on which nobody listens.
pub(crate) async fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |text| io::Error::new(io::ErrorKind::AddrInUse, text);
    if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(in_use(
            "there is a file of that name, and it is not a socket; choose another path",
        ));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(in_use(
            "another process listens there; stop it, or choose another path",
        )),
    }
}
