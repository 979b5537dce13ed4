//! Apache's `htpasswd`, of the Debian package `apache2-utils`, and ours read each other's files.

use std::path::Path;
use std::process::Command;

use vestibule_auth::{Authenticate, Basic, HashKind, Htpasswd, set_password, set_password_as};

use crate::support::{Scratch, ask, basic, who};

/// Passwords that differ where implementations do: in length around a block, in bytes above 127.
const PASSWORDS: &[&str] = &[
    "x",
    "open sesame",
    "a:b:c",
    "pässwörd €",
    "exactly sixteen!",
    "more than the sixteen bytes of one MD5 block",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
];

fn htpasswd(arguments: &[&str]) -> bool {
    let output = Command::new("htpasswd").args(arguments).output();
    let output = output.expect("Apache's htpasswd: install the Debian package `apache2-utils`");
    output.status.success()
}

fn path(file: &Path) -> &str {
    file.to_str().unwrap()
}

#[tokio::test]
async fn what_apache_writes_we_verify() {
    let scratch = Scratch::new();
    let kinds: [&[&str]; 8] = [
        &["-m"],
        &["-s"],
        &["-B"],
        &["-B", "-C", "7"],
        &["-2"],
        &["-5"],
        &["-2", "-r", "1234"],
        &["-5", "-r", "7000"],
    ];
    let file = scratch.file("users");
    std::fs::write(&file, "").unwrap();
    for (at, kind) in kinds.iter().enumerate() {
        for (n, password) in PASSWORDS.iter().enumerate() {
            let user = format!("user{at}.{n}");
            let mut arguments = vec!["-b"];
            arguments.extend_from_slice(kind);
            arguments.extend([path(&file), &user, password]);
            assert!(htpasswd(&arguments), "{arguments:?}");
        }
    }
    let users = Htpasswd::open(&file).unwrap();
    assert_eq!(users.len(), kinds.len() * PASSWORDS.len());
    let app = Authenticate::new(who, Basic::new(users).lockout(None));
    for (at, kind) in kinds.iter().enumerate() {
        for (n, password) in PASSWORDS.iter().enumerate() {
            let user = format!("user{at}.{n}");
            let answer = ask(&app, basic(&user, password)).await;
            assert_eq!(answer.status(), 200, "{kind:?} {password}");
            let wrong = format!("X{password}");
            let answer = ask(&app, basic(&user, &wrong)).await;
            assert_eq!(answer.status(), 401, "{kind:?} {wrong}");
        }
    }
}

/// Apache does not know argon2; bcrypt is the kind that both know and that is still good.
#[test]
fn what_we_write_apache_verifies() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    for (n, password) in PASSWORDS.iter().enumerate() {
        let user = format!("user{n}");
        let set = set_password_as(HashKind::Bcrypt, &file, &user, password);
        if password.len() > 72 {
            assert!(set.is_err(), "bcrypt would ignore its end");
            continue;
        }
        set.unwrap();
        assert!(
            htpasswd(&["-vb", path(&file), &user, password]),
            "{password}"
        );
        let wrong = format!("X{password}");
        assert!(!htpasswd(&["-vb", path(&file), &user, &wrong]), "{wrong}");
    }
    assert!(set_password_as(HashKind::Sha1, &file, "user", "password").is_err());
}

/// Apache's own verifier (`-v`) knows what it writes, and our program keeps its lines byte for byte.
#[test]
fn what_we_rewrite_apache_verifies() {
    let scratch = Scratch::new();
    let file = scratch.file("users");
    for (user, kind) in [
        ("md5", "-m"),
        ("bcrypt", "-B"),
        ("sha", "-s"),
        ("sha512", "-5"),
    ] {
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .unwrap();
        assert!(htpasswd(&["-b", kind, path(&file), user, "open sesame"]));
    }
    set_password(&file, "ours", "correct horse battery").unwrap();
    for user in ["md5", "bcrypt", "sha", "sha512"] {
        assert!(
            htpasswd(&["-vb", path(&file), user, "open sesame"]),
            "{user}"
        );
        assert!(
            !htpasswd(&["-vb", path(&file), user, "close sesame"]),
            "{user}"
        );
    }
    assert!(!htpasswd(&["-vb", path(&file), "ours", "wrong"]));
    assert!(
        htpasswd(&["-D", path(&file), "ours"]),
        "Apache edits our file"
    );
}
