//! Options that can have no effect beside others: each is refused with the reason.
//!
//! Options that always exclude each other are `conflicts_with` in `args.rs`. The rules here depend on values.

use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;

use crate::args::{Command, Serve};
use crate::inherited::is_inherited;
use crate::password;

/// Fails when an option of `command` would be ignored.
pub(crate) fn check(command: &Command) -> Result<(), Box<dyn Error>> {
    let Command::Serve(serve) = command else {
        return Ok(());
    };
    let refusal = by_file(serve)
        .or_else(|| by_protocol(serve))
        .or_else(|| by_place(serve))
        .or_else(|| by_sender(serve))
        .or_else(|| by_reader(serve))
        .or_else(|| by_environment(serve, password::is_in_environment()));
    match refusal {
        None => Ok(()),
        Some(text) => Err(text.into()),
    }
}

/// Numbers that nothing reads have no labels.
fn by_reader(serve: &Serve) -> Option<String> {
    let has_reader = serve.watching.metrics || serve.metrics_listen.is_some();
    let has_labels = serve.watching.metrics_labels.is_some();
    (has_labels && !has_reader)
        .then(|| "--metrics-labels has no effect without --metrics or --metrics-listen".to_owned())
}

/// One file has no directory around it.
fn by_file(serve: &Serve) -> Option<String> {
    let files = &serve.files;
    let asked = [
        ("--spa", files.spa.is_some(), "there is no other page"),
        (
            "--not-found",
            files.not_found.is_some(),
            "there is no other page",
        ),
        (
            "--index",
            !files.index.is_empty(),
            "the file itself is sent for `/`",
        ),
        ("--no-listing", files.no_listing, "there is no directory"),
        ("--no-readme", files.no_readme, "there is no directory"),
        ("--archives", files.archives, "there is no directory"),
        ("--site-files", files.site_files, "there is no directory"),
        ("--hide", !files.hide.is_empty(), "there is no other file"),
        (
            "--nearest-not-found",
            files.nearest_not_found,
            "there is no other page",
        ),
        (
            "--error-page",
            !files.error_page.is_empty(),
            "there is no other page",
        ),
        (
            "--dotfiles",
            files.dotfiles,
            "a file that is named is served, whatever its name",
        ),
        (
            "--symlinks",
            files.symlinks.is_some(),
            "a link that is named is followed",
        ),
        (
            "--indexed",
            files.indexed.is_some(),
            "there is nothing to look up",
        ),
    ];
    let (option, _, reason) = asked.iter().find(|(_, is_asked, _)| *is_asked)?;
    serve.directory.is_file().then(|| {
        let file = serve.directory.display();
        format!("{option} has no effect on one file, `{file}`: {reason}")
    })
}

/// The protocols of web servers have their own connections, and CGI has one request.
fn by_protocol(serve: &Serve) -> Option<String> {
    let gateway = &serve.gateway;
    let (name, is_cgi) = match (&gateway.fastcgi, &gateway.scgi, &gateway.uwsgi, gateway.cgi) {
        (Some(_), ..) => ("--fastcgi", false),
        (_, Some(_), ..) => ("--scgi", false),
        (_, _, Some(_), _) => ("--uwsgi", false),
        (.., true) => ("--cgi", true),
        _ => return None,
    };
    if let Some(option) = serve.connections.first_given() {
        return Some(format!(
            "{option} has no effect with {name}: the web server has the connections of clients"
        ));
    }
    let watching = &serve.watching;
    let asked = [
        ("--log", watching.log.is_some()),
        ("--log-format", watching.log_format.is_some()),
        ("--no-log", watching.no_log),
        ("--ready", watching.ready),
        ("--metrics", watching.metrics),
        ("--inspect", watching.inspect),
        ("--indexed", serve.files.indexed.is_some()),
        ("--no-compression", serve.files.no_compression),
        ("--mount", gateway.mount.is_some()),
        ("--cors", !serve.files.cors.is_empty()),
    ];
    let (option, _) = asked.iter().find(|(_, is_asked)| *is_asked && is_cgi)?;
    Some(format!(
        "{option} has no effect with --cgi: the process answers one request, and the web server does the rest"
    ))
}

