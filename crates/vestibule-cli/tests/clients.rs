//! The program's flags for the network, and clients that other people wrote.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Running, SITE, curl};

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("vestibule-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&place);
        std::fs::create_dir(&place).unwrap();
        Self(place)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(&self.0)
            .output()
            .expect("openssl makes certificates: install the Debian package `openssl`");
        assert!(output.status.success(), "{}", crate::text(&output));
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a program prints.
fn output(program: &str, arguments: &[&str], package: &str) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|_| panic!("install the package `{package}`"));
    assert!(output.status.success(), "{}", crate::text(&output));
    crate::text(&output)
}

fn python(program: &str, arguments: &[&str], package: &str) -> String {
    output("python3", &[&["-c", program], arguments].concat(), package)
}

pub(crate) fn until(what: &str, is_true: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn curl_by_every_way() {
    let scratch = Scratch::new("ways");
    let socket = scratch.path("s");
    let site = Running::serve_at(
        &[
            "--listen",
            "127.0.0.1:0",
            "--listen",
            &format!("unix:{socket}"),
        ],
        &["--workers", "2", SITE],
    );
    assert!(site.curl(&["--http1.0"], "").starts_with("HTTP/1.0 200 "));
    assert!(site.curl(&["--http1.1"], "").starts_with("HTTP/1.1 200 "));
    // It asks to change to HTTP/2, which is history (RFC 9113, section 3.1), and is answered as it is.
    assert!(site.curl(&["--http2"], "").starts_with("HTTP/1.1 200 "));
    assert!(
        site.curl(&["--http2-prior-knowledge"], "")
            .starts_with("HTTP/2 200 ")
    );
    let by_socket = curl(&["--unix-socket", &socket], "http://localhost/").unwrap();
    assert!(by_socket.starts_with("HTTP/1.1 200 "), "{by_socket}");
    assert_eq!(site.addresses[1], format!("unix:{socket}"));
    site.interrupt();
    assert!(!Path::new(&socket).exists());

    let site = Running::serve(&["--tls", "dev", SITE]);
    assert!(site.address.starts_with("https://"), "{}", site.address);
    assert!(
        site.curl(&["--insecure", "--http1.1"], "")
            .starts_with("HTTP/1.1 200 ")
    );
    assert!(site.curl(&["--insecure"], "").starts_with("HTTP/2 200 "));
    assert!(
        site.curl(&["--insecure", "--tls-max", "1.2"], "")
            .starts_with("HTTP/2 200 ")
    );
    let error = curl(&[], &site.address).unwrap_err();
    assert!(error.contains("self-signed certificate"), "{error}");
    site.interrupt();
}

#[test]
fn visitors_in_the_clear_are_sent_on() {
    let site = Running::serve(&["--tls", "dev", "--redirect-https", "127.0.0.1:0", SITE]);
    let [https, http] = &site.addresses[..] else {
        panic!("{:?}", site.addresses)
    };
    let answer = curl(&[], &format!("{http}rooms/?a=%20")).unwrap();
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    assert!(
        answer.contains(&format!("location: {https}rooms/?a=%20\r\n")),
        "{answer}"
    );
    let followed = curl(&["--insecure", "--location"], http).unwrap();
    assert!(
        followed.contains("HTTP/2 200 ") && followed.contains("<h1>"),
        "{followed}"
    );
    let (log, _) = site.interrupt();
    assert!(log.contains("\"GET /rooms/?a=%20 HTTP/1.1\" 308 "), "{log}");
}

#[test]
fn certificates_for_names_and_for_clients() {
    let scratch = Scratch::new("certificates");
    for name in ["a", "b"] {
        scratch.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout {name}.key -out {name}.pem -subj /CN={name}.test -addext subjectAltName=DNS:{name}.test"
        ));
    }
    let pair = |name: &str| {
        format!(
            "{},{}",
            scratch.path(&format!("{name}.pem")),
            scratch.path(&format!("{name}.key"))
        )
    };
    let named = format!("b.test={}", pair("b"));
    let site = Running::serve(&["--tls", &pair("a"), "--tls", &named, SITE]);
    let port = site
        .address
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    let ask = |name: &str, arguments: &[&str]| {
        let resolve = format!("{name}.test:{port}:127.0.0.1");
        let authority = scratch.path(&format!("{name}.pem"));
        let known = ["--resolve", &resolve, "--cacert", &authority];
        curl(
            &[&known, arguments].concat(),
            &format!("https://{name}.test:{port}/"),
        )
    };
    for name in ["a", "b"] {
        assert!(ask(name, &[]).unwrap().starts_with("HTTP/2 200 "));
    }
    // The certificate is another one after SIGHUP, and the process the same.
    let old = std::fs::read(scratch.path("a.pem")).unwrap();
    scratch.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -keyout a.key -out a.pem -subj /CN=a.test -addext subjectAltName=DNS:a.test");
    assert_ne!(old, std::fs::read(scratch.path("a.pem")).unwrap());
    assert!(ask("a", &[]).is_err());
    let pid = site.child.id().to_string();
    output("kill", &["-HUP", &pid], "procps");
    until("the new certificate is shown", || ask("a", &[]).is_ok());
    site.interrupt();

    // Of clients, `b` is an authority, and `c` is known to it.
    scratch.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout c.key -out c.csr -subj /CN=c -addext subjectAltName=DNS:c.test");
    scratch
        .openssl("x509 -req -in c.csr -copy_extensions copy -days 2 -CA b.pem -CAkey b.key -CAcreateserial -out c.pem");
    let authority = scratch.path("b.pem");
    let site = Running::serve(&["--tls", "dev", "--client-ca", &authority, SITE]);
    let (certificate, key) = (scratch.path("c.pem"), scratch.path("c.key"));
    let own = ["--insecure", "--cert", &certificate, "--key", &key];
    assert!(site.curl(&own, "").starts_with("HTTP/2 200 "));
    assert!(curl(&["--insecure"], &site.address).is_err());
    let (certificate, key) = (scratch.path("a.pem"), scratch.path("a.key"));
    let strange = ["--insecure", "--cert", &certificate, "--key", &key];
    assert!(curl(&strange, &site.address).is_err());
    site.interrupt();
}

