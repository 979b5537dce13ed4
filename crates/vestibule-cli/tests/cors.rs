//! `--cors`, asked by curl in both versions as a browser asks.

use super::{Running, SITE, text, vestibule};

const BOTH: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

/// The lines of a head that say something of origins, sorted.
fn lines_of_origins(head: &str) -> Vec<&str> {
    let is_wanted = |line: &&str| line.starts_with("access-control-") || line.contains("origin");
    let mut lines: Vec<_> = head.lines().filter(is_wanted).collect();
    lines.sort_unstable();
    lines
}

fn status(head: &str) -> &str {
    head.split_whitespace().nth(1).unwrap()
}

#[test]
fn every_answer_may_be_read_by_any_origin() {
    let site = Running::serve(&[SITE, "--cors", "--no-log"]);
    let open = [
        "access-control-allow-origin: *",
        "access-control-expose-headers: *",
    ];
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "", "200"),
        (&["-I"], "", "200"),
        (&["-H", "origin: https://map.example"], "", "200"),
        (&["-H", "origin: null"], "tiles/0/0/0.png", "404"),
        (&["-H", "range: bytes=0-9"], "index.html", "206"),
        (&["-H", "range: bytes=999999-"], "index.html", "416"),
        (&["-H", "if-none-match: *"], "index.html", "304"),
        (&["-H", "if-match: \"none\""], "index.html", "412"),
        (&["-X", "POST"], "", "405"),
        (&["-X", "OPTIONS"], "", "204"),
        (&["--path-as-is"], "a/%2e%2e/../../b", "400"),
    ];
    for version in BOTH {
        for (arguments, path, want) in cases {
            let answer = site.curl(&[&[version], *arguments].concat(), path);
            assert_eq!(status(&answer), *want, "{version} {path}: {answer}");
            assert_eq!(
                lines_of_origins(&answer),
                open,
                "{version} {path} {arguments:?}"
            );
        }
    }
}

#[test]
fn a_preflight_is_answered_before_a_password_is_asked_for() {
    let users = std::env::temp_dir().join(format!("vestibule-cors-{}", std::process::id()));
    std::fs::write(
        &users,
        "ada:$2y$04$abcdefghijklmnopqrstuuWqhu6dLP0zA1Ps1Sf3jUqkS2oNvDpIa\n",
    )
    .unwrap();
    let users = users.to_str().unwrap();
    let site = Running::serve(&[SITE, "--cors=https://a.example", "--htpasswd", users]);
    let ask = "access-control-request-method: GET";
    let cases: &[(&[&str], &str, Option<&str>)] = &[
        (
            &["origin: https://a.example", ask],
            "204",
            Some("https://a.example"),
        ),
        (
            &[
                "origin: https://a.example",
                ask,
                "access-control-request-headers: range,authorization",
            ],
            "204",
            Some("https://a.example"),
        ),
        (&["origin: https://b.example", ask], "403", None),
        (&["origin: https://a.example:443", ask], "403", None),
        (&["origin: null", ask], "403", None),
        (
            &[
                "origin: https://a.example",
                "access-control-request-method: DELETE",
            ],
            "403",
            None,
        ),
        (
            &[
                "origin: https://a.example",
                "access-control-request-method: get",
            ],
            "403",
            None,
        ),
        // These ask for no permission.
        (
            &["origin: https://a.example"],
            "401",
            Some("https://a.example"),
        ),
        (&[ask], "401", None),
    ];
    for version in BOTH {
        for (headers, want, allowed) in cases {
            let mut arguments = vec![version, "-X", "OPTIONS"];
            for header in *headers {
                arguments.extend(["-H", header]);
            }
            let answer = site.curl(&arguments, "");
            assert_eq!(status(&answer), *want, "{version} {headers:?}: {answer}");
            let found = answer
                .lines()
                .find_map(|line| line.strip_prefix("access-control-allow-origin: "));
            assert_eq!(found, *allowed, "{version} {headers:?}");
            let varies = answer.lines().any(|line| line.starts_with("vary: origin"));
            assert!(varies, "{version} {headers:?}: {answer}");
            assert!(!answer.contains("access-control-allow-credentials"));
        }
    }
    std::fs::remove_file(users).unwrap();
}

#[test]
fn an_origin_that_could_match_nothing_is_refused_with_its_fix() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["--cors=https://a.example/"],
            "write it as browsers send it: https://a.example",
        ),
        (
            &["--cors=https://A.example"],
            "write it as browsers send it: https://a.example",
        ),
        (
            &["--cors=https://a.example:443"],
            "write it as browsers send it: https://a.example",
        ),
        (
            &["--cors=https://*.example"],
            "repeat the option for each origin",
        ),
        (&["--cors=a.example"], "scheme://host[:port]"),
        (&["--cors=null"], "scheme://host[:port]"),
        (
            &["--cors", "--cors=https://a.example"],
            "leave it out, or the other origins",
        ),
    ];
    for (arguments, want) in cases {
        let output = vestibule(&[&["serve", SITE], *arguments].concat())
            .output()
            .unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            text(&output).contains(want),
            "{arguments:?}: {}",
            text(&output)
        );
    }
}
