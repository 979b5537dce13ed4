//! What options are given as text, and as what they are taken.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use vestibule::Network;
use vestibule::fields::media_type::MediaType;
use vestibule::files::Glob;

/// One `--tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Made on the spot.
    Development,
    /// Read from files.
    Files {
        /// For visitors of this name; for all others the one without a name.
        name: Option<String>,
        /// The chain, the server's own certificate first.
        chain: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// A proxy in front.
#[derive(Clone, Copy, Debug)]
pub enum Proxy {
    /// Whoever comes by a unix socket.
    Unix,
    /// Whoever comes from there.
    Network(Network),
}

impl Certificate {
    /// The name of the visitors that it is for.
    #[cfg(feature = "tls")]
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Files { name, .. } => name.as_deref(),
            Self::Development => None,
        }
    }
}

impl Proxy {
    pub(crate) const fn is_unix(&self) -> bool {
        matches!(self, Self::Unix)
    }

    /// `unix`, an address, or a network.
    ///
    /// # Errors
    ///
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "unix" => Ok(Self::Unix),
            text => text.parse().map(Self::Network).map_err(|_| {
                "`unix`, an address as 127.0.0.1, or a network as 10.0.0.0/8".to_owned()
            }),
        }
    }
}

/// A forwarding header that is believed only where it is named: a web server that does not set it passes
/// on what a client wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ProxyField {
    /// `X-Forwarded-Host`, or `host` of `Forwarded`.
    Host,
    /// `X-Forwarded-Port`.
    Port,
    /// `X-Forwarded-Prefix`.
    Prefix,
    /// `Forwarded` instead of `X-Forwarded-For` and `X-Forwarded-Proto`.
    Forwarded,
}

/// A value that is never shown: in no message, and not in the debug form of the arguments.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// The value.
    #[must_use]
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// An address to listen at. A port alone is refused: it does not say who can connect.
pub(crate) fn place(text: &str) -> Result<String, String> {
    match text.parse::<u64>() {
        Ok(_) => Err(format!(
            "a port alone does not say who can connect: `--port {text}` is for this machine, `--listen :{text}` for everyone on the network"
        )),
        Err(_) => Ok(text.to_owned()),
    }
}

/// `-p`, which is not an option of `vestibule serve`.
pub(crate) fn small_p(text: &str) -> Result<String, String> {
    Err(format!(
        "the port is `-P {text}`; `-p` is the number of processes of `vestibule wsgi`"
    ))
}

/// The name of a file in its directory.
pub(crate) fn index(text: &str) -> Result<String, String> {
    match text {
        "" | "." | ".." => Err("the name of a file, as in index.html".to_owned()),
        text if text.starts_with('/') => {
            Err("a name is relative to each directory: leave the first slash out".to_owned())
        }
        text => page(text),
    }
}

/// A page of the directory that is served.
pub(crate) fn page(text: &str) -> Result<String, String> {
    let is_sound = |segment: &str| !matches!(segment, "" | "." | "..");
    if text.split('/').all(is_sound) {
        Ok(text.to_owned())
    } else {
        Err(
            "a file of the directory, as in 404.html or errors/404.html; no other file can be sent"
                .to_owned(),
        )
    }
}

/// The size of a request head: less than this and no browser gets in.
pub(crate) fn header_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if bytes >= MIN_HEADER_BYTES => Ok(bytes),
        _ => Err(format!(
            "a number of bytes, {MIN_HEADER_BYTES} at least: browsers send some 600"
        )),
    }
}

const MIN_HEADER_BYTES: usize = 1024;

/// `name=value`, in two.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a name, `=`, and a value".to_owned()),
    }
}

/// `GLOB=VALUE`, in two.
pub(crate) fn glob_rule(text: &str) -> Result<(String, String), String> {
    let rule = pair(text)?;
    Glob::try_new(&rule.0).map_err(|error| error.to_string())?;
    Ok(rule)
}

/// `GLOB=TYPE` or `EXT=TYPE`, in two.
pub(crate) fn type_rule(text: &str) -> Result<(String, String), String> {
    let rule = pair(text)?;
    Glob::try_new_or_extension(&rule.0).map_err(|error| error.to_string())?;
    match MediaType::parse(&rule.1) {
        Some(_) => Ok(rule),
        None => Err(format!(
            "{:?} is not a media type: write a type and a subtype, as in text/plain",
            rule.1
        )),
    }
}

