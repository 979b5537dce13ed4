//! Files of certificates as they are found in the field: each part is used, or an error names it and its line.

use std::path::PathBuf;
use std::sync::OnceLock;

use vestibule_hyper::{Tls, TlsError, TlsVersion};

use crate::tls_programs::{EC, Files};

/// A root, an intermediate and certificates of all kinds, made once for all tests.
fn made() -> &'static Files {
    static MADE: OnceLock<Files> = OnceLock::new();
    MADE.get_or_init(|| {
        let files = Files::new("files");
        let authority = "-extfile authority.ext";
        files.write("authority.ext", "basicConstraints=critical,CA:TRUE\n");
        files.root("root", EC, "");
        files.leaf("inter", EC, "inter.test", "root", authority);
        files.leaf("leaf", EC, "a.test", "inter", "-days 90");
        files.leaf("rsa", "-newkey rsa:2048", "a.test", "inter", "-days 90");
        files.leaf("other", EC, "b.test", "inter", "-days 90");
        files.openssl("ecparam -name prime256v1 -genkey -out params.key");
        files.openssl("ec -in leaf.key -out sec1.key");
        files.openssl("rsa -in rsa.key -traditional -out pkcs1.key");
        files.openssl("pkcs8 -topk8 -in leaf.key -out encrypted.key -passout pass:x");
        files.openssl("ec -in leaf.key -aes256 -passout pass:x -out old.key");
        files.openssl("x509 -in leaf.pem -outform DER -out leaf.der");
        files.openssl("pkey -in leaf.key -outform DER -out key.der");
        files.openssl("pkcs12 -export -in leaf.pem -inkey leaf.key -passout pass: -out leaf.p12");
        files.openssl("x509 -in leaf.pem -trustout -out trusted.pem");
        files.openssl("x509 -in leaf.pem -text -out text.pem");
        files.openssl("crl2pkcs7 -nocrl -certfile leaf.pem -out leaf.p7");
        files.openssl("pkey -in leaf.key -pubout -out leaf.pub");
        files
    })
}

/// Writes a chain and a key to files of one test case, and loads them.
fn load(chain: &[u8], key: &[u8]) -> Result<Tls, TlsError> {
    let place = tempdir();
    let (chain_at, key_at) = (place.path("chain.pem"), place.path("key.pem"));
    std::fs::write(&chain_at, chain).unwrap();
    std::fs::write(&key_at, key).unwrap();
    Tls::pem(chain_at, key_at)
}

