//! Where the program listens, which addresses it names, and which browser it opens.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Running, SITE, Scratch, curl, text, vestibule};

fn port(address: &str) -> u16 {
    let address = address.trim_end_matches('/');
    address.rsplit(':').next().unwrap().parse().unwrap()
}

/// Runs the program, which refuses the options, and returns its message.
fn refusal(arguments: &[&str]) -> String {
    let output = vestibule(&[&["serve", SITE], arguments].concat())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    text(&output)
}

#[test]
fn a_port_is_one_of_loopback() {
    for option in [&["-P", "0"][..], &["--port", "0"], &["--port=0"], &["-P0"]] {
        let site = Running::serve_at(option, &[SITE]);
        assert!(
            site.address.starts_with("http://127.0.0.1:"),
            "{}",
            site.address
        );
        assert_eq!(site.addresses.len(), 1);
        assert!(site.curl(&[], "").starts_with("HTTP/1.1 200 "));
        site.interrupt();
    }
    let said = refusal(&["-P", "80", "--listen", ":80"]);
    assert!(said.contains("cannot be used with"), "{said}");
    let said = refusal(&["--listen", "8080"]);
    assert!(
        said.contains("--port 8080") && said.contains("--listen :8080"),
        "{said}"
    );
}

#[test]
fn all_interfaces_are_reached_and_named() {
    for (place, has_v6) in [(":0", true), ("0.0.0.0:0", false)] {
        let site = Running::serve_at(&["--listen", place], &[SITE]);
        assert!(
            site.address.starts_with("http://127.0.0.1:"),
            "{place}: {}",
            site.address
        );
        for address in &site.addresses {
            assert!(
                curl(&[], address).unwrap().starts_with("HTTP/1.1 200 "),
                "{address}"
            );
            assert!(
                !address.contains("0.0.0.0") && !address.contains("[::]"),
                "{address}"
            );
        }
        let port = port(&site.address);
        if TcpListener::bind("[::1]:0").is_ok() {
            let by_v6 = curl(&[], &format!("http://[::1]:{port}/"));
            assert_eq!(by_v6.is_ok(), has_v6, "{place}");
        }
        let (log, _) = site.interrupt();
        // A client that came by IPv4 is logged so.
        assert!(log.starts_with("127.0.0.1 - - ["), "{log}");
    }
}

#[test]
fn both_unspecified_addresses_are_asked_for_in_any_order() {
    for (first, second) in [("0.0.0.0", "[::]"), ("[::]", "0.0.0.0")] {
        for more in [&[][..], &["--workers", "2"]] {
            // A port that was free a moment ago may be another's now: then there is a next one.
            let site = (0..20).find_map(|_| {
                let probe = TcpListener::bind("[::]:0").expect("the tests need IPv6");
                let port = probe.local_addr().unwrap().port();
                drop(probe);
                let places = [format!("{first}:{port}"), format!("{second}:{port}")];
                let listen = ["--listen", &places[0], "--listen", &places[1]];
                let site = std::panic::catch_unwind(|| {
                    Running::serve_at(&[&listen[..], more].concat(), &[SITE])
                });
                site.ok().map(|site| (site, port))
            });
            let (site, port) = site.expect("no port is free");
            for ip in ["127.0.0.1", "[::1]"] {
                let answer = curl(&[], &format!("http://{ip}:{port}/")).unwrap();
                assert!(answer.starts_with("HTTP/1.1 200 "), "{ip}: {answer}");
            }
            // Each address is named once.
            let mut named = site.addresses.clone();
            named.sort();
            named.dedup();
            assert_eq!(named.len(), site.addresses.len(), "{:?}", site.addresses);
            assert!(named.contains(&format!("http://127.0.0.1:{port}/")));
            assert!(named.contains(&format!("http://[::1]:{port}/")));
            site.interrupt();
        }
    }
}

#[test]
fn https_redirects_know_the_port_of_all_interfaces() {
    let site = Running::serve_at(
        &["--listen", ":0", "--redirect-https", "127.0.0.1:0"],
        &["--tls", "dev", SITE],
    );
    let http = site.addresses.last().unwrap();
    let answer = curl(&[], http).unwrap();
    let location = format!("location: https://127.0.0.1:{}/\r\n", port(&site.address));
    assert!(answer.contains(&location), "{answer}");
    site.interrupt();
}

