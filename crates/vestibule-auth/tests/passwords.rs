//! Password files as they are written.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use vestibule_auth::{Authenticate, Basic, Change, Htpasswd, set_password};

use crate::support::{Scratch, ask, basic, who};

#[tokio::test]
async fn what_is_written_is_read() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    assert_eq!(
        set_password(&file, "alice", "correct horse").unwrap(),
        Change::Created
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        set_password(&file, "bób", "pässwörd").unwrap(),
        Change::Added
    );
    assert_eq!(
        set_password(&file, "alice", "battery staple").unwrap(),
        Change::Replaced
    );
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.matches("$argon2id$v=19$").count(), 2);
    let app = Authenticate::new(who, Basic::new(Htpasswd::open(&file).unwrap()));
    assert_eq!(
        ask(&app, basic("alice", "battery staple")).await.status(),
        200
    );
    assert_eq!(
        ask(&app, basic("alice", "correct horse")).await.status(),
        401
    );
    assert_eq!(ask(&app, basic("bób", "pässwörd")).await.status(), 200);
    assert_eq!(
        fs::read_dir(file.parent().unwrap()).unwrap().count(),
        1,
        "no lock is left"
    );
}

#[test]
fn an_old_file_keeps_its_group_and_loses_the_rights_of_others() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    fs::write(&file, "# ours\n").unwrap();
    for (mode, expected) in [(0o666, 0o640), (0o640, 0o640), (0o400, 0o600)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let old = fs::File::open(&file).unwrap();
        set_password(&file, "alice", "correct horse").unwrap();
        assert_eq!(
            old.metadata().unwrap().nlink(),
            0,
            "it is replaced, not rewritten"
        );
        let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, expected);
    }
}

#[test]
fn a_link_stays_a_link() {
    let scratch = Scratch::new();
    let (file, link) = (scratch.file("users"), scratch.file("link"));
    fs::write(&file, "").unwrap();
    symlink(&file, &link).unwrap();
    set_password(&link, "alice", "correct horse").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&file).unwrap().starts_with("alice:"));
}

#[test]
fn two_changes_at_once_are_one_and_an_error() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    fs::write(&file, "bob:x\n").unwrap();
    fs::write(scratch.file("users.lock"), "").unwrap();
    let error = set_password(&file, "alice", "correct horse").unwrap_err();
    assert!(
        error.to_string().contains("another change is under way"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "bob:x\n");
    assert!(
        scratch.file("users.lock").exists(),
        "it is not ours to remove"
    );
}

#[test]
fn what_cannot_be_written_leaves_all_as_it_was() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    for (user, password) in [("a:b", "x"), ("", "x"), ("a", ""), ("a", "x\ny")] {
        assert!(set_password(&file, user, password).is_err());
    }
    assert!(set_password(scratch.file("no/users"), "a", "x").is_err());
    assert!(!file.exists());
}

#[test]
fn files_that_cannot_be_used() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    assert!(Htpasswd::open(&file).is_err());
    fs::write(&file, "alice:plain\n").unwrap();
    let error = Htpasswd::open(&file).unwrap_err().to_string();
    assert!(error.ends_with("has no line that can be used"), "{error}");
    fs::write(&file, "").unwrap();
    assert!(Htpasswd::open(&file).unwrap().is_empty());
}
