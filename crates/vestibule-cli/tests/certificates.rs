//! The options of HTTPS: two kinds of keys, versions, revoked clients, and what is said of certificates.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::clients::{Scratch, until};
use crate::{Running, SITE, curl, text, vestibule};

/// A directory with certificates for `a.test` that sign themselves.
fn certificates(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    for (name, key, days) in [
        ("ec", EC, "90"),
        ("rsa", "-newkey rsa:2048", "90"),
        ("other", EC, "90"),
    ] {
        scratch.openssl(&format!(
            "req -x509 {key} -nodes -days {days} -keyout {name}.key -out {name}.pem -subj /CN={name} -addext subjectAltName=DNS:a.test"
        ));
    }
    scratch
}

/// The value of `--tls`.
fn pair(scratch: &Scratch, name: &str) -> String {
    let path = |end| scratch.path(&format!("{name}.{end}"));
    format!("{},{}", path("pem"), path("key"))
}

/// Returns the error of a program that does not start.
fn refused(options: &[&str]) -> String {
    let output = vestibule(&[&["serve", "-P", "0"], options, &[SITE]].concat())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{options:?}");
    text(&output)
}

#[test]
fn a_client_gets_the_kind_of_key_that_it_can_check() {
    let scratch = certificates("two-kinds");
    let (ec, rsa) = (pair(&scratch, "ec"), pair(&scratch, "rsa"));
    let named = |pair: &str| format!("A.test.={pair}");
    for options in [
        ["--tls", &ec, "--tls", &rsa],
        ["--tls", &named(&ec), "--tls", &format!("a.test={rsa}")],
    ] {
        let site = Running::serve(&[&options[..], &[SITE]].concat());
        let port = site.address.trim_end_matches('/').rsplit(':').next();
        let port = port.unwrap().to_owned();
        for (name, ciphers) in [
            ("ec", "ECDHE-ECDSA-AES128-GCM-SHA256"),
            ("rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
        ] {
            let authority = scratch.path(&format!("{name}.pem"));
            let resolve = format!("a.test:{port}:127.0.0.1");
            let ask = [
                "--tls-max",
                "1.2",
                "--ciphers",
                ciphers,
                "--cacert",
                &authority,
                "--resolve",
                &resolve,
            ];
            let answer = curl(&ask, &format!("https://a.test:{port}/")).unwrap();
            assert!(answer.starts_with("HTTP/2 200 "), "{answer}");
        }
        site.interrupt();
    }
}

#[test]
fn certificates_that_cannot_be_served_are_refused_with_the_reason() {
    let scratch = certificates("refused");
    let (ec, other) = (pair(&scratch, "ec"), pair(&scratch, "other"));
    let of = |name: &str| format!("{name}={ec}");
    let cases: [(&[&str], &str); 13] = [
        (
            &["--tls", &ec, "--tls", &other],
            "ec.pem` has a key of the same kind, ECDSA P-256",
        ),
        (
            &["--tls", &of("a.test"), "--tls", &format!("A.TEST={other}")],
            "ECDSA P-256",
        ),
        (&["--tls", "dev", "--tls", &ec], "remove one of the two"),
        (&["--tls", "dev", "--tls", "dev"], "remove one of the two"),
        (
            &["--tls", "dev", "--tls", &of("a.test:443")],
            "a name has no port",
        ),
        (
            &["--tls", "dev", "--tls", &of("127.0.0.1")],
            "leave the name out",
        ),
        (&["--tls", "dev", "--tls", &of("münchen.test")], "xn--"),
        (&["--tls", "dev", "--tls", &of("a.*.test")], "first label"),
        (
            &[
                "--tls",
                &format!("{},{}", scratch.path("ec.key"), scratch.path("ec.pem")),
            ],
            "ec.key`: line 1: it is a private key",
        ),
        (&["--tls", "dev", "--tls-min", "1.1"], "1.2"),
        (&["--tls-min", "1.3"], "--tls"),
        (&["--tls", "dev", "--client-crl", "crl.pem"], "--client-ca"),
        (&["--tls-keylog", "keys.log"], "--tls"),
    ];
    for (options, part) in cases {
        let said = refused(options);
        assert!(said.contains(part), "{options:?}: {said}");
    }
}

#[test]
fn a_minimum_version_and_a_log_of_keys() {
    let scratch = certificates("minimum");
    let log = scratch.path("keys.log");
    let site = Running::serve(&[
        "--tls",
        "dev",
        "--tls-min",
        "1.3",
        "--tls-keylog",
        &log,
        SITE,
    ]);
    assert!(site.curl(&["--insecure"], "").starts_with("HTTP/2 200 "));
    assert!(curl(&["--insecure", "--tls-max", "1.2"], &site.address).is_err());
    let (_, said) = site.interrupt();
    assert!(
        said.contains("the secrets of ALL connections are written"),
        "{said}"
    );
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("SERVER_TRAFFIC_SECRET_0 ")
    );
}

#[test]
fn the_environment_opens_no_connections() {
    let scratch = certificates("environment");
    let log = scratch.path("keys.log");
    let mut program = vestibule(&["serve", "--listen", "127.0.0.1:0", "--tls", "dev", SITE]);
    let site = Running::start(program.env("SSLKEYLOGFILE", &log));
    assert!(site.curl(&["--insecure"], "").starts_with("HTTP/2 200 "));
    site.interrupt();
    assert!(!Path::new(&log).exists());
}

#[test]
fn certificates_that_visitors_refuse_are_named_at_the_start_and_at_a_reload() {
    let scratch = certificates("warnings");
    // Of another root, without the certificate that comes between.
    scratch.openssl(&format!(
        "req -new {EC} -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf -addext subjectAltName=DNS:b.test"
    ));
    scratch.openssl(
        "x509 -req -in leaf.csr -copy_extensions copy -days 90 -CA other.pem -CAkey other.key -CAcreateserial -out leaf.pem",
    );
    let (ec, leaf) = (pair(&scratch, "ec"), pair(&scratch, "leaf"));
    let site = Running::serve(&["--tls", &ec, "--tls", &format!("c.test={leaf}"), SITE]);
    assert!(site.curl(&["--insecure"], "").starts_with("HTTP/2 200 "));
    // The default one is changed to one without any name.
    scratch.openssl(&format!(
        "req -x509 {EC} -nodes -days 90 -keyout ec.key -out ec.pem -subj /CN=new"
    ));
    let pid = site.child.id().to_string();
    let mut hangup = Command::new("kill");
    assert!(hangup.args(["-HUP", &pid]).status().unwrap().success());
    until("the new certificate is shown", || {
        let authority = scratch.path("ec.pem");
        let connect = site
            .address
            .trim_start_matches("https://")
            .trim_end_matches('/')
            .to_owned();
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &connect, "-CAfile", &authority])
            .stdin(Stdio::null())
            .output()
            .expect("install the Debian package `openssl`");
        text(&output).contains("Verify return code: 0 (ok)")
    });
    let (_, said) = site.interrupt();
    for part in [
        "leaf.pem`, line 1: the certificate is not for `c.test`",
        "leaf.pem`, line 1: the certificate of its issuer `CN=other` does not follow",
        "ec.pem`, line 1: the certificate names no host",
    ] {
        assert_eq!(said.matches(part).count(), 1, "{part}: {said}");
    }
}

const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";
