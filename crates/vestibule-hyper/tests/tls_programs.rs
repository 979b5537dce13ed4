//! HTTPS with other programs on the other side: OpenSSL and curl.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use vestibule_core::{Address, Request};
use vestibule_hyper::{Bind, Server, Tls, TlsInfo, TlsVersion};

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
    let version = tls.version();
    let Some(subject) = tls.client_subject() else {
        return format!("hello by {version}");
    };
    let issuer = tls.client_issuer().unwrap();
    format!(
        "subject={subject}\nissuer={issuer}\n{:?}",
        tls.client_alt_names()
    )
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

/// Each kind of key by both versions; openssl trusts only the root, so that the chain has to be whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_is_served_by_each_kind_of_key_and_version() {
    let files = Files::new("kinds");
    files.root("root", EC, "");
    files.write("authority.ext", "basicConstraints=critical,CA:TRUE\n");
    files.leaf("inter", EC, "inter.test", "root", "-extfile authority.ext");
    let kinds = [
        ("rsa", "-newkey rsa:2048", "Server public key is 2048 bit"),
        ("p256", EC, "Server public key is 256 bit"),
        (
            "p384",
            "-newkey ec -pkeyopt ec_paramgen_curve:secp384r1",
            "Server public key is 384 bit",
        ),
        ("ed25519", "-newkey ed25519", "Server public key is 256 bit"),
    ];
    for (name, key, size) in kinds {
        files.leaf(name, key, "a.test", "inter", "");
        let chain = files.read(&format!("{name}.pem")) + &files.read("inter.pem");
        let chain = files.write(&format!("{name}.chain"), chain);
        let tls = Tls::pem(chain, files.path(&format!("{name}.key"))).unwrap();
        let address = start(tls).await;
        for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let options = format!(
                "{option} -servername a.test -CAfile root.pem -verify_hostname a.test -verify_return_error"
            );
            let text = s_client(&files, address, &options).await;
            for part in [size, "HTTP/1.1 200", &format!("hello by {version}")] {
                assert!(text.contains(part), "{name} by {version}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_the_certificate_that_it_can_check() {
    let files = Files::new("two-kinds");
    let alt = "-addext subjectAltName=DNS:a.test";
    files.root("ec", EC, alt);
    files.root("rsa", "-newkey rsa:2048", alt);
    let (ec, ec_key) = (files.path("ec.pem"), files.path("ec.key"));
    let (rsa, rsa_key) = (files.path("rsa.pem"), files.path("rsa.key"));
    let default = Tls::pem(&ec, &ec_key)
        .unwrap()
        .also(&rsa, &rsa_key)
        .unwrap();
    let site = Tls::pem(&ec, &ec_key).unwrap();
    let site = site.site("a.test", &rsa, &rsa_key).unwrap();
    let site = site.site("A.TEST.", &ec, &ec_key).unwrap();
    let only_rsa = "-sigalgs rsa_pss_rsae_sha256:rsa_pkcs1_sha256";
    let only_ec = "-sigalgs ecdsa_secp256r1_sha256";
    let rsa_first = "-sigalgs rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256";
    for address in [start(default).await, start(site).await] {
        let cases = [
            ("-tls1_3", "", "CN = ec"),
            ("-tls1_2", "", "CN = ec"),
            ("-tls1_3", only_rsa, "CN = rsa"),
            ("-tls1_2", only_rsa, "CN = rsa"),
            ("-tls1_3", only_ec, "CN = ec"),
            ("-tls1_2", only_ec, "CN = ec"),
            ("-tls1_3", rsa_first, "CN = rsa"),
            ("-tls1_2", "-cipher aRSA", "CN = rsa"),
            ("-tls1_2", "-cipher aECDSA", "CN = ec"),
        ];
        for (version, options, subject) in cases {
            let options = format!("{version} {options} -servername a.test");
            let text = s_client(&files, address, &options).await;
            assert!(
                text.contains(&format!("subject={subject}")),
                "{options}: {text}"
            );
            assert!(text.contains("HTTP/1.1 200"), "{options}: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimum_version_refuses_older_ones() {
    let files = Files::new("minimum");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    let tls = Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let address = start(tls.min_version(TlsVersion::Tls13).unwrap()).await;
    let text = s_client(&files, address, "-tls1_3").await;
    assert!(text.contains("hello by TLSv1.3"), "{text}");
    let text = s_client(&files, address, "-tls1_2").await;
    assert!(text.contains("alert number 70"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_of_rustls_is_taken_as_it_is() {
    let files = Files::new("config");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_file(files.path("root.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(files.path("root.key")).unwrap();
    let pair = CertifiedKey::from_der(chain, key, &provider).unwrap();
    let mut names = ResolvesServerCertUsingSni::new();
    names.add("a.test", pair).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    let address = start(Tls::from_config(config)).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let text = s_client(&files, address, &format!("{version} -servername a.test")).await;
        assert!(text.contains("HTTP/1.1 200"), "{text}");
        let text = s_client(&files, address, &format!("{version} -alpn h2")).await;
        // A name that it does not know.
        assert!(text.contains("alert number 49"), "{text}");
        let options = format!("{version} -servername a.test -alpn h2,http/1.1");
        let text = s_client(&files, address, &options).await;
        assert!(text.contains("ALPN protocol: h2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_logged_as_openssl_logs_them() {
    let files = Files::new("secrets");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    let tls = Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let log = files.path("server.log");
    let address = start(tls.key_log(&log).unwrap()).await;
    for version in ["-tls1_2", "-tls1_3"] {
        let text = s_client(
            &files,
            address,
            &format!("{version} -keylogfile client.log"),
        )
        .await;
        assert!(text.contains("HTTP/1.1 200"), "{text}");
    }
    let lines = |name: &str| -> BTreeSet<String> {
        let text = files.read(name).to_ascii_lowercase();
        let is_secret = |line: &&str| !line.starts_with('#');
        text.lines().filter(is_secret).map(str::to_owned).collect()
    };
    assert_eq!(lines("server.log"), lines("client.log"));
    assert!(lines("server.log").len() >= 5);
}

/// nginx and OpenSSL print a subject in the same form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_reads_the_names_of_a_client() {
    let files = Files::new("names");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    let tls = Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let address = start(tls.require_clients(files.path("root.pem")).unwrap()).await;
    let subjects = [
        "/C=DE/O=Example, Inc./OU=a+b/CN=alice",
        "/DC=test/DC=example/UID=7/CN=#x \\\"<>;",
        "/CN=Müller/emailAddress=m@a.test/serialNumber=5",
        "/CN=a=b",
        "/",
    ];
    for (at, subject) in subjects.into_iter().enumerate() {
        let name = format!("client{at}");
        let mut request = Command::new("openssl");
        request
            .args(["req", "-new", "-utf8", "-nodes", "-subj", subject])
            .args(EC.split(' '))
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.csr")])
            .args([
                "-addext",
                "subjectAltName=DNS:c.test,email:c@a.test,URI:spiffe://a.test/c,IP:192.0.2.1,IP:2001:db8::1,RID:1.2.3",
            ]);
        let output = run(&mut request, &files.0, "");
        assert!(output.status.success(), "{}", said(&output));
        files.openssl(&format!(
            "x509 -req -in {name}.csr -copy_extensions copy -CA root.pem -CAkey root.key -CAcreateserial -out {name}.pem"
        ));
        let want = files.openssl(&format!(
            "x509 -in {name}.pem -noout -subject -issuer -nameopt RFC2253,-esc_msb,utf8"
        ));
        let text = s_client(
            &files,
            address,
            &format!("-cert {name}.pem -key {name}.key"),
        )
        .await;
        for line in want.lines() {
            assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
        }
        let names = r#"[Dns("c.test"), Email("c@a.test"), Uri("spiffe://a.test/c"), Ip(192.0.2.1), Ip(2001:db8::1)]"#;
        assert!(text.contains(names), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_client_is_refused_after_a_reload() {
    let files = Files::new("revoked");
    files.root("root", EC, "-addext subjectAltName=DNS:a.test");
    files.leaf("one", EC, "one.test", "root", "");
    files.leaf("two", EC, "two.test", "root", "");
    let config =
        "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\ndefault_md=sha256\ncrlnumber=number\n";
    files.write("ca.cnf", config);
    files.write("index.txt", "");
    files.write("number", "01\n");
    let list = |days: &str| {
        files.openssl(&format!(
            "ca -config ca.cnf -gencrl -keyfile root.key -cert root.pem -out crl.pem {days}"
        ));
    };
    list("-crldays 30");
    let tls = Tls::pem(files.path("root.pem"), files.path("root.key")).unwrap();
    let tls = tls.require_clients(files.path("root.pem")).unwrap();
    let tls = tls.revoked_clients(files.path("crl.pem")).unwrap();
    let address = start(tls.clone()).await;
    let ask = async |name: &str, options: &str| {
        let options = format!("-cert {name}.pem -key {name}.key {options}");
        s_client(&files, address, &options).await
    };
    for name in ["one", "two"] {
        let text = ask(name, "-sess_out session").await;
        assert!(text.contains("HTTP/1.1 200"), "{text}");
    }
    // The session on disk is that of `two`.
    files.openssl("ca -config ca.cnf -revoke two.pem -keyfile root.key -cert root.pem");
    list("-crldays 30");
    tls.reload().unwrap();
    let text = ask("one", "").await;
    assert!(text.contains("HTTP/1.1 200"), "{text}");
    for options in ["-tls1_3", "-tls1_2", "-sess_in session"] {
        let text = ask("two", options).await;
        assert!(text.contains("alert number 44"), "{options}: {text}");
        assert!(!text.contains("HTTP/1.1 200"), "{options}: {text}");
    }
    assert!(tls.warnings().is_empty());
    // A list that is out of date says nothing about today.
    list("-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z");
    tls.reload().unwrap();
    let text = ask("one", "").await;
    assert!(text.contains("alert number"), "{text}");
    let warnings = tls.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0]
            .to_string()
            .contains("crl.pem`, line 1: the revocation list is out of date")
    );
}

/// Options of `openssl req` that make a key of a kind.
pub(crate) const EC: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1";

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