/// The pattern, or the extension, of files that are stored in a content coding.
pub(crate) fn encoded_glob(text: &str) -> Result<String, String> {
    match Glob::try_stored_encoded(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// A pattern of names.
pub(crate) fn glob(text: &str) -> Result<String, String> {
    match Glob::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// `403=closed.html`: the status of an error, and a file.
pub(crate) fn error_page(text: &str) -> Result<(u16, String), String> {
    let found = text
        .split_once('=')
        .and_then(|(status, page)| Some((status.parse().ok()?, page)));
    match found {
        Some((status @ 400..=599, name)) => page(name).map(|page| (status, page)),
        _ => Err("a status from 400 to 599, `=`, and a file, as in 403=closed.html".to_owned()),
    }
}

/// `/app`: what a web server's configuration can say without quotes, without a slash at its end.
///
/// # Errors
///
/// When it is not such a path.
pub fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-._~/".contains(it);
    match text.starts_with('/') && text.chars().all(is_plain) && !text.contains("//") {
        true => Ok(text.trim_end_matches('/').to_owned()),
        false => Err("a path, as in /app, of letters, digits and -._~".to_owned()),
    }
}

/// `660`.
///
/// # Errors
///
/// When it is not a mode.
pub fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or("three octal digits, as in 660".to_owned())
}

/// `dev`, `chain.pem,key.pem` or `example.org=chain.pem,key.pem`.
pub(crate) fn certificate(text: &str) -> Result<Certificate, String> {
    if text == "dev" {
        return Ok(Certificate::Development);
    }
    // A path has a slash before its `=`; whether the rest is a name is for the server to say, with the reason.
    let (name, files) = match text.split_once('=') {
        Some((name, files)) if !name.contains(['/', '\\']) => (Some(name.to_owned()), files),
        _ => (None, text),
    };
    match files.split_once(',') {
        Some((chain, key)) if !chain.is_empty() && !key.is_empty() => Ok(Certificate::Files {
            name,
            chain: chain.into(),
            key: key.into(),
        }),
        _ => Err("`dev`, or two files as in chain.pem,key.pem".to_owned()),
    }
}

/// `500ms`, `10s`, `2m`; a number alone is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        _ => 0,
    };
    match number
        .parse::<u64>()
        .map(|number| number.checked_mul(milliseconds))
    {
        Ok(Some(total)) if milliseconds > 0 => Ok(Duration::from_millis(total)),
        _ => Err("a time, as in 500ms, 10s or 2m".to_owned()),
    }
}

