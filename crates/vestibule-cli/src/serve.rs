//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;
use std::path::Path;

use vestibule::auth::{Authenticate, Basic, Htpasswd};
use vestibule::compression::Compression;
use vestibule::files::{StaticFiles, Symlinks};
use vestibule::http::HeaderValue;
use vestibule::hyper::Server;
use vestibule::inspect::Inspect;
use vestibule::logging::{AccessLog, Format, LogFile, Metrics, Registry, Sink};
use vestibule::{Address, App, BoxApp, Mounts, Stack};

use crate::args::{Connections, Files, Serve, Watching};

/// Serves until the process is asked to end.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let log = sink(&serve.watching)?;
    let app = app(serve, &log)?;
    let outline = app.outline();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut places = serve.listen.iter();
        let first = places.next().ok_or("there is no place to listen at")?;
        let limited = limited(Server::new(app), &serve.connections);
        let mut server = limited.bind(&**first).await?;
        for place in places {
            server = server.bind(&**place).await?;
        }
        let addresses: Vec<_> = server.addresses().map(web_address).collect();
        let directory = serve.directory.canonicalize()?;
        let ink = Ink::of_stderr();
        eprint!(
            "{}",
            welcome(&directory, &addresses, &outline.to_string(), ink)
        );
        if serve.watching.log.is_some() {
            reopen_on_hangup(log)?;
        }
        server.run().await?;
        Ok(())
    })
}

/// The stack that the program serves a directory with.
pub(crate) fn app(serve: &Serve, log: &Sink) -> io::Result<BoxApp> {
    let users = match &serve.htpasswd {
        Some(file) => Some(users(file, &serve.directory)?),
        None => None,
    };
    let compresses = !serve.files.no_compression;
    let inner = Stack::new().when(compresses, Compression::new);
    Ok(watched(inner, files(serve)?, &serve.watching, users, log))
}

/// The files alone.
pub(crate) fn files(serve: &Serve) -> io::Result<StaticFiles> {
    let directory = &serve.directory;
    let files = StaticFiles::try_new(directory).map_err(|error| {
        let text = format!("cannot serve `{}`: {error}", directory.display());
        io::Error::new(error.kind(), text)
    })?;
    configured(files, &serve.files)
}

/// An app in a stack that is logged, counted, guarded and shown as the options say.
pub fn watched(
    inner: Stack,
    app: impl App,
    options: &Watching,
    users: Option<Htpasswd>,
    log: &Sink,
) -> BoxApp {
    let is_terminal = options.log.is_none() && crate::wants_colour(&io::stdout());
    let format = match &options.log_format {
        Some(format) => format.clone(),
        None if is_terminal => Format::coloured(),
        None => Format::combined(),
    };
    let (sink, registry) = (log.clone(), Registry::new().with_log(log.clone()));
    let stack = Stack::new()
        .when(!options.no_log, move |app| {
            AccessLog::new(app).to(sink.clone()).format(format.clone())
        })
        .when(options.metrics, move |app| {
            Metrics::new(app).to(registry.clone()).at("/-/metrics")
        });
    let stack = match users {
        None => stack,
        Some(users) => {
            let basic = Basic::new(users);
            stack.with(move |app| Authenticate::new(app, basic.clone()))
        }
    };
    let stack = stack.append(inner);
    match options.inspect {
        true => {
            let stack = stack.timed();
            let page = Inspect::new(&stack);
            stack.app(Mounts::new().at("/-/stack", page).or(app))
        }
        false => stack.app(app),
    }
}

/// Where the log goes.
pub fn sink(options: &Watching) -> io::Result<Sink> {
    let Some(path) = &options.log else {
        return Ok(Sink::stdout());
    };
    let file = LogFile::open(path).map_err(|error| {
        let text = format!("cannot write the log: {error}");
        io::Error::new(error.kind(), text)
    })?;
    Ok(Sink::file(file))
}

/// Opens the log anew whenever the process is sent SIGHUP.
#[cfg(unix)]
pub fn reopen_on_hangup(log: Sink) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            log.reopen();
        }
    });
    Ok(())
}

#[cfg(not(unix))]
pub fn reopen_on_hangup(_: Sink) -> io::Result<()> {
    Ok(())
}

