//! What the program can be asked for. These comments are its manual.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use vestibule::Network;
use vestibule::logging::{Format, Zone};

use crate::cors::origin;
use crate::events::filter;
use crate::values::{
    Certificate, Proxy, ProxyField, Secret, certificate, count, duration, encoded_glob, error_page,
    glob, glob_rule, header_bytes, index, mode, page, place, prefix, small_p, type_rule,
};

/// Serves a directory over HTTP, through a stack of middleware that prints itself.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, max_term_width = 92)]
#[command(after_help = "Try `vestibule serve` in a directory with an index.html.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    Config(Config),
    Passwd(Passwd),
    #[command(hide = cfg!(not(feature = "precompress")))]
    Precompress(Precompress),
    #[command(hide = cfg!(not(unix)))]
    Wsgi(Wsgi),
}

/// Print the configuration of a web server in front of `vestibule serve` or `vestibule wsgi`
///
/// It goes to standard output, to be pasted into the site's own; what to start beside it is in its
/// comment.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  vestibule config nginx
  vestibule config nginx --wsgi mysite.wsgi    for a Python app
  vestibule config apache --by fastcgi --prefix /app --socket /run/app.sock")]
pub(crate) struct Config {
    /// The web server
    #[arg(value_parser = ["nginx", "apache"])]
    pub(crate) server: String,

    /// The Python app that is served: for `vestibule wsgi`, with limits that fit it
    #[arg(long, value_name = "MODULE:CALLABLE")]
    pub(crate) wsgi: Option<String>,

    /// The protocol between the two
    #[arg(long, value_name = "PROTOCOL", value_parser = ["http", "fastcgi", "scgi", "uwsgi", "cgi"], default_value = "http")]
    pub(crate) by: String,

    /// The part of the site that is served by vestibule
    #[arg(long, value_name = "PATH", default_value = "/", value_parser = prefix)]
    pub(crate) prefix: String,

    /// The unix socket between the two
    #[arg(long, value_name = "PATH", default_value = "/run/vestibule.sock")]
    pub(crate) socket: String,
}

/// Serve the files of a directory, or one file
///
/// Files are sent with their type, a strong entity tag and the time of their last change, and are not
/// sent again to a browser that has them. A directory is its index.html, or a list of what is in it.
/// What begins with a dot, and what lies outside of the directory, is not found.
///
/// One line a request goes to standard output, in the combined log format, or a short one on a
/// terminal; everything else goes to standard error. The first Ctrl-C, or SIGTERM, lets open requests
/// end, for at most 30 seconds; the second ends at once.
#[derive(Debug, Group)]
#[command(after_help = SERVE_HELP)]
pub(crate) struct Serve {
    /// The directory, or one file, which is served at / and at its name
    #[arg(default_value = ".", value_name = "DIR|FILE")]
    pub(crate) directory: PathBuf,

    #[command(flatten)]
    pub(crate) listening: Listening,

    /// Refused: other servers mean the port, and `vestibule wsgi` the number of processes.
    #[arg(short = 'p', hide = true, value_name = "PORT", value_parser = small_p)]
    pub(crate) _small_p: Option<String>,

    /// Open the site in the browser of this desktop when the server is ready
    #[arg(long, conflicts_with_all = ["fastcgi", "scgi", "uwsgi", "cgi"])]
    pub(crate) open: bool,

    /// Show the first address on the network as a QR code, for the camera of a phone; needs an address of the network, as in `--listen :8080`
    #[arg(long, conflicts_with_all = ["fastcgi", "scgi", "uwsgi", "cgi"])]
    pub(crate) qr: bool,

    /// Ask every visitor for a name and a password of this file, which `vestibule passwd` writes
    #[arg(long, value_name = "FILE", conflicts_with = "cgi")]
    pub(crate) htpasswd: Option<PathBuf>,

    /// Ask every visitor for this name and password; may be repeated. Other users of this machine see it in the list of
    /// processes: the variable VESTIBULE_AUTH, with one pair on each line, is not shown there
    #[arg(long, value_name = "USER:PASSWORD", conflicts_with_all = ["cgi", "htpasswd"])]
    pub(crate) auth: Vec<Secret>,

    #[command(flatten)]
    pub(crate) https: Https,

    #[command(flatten)]
    pub(crate) gateway: Gateway,

