//! What the server can be asked for. These comments are its manual.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};
use vestibule_cli::common::{
    Certificate, Connections, Https, Listening, Proxy, ProxyField, Watching, duration, mode, pair,
    prefix,
};

use super::defaults;
use crate::variables::fault;

/// Serve a Python app: Flask, Django, or any other WSGI app
///
/// Every worker is a process with its own copy of the app, and runs so many requests at a time as it
/// has threads. A worker that dies is replaced at once, and so is one that is stuck, too large or too
/// old, without losing a request. SIGHUP replaces all workers one by one; the first Ctrl-C or SIGTERM
/// lets open requests end; the second ends at once.
///
/// The app is MODULE:CALLABLE as in app:app, MODULE:FACTORY() as in 'app:create_app()', or a module
/// that has `application` or `app`.
#[derive(Debug, Parser)]
#[command(name = "vestibule wsgi", version, max_term_width = 92)]
#[command(after_help = "\
Examples:
  vestibule wsgi app:app                               at http://127.0.0.1:8080/
  vestibule wsgi mysite.wsgi --static /static=./static  Django, its files from Rust
  vestibule wsgi app:app --reload --debug              while you write it
  vestibule wsgi app:app --listen :443 --tls chain.pem,key.pem
  vestibule wsgi 'app:create_app()' --processes 4 --threads 8 --listen unix:/run/app.sock")]
pub(crate) struct Args {
    /// The app
    #[arg(value_name = "MODULE:CALLABLE")]
    pub(crate) target: String,

    #[command(flatten)]
    pub(crate) listening: Listening,

    /// Serve the files of a directory beside the app, as in /static=./static; may be repeated
    #[arg(long = "static", value_name = "PATH=DIR", value_parser = pair)]
    pub(crate) files: Vec<(String, String)>,

    /// Ask every visitor for a name and a password of this file, which `vestibule passwd` writes
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,

    /// Send everything as it is, in place of gzip to those who take it
    #[arg(long)]
    pub(crate) no_compression: bool,

    /// Believe the forwarding headers and the x-request-id of a web server in this network, as in 127.0.0.1, or of one that
    /// comes by a unix socket: unix; may be repeated
    #[arg(long, value_name = "NETWORK|unix", value_parser = Proxy::parse)]
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

    /// Mount the app below this path, as in /app: SCRIPT_NAME is /app then, and PATH_INFO the rest;
    /// other paths are answered 404
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    pub(crate) mount: Option<String>,

    /// Permissions of the unix sockets, as in chmod: 660 for this user and group [default: by the umask]
    #[arg(long, value_name = "MODE", value_parser = mode)]
    pub(crate) socket_mode: Option<u32>,

    #[command(flatten)]
    pub(crate) https: Https,

    #[command(flatten)]
    pub(crate) python: Python,

    #[command(flatten)]
    pub(crate) workers: Workers,

    #[command(flatten)]
    pub(crate) connections: Connections,

    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// How the app is found.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Python")]
pub(crate) struct Python {
    /// Change to this directory first; it is where modules are looked for
    #[arg(long, value_name = "DIR")]
    pub(crate) chdir: Option<PathBuf>,

    /// Look for modules in this directory, too; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) pythonpath: Vec<PathBuf>,

    /// Add a variable to every environ, as in DEPLOYMENT=blue; may be repeated. Variables that the server sets
    /// itself are refused
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable())]
    pub(crate) environ: Vec<(String, Vec<u8>)>,

    /// Receive chunked uploads before the app is called, up to this size in MiB, and give them a
    /// CONTENT_LENGTH, which Django and Bottle need; larger ones are answered 413 [default: the app reads
    /// them as they come]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub(crate) buffer_chunked: Option<u64>,

    /// Show tracebacks as pages, to this machine only
    #[arg(long)]
    pub(crate) debug: bool,

    /// Replace the workers when a Python file has changed
    #[arg(long)]
    pub(crate) reload: bool,
}

/// How many of everything, and when a worker is replaced.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Workers")]
pub(crate) struct Workers {
    /// How many processes; 0 runs the app in this one, without a supervisor [default: WEB_CONCURRENCY if
    /// that variable is set, or else one a core; with `--tls dev` there is one]
    #[arg(long, short, value_name = "COUNT")]
    pub(crate) processes: Option<usize>,