fn tempdir() -> Files {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    Files::new(&format!("case-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(made().path(name)).unwrap()
}

#[test]
fn files_that_can_be_used() {
    let files = made();
    let (leaf, inter, root) = (
        files.read("leaf.pem"),
        files.read("inter.pem"),
        files.read("root.pem"),
    );
    let key = files.read("leaf.key");
    // With EC PARAMETERS in front.
    let parameters = files.read("params.key");
    let parameters = &parameters[..parameters.find("-----BEGIN EC PRIVATE").unwrap()];
    assert!(parameters.contains("BEGIN EC PARAMETERS"));
    let both = format!("{key}{leaf}{inter}");
    let cases: [(&str, String, String); 15] = [
        ("leaf alone", leaf.clone(), key.clone()),
        ("chain", format!("{leaf}{inter}"), key.clone()),
        (
            "chain with its root",
            format!("{leaf}{inter}{root}"),
            key.clone(),
        ),
        ("self-signed", root, files.read("root.key")),
        (
            "CRLF",
            format!("{leaf}{inter}").replace('\n', "\r\n"),
            key.replace('\n', "\r\n"),
        ),
        (
            "CR",
            format!("{leaf}{inter}").replace('\n', "\r"),
            key.replace('\n', "\r"),
        ),
        (
            "byte order mark",
            format!("\u{feff}{leaf}"),
            format!("\u{feff}{key}"),
        ),
        (
            "text before",
            format!("# of a.test\n{leaf}# intermediate\n{inter}"),
            format!("# prod key\n{key}"),
        ),
        ("openssl's text", files.read("text.pem"), key.clone()),
        (
            "blanks",
            format!("  {}", leaf.replace('\n', "  \n\n  ")),
            key.clone(),
        ),
        (
            "no newline at the end",
            leaf.trim_end().to_owned(),
            key.trim_end().to_owned(),
        ),
        ("SEC1", leaf.clone(), files.read("sec1.key")),
        (
            "EC PARAMETERS",
            leaf.clone(),
            format!("{parameters}{}", files.read("sec1.key")),
        ),
        ("PKCS #1", files.read("rsa.pem"), files.read("pkcs1.key")),
        ("one file for both", both.clone(), both),
    ];
    for (name, chain, key) in cases {
        if let Err(error) = load(chain.as_bytes(), key.as_bytes()) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn each_part_of_a_file_that_is_not_used_is_named() {
    let files = made();
    let (leaf, inter, root) = (
        files.read("leaf.pem"),
        files.read("inter.pem"),
        files.read("root.pem"),
    );
    let (key, other) = (files.read("leaf.key"), files.read("other.pem"));
    let count = |text: &str| text.lines().count();
    let at = count(&leaf) + 1;
    let joined = format!("{}{inter}", leaf.trim_end());
    let cut = |text: &str| text[..text.len() * 2 / 3].to_owned();
    let damaged = |text: &str| text.replacen("MII", "M?I", 1);
    let both = format!("{leaf}{key}");
    let plain = |text: &str| text.as_bytes().to_vec();
    let chains: Vec<(&str, Vec<u8>, String)> = vec![
        (
            "no newline between",
            plain(&joined),
            format!("line {}: two blocks meet", count(&leaf)),
        ),
        (
            "cut off",
            plain(&format!("{leaf}{}", cut(&inter))),
            format!("line {at}: a block begins that has no"),
        ),
        (
            "first cut off",
            plain(&format!("{}\n{inter}", cut(&leaf))),
            "line 1: a block begins that has no".into(),
        ),
        (
            "bad Base64",
            plain(&format!("{leaf}{}", damaged(&inter))),
            format!("line {}: ", at + 1),
        ),
        (
            "damaged DER",
            plain(&leaf.replacen("MII", "MIA", 1)),
            "line 1: it is not a certificate".into(),
        ),
        (
            "four dashes",
            plain(&format!("{leaf}{}", &inter[1..])),
            format!("line {at}: the line is not exactly"),
        ),
        (
            "no BEGIN",
            plain(&format!("{leaf}{}", &inter[28..])),
            format!("line {at}: Base64 of a certificate"),
        ),
        (
            "a private key",
            plain(&format!("{key}{leaf}")),
            "line 1: it is a private key".into(),
        ),
        (
            "wrong order",
            plain(&format!("{inter}{leaf}")),
            format!(
                "line {}: it is the certificate of the key",
                count(&inter) + 1
            ),
        ),
        (
            "root before intermediate",
            plain(&format!("{leaf}{root}{inter}")),
            format!("line {at}: `CN=root` has signed the certificate in line"),
        ),
        (
            "twice",
            plain(&format!("{leaf}{leaf}")),
            format!("line {at}: it repeats the certificate in line 1"),
        ),
        (
            "a stranger",
            plain(&format!("{leaf}{other}")),
            format!("line {at}: `CN=other` has signed no certificate"),
        ),
        (
            "another's",
            plain(&other),
            "not the key of a certificate in `".into(),
        ),
        ("DER", bytes("leaf.der"), "it is DER, not PEM".into()),
        ("PKCS #12", bytes("leaf.p12"), "openssl pkcs12".into()),
        ("PKCS #7", bytes("leaf.p7"), "openssl pkcs7".into()),
        (
            "trusted",
            bytes("trusted.pem"),
            "line 1: it is in a form of OpenSSL's".into(),
        ),
        (
            "request",
            bytes("leaf.csr"),
            "line 1: it is a request".into(),
        ),
        (
            "public key",
            bytes("leaf.pub"),
            "line 1: it is a public key".into(),
        ),
        ("empty", Vec::new(), "there is no `-----BEGIN".into()),
        ("text", plain("garbage\n"), "there is no `-----BEGIN".into()),
        (
            "UTF-16",
            plain("\u{feff}a")
                .iter()
                .flat_map(|it| [*it, 0])
                .skip(6)
                .collect::<Vec<_>>(),
            "there is no".into(),
        ),
    ];
    for (name, chain, part) in chains {
        let error = load(&chain, key.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(&part), "{name}: {error}");
        assert!(error.contains("chain.pem"), "{name}: {error}");
    }
    let keys: Vec<(&str, Vec<u8>, String)> = vec![
        (
            "PKCS #8, encrypted",
            bytes("encrypted.key"),
            "line 1: it is encrypted; `openssl pkey".into(),
        ),
        (
            "SEC1, encrypted",
            bytes("old.key"),
            "line 1: it is encrypted; `openssl pkey".into(),
        ),
        (
            "two keys",
            plain(&format!("{key}{}", files.read("other.key"))),
            format!("line {}: it is a second private key", count(&key) + 1),
        ),
        (
            "with the certificate",
            plain(&both),
            "line 1: it is a certificate".into(),
        ),
        (
            "another key",
            bytes("other.key"),
            "it is not the key of a certificate in `".into(),
        ),
        ("DER", bytes("key.der"), "it is DER, not PEM".into()),
        (
            "public key",
            bytes("leaf.pub"),
            "line 1: it is a public key".into(),
        ),
        ("empty", Vec::new(), "there is no `-----BEGIN".into()),
        (
            "cut off",
            plain(&cut(&key)),
            "line 1: a block begins that has no".into(),
        ),
        (
            "bad Base64",
            plain(&key.replacen("MIG", "M?G", 1)),
            "line 2: ".into(),
        ),
        (
            "damaged DER",
            plain(&key.replacen("MIG", "MIA", 1)),
            "line 1: the key cannot be used".into(),
        ),
        (
            "parameters alone",
            plain("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
            "there is no private key".into(),
        ),
        (
            "OpenSSH",
            plain("-----BEGIN OPENSSH PRIVATE KEY-----\nMAA=\n-----END OPENSSH PRIVATE KEY-----\n"),
            "ssh-keygen".into(),
        ),
    ];
    for (name, key, part) in keys {
        let error = load(leaf.as_bytes(), &key).unwrap_err().to_string();
        assert!(error.contains(&part), "{name}: {error}");
        assert!(error.contains("key.pem"), "{name}: {error}");
    }
}

/// The options of `Tls` that read a file of authorities or of revocation lists.
#[test]
fn authorities_and_lists_are_read_as_strictly() {
    let files = made();
    let tls = || Tls::pem(files.path("leaf.pem"), files.path("leaf.key")).unwrap();
    let (root, inter) = (files.read("root.pem"), files.read("inter.pem"));
    let write = |text: &str| -> (Files, PathBuf) {
        let place = tempdir();
        let path = place.write("file.pem", text);
        (place, path)
    };
    let line = root.lines().count() + 1;
    let authorities = [
        (format!("{root}{inter}"), None),
        (format!("{root}# again\n{root}"), None),
        (
            format!("{}{inter}", root.trim_end()),
            Some("two blocks meet".to_owned()),
        ),
        (
            format!("{root}{}", files.read("root.key")),
            Some(format!("line {line}: it is a private key")),
        ),
        (
            files.read("leaf.csr"),
            Some("line 1: it is a request".to_owned()),
        ),
        (String::new(), Some("there is no".to_owned())),
    ];
    for (text, part) in authorities {
        let (_place, path) = write(&text);
        match (tls().require_clients(path), part) {
            (Ok(_), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(&part), "{error}"),
            (other, part) => panic!("{part:?}: {other:?}"),
        }
    }
    let (_place, path) = write(&root);
    let asked = tls().ask_clients(files.path("root.pem")).unwrap();
    let error = asked.revoked_clients(&path).unwrap_err().to_string();
    assert!(
        error.contains("line 1: it is a certificate, not a revocation list"),
        "{error}"
    );
    let error = tls().revoked_clients(&path).unwrap_err().to_string();
    assert!(error.contains("clients are not asked"), "{error}");
}

#[test]
fn a_second_certificate_of_one_kind_is_refused_and_both_are_named() {
    let files = made();
    let tls = || Tls::pem(files.path("leaf.pem"), files.path("leaf.key")).unwrap();
    let (rsa, rsa_key) = (files.path("rsa.pem"), files.path("rsa.key"));
    let (other, other_key) = (files.path("other.pem"), files.path("other.key"));
    tls().also(&rsa, &rsa_key).unwrap();
    let named = |tls: Tls| tls.site("a.test", &rsa, &rsa_key);
    let site = || {
        named(tls())
            .and_then(|tls| tls.site("A.test.", &other, &other_key))
            .unwrap()
    };
    let same = [
        tls().also(&other, &other_key).unwrap_err().to_string(),
        site()
            .site("a.test", files.path("leaf.pem"), files.path("leaf.key"))
            .unwrap_err()
            .to_string(),
    ];
    for error in same {
        assert!(
            error.contains("leaf.pem") && error.contains("other.pem"),
            "{error}"
        );
        assert!(error.contains("ECDSA P-256"), "{error}");
    }
    let error = named(site()).unwrap_err().to_string();
    assert!(error.contains("RSA, for `a.test`"), "{error}");
    for name in ["a.test:443", "127.0.0.1", "münchen.test", "a.*.test"] {
        let error = tls().site(name, &rsa, &rsa_key).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn visitors_refusals_are_foreseen() {
    let files = made();
    let place = tempdir();
    let copy = |name: &str| std::fs::copy(files.path(name), place.path(name)).unwrap();
    for name in ["root.pem", "root.key", "inter.pem", "inter.key"] {
        copy(name);
    }
    let make = |name: &str, options: &str| {
        place.leaf(name, EC, "a.test", "inter", options);
        let chain = format!(
            "{}{}",
            place.read(&format!("{name}.pem")),
            place.read("inter.pem")
        );
        let chain = place.write(&format!("{name}.chain"), chain);
        (chain, place.path(&format!("{name}.key")))
    };
    let good = make("good", "-days 90");
    let brief = make("brief", "-days 3");
    let weak = make("weak", "-days 90 -sha1");
    let (wild, wild_key) = {
        place.leaf("wild", EC, "*.a.test", "inter", "-days 90");
        let chain = format!("{}{}", place.read("wild.pem"), place.read("inter.pem"));
        (place.write("wild.chain", chain), place.path("wild.key"))
    };
    place.openssl(&format!(
        "req -x509 -nodes {EC} -keyout nameless.key -out nameless.pem -days 90 -subj /CN=a.test"
    ));
    let old = rcgen_between(&place, "old", -90, -3);
    let soon = rcgen_between(&place, "soon", -80, 5);
    let early = rcgen_between(&place, "early", 2, 90);
    let warnings =
        |tls: Tls| -> Vec<String> { tls.warnings().iter().map(ToString::to_string).collect() };
    let pem = |(chain, key): &(PathBuf, PathBuf)| Tls::pem(chain, key).unwrap();
    let site =
        |name: &str, chain: &PathBuf, key: &PathBuf| pem(&good).site(name, chain, key).unwrap();
    let bare = (place.path("good.pem"), place.path("good.key"));
    let nameless = (place.path("nameless.pem"), place.path("nameless.key"));
    let cases: Vec<(&str, Tls, &[&str])> = vec![
        ("good", pem(&good), &[]),
        ("good for its site", site("A.test", &good.0, &good.1), &[]),
        (
            "good for all below",
            site("*.a.test", &wild, &wild_key),
            &[],
        ),
        (
            "good for one below",
            site("b.a.test", &wild, &wild_key),
            &[],
        ),
        (
            "wrong site",
            site("b.test", &good.0, &good.1),
            &["line 1: the certificate is not for `b.test`"],
        ),
        (
            "wrong depth",
            site("a.test", &wild, &wild_key),
            &["not for `a.test`"],
        ),
        ("good for three days in all", pem(&brief), &[]),
        ("soon", pem(&soon), &["expires in 5 days, "]),
        ("old", pem(&old), &["has expired 3 days ago"]),
        ("early", pem(&early), &["is not valid before"]),
        (
            "no intermediate",
            pem(&bare),
            &["issuer `CN=inter` does not follow"],
        ),
        ("SHA-1", pem(&weak), &["SHA-1"]),
        ("no name", pem(&nameless), &["names no host"]),
        (
            "log of keys",
            pem(&good).key_log(place.path("keys.log")).unwrap(),
            &["keys.log`: the secrets of ALL connections"],
        ),
    ];
    for (name, tls, parts) in cases {
        let got = warnings(tls);
        assert_eq!(got.len(), parts.len(), "{name}: {got:?}");
        for (got, part) in got.iter().zip(parts) {
            assert!(got.contains(part), "{name}: {got}");
        }
    }
    // A file of secrets is for its owner.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(place.path("keys.log"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(TlsVersion::Tls12 < TlsVersion::Tls13);
}

/// A certificate that is valid between two days from now, which this OpenSSL cannot make.
fn rcgen_between(place: &Files, name: &str, from: i64, until: i64) -> (PathBuf, PathBuf) {
    use rcgen::{CertificateParams, KeyPair};
    let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    let day = |days: i64| {
        let time = std::time::Duration::from_secs(days.unsigned_abs() * 24 * 60 * 60 + 60);
        if days < 0 { now - time } else { now + time }
    };
    params.not_before = day(from).into();
    params.not_after = day(until).into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (
        place.write(&format!("{name}.pem"), certificate.pem()),
        place.write(&format!("{name}.key"), key.serialize_pem()),
    )
}
