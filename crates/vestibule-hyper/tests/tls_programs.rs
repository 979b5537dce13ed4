//! HTTPS with other programs on the other side: OpenSSL and curl.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use vestibule_core::{Address, Request};
use vestibule_hyper::{Bind, Server, Tls, TlsInfo};

/// A directory with certificates, which goes with the test.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("vestibule-tls-programs-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// Runs `openssl` in the directory.
    pub(crate) fn openssl(&self, arguments: &str) -> String {
        let output = run(
            Command::new("openssl").args(arguments.split_ascii_whitespace()),
            &self.0,
            "",
        );
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {text}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Makes `NAME.pem` and `NAME.key`, which sign themselves and others. `options` are of `openssl req`.
    pub(crate) fn root(&self, name: &str, key: &str, options: &str) {
        self.openssl(&format!(
            "req -x509 -nodes {key} -keyout {name}.key -out {name}.pem -days 3650 -subj /CN={name} {options}"
        ));
    }

    /// Makes `NAME.pem` and `NAME.key` for the host `host`, signed by `issuer`; `options` are of `openssl x509`.
    pub(crate) fn leaf(&self, name: &str, key: &str, host: &str, issuer: &str, options: &str) {
        self.openssl(&format!(
            "req -new -nodes {key} -keyout {name}.key -out {name}.csr -subj /CN={name} -addext subjectAltName=DNS:{host}"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -copy_extensions copy -CA {issuer}.pem -CAkey {issuer}.key \
             -CAcreateserial -out {name}.pem {options}"
        ));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a program to its end, with `input`.
fn run(command: &mut Command, directory: &Path, input: &str) -> Output {
    let program = command.get_program().to_owned();
    let piped = command
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap_or_else(|error| {
        panic!("{program:?} is needed here, the Debian package of the same name: {error}")
    });
    // A program that ends early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Everything that a program has printed.
fn said(output: &Output) -> String {
    let all = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Asks by `openssl s_client`, with `options`. It stays until the server closes.
pub(crate) async fn s_client(files: &Files, address: SocketAddr, options: &str) -> String {
    let (directory, options) = (files.0.clone(), options.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new("openssl");
        command
            .args(["s_client", "-ign_eof", "-connect", &address.to_string()])
            .args(options.split_ascii_whitespace());
        said(&run(&mut command, &directory, REQUEST))
    })
    .await
    .unwrap()
}

/// Asks by curl for `https://a.test/`, with `options`.
async fn curl(files: &Files, address: SocketAddr, options: &str) -> String {
    let (directory, options) = (files.0.clone(), options.to_owned());
    tokio::task::spawn_blocking(move || {
        let port = address.port();
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "20"])
            .args([
                "--resolve",
                &format!("a.test:{port}:127.0.0.1"),
                "--cacert",
                "root.pem",
            ])
            .args(options.split_ascii_whitespace())
            .arg(format!("https://a.test:{port}/"));
        said(&run(&mut command, &directory, ""))
    })
    .await
    .unwrap()
}

/// Starts a server on a free port; it ends with the test.
pub(crate) async fn start(tls: Tls) -> SocketAddr {
    let server = Server::new(seen);
    let bound = server
        .bind(Bind::from("127.0.0.1:0").tls(tls))
        .await
        .unwrap();
    let Address::Tcp(address) = *bound.address() else {
        panic!("not a TCP address")
    };
    tokio::spawn(bound.run_until(std::future::pending()));
    address
}

async fn seen(request: Request) -> String {
    let tls = TlsInfo::of(&request).unwrap();
    format!("hello by {}", tls.version())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_its_certificate_sees_the_alert_each_time() {
    let files = Files::new("required");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    let tls = Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let tls = tls.require_clients(files.path("root.pem")).unwrap();
    let address = start(tls).await;
    for (options, tries) in [("--tlsv1.3", 60), ("--tls-max 1.2", 30)] {
        let missed = Mutex::new(Vec::new());
        for _ in 0..tries {
            let text = curl(&files, address, options).await;
            if !text.contains("certificate required") && !text.contains("alert number 116") {
                missed.lock().unwrap().push(text);
            }
        }
        let missed = missed.into_inner().unwrap();
        assert!(missed.is_empty(), "{options}: {missed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_alert_arrives() {
    let files = Files::new("alerts");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    files.root("strange", EC, "");
    files.leaf("mine", EC, "me.test", "strange", "");
    let tls = || Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let open = start(tls()).await;
    let guarded = start(tls().require_clients(files.path("root.pem")).unwrap()).await;
    let strange = "-cert mine.pem -key mine.key";
    let cases = [
        (guarded, "-tls1_3", "", "alert number 116"),
        (guarded, "-tls1_2", "", "alert number 116"),
        (guarded, "-tls1_3", strange, "alert number 48"),
        (guarded, "-tls1_2", strange, "alert number 48"),
        (open, "-tls1_3", "-alpn spdy/3", "alert number 120"),
        (open, "-tls1_2", "-alpn spdy/3", "alert number 120"),
        (
            open,
            "-tls1_1",
            "-cipher DEFAULT@SECLEVEL=0",
            "alert number 40",
        ),
        (open, "-tls1_2", "-cipher AES128-SHA", "alert number 40"),
    ];
    for (address, version, options, alert) in cases {
        for _ in 0..5 {
            let text = s_client(&files, address, &format!("{version} {options}")).await;
            assert!(text.contains(alert), "{version} {options}: {text}");
        }
    }
}

/// Options of `openssl req` that make a key of a kind.
pub(crate) const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
