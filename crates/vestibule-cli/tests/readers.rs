//! Programs that read what ours writes: promtool the metrics, fail2ban the log and the events; and the time zone of
//! both.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::{Running, SITE, Scratch, text, vestibule};

/// Runs a program with `input`; gives what it printed.
fn run(program: &str, arguments: &[&str], input: &str, package: &str) -> String {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|_| panic!("install the Debian package `{package}`"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{input}", text(&output));
    text(&output)
}

#[test]
fn promtool_finds_nothing_to_say_of_any_labels() {
    for labels in [None, Some("classes"), Some("exact"), Some("opentelemetry")] {
        let mut options = vec!["--metrics", "--no-log", "--tls", "dev", SITE];
        options.extend(labels.into_iter().flat_map(|it| ["--metrics-labels", it]));
        let site = Running::serve(&options);
        let insecure = &["--insecure", "--http1.1"][..];
        for path in ["", "style.css", "no/such/file?q=\"", "rooms"] {
            site.curl(insecure, path);
        }
        site.curl(&["--insecure"], "");
        site.curl(&["--insecure", "-X", "PURGE"], "");
        // One that fails in TLS.
        let plain = site.address.replace("https://", "http://");
        let _ = crate::curl(&[], &plain);
        let page = site.curl(insecure, "-/metrics");
        let (_, page) = page.split_once("\r\n\r\n").unwrap();
        assert!(page.contains("http_server_requests_total{"), "{page}");
        let said = run("promtool", &["check", "metrics"], page, "prometheus");
        assert_eq!(said, "", "{labels:?}");
        site.interrupt();
    }
}

/// The filters of the README find the guesser, and no other client, in both logs.
#[test]
fn fail2ban_finds_guessers_in_the_log_and_in_the_events() {
    let scratch = Scratch::new("fail2ban");
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.unwrap();
    let filters: Vec<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("failregex = "))
        .collect();
    let [by_log, by_events] = filters[..] else {
        panic!("{filters:?}")
    };
    for zone in ["utc", "local", "+05:30"] {
        let site = Running::start(
            vestibule(&["serve", "-P", "0", "--auth", "ann:correct horse"])
                .args(["--log-time", zone, SITE])
                .env("TZ", "America/St_Johns"),
        );
        for user in [
            "ann:wrong",
            "bob of [x]:wrong",
            "1.2.3.4 \"GET:wrong",
            "ann:",
        ] {
            assert!(site.curl(&["-u", user], "").starts_with("HTTP/1.1 401 "));
        }
        site.curl(&[], "");
        assert!(
            site.curl(&["-u", "ann:correct horse"], "")
                .starts_with("HTTP/1.1 200 ")
        );
        let (log, events) = site.interrupt();
        for (name, lines, filter) in [("access", log, by_log), ("events", events, by_events)] {
            scratch.write(name, &lines);
            let file = format!("{}/{name}", scratch.path());
            let found = run(
                "fail2ban-regex",
                &["--out", "ip", &file, filter],
                "",
                "fail2ban",
            );
            assert_eq!(found, "127.0.0.1\n".repeat(4), "{zone} {name}\n{lines}");
            // It knows the time of every line that it found.
            let said = run(
                "fail2ban-regex",
                &["--verbose", &file, filter],
                "",
                "fail2ban",
            );
            assert!(said.contains("Failregex: 4 total"), "{zone} {name}\n{said}");
        }
    }
}

#[test]
fn log_and_events_have_the_time_zone_that_is_asked_for() {
    // The option, the variable TZ, the offset in the log, and the end of a time in the events.
    let cases = [
        (None, "Asia/Kathmandu", "+0000] ", "Z"),
        (Some("utc"), "Asia/Kathmandu", "+0000] ", "Z"),
        (Some("local"), "Asia/Kathmandu", "+0545] ", "+05:45"),
        (Some("local"), "<+07>-7", "+0700] ", "+07:00"),
        (Some("local"), "", "+0000] ", "+00:00"),
        (Some("Asia/Tokyo"), "Asia/Kathmandu", "+0900] ", "+09:00"),
        (Some("-03:30"), "No/Such", "-0330] ", "-03:30"),
    ];
    for (option, variable, in_log, in_events) in cases {
        let option: Vec<_> = option.iter().flat_map(|it| ["--log-time", it]).collect();
        let mut command = vestibule(&[&["serve", "-P", "0"], &option[..], &[SITE]].concat());
        let site = Running::start(command.env("TZ", variable));
        site.curl(&[], "");
        let (log, events) = site.interrupt();
        assert!(log.contains(in_log), "{option:?} {variable}: {log}");
        let listening = events
            .lines()
            .find(|line| line.contains(" listening "))
            .unwrap();
        let time = listening.split_whitespace().next().unwrap();
        assert!(time.ends_with(in_events), "{option:?} {variable}: {events}");
    }
    for (zone, variable, why) in [
        ("Mars/Olympus", "UTC", "is not local, utc, an offset"),
        ("+25:00", "UTC", "is not an offset up to 14 hours"),
        ("local", "No/Such", "set TZ to one of /usr/share/zoneinfo"),
    ] {
        let mut command = vestibule(&["serve", SITE, "--log-time", zone]);
        let output = command.env("TZ", variable).output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
