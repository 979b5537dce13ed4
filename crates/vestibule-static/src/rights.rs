//! The permissions of a sidecar: those of its file, or fewer.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a file that only its owner can read and write. Fails when the file exists.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Gives `sidecar` the owner and the mode of its file, as far as possible, and never more
/// permissions.
///
/// If the group of the file cannot be set, the sidecar's group gets the permissions of other users.
/// Access control lists are not copied: for a file with a list, the group counts as one without
/// permissions of its own.
#[cfg(unix)]
pub(crate) fn copy(file: &File, sidecar: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};

    let of_file = file.metadata()?;
    let own = sidecar.metadata()?;
    if (own.uid(), own.gid()) != (of_file.uid(), of_file.gid()) {
        // Only root can change the owner; a member of a group can set that group.
        if fchown(sidecar, Some(of_file.uid()), Some(of_file.gid())).is_err() {
            let _ = fchown(sidecar, None, Some(of_file.gid()));
        }
    }
    let own = sidecar.metadata()?;
    let has_group = own.gid() == of_file.gid() && !has_list(file);
    let mode = mode(of_file.mode(), has_group);
    let now = own.mode() & 0o7777;
    if now == mode {
        return Ok(());
    }
    match sidecar.set_permissions(std::fs::Permissions::from_mode(mode)) {
        // The sidecar belongs to another user, and grants no permission that the file does not
        // grant.
        Err(_) if now & !mode == 0 => Ok(()),
        other => other,
    }
}

/// Does the same as [`copy`] for an existing sidecar. Does nothing for a link, or for a file
/// without read permission.
#[cfg(unix)]
pub(crate) fn copy_to(file: &File, sidecar: &Path) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};

    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(sidecar, flags, Mode::empty()).map(File::from) {
        Ok(sidecar) if sidecar.metadata()?.is_file() => copy(file, &sidecar),
        _ => Ok(()),
    }
}

/// Returns the mode of a sidecar for a file of `mode`: not executable, and a different group gets
/// the permissions of other users.
#[cfg(unix)]
const fn mode(mode: u32, is_same_group: bool) -> u32 {
    let mode = mode & 0o666;
    if is_same_group {
        mode
    } else {
        (mode & 0o606) | (((mode & 0o006) << 3) & mode)
    }
}

/// Returns whether a file has an access control list. The group bits of its mode are then only the
/// maximum of the list.
#[cfg(unix)]
fn has_list(file: &File) -> bool {
    #[cfg(target_os = "linux")]
    {
        let mut nothing = [0_u8; 0];
        let size = rustix::fs::fgetxattr(file, "system.posix_acl_access", &mut nothing[..]);
        size.is_ok_and(|size| size > 0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = file;
        false
    }
}

/// On other systems, files inherit permissions from their folder.
#[cfg(not(unix))]
pub(crate) fn copy(_: &File, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn copy_to(_: &File, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let cases = [
            (0o100_644, true, 0o644),
            (0o100_600, true, 0o600),
            (0o100_640, true, 0o640),
            (0o100_400, true, 0o400),
            (0o104_755, true, 0o644),
            (0o100_000, true, 0o000),
            (0o100_644, false, 0o644),
            (0o100_640, false, 0o600),
            (0o100_604, false, 0o604),
            (0o100_664, false, 0o644),
            (0o100_666, false, 0o666),
        ];
        for (of_file, is_same_group, expected) in cases {
            assert_eq!(mode(of_file, is_same_group), expected, "{of_file:o}");
        }
    }
}