/// The files as the options say.
fn configured(files: StaticFiles, options: &Files) -> io::Result<StaticFiles> {
    let mut files = files
        .index(options.index.clone())
        .listing(!options.no_listing)
        .dotfiles(options.dotfiles)
        .symlinks(match &*options.symlinks {
            "deny" => Symlinks::Deny,
            "follow" => Symlinks::Follow,
            _ => Symlinks::Beneath,
        })
        .clean_urls(options.clean_urls)
        .precompressed(options.precompressed)
        .hashed_names(options.hashed_names);
    if let Some(page) = &options.spa {
        files = files.spa(page.clone());
    }
    if let Some(page) = &options.not_found {
        files = files.not_found(page.clone());
    }
    for (glob, value) in &options.cache_control {
        files = files.cache_control(glob, header_value("--cache-control", value)?);
    }
    for (extension, media_type) in &options.media_type {
        files = files.media_type(extension, header_value("--type", media_type)?);
    }
    Ok(files)
}

fn header_value(flag: &str, value: &str) -> io::Result<HeaderValue> {
    let error = |_| {
        let text = format!("{flag}: {value:?} cannot stand in a header");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    HeaderValue::from_str(value).map_err(error)
}

/// The server within the limits that the options say.
pub fn limited<A: App>(mut server: Server<A>, options: &Connections) -> Server<A> {
    if options.strict {
        server = server.strict();
    }
    if let Some(count) = options.max_connections {
        server = server.max_connections(count);
    }
    if let Some(time) = options.header_timeout {
        server = server.header_timeout(time).first_byte_timeout(time);
    }
    if let Some(time) = options.idle_timeout {
        server = server.idle_timeout(time);
    }
    if let Some(time) = options.write_timeout {
        server = server.write_timeout(time);
    }
    if let Some(time) = options.drain_timeout {
        server = server.drain_timeout(time);
    }
    server
}

/// The users of a file, which must not be among the files that are served; hidden ones are not.
pub fn users(file: &Path, directory: &Path) -> io::Result<Htpasswd> {
    let explained = |error: io::Error| {
        let text = format!("cannot use the passwords of `{}`: {error}", file.display());
        io::Error::new(error.kind(), text)
    };
    let (place, served) = (file.canonicalize(), directory.canonicalize());
    let place = place.map_err(explained)?;
    let is_hidden = |rest: &Path| rest.iter().any(|name| name.as_encoded_bytes()[0] == b'.');
    if place
        .strip_prefix(served?)
        .is_ok_and(|rest| !is_hidden(rest))
    {
        let text = "it lies in the directory that is served";
        return Err(explained(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    Htpasswd::open(file).map_err(explained)
}

/// What the user sees first.
fn welcome(directory: &Path, addresses: &[String], outline: &str, ink: Ink) -> String {
    let (bold, dim, plain) = ink.codes();
    let directory = directory.display();
    let at = addresses.join("\n     at ");
    format!("{bold}Serving {directory}\n     at {at}{plain}\n\n{dim}{outline}{plain}\n")
}

/// An address as a browser takes it; a unix socket as `curl --unix-socket` is told of it.
pub fn web_address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("http://{address}/"),
        other => other.to_string(),
    }
}

/// Whether there is colour.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// On a terminal.
    Colour,
    /// Where nobody looks.
    Plain,
}

impl Ink {
    /// For standard error.
    #[must_use]
    pub fn of_stderr() -> Self {
        match crate::wants_colour(&io::stderr()) {
            true => Self::Colour,
            false => Self::Plain,
        }
    }

    /// Bold, dim, and neither.
    #[must_use]
    pub const fn codes(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Colour => ("\x1b[1m", "\x1b[2m", "\x1b[0m"),
            Self::Plain => ("", "", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_welcome_is_plain_where_nobody_looks() {
        let addresses = ["http://127.0.0.1:1/".to_owned(), "unix:/x".to_owned()];
        let text = welcome(Path::new("/srv"), &addresses, "Log\n", Ink::Plain);
        let plain = "Serving /srv\n     at http://127.0.0.1:1/\n     at unix:/x\n\nLog\n\n";
        assert_eq!(text, plain);
        let text = welcome(Path::new("/srv"), &addresses, "Log\n", Ink::Colour);
        assert_eq!(text.matches("\x1b[0m").count(), 2);
    }

    #[test]
    fn a_password_file_is_not_among_the_files() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let error = users(&here.join("Cargo.toml"), here).unwrap_err();
        assert!(error.to_string().ends_with("that is served"), "{error}");
        let error = users(&here.join("Cargo.toml"), &here.join("src")).unwrap_err();
        assert!(
            error.to_string().ends_with("no line that can be used"),
            "{error}"
        );
        assert!(users(Path::new("no/such/file"), here).is_err());
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let serve = Serve {
            directory: "no/such/place".into(),
            listen: Vec::new(),
            gateway: crate::args::Gateway::default(),
            files: Files::default(),
            connections: Connections::default(),
            watching: Watching::default(),
            htpasswd: None,
        };
        let error = app(&serve, &Sink::stdout()).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
