//! Users without a password file: of the command line and of the environment.

use crate::{Running, SITE, text, vestibule};

const VARIABLE: &str = "VESTIBULE_AUTH";

fn is_let_in(site: &Running, user: &str) -> bool {
    let answer = site.curl(&["-u", user], "");
    let is_asked =
        answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Basic ");
    assert_ne!(answer.starts_with("HTTP/1.1 200 "), is_asked, "{answer}");
    !is_asked
}

#[test]
fn users_of_the_command_line_and_of_the_environment() {
    let known = ["alice:correct:horse", "bob:battery staple"];
    let by_option = ["--auth", known[0], "--auth", known[1], SITE];
    let mut by_variable = vestibule(&["serve", "-P", "0", SITE]);
    by_variable.env(VARIABLE, known.join("\n") + "\n");
    for (site, is_warned) in [
        (Running::serve(&by_option), true),
        (Running::start(&mut by_variable), false),
    ] {
        assert!(site.curl(&[], "").starts_with("HTTP/1.1 401 "));
        assert!(site.curl(&[], "style.css").starts_with("HTTP/1.1 401 "));
        for user in known {
            assert!(is_let_in(&site, user), "{user}");
        }
        for user in ["alice:correct", "alice:battery staple", "bob:", "carol:x"] {
            assert!(!is_let_in(&site, user), "{user}");
        }
        let (log, said) = site.interrupt();
        assert_eq!(said.contains("list of processes"), is_warned, "{said}");
        assert!(!said.contains("readable on the network"), "{said}");
        assert!(said.contains("Authenticate  scheme: Basic"), "{said}");
        assert!(!(log + &said).contains("horse"));
    }
}

#[test]
fn passwords_in_the_clear_are_warned_of() {
    let auth = ["--auth", "a:correct horse"];
    for (places, options, expected) in [
        (&["--listen", ":0"][..], &[][..], true),
        (&["--listen", ":0"], &["--tls", "dev"], false),
        (&["--listen", ":0"], &["--trust-proxy", "10.0.0.0/8"], false),
        (&["-P", "0"], &[], false),
    ] {
        let site = Running::serve_at(places, &[&auth, options, &[SITE][..]].concat());
        let has_network = site.addresses.len() > 1;
        let is_warned = site.welcome.contains("readable on the network");
        assert_eq!(
            is_warned,
            expected && has_network,
            "{options:?}: {}",
            site.welcome
        );
        assert!(site.curl(&["--insecure"], "").contains(" 401 "));
        site.interrupt();
    }
}

#[test]
fn what_is_not_a_user_is_refused_and_not_shown() {
    for (option, variable, why) in [
        (Some("hunter22"), None, "--auth: a name and a password"),
        (Some("alice:"), None, "may not be empty"),
        (Some(":hunter22"), None, "may not be empty"),
        (None, Some(""), "VESTIBULE_AUTH: a name and a password"),
        (
            None,
            Some("alice:hunter22\nbob"),
            "VESTIBULE_AUTH: a name and a password",
        ),
    ] {
        let mut command = vestibule(&["serve", SITE, "-P", "0"]);
        if let Some(value) = option {
            command.args(["--auth", value]);
        }
        if let Some(value) = variable {
            command.env(VARIABLE, value);
        }
        let output = command.output().unwrap();
        let said = text(&output);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(!said.contains("hunter22"), "{said}");
    }
    let mut both = vestibule(&["serve", SITE, "--htpasswd", "users"]);
    let said = text(&both.env(VARIABLE, "a:b").output().unwrap());
    assert!(
        said.contains("VESTIBULE_AUTH has no effect with --htpasswd"),
        "{said}"
    );
}