    #[command(flatten)]
    pub(crate) files: Files,

    #[command(flatten)]
    pub(crate) connections: Connections,

    /// Answer everyone at this address with numbers for Prometheus, at /metrics, and with nothing else: an address and a port, or unix: and a path; without TLS
    #[arg(long, value_name = "ADDR", help_heading = "Logs and measures", conflicts_with_all = ["fastcgi", "scgi", "uwsgi", "cgi"])]
    pub(crate) metrics_listen: Option<String>,

    #[command(flatten)]
    pub(crate) watching: Watching,
}

#[cfg(unix)]
const SERVE_HELP: &str = "\
Examples:
  vestibule serve                              this directory, at http://127.0.0.1:8080/
  vestibule serve public --listen :8080        to everyone on the network
  vestibule serve report.pdf -P 3000 --open    one file, in the browser
  vestibule serve dist --spa --hashed-names    a single-page app as a bundler leaves it
  vestibule serve public --listen unix:/run/site.sock
  vestibule serve public --tls dev             at https://127.0.0.1:8080/, to try
  vestibule serve public --listen :443 --tls chain.pem,key.pem
                         --redirect-https :80

SIGHUP reads certificates again. SIGUSR2 starts the program again and hands it the sockets:
a restart that refuses nobody. It has to be where it was, and gets the same arguments.";

#[cfg(not(unix))]
const SERVE_HELP: &str = "\
Examples:
  vestibule serve                              this directory, at http://127.0.0.1:8080/
  vestibule serve public --listen :8080        to everyone on the network
  vestibule serve report.pdf -P 3000 --open    one file, in the browser
  vestibule serve dist --spa --hashed-names    a single-page app as a bundler leaves it
  vestibule serve public --tls dev             at https://127.0.0.1:8080/, to try
  vestibule serve public --listen :443 --tls chain.pem,key.pem
                         --redirect-https :80

Certificates are read again within a minute after their files have changed.";

/// Where to listen.
#[derive(Debug, Default, Group)]
#[group(multiple = true)]
pub struct Listening {
    /// Where to listen: an address and a port, a port as in :8080 for all interfaces, unix: and a path, unix:@ and a name for an abstract socket of Linux, `inherited` for the sockets of a service manager, or `inherited:NAME` for those of a name; port 0 takes a free one; may be repeated
    #[arg(long, short, default_value = "127.0.0.1:8080", value_name = "ADDR", value_parser = place)]
    pub listen: Vec<String>,

    /// Listen at this port of 127.0.0.1, which other machines cannot reach; 0 takes a free one
    #[arg(long, short = 'P', value_name = "PORT", conflicts_with = "listen")]
    pub port: Option<u16>,
}

impl Connections {
    /// The first of these options that was given, for a server that has none of them.
    pub(crate) fn first_given(&self) -> Option<&'static str> {
        let given = [
            ("--strict", self.strict),
            ("--max-connections", self.max_connections.is_some()),
            ("--max-per-address", self.max_per_address.is_some()),
            ("--header-timeout", self.header_timeout.is_some()),
            ("--idle-timeout", self.idle_timeout.is_some()),
            ("--write-timeout", self.write_timeout.is_some()),
            ("--body-timeout", self.body_timeout.is_some()),
            ("--min-body-rate", self.min_body_rate.is_some()),
            (
                "--max-requests-per-connection",
                self.max_requests_per_connection.is_some(),
            ),
            ("--max-connection-age", self.max_connection_age.is_some()),
            ("--title-case-headers", self.title_case_headers),
            ("--tcp-keep-alive", self.tcp_keep_alive.is_some()),
            ("--max-header-bytes", self.max_header_bytes.is_some()),
            ("--workers", self.workers.is_some()),
            ("--proxy-protocol", !self.proxy_protocol.is_empty()),
            ("--drain-delay", self.drain_delay.is_some()),
            ("--drain-timeout", self.drain_timeout.is_some()),
        ];
        given
            .iter()
            .find(|(_, is_given)| *is_given)
            .map(|(name, _)| *name)
    }
}

impl Listening {
    /// The addresses to listen at.
    #[must_use]
    pub fn places(&self) -> Vec<String> {
        match self.port {
            Some(port) => vec![format!("127.0.0.1:{port}")],
            None => self.listen.clone(),
        }
    }
}