#[test]
fn https_redirects_go_to_the_port_that_the_world_sees() {
    let site = Running::serve_at(
        &["--listen", ":0", "--redirect-https", "127.0.0.1:0"],
        &["--tls", "dev", "--https-port", "8443", SITE],
    );
    let answer = curl(&[], site.addresses.last().unwrap()).unwrap();
    let location = "location: https://127.0.0.1:8443/\r\n";
    assert!(answer.contains(location), "{answer}");
    site.interrupt();
    let said = refusal(&["--https-port", "8443"]);
    assert!(said.contains("--redirect-https"), "{said}");
}

#[test]
fn an_abstract_socket_has_a_name_and_no_mode() {
    let name = format!("vestibule-test-{}", std::process::id());
    let place = format!("unix:@{name}");
    let site = Running::serve_at(&["--listen", &place], &["--trust-proxy", "unix", SITE]);
    assert_eq!(site.address, place);
    let ask = ["--abstract-unix-socket", &*name];
    let answer = curl(&ask, "http://a/").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let said = refusal(&["--listen", &place]);
    assert!(said.contains("another process has this name"), "{said}");
    site.interrupt();
    let said = refusal(&["--listen", &place, "--socket-mode", "660"]);
    assert!(said.contains("has no mode"), "{said}");
    let said = refusal(&["--listen", "unix:@"]);
    assert!(said.contains("a name follows"), "{said}");
}

/// Two sockets of a service manager, as descriptors 3 and 4, with their names.
#[test]
fn inherited_sockets_are_taken_by_their_names() {
    let sockets = [0, 1].map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [web, plain] = sockets.each_ref().map(|it| it.local_addr().unwrap());
    let [web_socket, plain_socket] = sockets.map(std::os::fd::OwnedFd::from);
    let script = "LISTEN_FDS=2 LISTEN_PID=$$ LISTEN_FDNAMES=plain:web exec \"$0\" serve \"$@\" 3<&1 4<&0 </dev/null >/dev/null";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_vestibule")])
        .args([
            "--listen",
            "inherited:web",
            "--redirect-https",
            "inherited:plain",
        ])
        .args(["--tls", "dev", "--https-port", "8443", SITE])
        .stdin(web_socket)
        .stdout(plain_socket)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // They wait in the queues until the program is there.
    let secure = curl(&["-k"], &format!("https://{web}/"));
    let sent_on = curl(&[], &format!("http://{plain}/"));
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
    assert!(secure.unwrap().starts_with("HTTP/"));
    let sent_on = sent_on.unwrap();
    assert!(
        sent_on.contains("location: https://127.0.0.1:8443/"),
        "{sent_on}"
    );
    let said = refusal(&["--listen", "inherited:web"]);
    assert!(said.contains("no sockets are inherited"), "{said}");
}

#[test]
fn a_port_that_is_taken_names_the_option_that_helps() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let listen = format!("127.0.0.1:{port}");
    for (options, helps) in [
        (&["-P", &*port][..], "`-P 0`"),
        (&["--listen", &*listen], "`--listen 127.0.0.1:0`"),
        (&["--listen", &*format!(":{port}")], "`--listen :0`"),
        (
            &["-P", "0", "--tls", "dev", "--redirect-https", &*listen],
            "`--redirect-https 127.0.0.1:0`",
        ),
    ] {
        let said = refusal(options);
        assert!(said.contains("another process listens there"), "{said}");
        assert!(said.contains(helps), "{options:?}: {said}");
    }
}

#[test]
fn a_phone_gets_the_address_as_a_code() {
    let site = Running::serve_at(&["--listen", ":0", "--qr"], &[SITE]);
    let has_network = site.addresses.len() > 1;
    assert!(site.curl(&[], "").starts_with("HTTP/1.1 200 "));
    let (_, said) = site.interrupt();
    match has_network {
        true => assert!(said.contains('█'), "{said}"),
        false => assert!(said.contains("no address on a network"), "{said}"),
    }
}

/// A directory with a program that writes its arguments to a file, for `PATH`.
struct Openers {
    scratch: Scratch,
}