/// A number of things of which there has to be one.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("a whole number above zero".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_index_names_that_can_never_be_sent_are_refused() {
        for right in ["404.html", "errors/404.html", "..a", "a..b/c"] {
            assert_eq!(page(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            "/404.html",
            "../404.html",
            "a/../b",
            "a//b",
            "./a",
            "a/",
            "..",
        ] {
            assert!(page(wrong).is_err(), "{wrong}");
            assert!(error_page(&format!("403={wrong}")).is_err(), "{wrong}");
            assert!(index(wrong).is_err(), "{wrong}");
        }
        assert_eq!(index("a/b.html").as_deref(), Ok("a/b.html"));
        assert!(header_bytes("1023").is_err() && header_bytes("x").is_err());
        assert_eq!(header_bytes("1024"), Ok(1024));
    }

    #[test]
    fn rules_without_effect_are_refused_with_their_fix() {
        type Parser = fn(&str) -> Result<(), String>;
        let rule: Parser = |text| glob_rule(text).map(drop);
        let media: Parser = |text| type_rule(text).map(drop);
        let encoded: Parser = |text| encoded_glob(text).map(drop);
        let name: Parser = |text| glob(text).map(drop);
        let refused = [
            (rule, "*.[jt]s=no-cache", "'*.{j,t}s'"),
            (rule, "docs/=no-cache", "'docs/**'"),
            (rule, "./a.js=no-cache", "begin with '/'"),
            (rule, "=no-cache", "a name, `=`, and a value"),
            (rule, "*.js", "a name, `=`, and a value"),
            (media, "tar.gz=application/gzip", "'*.tar.gz'"),
            (media, "README.md=text/plain", "'**/README.md'"),
            (media, "*.[jt]s=text/plain", "'*.{j,t}s'"),
            (media, "ts=video", "as in text/plain"),
            (media, "ts=", "as in text/plain"),
            (media, "ts=video/mp2t, a/b", "as in text/plain"),
            (encoded, "*.tar.gz", "archives only"),
            (encoded, "tar.gz", "'*.tar.gz'"),
            (encoded, "Build/", "'Build/**'"),
            (name, "*.[jt]s", "'*.{j,t}s'"),
            (name, "vendor/", "'vendor/**'"),
            (name, "./a.js", "begin with '/'"),
        ];
        for (parser, text, fix) in refused {
            let error = parser(text).unwrap_err();
            assert!(error.contains(fix), "{text}: {error}");
        }
        let taken = [
            (rule, "*.{js,ts}=no-cache"),
            (rule, "/docs/**=a=b"),
            (media, "ts=video/mp2t"),
            (media, ".ts=video/mp2t"),
            (media, "*.tar.gz=application/gzip"),
            (media, "/api/**=application/json"),
            (media, "LICENSE=text/plain; charset=utf-8"),
            (encoded, "*.gz"),
            (encoded, "gz"),
            (encoded, "/tiles/**"),
            (name, "*.{js,css}"),
            (name, "/vendor/**"),
        ];
        for (parser, text) in taken {
            assert_eq!(parser(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn prefixes_and_modes() {
        let cases = [
            ("/", Some("")),
            ("/app", Some("/app")),
            ("/app/", Some("/app")),
            ("/a/b-1.0", Some("/a/b-1.0")),
            ("", None),
            ("app", None),
            ("//app", None),
            ("/a b", None),
            ("/a;b", None),
            ("/a\"", None),
        ];
        for (text, expected) in cases {
            assert_eq!(prefix(text).ok().as_deref(), expected, "{text}");
        }
        assert_eq!(mode("660"), Ok(0o660));
        assert!(mode("1000").is_err() && mode("u+w").is_err() && mode("8").is_err());
    }

    #[test]
    fn places_and_indexes() {
        for text in [
            "127.0.0.1:80",
            ":80",
            "[::1]:0",
            "unix:/x",
            "inherited",
            "host:1",
        ] {
            assert_eq!(place(text).as_deref(), Ok(text));
        }
        for text in ["8080", "0", "99999"] {
            let said = place(text).unwrap_err();
            assert!(said.contains(&format!("--listen :{text}")), "{said}");
        }
        for text in ["index.html", "default.htm", ".index", "a/b.html"] {
            assert!(index(text).is_ok(), "{text}");
        }
        for text in ["", ".", "..", "/index.html"] {
            assert!(index(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::from("alice:hunter2".to_owned());
        assert!(!format!("{secret:?}{secret:#?}").contains("hunter2"));
    }

    #[test]
    fn certificates() {
        let files = |name: Option<&str>| Certificate::Files {
            name: name.map(str::to_owned),
            chain: "c".into(),
            key: "k".into(),
        };
        let cases = [
            ("dev", Some(Certificate::Development)),
            ("c,k", Some(files(None))),
            ("*.a.b=c,k", Some(files(Some("*.a.b")))),
            ("a.b:443=c,k", Some(files(Some("a.b:443")))),
            ("mü.b=c,k", Some(files(Some("mü.b")))),
            (
                "/a=b/c,k",
                Some(Certificate::Files {
                    name: None,
                    chain: "/a=b/c".into(),
                    key: "k".into(),
                }),
            ),
            ("c", None),
            ("c,", None),
            ("a=c", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(certificate(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn durations() {
        let cases = [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("10", Some(10_000)),
            ("2m", Some(120_000)),
            ("0s", Some(0)),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1h", None),
            ("1.5s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615m", None),
        ];
        for (text, milliseconds) in cases {
            let got = duration(text).ok().map(|time| time.as_millis());
            assert_eq!(got, milliseconds, "{text}");
        }
    }
}
