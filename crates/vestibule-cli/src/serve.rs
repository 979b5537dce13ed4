//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;
use std::path::Path;

use tokio::sync::watch::Sender;
use vestibule::auth::{Authenticate, Basic, Htpasswd};
use vestibule::compression::Compression;
use vestibule::files::{HandOver, IndexedFiles, StaticFiles, Symlinks};
use vestibule::http::HeaderValue;
use vestibule::hyper::Server;
use vestibule::inspect::Inspect;
use vestibule::logging::{AccessLog, Format, LogFile, Metrics, Registry, Sink};
use vestibule::{Address, App, BoxApp, Mounts, Stack};

use crate::args::{Connections, Files, Serve, Watching};
use crate::reload::{self, Reload};

/// Serves until the process is asked to end.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let log = sink(&serve.watching)?;
    let Served {
        app,
        index,
        changes,
    } = app(serve, &log)?;
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
        if serve.watching.log.is_some() || index.is_some() {
            act_on_hangup(log, index)?;
        }
        if let Some(changes) = changes {
            end_with_the_server(changes);
        }
        server.run().await?;
        Ok(())
    })
}

/// What the program serves a directory with.
pub(crate) struct Served {
    /// The stack.
    pub(crate) app: BoxApp,
    /// The files that were looked at once.
    pub(crate) index: Option<IndexedFiles>,
    /// Tells the pages of what changes, until it is dropped.
    changes: Option<Sender<reload::Change>>,
}

/// The stack around the files, as the options say.
pub(crate) fn app(serve: &Serve, log: &Sink) -> io::Result<Served> {
    let users = match &serve.htpasswd {
        Some(file) => Some(users(file, &serve.directory)?),
        None => None,
    };
    let compresses = !serve.files.no_compression;
    let mut stack = Stack::new().when(compresses, Compression::new);
    let mut watched_files = None;
    if serve.files.watch {
        let (sender, changes) = reload::watch(serve.directory.clone());
        stack = stack.with(move |app| Reload::new(app, changes.clone()));
        watched_files = Some(sender);
    }
    let files = files(serve)?;
    let index = match serve.files.indexed {
        Some(megabytes) => Some(files.clone().indexed(u64::from(megabytes) << 20)?),
        None => None,
    };
    let files = match &index {
        Some(index) => index.clone().boxed(),
        None => files.boxed(),
    };
    Ok(Served {
        app: watched(stack, files, &serve.watching, users, log),
        index,
        changes: watched_files,
    })
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

/// The files in a stack that is logged, counted, guarded and shown as the options say.
fn watched(
    inner: Stack,
    files: BoxApp,
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
        .with(move |app| AccessLog::new(app).to(sink.clone()).format(format.clone()))
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
            stack.app(Mounts::new().at("/-/stack", page).or(files))
        }
        false => stack.app(files),
    }
}

/// Where the log goes.
pub(crate) fn sink(options: &Watching) -> io::Result<Sink> {
    let Some(path) = &options.log else {
        return Ok(Sink::stdout());
    };
    let file = LogFile::open(path).map_err(|error| {
        let text = format!("cannot write the log: {error}");
        io::Error::new(error.kind(), text)
    })?;
    Ok(Sink::file(file))
}

/// Opens the log anew, and looks at the files anew, whenever the process is sent SIGHUP.
#[cfg(unix)]
pub(crate) fn act_on_hangup(log: Sink, index: Option<IndexedFiles>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            log.reopen();
            let Some(index) = index.clone() else { continue };
            let looked = tokio::task::spawn_blocking(move || index.reload()).await;
            if let Ok(Err(error)) = looked {
                eprintln!("vestibule: the files stay as they were: {error}");
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn act_on_hangup(_: Sink, _: Option<IndexedFiles>) -> io::Result<()> {
    Ok(())
}

/// Ends the events that pages wait for when the server is asked to end, which would wait for them.
fn end_with_the_server(changes: Sender<reload::Change>) {
    tokio::spawn(async move {
        asked_to_end().await;
        changes.send_replace(reload::Change::Ended);
    });
}

#[cfg(unix)]
async fn asked_to_end() {
    use std::future::poll_fn;
    use std::task::Poll;
    use tokio::signal::unix::{SignalKind, signal};

    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    let mut signals: Vec<_> = signals.into_iter().flatten().collect();
    poll_fn(|cx| {
        let is_asked = signals
            .iter_mut()
            .any(|signal| signal.poll_recv(cx).is_ready());
        if is_asked {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

#[cfg(not(unix))]
async fn asked_to_end() {
    let _ = tokio::signal::ctrl_c().await;
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
    for (glob, header) in &options.header {
        let (name, value) = header_line(header)?;
        files = files.header(glob, name, value);
    }
    if let Some(prefix) = &options.x_accel_redirect {
        files = files.hand_over(HandOver::XAccelRedirect(prefix.clone().into()));
    }
    if options.x_sendfile {
        files = files.hand_over(HandOver::XSendfile);
    }
    for (extension, media_type) in &options.media_type {
        files = files.media_type(extension, header_value("--type", media_type)?);
    }
    Ok(files)
}

/// `name: value`, in two, if it may be said of files.
fn header_line(line: &str) -> io::Result<(&str, HeaderValue)> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    if !StaticFiles::takes_header(name) {
        let text = format!("--header: {name:?} is no header that may be set on files");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok((name, header_value("--header", value.trim())?))
}

fn header_value(flag: &str, value: &str) -> io::Result<HeaderValue> {
    let error = |_| {
        let text = format!("{flag}: {value:?} cannot stand in a header");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    HeaderValue::from_str(value).map_err(error)
}

/// The server within the limits that the options say.
fn limited<A: App>(mut server: Server<A>, options: &Connections) -> Server<A> {
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
fn users(file: &Path, directory: &Path) -> io::Result<Htpasswd> {
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
fn web_address(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("http://{address}/"),
        other => other.to_string(),
    }
}

/// Whether there is colour.
#[derive(Clone, Copy, Debug)]
enum Ink {
    Colour,
    Plain,
}

impl Ink {
    fn of_stderr() -> Self {
        match crate::wants_colour(&io::stderr()) {
            true => Self::Colour,
            false => Self::Plain,
        }
    }

    /// Bold, dim, and neither.
    const fn codes(self) -> (&'static str, &'static str, &'static str) {
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
        let error = app(&serve, &Sink::stdout()).err().unwrap().to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