    /// How many requests a process works on at a time [default: 2 a core and 1, at most 32]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// How many requests may wait in a process; more are answered 503
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    pub(crate) queue: usize,

    /// How long the app may do nothing for a request, or a request may wait; then it is answered 504
    /// or 503, and a worker that is stuck is replaced; 0 for ever
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    pub(crate) timeout: Duration,

    /// How long a worker may take to load the app; then it is ended and started again; 0 for ever
    /// [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) start_timeout: Option<Duration>,

    /// Replace a worker that has more memory than this, in MiB [default: never]
    #[arg(long, value_name = "MIB")]
    pub(crate) max_memory: Option<u64>,

    /// Replace a worker after this number of requests, give or take a tenth [default: never]
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_requests: Option<u64>,

    /// Call this with the number of the process in each worker that starts, when the app is loaded
    #[arg(long, value_name = "MODULE:CALLABLE")]
    pub(crate) on_worker_start: Option<String>,

    /// Call this in the supervisor with the number of each worker that has ended, as prometheus_client
    /// wants it for mark_process_dead; the module should import little
    #[arg(long, value_name = "MODULE:CALLABLE")]
    pub(crate) on_worker_exit: Option<String>,

    /// Refused, with what there is in its place.
    #[arg(long, hide = true)]
    pub(crate) preload: bool,

    /// Started by the supervisor, as this worker.
    #[arg(long, hide = true)]
    pub(crate) as_worker: Option<usize>,

    /// Started by the supervisor when no worker has loaded the app yet, with `--reload`.
    #[arg(long, hide = true)]
    pub(crate) shows_errors: bool,
}

impl Args {
    /// Reads the command line. A worker is a process here, as for users of gunicorn.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let command = Self::command()
            .mut_arg("listen", |option| {
                option
                    .help("Where to listen: an address and a port, a port as in :8080 for all interfaces or as in 8080 for this machine, or unix: and a path; port 0 takes a free one; may be repeated [default: :PORT if that variable is set, or else 127.0.0.1:8080]")
                    .value_parser(defaults::place)
                    .hide_default_value(true)
                    .visible_alias("bind")
                    .visible_short_alias('b')
            })
            .mut_arg("processes", |option| option.visible_short_alias('w'))
            .mut_arg("workers", |option| {
                option
                    .help_heading("Workers")
                    .help("Another name of --processes")
                    .conflicts_with("processes")
            });
        let matches = command.try_get_matches_from(arguments)?;
        let mut args = Self::from_arg_matches(&matches)?;
        if args.workers.preload {
            return Err(clap::Error::raw(ErrorKind::UnknownArgument, PRELOAD));
        }
        let is_unix = |place: &String| place.starts_with("unix:");
        if args.socket_mode.is_some() && !args.listening.places().iter().any(is_unix) {
            return Err(clap::Error::raw(ErrorKind::ArgumentConflict, NO_SOCKET));
        }
        let processes = args.connections.workers.take();
        args.workers.processes = args.workers.processes.or(processes);
        let is_placed = matches.value_source("listen") == Some(ValueSource::CommandLine)
            || args.listening.port.is_some();
        args.ask_environment(is_placed, |name| std::env::var(name).ok())?;
        Ok(args)
    }

    /// Reads options that the command line lacks from the environment.
    fn ask_environment(
        &mut self,
        is_placed: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(), clap::Error> {
        let refuse = |why| clap::Error::raw(ErrorKind::InvalidValue, format!("{why}\n"));
        if let (false, Some(port)) = (is_placed, variable("PORT")) {
            self.listening.listen = vec![defaults::place_of_port(&port).map_err(refuse)?];
        }
        if let (None, Some(count)) = (self.workers.processes, variable("WEB_CONCURRENCY")) {
            self.workers.processes = Some(defaults::processes(&count).map_err(refuse)?);
        }
        Ok(())
    }

    /// How many processes there are beside this one.
    pub(crate) fn processes(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        match self.has_own_certificate() {
            // A browser that has taken one of them would refuse another process's.
            true => self.workers.processes.unwrap_or(1).min(1),
            false => self.workers.processes.unwrap_or_else(cores),
        }
    }

    /// Whether the certificate is made on the spot: each process has another.
    fn has_own_certificate(&self) -> bool {
        self.https.tls.contains(&Certificate::Development)
    }

    /// Whether the app runs in this process.
    pub(crate) fn is_worker(&self) -> bool {
        self.workers.as_worker.is_some() || self.processes() == 0
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        Some(self.workers.timeout).filter(|limit| !limit.is_zero())
    }

    /// How long a worker may take to start.
    pub(crate) fn start_timeout(&self) -> Option<Duration> {
        let limit = self.workers.start_timeout.unwrap_or(START_TIMEOUT);
        Some(limit).filter(|limit| !limit.is_zero())
    }

    /// How long a worker may take to end: what its server takes, and some time for Python.
    pub(crate) fn patience(&self) -> Duration {
        let drain = self.connections.drain_timeout;
        drain.unwrap_or(Duration::from_secs(30)) + Duration::from_secs(8)
    }
}