/// Certificates, and what is asked of clients.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "HTTPS")]
#[group(multiple = true)]
pub struct Https {
    /// Speak HTTPS, with a certificate chain and its key from PEM files, or with `dev`: a certificate that is made on the spot; repeated, with a name before, as in example.org=chain.pem,key.pem, for visitors of that name, and once more for a name with another kind of key
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "CHAIN,KEY", value_parser = certificate)]
    pub tls: Vec<Certificate>,

    /// Listen here, too, without TLS, and send visitors on to https
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "ADDR", requires = "tls")]
    pub redirect_https: Option<String>,

    /// The port of https that visitors are sent on to, when a balancer or a container has another one than --listen [default: the one of --listen, or 443]
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "PORT", requires = "redirect_https")]
    pub https_port: Option<u16>,

    /// Take only clients with a certificate that one of this PEM file has signed
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "FILE", requires = "tls")]
    pub(crate) client_ca: Option<PathBuf>,

    /// Refuse clients whose certificate is in a revocation list (CRL) of this PEM file; may be repeated: each authority needs a list that is up to date
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "FILE", requires = "client_ca")]
    pub(crate) client_crl: Vec<PathBuf>,

    /// The oldest version of TLS that is spoken: 1.2 or 1.3 [default: 1.2]
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "VERSION", requires = "tls", value_parser = ["1.2", "1.3"], hide_possible_values = true)]
    pub(crate) tls_min: Option<String>,

    /// Append the secrets of ALL connections to this file, so that Wireshark can decrypt them. A
    /// reader of the file can read all traffic: use it only for debugging. The variable
    /// SSLKEYLOGFILE is not read
    #[arg(long, hide = cfg!(not(feature = "tls")), value_name = "FILE", requires = "tls")]
    pub(crate) tls_keylog: Option<PathBuf>,
}

/// Protocols of web servers, in place of HTTP.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Behind a web server")]
#[group(multiple = true)]
pub(crate) struct Gateway {
    /// Listen for FastCGI instead: at an address, or unix: and a path, or `inherited` when spawn-fcgi
    /// has opened the socket; see `vestibule config`
    #[arg(long, hide = cfg!(not(unix)), value_name = "ADDR", conflicts_with_all = ["scgi", "uwsgi", "cgi", "listen", "port", "tls"])]
    pub(crate) fastcgi: Option<String>,

    /// Listen for SCGI instead
    #[arg(long, hide = cfg!(not(unix)), value_name = "ADDR", conflicts_with_all = ["uwsgi", "cgi", "listen", "port", "tls"])]
    pub(crate) scgi: Option<String>,

    /// Listen for the uwsgi protocol instead
    #[arg(long, hide = cfg!(not(unix)), value_name = "ADDR", conflicts_with_all = ["cgi", "listen", "port", "tls"])]
    pub(crate) uwsgi: Option<String>,

    /// Answer one request as a CGI program, and end
    #[arg(long, hide = cfg!(not(unix)), conflicts_with_all = ["listen", "port", "tls"])]
    pub(crate) cgi: bool,

    /// Where the files are in the web server's site, as in /app [default: at its root]
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    pub(crate) mount: Option<String>,

    /// Believe X-Forwarded-For and -Proto of this network, as in 10.0.0.0/8, or of whoever comes by a
    /// unix socket; may be repeated
    #[arg(long, value_name = "NETWORK|unix", value_parser = Proxy::parse, conflicts_with_all = ["fastcgi", "scgi", "uwsgi", "cgi"])]
    pub(crate) trust_proxy: Vec<Proxy>,

    /// Believe further headers of these proxies, which have to set or remove each: host, port and prefix
    /// for X-Forwarded-Host, -Port and -Prefix, forwarded for Forwarded instead of X-Forwarded-For and
    /// -Proto; as in host,port
    #[arg(
        long,
        value_name = "FIELDS",
        value_delimiter = ',',
        requires = "trust_proxy"
    )]
    pub(crate) trust_fields: Vec<ProxyField>,

    /// Who may open the unix sockets, as in chmod: 660 for this user and group [default: by the umask]
    #[arg(long, hide = cfg!(not(unix)), value_name = "MODE", value_parser = mode, conflicts_with = "cgi")]
    pub(crate) socket_mode: Option<u32>,
}