#[test]
fn h2load_by_https_and_in_the_clear() {
    for tls in [&["--tls", "dev"][..], &[]] {
        let site = Running::serve(&[tls, &[SITE]].concat());
        let said = output(
            "h2load",
            &[
                "--requests=400",
                "--clients=8",
                "--max-concurrent-streams=10",
                &site.address,
            ],
            "nghttp2-client (Debian)",
        );
        assert!(
            said.contains("400 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{said}"
        );
        assert!(said.contains("400 2xx"), "{said}");
        site.interrupt();
    }
}

#[test]
fn pythons_clients() {
    let site = Running::serve(&["--tls", "dev", SITE]);
    let standard = "
import http.client, ssl, sys
host = sys.argv[1].split('/')[2]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection(host, context=context, timeout=20)
for _ in range(3):  # on one connection
    connection.request('GET', '/')
    response = connection.getresponse()
    body = response.read()
    print(response.status, response.version, len(body) == int(response.headers['content-length']))
";
    let said = python(standard, &[&site.address], "python3");
    assert_eq!(said, "200 11 True\n".repeat(3));
    let httpx = "
import httpx, sys
for http2 in (False, True):
    with httpx.Client(http2=http2, verify=False, timeout=20) as client:
        answers = [client.get(sys.argv[1]) for _ in range(3)]
        print({(it.status_code, it.http_version, '<h1>' in it.text) for it in answers})
";
    let said = python(httpx, &[&site.address], "httpx[http2] (pip)");
    assert_eq!(said, "{(200, 'HTTP/1.1', True)}\n{(200, 'HTTP/2', True)}\n");
    site.interrupt();
}

#[test]
fn chromium_by_https() {
    let profile = Scratch::new("chromium");
    let site = Running::serve(&["--tls", "dev", SITE]);
    let page = output(
        "chromium",
        &[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--ignore-certificate-errors",
            "--virtual-time-budget=4000",
            &format!("--user-data-dir={}", profile.0.display()),
            "--dump-dom",
            &site.address,
        ],
        "chromium (Debian)",
    );
    assert!(page.contains("<h1>The Vestibule</h1>"), "{page}");
    let (log, _) = site.interrupt();
    assert!(log.contains("\"GET / HTTP/2.0\" 200 "), "{log}");
    assert!(log.contains("\"GET /style.css HTTP/2.0\" 200 "), "{log}");
}

#[test]
fn the_proxy_protocol_from_a_network() {
    let site = Running::serve(&["--proxy-protocol", "127.0.0.0/8", SITE]);
    assert!(
        site.curl(&["--haproxy-protocol"], "")
            .starts_with("HTTP/1.1 200 ")
    );
    // It has to come.
    assert!(curl(&[], &site.address).is_err());
    let host = site.address.split('/').nth(2).unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = "PROXY TCP4 192.0.2.7 192.0.2.9 4711 80\r\nGET / HTTP/1.0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    let (log, _) = site.interrupt();
    assert!(log.contains("192.0.2.7 - - ["), "{log}");
}

/// What the guard refuses is in the access log, with the rest; and its reason is an event, at most once a
/// second.
#[test]
fn refusals_are_seen() {
    let site = Running::serve(&[SITE]);
    let host = site.address.split('/').nth(2).unwrap().to_owned();
    let send = |request: &str| {
        let mut stream = TcpStream::connect(&host).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    };
    assert!(send("GET /a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let two = "GET /b HTTP/1.1\r\nHost: a\r\nHost: b\r\nUser-Agent: two\r\n\r\n";
    assert!(send(two).starts_with("HTTP/1.1 400 "));
    assert!(send("no request at all\r\n\r\n").starts_with("HTTP/1.1 400 "));
    let (log, said) = site.interrupt();
    let line = |text: &str| {
        log.lines()
            .any(|line| line.starts_with("127.0.0.1 - - [") && line.contains(text))
    };
    assert!(line("\"GET /a HTTP/1.1\" 400 "), "{log}");
    assert!(line("\"GET /b HTTP/1.1\" 400 ") && line("\"two\""), "{log}");
    assert!(said.contains("refused a request: no Host"), "{said}");
    // The parser answered this one before anybody else could.
    assert!(
        said.contains("refused a client that does not speak HTTP"),
        "{said}"
    );
    assert!(said.contains("peer=127.0.0.1:"), "{said}");
}

#[test]
fn a_restart_by_signal_keeps_the_address() {
    let site = Running::serve(&["--ready", SITE]);
    assert!(site.curl(&[], "-/ready").starts_with("HTTP/1.1 200 "));
    let mut kept = TcpStream::connect(site.address.split('/').nth(2).unwrap()).unwrap();
    kept.write_all(b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    kept.read_exact(&mut [0; 100]).unwrap();
    let first = site.child.id();
    output("kill", &["-USR2", &first.to_string()], "procps");
    // Its child is the process that serves now.
    let children = format!("/proc/{first}/task/{first}/children");
    let mut next = Next(String::new());
    until("another process is there", || {
        std::fs::read_to_string(&children).is_ok_and(|text| !text.is_empty())
    });
    next.0 = std::fs::read_to_string(&children).unwrap();
    drop(kept);
    let mut site = site;
    assert!(site.child.wait().unwrap().success());
    assert!(site.curl(&[], "-/ready").starts_with("HTTP/1.1 200 "));
}

/// The socket of a service manager, as descriptor 3.
#[test]
fn a_socket_that_was_inherited() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let script =
        "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --listen inherited \"$1\" 3<&0 </dev/null";
    let mut child = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_vestibule"), SITE])
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It waits in the queue until the program is there.
    let answer = curl(&[], &format!("http://{address}/"));
    output("kill", &["-TERM", &child.id().to_string()], "procps");
    assert!(child.wait().unwrap().success());
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
}

/// A process that is not our child: it ends with the test.
struct Next(String);

impl Drop for Next {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", self.0.trim()]).status();
    }
}