/// Apps that load a large model take minutes.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// `NAME=VALUE`, of any bytes: a variable of the environ.
fn variable() -> impl TypedValueParser<Value = (String, Vec<u8>)> {
    OsStringValueParser::new().try_map(|text| {
        let bytes = text.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'=');
        let (name, value) = at
            .and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?)))
            .ok_or("a name, `=`, and a value")?;
        let name = String::from_utf8_lossy(name).into_owned();
        match fault(&name) {
            Some(fault) => Err(fault),
            None => Ok((name, value.to_vec())),
        }
    })
}

/// The message for users of gunicorn.
const PRELOAD: &str = "there is no `--preload`: each worker imports the app for itself, and none is forked \
                       from another; leave the option out\n";

/// The message for an option that would have no effect.
const NO_SOCKET: &str =
    "--socket-mode has no effect here: no unix socket is made; add `--listen unix:PATH`\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_that_gunicorn_has_mean_what_they_do_there() {
        let read = |options: &[&str]| {
            let all = ["x", "app:app"].iter().chain(options).map(OsString::from);
            Args::read(&all.collect::<Vec<_>>())
        };
        let args = read(&["--workers", "3", "--max-requests", "9"]).unwrap();
        assert_eq!((args.processes(), args.workers.max_requests), (3, Some(9)));
        assert_eq!(args.connections.max_requests_per_connection, None);
        let args = read(&["-P", "3000", "-p", "2"]).unwrap();
        assert_eq!(args.listening.places(), ["127.0.0.1:3000"]);
        assert_eq!(args.processes(), 2);
        for listen in ["-b", "--bind", "-l", "--listen"] {
            let args = read(&[listen, ":8000", listen, "9000"]).unwrap();
            assert_eq!(args.listening.places(), [":8000", "127.0.0.1:9000"]);
        }
        for processes in ["-w", "-p", "--processes", "--workers"] {
            assert_eq!(read(&[processes, "4"]).unwrap().processes(), 4);
        }
        assert!(read(&["-P", "3000", "--listen", ":80"]).is_err());
        assert!(read(&["--workers", "3", "--processes", "2"]).is_err());
    }

    #[test]
    fn the_environment_is_asked_where_the_command_line_is_silent() {
        let read = |options: &[&str], port: Option<&str>, count: Option<&str>| {
            let all = ["x", "app:app"].iter().chain(options).map(OsString::from);
            let mut args = Args::read(&all.collect::<Vec<_>>()).unwrap();
            let is_placed = !options.is_empty();
            let variable = |name: &str| match name {
                "PORT" => port.map(str::to_owned),
                _ => count.map(str::to_owned),
            };
            let asked = args.ask_environment(is_placed, variable);
            asked.map(|()| (args.listening.places(), args.workers.processes))
        };
        let (places, processes) = read(&[], Some("5000"), Some("3")).unwrap();
        assert_eq!((places, processes), (vec![":5000".to_owned()], Some(3)));
        let (places, processes) = read(&["-b", ":80", "-w", "2"], Some("5000"), Some("3")).unwrap();
        assert_eq!((places, processes), (vec![":80".to_owned()], Some(2)));
        let (places, _) = read(&["-P", "80"], Some("x"), None).unwrap();
        assert_eq!(places, ["127.0.0.1:80"]);
        assert!(read(&[], Some("x"), None).is_err() && read(&[], None, Some("x")).is_err());
    }
}