/// What is served, and as what.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Files")]
pub(crate) struct Files {
    /// The file that is sent for its directory; may be repeated, the first that exists counts [default: index.html]
    #[arg(long, value_name = "NAME", value_parser = index)]
    pub(crate) index: Vec<String>,

    /// Answer 404 for a directory without an index file, in place of a list
    #[arg(long)]
    pub(crate) no_listing: bool,

    /// Serve what begins with a dot, too
    #[arg(long)]
    pub(crate) dotfiles: bool,

    /// How symbolic links are treated: not found, followed inside of DIR, or followed anywhere [default: beneath]
    #[arg(long, value_name = "HOW", value_parser = ["deny", "beneath", "follow"])]
    pub(crate) symlinks: Option<String>,

    /// Find about.html at /about
    #[arg(long)]
    pub(crate) clean_urls: bool,

    /// Answer navigation to paths without a file with a page, as single-page apps need it; browsers ask again for pages, scripts and data each time
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "index.html", require_equals = true, value_parser = page)]
    pub(crate) spa: Option<String>,

    /// Send a page of DIR with each 404
    #[arg(long, value_name = "PAGE", value_parser = page)]
    pub(crate) not_found: Option<String>,

    /// Look for the page of a 404 in the folder of the request first, then in the folders above it; the page is called 404.html, or as --not-found says
    #[arg(long)]
    pub(crate) nearest_not_found: bool,

    /// Send a page of DIR with each error of a status, as in 403=closed.html; may be repeated
    #[arg(long, value_name = "STATUS=PAGE", value_parser = error_page)]
    pub(crate) error_page: Vec<(u16, String)>,

    /// Hide files whose names match, as in '*.bak'; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) hide: Vec<String>,

    /// Show lists without the README of the folder
    #[arg(long, conflicts_with = "no_listing")]
    pub(crate) no_readme: bool,

    /// Offer each list's folder as a zip or tar file, which every visitor can then make the server read
    #[arg(long, conflicts_with = "no_listing")]
    pub(crate) archives: bool,

    /// Send name.br, name.zst and name.gz in place of name to those who take them
    #[arg(long)]
    pub(crate) precompressed: bool,

    /// Send everything as it is, in place of zstd, brotli, gzip or deflate to those who take one
    #[arg(long)]
    pub(crate) no_compression: bool,

    /// Size of the largest file that is compressed when it is asked for, in MiB; larger ones are sent plain, with
    /// their length and ranges [default: 64]
    #[arg(long, value_name = "MIB", conflicts_with = "no_compression")]
    pub(crate) compress_max_size: Option<u32>,

    /// Memory of all encoders that are at work, in MiB; when it is used up, more is sent plain [default: 16]
    #[arg(long, value_name = "MIB", conflicts_with = "no_compression")]
    pub(crate) compress_memory: Option<u32>,

    /// Let browsers keep files with a hash in their names for a year, and ask again for pages, scripts and data each time
    #[arg(long)]
    pub(crate) hashed_names: bool,

    /// Set Cache-Control on names that match, as in '*.html=no-cache'; may be repeated, and the last match counts
    #[arg(long, value_name = "GLOB=VALUE", value_parser = glob_rule)]
    pub(crate) cache_control: Vec<(String, String)>,

    /// Set a header on all responses whose path or file matches, errors included, as in '*=x-frame-options: DENY'; may be repeated
    #[arg(long, value_name = "GLOB=HEADER", value_parser = glob_rule)]
    pub(crate) header: Vec<(String, String)>,

    /// Read header rules from DIR/_headers and redirects from DIR/_redirects, as Netlify and Cloudflare Pages do, and hide both
    #[arg(long)]
    pub(crate) site_files: bool,

    /// Set the type of an extension or of names that match, as in ts=video/mp2t, '*.tar.gz=application/gzip' or '/api/**=application/json'; may be repeated, and the last match counts
    #[arg(long = "type", value_name = "EXT|GLOB=TYPE", value_parser = type_rule)]
    pub(crate) media_type: Vec<(String, String)>,

    /// Send matching files that are stored compressed, as in '*.gz', with Content-Encoding and the type of their content to clients that accept it; archives such as .tar.gz stay downloads; may be repeated
    #[arg(long, value_name = "EXT|GLOB", value_parser = encoded_glob)]
    pub(crate) encoded: Vec<String>,

    /// Look at all files once, and again on SIGHUP, and hold up to so many MB of small ones in memory
    #[arg(long, value_name = "MB", num_args = 0..=1, default_missing_value = "64", require_equals = true)]
    pub(crate) indexed: Option<u32>,

    /// Load pages in browsers again when a file changes, while you write them
    #[arg(long, conflicts_with_all = ["indexed", "fastcgi", "scgi", "uwsgi", "cgi"])]
    pub(crate) watch: bool,

    /// Let scripts of pages from other origins read the site: from every origin, or from the one that is given, as in https://example.org; may be repeated. Browsers then send no cookies and no saved passwords
    #[arg(long, value_name = "ORIGIN", num_args = 0..=1, default_missing_value = "*", require_equals = true, value_parser = origin)]
    pub(crate) cors: Vec<String>,

    /// Let nginx send the files, from its internal location of this prefix
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["x_sendfile", "watch"])]
    pub(crate) x_accel_redirect: Option<String>,

    /// Let Apache's mod_xsendfile send the files
    #[arg(long, conflicts_with = "watch")]
    pub(crate) x_sendfile: bool,
}