impl Openers {
    fn new(name: &str, programs: &[(&str, &str)]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new(name);
        for (program, script) in programs {
            scratch.write(program, &format!("#!/bin/sh\n{script}\n"));
            let path = Path::new(scratch.path()).join(program);
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { scratch }
    }

    fn opened(&self) -> PathBuf {
        Path::new(self.scratch.path()).join("opened")
    }

    /// Starts the program with these openers in `PATH`.
    fn serve(&self, browser: Option<&str>, arguments: &[&str]) -> Running {
        let mut command = vestibule(&[&["serve", "-P", "0", "--open"], arguments].concat());
        let path = format!("{}:{}", self.scratch.path(), std::env::var("PATH").unwrap());
        command
            .env("PATH", path)
            .env_remove("BROWSER")
            .env("OPENED", self.opened());
        if let Some(browser) = browser {
            command.env("BROWSER", browser);
        }
        Running::start(&mut command)
    }

    /// Waits for what an opener writes.
    fn wait(&self) -> String {
        let begun = Instant::now();
        loop {
            match std::fs::read_to_string(self.opened()) {
                Ok(text) if text.ends_with('\n') => return text,
                _ => assert!(
                    begun.elapsed() < Duration::from_secs(20),
                    "nothing was opened"
                ),
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_browser_is_opened_at_the_address() {
    let script = r#"echo "${0##*/} $*$VESTIBULE_AUTH" >> "$OPENED""#;
    for (name, browser, want) in [
        ("system", None, "xdg-open URL\n"),
        ("own", Some("firefox"), "firefox URL\n"),
        ("place", Some("firefox --new %s"), "firefox --new URL\n"),
        ("second", Some("no-such-browser:firefox"), "firefox URL\n"),
        ("none", Some("no-such-browser"), "xdg-open URL\n"),
    ] {
        let programs = [("xdg-open", script), ("firefox", script)];
        let openers = Openers::new(&format!("open-{name}"), &programs);
        let site = openers.serve(browser, &[SITE]);
        let opened = openers.wait();
        assert_eq!(opened, want.replace("URL", &site.address), "{name}");
        assert!(site.curl(&[], "").starts_with("HTTP/1.1 200 "));
        site.interrupt();
    }
}

#[test]
fn an_opener_that_fails_is_one_line_and_no_end() {
    let openers = Openers::new(
        "open-fails",
        &[("xdg-open", "echo x > \"$OPENED\"; exit 3")],
    );
    let site = openers.serve(None, &[SITE]);
    openers.wait();
    assert!(site.curl(&[], "").starts_with("HTTP/1.1 200 "));
    let mut said = String::new();
    let mut site = site;
    while !said.starts_with("vestibule: ") {
        said.clear();
        std::io::BufRead::read_line(&mut site.stderr, &mut said).unwrap();
    }
    assert!(
        said.starts_with("vestibule: cannot open a browser: `xdg-open`: exit status: 3"),
        "{said}"
    );
    assert!(said.contains(&site.address), "{said}");
    site.interrupt();
}

#[test]
fn a_restart_opens_no_second_browser() {
    let script = r#"echo "$*" >> "$OPENED""#;
    let openers = Openers::new("open-restart", &[("xdg-open", script)]);
    let mut site = openers.serve(None, &[SITE]);
    let first = openers.wait();
    let pid = site.child.id();
    let sent = Command::new("kill")
        .args(["-USR2", &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
    let next = loop {
        let children = format!("/proc/{pid}/task/{pid}/children");
        match std::fs::read_to_string(children) {
            Ok(text) if !text.trim().is_empty() => break text.trim().to_owned(),
            Ok(_) => std::thread::yield_now(),
            Err(error) => panic!("the first process ended before it had a successor: {error}"),
        }
    };
    assert!(site.child.wait().unwrap().success());
    // The next process has said its welcome by now, and serves.
    assert!(site.curl(&[], "").starts_with("HTTP/1.1 200 "));
    drop(TcpStream::connect(("127.0.0.1", port(&site.address))));
    assert_eq!(std::fs::read_to_string(openers.opened()).unwrap(), first);
    let ended = Command::new("kill")
        .args(["-KILL", &next])
        .status()
        .unwrap();
    assert!(ended.success());
}