/// Unix sockets and TCP have options of their own.
fn by_place(serve: &Serve) -> Option<String> {
    let gateway = &serve.gateway;
    let places = match (&gateway.fastcgi, &gateway.scgi, &gateway.uwsgi) {
        (Some(place), _, _) | (_, Some(place), _) | (_, _, Some(place)) => vec![place.clone()],
        _ => serve.listening.places(),
    };
    let mut seen = HashSet::new();
    let all = places.iter().chain(&serve.https.redirect_https);
    for place in all.filter(|place| !place.ends_with(":0")) {
        if !seen.insert(place) {
            return Some(format!(
                "`{place}` is given twice: a server can listen there once"
            ));
        }
    }
    let all: Vec<_> = places.iter().chain(&serve.https.redirect_https).collect();
    for one in &all {
        if let Some(other) = all.iter().find(|other| covers(one, other)) {
            return Some(format!(
                "`{one}` takes the connections to `{other}` already: leave one of them out"
            ));
        }
    }
    let is_unix = |place: &&String| place.starts_with("unix:");
    // Inherited sockets may be of both kinds.
    let is_known = !places.iter().any(|place| is_inherited(place));
    let no_unix = is_known && !places.iter().any(|place| is_unix(&place));
    let no_tcp = is_known && places.iter().all(|place| is_unix(&place));
    let is_local = |place: &String| {
        let host = place.rsplit_once(':').map_or(&**place, |(host, _)| host);
        is_unix(&place) || host.starts_with("127.") || matches!(host, "localhost" | "[::1]")
    };
    let trusts_unix = gateway
        .trust_proxy
        .iter()
        .any(crate::values::Proxy::is_unix);
    let cases = [
        (
            "--socket-mode",
            gateway.socket_mode.is_some() && no_unix,
            "no unix socket is made: add `--listen unix:PATH`",
        ),
        (
            "--trust-proxy unix",
            trusts_unix && no_unix,
            "no client comes by a unix socket: add `--listen unix:PATH`",
        ),
        (
            "--max-per-address",
            serve.connections.max_per_address.is_some() && no_tcp,
            "clients of a unix socket have no address",
        ),
        (
            "--proxy-protocol",
            !serve.connections.proxy_protocol.is_empty() && no_tcp,
            "clients of a unix socket have no address",
        ),
        (
            "--tcp-keep-alive",
            serve.connections.tcp_keep_alive.is_some() && no_tcp,
            "the kernel knows when the client of a unix socket ends",
        ),
        (
            "--open",
            serve.open && no_tcp,
            "a browser opens no unix socket",
        ),
        (
            "--qr",
            serve.qr && is_known && places.iter().all(is_local),
            "other devices cannot connect to this machine's own address: add `--listen :8080`",
        ),
    ];
    let (option, _, reason) = cases.iter().find(|(_, is_idle, _)| *is_idle)?;
    Some(format!("{option} has no effect here: {reason}"))
}

/// Whether a server that listens at `one` has the connections to `other` already. `[::]:80` beside IPv4 takes IPv6 alone.
fn covers(one: &str, other: &str) -> bool {
    if one == other || one.ends_with(":0") {
        return false;
    }
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    if let Some(port) = one.strip_prefix(':') {
        return address(other).is_some_and(|other| other.port().to_string() == port);
    }
    let (Some(one), Some(other)) = (address(one), address(other)) else {
        return false;
    };
    one.ip().is_unspecified() && one.port() == other.port() && one.is_ipv4() == other.is_ipv4()
}