/// What a connection may take. The defaults trip no honest client.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Connections")]
pub struct Connections {
    /// Tighter limits, for a server that stands in the open
    #[arg(long)]
    pub strict: bool,

    /// How many connections at a time; more wait [default: by the limit on open files]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub max_connections: Option<usize>,

    /// How many connections one address may have at a time; more are closed [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub(crate) max_per_address: Option<usize>,

    /// How long the head of a request may take [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub header_timeout: Option<Duration>,

    /// How long a connection may wait between requests; longer than a balancer in front keeps idle connections [default: 75s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub idle_timeout: Option<Duration>,

    /// How long a client may read nothing of its response [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub write_timeout: Option<Duration>,

    /// How long a pause in an upload may be that an app reads; files read none. `--min-body-rate` ends slow uploads as well [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) body_timeout: Option<Duration>,

    /// The least rate of an upload that an app reads, in bytes a second: after 10 s of waiting, slower ones are ended; 0 for no such limit [default: 500; 1024 with `--strict`]
    #[arg(long, value_name = "BYTES")]
    pub(crate) min_body_rate: Option<u64>,

    /// Maximum number of requests on one connection, which is closed then [default: no limit]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub max_requests_per_connection: Option<usize>,

    /// Close a connection at this age, up to a tenth less or more: on HTTP/1 after its next response, on HTTP/2 when its open requests are answered; for clients of HTTP/2 and gRPC behind a balancer of TCP [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_connection_age: Option<Duration>,

    /// Write the names of header fields as in Content-Type, for old clients of HTTP/1 that find no others
    #[arg(long)]
    pub(crate) title_case_headers: bool,

    /// Ask a client for a sign of life when its TCP connection is silent for this time; one that gives none is gone after twice the time, WebSockets included; 0s turns it off [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) tcp_keep_alive: Option<Duration>,

    /// How large the head of a request may be [default: 32768]
    #[arg(long, value_name = "BYTES", value_parser = header_bytes)]
    pub(crate) max_header_bytes: Option<usize>,

    /// Number of workers, each with its own connections; here they are threads, in `vestibule wsgi` processes [default: one runtime that shares all cores]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub workers: Option<usize>,

    /// Read the PROXY protocol from balancers of this network, as in 10.0.0.0/8; may be repeated
    #[arg(long, value_name = "CIDR")]
    pub(crate) proxy_protocol: Vec<Network>,

    /// How long, after the signal, new connections are still taken, while /-/ready answers 503 [default: 0s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain_delay: Option<Duration>,

    /// How long the end may take in all, from the signal; what is still at work is cut a second before [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub drain_timeout: Option<Duration>,
}

/// What an operator sees.
#[derive(Debug, Default, Group)]
#[command(next_help_heading = "Logs and measures")]
pub struct Watching {
    /// The form of the log: common, combined, json, logfmt, short, or Apache's LogFormat string
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<Format>,

