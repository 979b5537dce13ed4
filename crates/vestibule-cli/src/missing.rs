//! Options that this build, or this system, does not have: each is refused with its remedy.

use std::error::Error;

use crate::args::Command;

/// What a build of the program has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Build {
    /// Whether the system has unix sockets, signals and processes that become others.
    unix: bool,
    /// The feature `tls`.
    tls: bool,
    /// The feature `precompress`.
    precompress: bool,
}

impl Build {
    /// The build that runs.
    pub(crate) const THIS: Self = Self {
        unix: cfg!(unix),
        tls: cfg!(feature = "tls"),
        precompress: cfg!(feature = "precompress"),
    };
}

/// Fails when `command` wants what `build` does not have.
pub(crate) fn check(command: &Command, build: Build) -> Result<(), Box<dyn Error>> {
    match missing(command, build) {
        None => Ok(()),
        Some((option, remedy)) => {
            Err(format!("this build of vestibule has no {option}: {remedy}").into())
        }
    }
}

/// The first option that is missing, and what to do instead.
fn missing(command: &Command, build: Build) -> Option<(&'static str, &'static str)> {
    let serve = match command {
        Command::Precompress(_) if !build.precompress => {
            return Some(("`precompress`", FEATURE_PRECOMPRESS));
        }
        Command::Wsgi(_) if !build.unix => return Some(("`wsgi`", UNIX)),
        Command::Serve(serve) => serve,
        _ => return None,
    };
    let (https, gateway) = (&serve.https, &serve.gateway);
    let asked = [
        ("`--tls`", !https.tls.is_empty(), build.tls, FEATURE_TLS),
        (
            "`--client-ca`",
            https.client_ca.is_some(),
            build.tls,
            FEATURE_TLS,
        ),
        (
            "`--client-crl`",
            !https.client_crl.is_empty(),
            build.tls,
            FEATURE_TLS,
        ),
        (
            "`--tls-min`",
            https.tls_min.is_some(),
            build.tls,
            FEATURE_TLS,
        ),
        (
            "`--tls-keylog`",
            https.tls_keylog.is_some(),
            build.tls,
            FEATURE_TLS,
        ),
        ("`--fastcgi`", gateway.fastcgi.is_some(), build.unix, HTTP),
        ("`--scgi`", gateway.scgi.is_some(), build.unix, HTTP),
        ("`--uwsgi`", gateway.uwsgi.is_some(), build.unix, HTTP),
        ("`--cgi`", gateway.cgi, build.unix, HTTP),
        (
            "`--socket-mode`",
            gateway.socket_mode.is_some(),
            build.unix,
            NO_SOCKETS,
        ),
    ];
    asked
        .into_iter()
        .find(|(_, is_asked, has, _)| *is_asked && !has)
        .map(|(option, _, _, remedy)| (option, remedy))
}

const FEATURE_PRECOMPRESS: &str =
    "build it with the feature `precompress`, which is on by default and needs a C compiler";

const FEATURE_TLS: &str =
    "build it with the feature `tls`, which is on by default and needs a C compiler";

const UNIX: &str = "it is for Linux, macOS and other unix systems";

const HTTP: &str = "it is for unix systems; here a web server reaches vestibule by HTTP, see `vestibule config nginx`";

const NO_SOCKETS: &str = "it is for unix sockets, which this system does not have";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn refusal(line: &str, build: Build) -> Option<String> {
        let args = Args::try_parse_from(line.split(' ')).unwrap();
        check(&args.command, build)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn each_option_is_refused_where_it_is_missing_and_only_there() {
        let all = Build {
            unix: true,
            tls: true,
            precompress: true,
        };
        let windows = Build { unix: false, ..all };
        let no_tls = Build { tls: false, ..all };
        let no_encoders = Build {
            precompress: false,
            ..all
        };
        let cases = [
            ("serve --tls dev", no_tls, "`--tls`"),
            ("serve --tls c,k --client-ca ca.pem", no_tls, "`--tls`"),
            ("serve --fastcgi 127.0.0.1:9000", windows, "`--fastcgi`"),
            ("serve --scgi 127.0.0.1:9000", windows, "`--scgi`"),
            ("serve --uwsgi 127.0.0.1:9000", windows, "`--uwsgi`"),
            ("serve --cgi", windows, "`--cgi`"),
            ("serve --socket-mode 660", windows, "`--socket-mode`"),
            ("precompress .", no_encoders, "`precompress`"),
            ("wsgi app:app", windows, "`wsgi`"),
        ];
        for (line, build, option) in cases {
            let line = format!("vestibule {line}");
            let text = refusal(&line, build).unwrap_or_default();
            let start = format!("this build of vestibule has no {option}: ");
            assert!(text.starts_with(&start), "{line}: {text}");
            assert_eq!(refusal(&line, all), None, "{line}");
        }
        for build in [windows, no_tls, no_encoders] {
            assert_eq!(refusal("vestibule serve public", build), None);
            assert_eq!(refusal("vestibule passwd users alice", build), None);
        }
    }
}