/// A web server that sends the files chooses the coding itself.
fn by_sender(serve: &Serve) -> Option<String> {
    let files = &serve.files;
    let sender = match (&files.x_accel_redirect, files.x_sendfile) {
        (Some(_), _) => {
            "--x-accel-redirect: nginx sends the files; its `gzip_static on` sends compressed copies"
        }
        (None, true) => "--x-sendfile: the web server sends the files",
        (None, false) => return None,
    };
    files
        .precompressed
        .then(|| format!("--precompressed has no effect with {sender}"))
}

/// Users come from one place.
fn by_environment(serve: &Serve, has_users: bool) -> Option<String> {
    let variable = password::VARIABLE;
    let option = if serve.htpasswd.is_some() {
        "--htpasswd"
    } else if serve.gateway.cgi {
        "--cgi"
    } else {
        return None;
    };
    has_users.then(|| {
        format!("{variable} has no effect with {option}: unset it, or leave the option out")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Args;

    fn serve(line: &str) -> Box<Serve> {
        let words = ["vestibule", "serve"]
            .into_iter()
            .chain(line.split(' '))
            .filter(|it| !it.is_empty());
        match Args::try_parse_from(words).unwrap().command {
            Command::Serve(serve) => serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_is_refused_with_its_reason() {
        let cases = [
            ("Cargo.toml --spa", "--spa", "there is no other page"),
            (
                "Cargo.toml --not-found a.html",
                "--not-found",
                "there is no other page",
            ),
            ("Cargo.toml --index a.html", "--index", "the file itself"),
            ("Cargo.toml --no-listing", "--no-listing", "no directory"),
            ("Cargo.toml --dotfiles", "--dotfiles", "whatever its name"),
            ("Cargo.toml --symlinks deny", "--symlinks", "followed"),
            ("Cargo.toml --indexed", "--indexed", "nothing to look up"),
            (
                "--fastcgi unix:/x --strict",
                "--strict",
                "connections of clients",
            ),
            ("--scgi unix:/x --workers 2", "--workers", "with --scgi"),
            (
                "--uwsgi unix:/x --idle-timeout 1s",
                "--idle-timeout",
                "with --uwsgi",
            ),
            ("--cgi --drain-delay 1s", "--drain-delay", "with --cgi"),
            ("--cgi --metrics", "--metrics", "one request"),
            ("--cgi --log-format short", "--log-format", "one request"),
            ("--cgi --mount /app", "--mount", "one request"),
            ("--cgi --cors", "--cors", "one request"),
            ("--listen :80 --listen :80", "`:80`", "twice"),
            (
                "--listen inherited --listen inherited",
                "`inherited`",
                "twice",
            ),
            (
                "--listen 127.0.0.1:80 --listen :80",
                "`:80`",
                "leave one of them out",
            ),
            ("--listen :80 --listen [::]:80", "`:80`", "leave one"),
            (
                "--listen 127.0.0.1:80 --listen 0.0.0.0:80",
                "`0.0.0.0:80`",
                "`127.0.0.1:80`",
            ),
            (
                "--listen [::]:80 --listen [::1]:80",
                "`[::]:80`",
                "`[::1]:80`",
            ),
            (
                "--listen :80 --tls dev --redirect-https 0.0.0.0:80",
                "`:80`",
                "leave one",
            ),
            ("--socket-mode 660", "--socket-mode", "--listen unix:PATH"),
            (
                "--fastcgi 127.0.0.1:9 --socket-mode 660",
                "--socket-mode",
                "no unix socket",
            ),
            (
                "--trust-proxy unix",
                "--trust-proxy unix",
                "--listen unix:PATH",
            ),
            (
                "--listen unix:/x --max-per-address 3",
                "--max-per-address",
                "no address",
            ),
            (
                "--listen unix:/x --proxy-protocol 10.0.0.0/8",
                "--proxy-protocol",
                "no address",
            ),
            (
                "--listen unix:/x --tcp-keep-alive 5s",
                "--tcp-keep-alive",
                "unix socket",
            ),
            ("--listen unix:/x --open", "--open", "unix socket"),
            ("--qr", "--qr", "--listen :8080"),
            ("-P 80 --qr", "--qr", "--listen :8080"),
            (
                "--listen [::1]:80 --listen unix:/x --qr",
                "--qr",
                "--listen :8080",
            ),
            (
                "--precompressed --x-sendfile",
                "--precompressed",
                "the web server sends",
            ),
            (
                "--precompressed --x-accel-redirect /x",
                "--precompressed",
                "gzip_static",
            ),
        ];
        for (line, option, reason) in cases {
            let text = check(&Command::Serve(serve(line))).unwrap_err().to_string();
            assert!(
                text.starts_with(option) && text.contains(reason),
                "{line}: {text}"
            );
        }
        for line in ["--htpasswd users", "--cgi"] {
            let text = by_environment(&serve(line), true).unwrap();
            assert!(
                text.starts_with("VESTIBULE_AUTH has no effect with "),
                "{text}"
            );
            assert_eq!(by_environment(&serve(line), false), None);
        }
    }

    #[test]
    fn labels_of_numbers_that_nothing_reads() {
        let refused = by_reader(&serve("--metrics-labels exact"));
        assert!(refused.is_some_and(|text| text.starts_with("--metrics-labels has no effect")));
    }

    #[test]
    fn options_that_have_an_effect_are_taken() {
        for line in [
            "",
            "-P 0 --open",
            "src --spa --not-found 404.html --index a --dotfiles --symlinks follow --indexed",
            "Cargo.toml --watch --precompressed --clean-urls --type toml=text/plain",
            "--fastcgi unix:/x --socket-mode 660 --mount /app --ready --metrics",
            "--metrics --metrics-labels exact",
            "--metrics-listen 127.0.0.1:0 --metrics-labels opentelemetry",
            "--fastcgi inherited",
            "--cgi --no-listing",
            "--listen 127.0.0.1:0 --listen 127.0.0.1:0",
            "--listen :0 --listen 127.0.0.1:0",
            "--listen 0.0.0.0:80 --listen [::]:80",
            "--listen [::]:80 --listen 0.0.0.0:80",
            "--listen [::]:80 --listen 127.0.0.1:80",
            "--listen 0.0.0.0:80 --listen [::1]:80",
            "--listen :80 --listen 0.0.0.0:81 --listen unix:/x",
            "--listen unix:/x --listen :80 --socket-mode 660 --trust-proxy unix --max-per-address 3",
            "--listen inherited:web --listen inherited --socket-mode 660",
            "--listen inherited:tls --tls dev --redirect-https inherited:plain --https-port 8443",
            "--listen inherited --socket-mode 660 --trust-proxy unix --open --qr",
            "--listen :80 --qr --auth a:b",
            "--listen localhost:80 --listen 192.0.2.1:80 --qr",
            "--x-sendfile --no-compression",
        ] {
            assert_eq!(
                check(&Command::Serve(serve(line)))
                    .err()
                    .map(|it| it.to_string()),
                None,
                "{line}"
            );
        }
        assert_eq!(by_environment(&serve("--auth a:b"), true), None);
    }

    #[test]
    fn pairs_that_exclude_each_other_are_refused() {
        for line in [
            "-P 80 --listen :80",
            "-P 80 --fastcgi unix:/x",
            "--listen 8080",
            "-P 65536",
            "-P -1",
            "-p 3000",
            "--index=",
            "--htpasswd x --auth a:b",
            "--cgi --auth a:b",
            "--cgi --open",
            "--scgi unix:/x --qr",
            "--no-log --log-format short",
        ] {
            let words = ["vestibule", "serve"].into_iter().chain(line.split(' '));
            assert!(Args::try_parse_from(words).is_err(), "{line}");
        }
    }
}