    /// Append the log to a file instead of standard output (`-`). The file is reopened on SIGHUP and
    /// after it was renamed
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// The time zone of times in the log and the events: utc, local, an offset as in +02:00, or a name as in Europe/Paris. UTC has no hour that comes twice, and lines of several machines can be merged [default: utc]
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub log_time: Option<Zone>,

    /// Write no line a request
    #[arg(long, conflicts_with_all = ["log", "log_format"])]
    pub no_log: bool,

    /// Which events of the program itself go to standard error: a level (off, error, warn, info, debug, trace), and levels for parts of it, as in warn,vestibule=info,h2=debug [default: RUST_LOG, or info]
    #[arg(long, value_name = "FILTER", value_parser = filter)]
    pub log_level: Option<Targets>,

    /// The form of these events; with json, nothing else goes to standard error
    #[arg(long, value_name = "FORM", value_parser = ["text", "json"])]
    pub events: Option<String>,

    /// Answer at /-/ready: 200, or 503 when the server is about to end
    #[arg(long)]
    pub(crate) ready: bool,

    /// Answer this machine at /-/metrics with numbers for Prometheus
    #[arg(long)]
    pub metrics: bool,

    /// The labels of these numbers: classes of statuses (2xx), exact ones, or the names of OpenTelemetry with exact ones [default: classes]
    #[arg(long, value_name = "FORM", value_parser = ["classes", "exact", "opentelemetry"])]
    pub metrics_labels: Option<String>,

    /// Answer this machine at /-/stack with a page that shows where the time goes
    #[arg(long)]
    pub inspect: bool,
}

/// Set the password of a user in a file
///
/// Asks for the password twice, or reads it from standard input when that is no terminal. It is
/// stored as an argon2 hash. The file is replaced at once or not at all; a new one can be read by
/// you only. A running `vestibule serve --htpasswd` sees the change within a second.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  vestibule passwd users alice                 asks for the password
  pwgen 20 1 | vestibule passwd users robot    reads it")]
pub(crate) struct Passwd {
    /// The file; it is made when it is not there
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The user, who is added or gets another password
    #[arg(value_name = "USER")]
    pub(crate) user: String,

    /// Hash with bcrypt in place of argon2, for a file that Apache or nginx reads as well
    #[arg(long)]
    pub(crate) bcrypt: bool,
}

/// Serve a Python app: Flask, Django, or any other WSGI app
///
/// It is run by the Python of the virtual environment that is active (VIRTUAL_ENV), or else by the
/// python3 on PATH; that Python needs the package vestibule-wsgi. Everything after `wsgi` is for it:
/// see `vestibule wsgi --help`.
#[derive(Debug, Group)]
#[command(disable_help_flag = true)]
pub(crate) struct Wsgi {
    /// MODULE:CALLABLE and options
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub(crate) rest: Vec<std::ffi::OsString>,
}

/// Compress the files of a directory beforehand
///
/// Writes name.br, name.zst and name.gz beside each file that shrinks, for `vestibule serve --precompressed`: with brotli
/// at 11, zstd at 19 and gzip at 9. Copies that are up to date stay, others are written again or removed.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  vestibule precompress dist                           after each build
  vestibule serve dist --precompressed                 and then
  vestibule precompress dist --only '*.{js,css}' --codings br,gzip
  vestibule precompress dist --clean                   removes the compressed copies")]
pub(crate) struct Precompress {
    /// The directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Look at files that match alone, as in '*.{js,css}' or '/assets/**'; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) only: Vec<String>,

    /// Leave out files that match, as in '/vendor/**'; may be repeated
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    pub(crate) exclude: Vec<String>,

    /// The codings, separated by commas [default: br,zstd,gzip]
    #[arg(long, value_name = "CODINGS", value_delimiter = ',', value_parser = ["br", "zstd", "gzip"])]
    pub(crate) codings: Vec<String>,

    /// Remove the compressed copies instead of writing them; one whose file does not exist stays
    #[arg(long, conflicts_with_all = ["threads", "min_size"])]
    pub(crate) clean: bool,

    /// Number of threads [default: number of cores]
    #[arg(long, value_name = "COUNT", value_parser = count)]
    pub(crate) threads: Option<usize>,

    /// Leave out files of fewer bytes [default: 256]
    #[arg(long, value_name = "BYTES")]
    pub(crate) min_size: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Args::command().debug_assert();
    }
}
