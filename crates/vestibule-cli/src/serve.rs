//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;
use std::path::Path;

use tokio::sync::watch::Sender;
use vestibule::auth::{Authenticate, Basic, Htpasswd};
use vestibule::compression::Compression;
use vestibule::files::{HandOver, IndexedFiles, StaticFiles, Symlinks};
use vestibule::http::HeaderValue;
use vestibule::hyper::{Bind, Server, Tls, TlsError, ready, refusal};
use vestibule::inspect::Inspect;
use vestibule::logging::{AccessLog, Format, LogFile, Metrics, Registry, Sink};
use vestibule::security::{ProxyHeaders, RedirectHttps};
use vestibule::{Address, App, BoxApp, Mounts, Stack};

use crate::args::{Certificate, Connections, Files, Gateway, Https, Proxy, Serve, Watching};
use crate::reload::{self, Reload};

/// Serves until the process is asked to end.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let log = sink(&serve.watching)?;
    // Before there are threads: this reads the environment, and takes from it.
    let inherited = match serve.listen.iter().any(|place| place == INHERITED) {
        true => Bind::inherited()?,
        false => Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let tls = tls(&serve.https)?;
        let (places, https) = places(serve, inherited, tls.as_ref())?;
        let Served {
            app,
            index,
            changes,
        } = app(serve, https, &log)?;
        let app = behind(&serve.gateway, app);
        let outline = app.outline();
        let refusals = access_log(refusal, &serve.watching, &log);
        let server = limited(Server::new(app).refused(refusals), &serve.connections);
        #[cfg(unix)]
        let server = server.handover();
        let mut places = places.into_iter();
        let first = places.next().ok_or("there is no place to listen at")?;
        let mut server = server.bind(first).await?;
        for place in places {
            server = server.bind(place).await?;
        }
        let plain = serve.https.redirect_https.iter();
        if let Some(place) = plain.clone().next() {
            server = server.bind(&**place).await?;
        }
        let count = server.addresses().count() - plain.len();
        let addresses: Vec<_> = server
            .addresses()
            .enumerate()
            .map(|(at, address)| web_address(address, tls.is_some() && at < count))
            .collect();
        let directory = serve.directory.canonicalize()?;
        let ink = Ink::of_stderr();
        eprint!(
            "{}",
            welcome(&directory, &addresses, &outline.to_string(), ink)
        );
        if serve.watching.log.is_some() {
            reopen_on_hangup(log)?;
        }
        if let Some(index) = index {
            index_on_hangup(index)?;
        }
        if let Some(changes) = changes {
            end_with_the_server(changes);
        }
        server.run().await?;
        Ok(())
    })
}

/// Where to listen; a unix socket with `mode`.
fn place(text: &str, mode: Option<u32>) -> Bind {
    match mode {
        Some(mode) => Bind::from(text).mode(mode),
        None => Bind::from(text),
    }
}

/// Where to listen; and the port that https has there, when visitors are to be sent on to it.
fn places(
    serve: &Serve,
    inherited: Vec<(String, Bind)>,
    tls: Option<&Tls>,
) -> io::Result<(Vec<Bind>, Option<u16>)> {
    let (mut places, mut port) = (Vec::new(), None);
    let mut inherited = Some(inherited.into_iter().map(|(_, socket)| socket));
    for text in &serve.listen {
        if text == INHERITED {
            places.extend(inherited.take().into_iter().flatten());
        } else if text.ends_with(":0") && port.is_none() && serve.https.redirect_https.is_some() {
            // Which port it is has to be known before visitors come.
            let socket = std::net::TcpListener::bind(text)?;
            port = Some(socket.local_addr()?.port());
            places.push(socket.into());
        } else {
            let number = text
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok());
            port = port.or(number);
            places.push(place(text, serve.gateway.socket_mode));
        }
    }
    if let Some(tls) = tls {
        places = places.into_iter().map(|it| it.tls(tls.clone())).collect();
    }
    let redirects = serve.https.redirect_https.is_some();
    Ok((places, redirects.then_some(port.unwrap_or(443))))
}

/// The certificates, when HTTPS is asked for.
pub fn tls(options: &Https) -> Result<Option<Tls>, TlsError> {
    let nameless = |it: &&Certificate| !matches!(it, Certificate::Files { name: Some(_), .. });
    let default = match options.tls.iter().find(nameless).or(options.tls.first()) {
        None => return Ok(None),
        Some(Certificate::Development) => {
            Tls::self_signed(["localhost", "127.0.0.1", "::1", "0.0.0.0"])?
        }
        Some(Certificate::Files { chain, key, .. }) => Tls::pem(chain, key)?,
    };
    let mut tls = default;
    for site in &options.tls {
        if let Certificate::Files {
            name: Some(name),
            chain,
            key,
        } = site
        {
            tls = tls.site(name, chain, key)?;
        }
    }
    if let Some(authorities) = &options.client_ca {
        tls = tls.require_clients(authorities)?;
    }
    Ok(Some(tls))
}

/// The app where a web server in front has it, and with the client that it tells of.
fn behind(options: &Gateway, app: BoxApp) -> BoxApp {
    let app = match &options.mount {
        Some(prefix) if !prefix.is_empty() => Mounts::new().at(prefix, app).boxed(),
        _ => app,
    };
    match options.trust_proxy.is_empty() {
        true => app,
        false => behind_proxies(app, &options.trust_proxy).boxed(),
    }
}

/// The app with the client that one of these proxies tells of.
pub fn behind_proxies<A: App>(app: A, proxies: &[Proxy]) -> ProxyHeaders<A> {
    let trust = |outer: ProxyHeaders<A>, proxy: &Proxy| match proxy {
        Proxy::Unix => outer.trust_unix(true),
        Proxy::Network(network) => outer.trust(*network),
    };
    proxies.iter().fold(ProxyHeaders::new(app), trust)
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

/// The stack around the files, as the options say. `https`: the port that visitors who come in the
/// clear are sent on to.
pub(crate) fn app(serve: &Serve, https: Option<u16>, log: &Sink) -> io::Result<Served> {
    let users = match &serve.htpasswd {
        Some(file) => Some(users(file, &serve.directory)?),
        None => None,
    };
    let compresses = !serve.files.no_compression;
    let mut stack = Stack::new().when(compresses, Compression::new);
    let mut changes = None;
    if serve.files.watch {
        let (sender, told) = reload::watch(serve.directory.clone());
        stack = stack.with(move |app| Reload::new(app, told.clone()));
        changes = Some(sender);
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
        app: watched(stack, files, &serve.watching, users, https, log),
        index,
        changes,
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

/// An app in a stack that is logged, counted, guarded and shown as the options say.
pub fn watched(
    inner: Stack,
    app: impl App,
    options: &Watching,
    users: Option<Htpasswd>,
    https: Option<u16>,
    log: &Sink,
) -> BoxApp {
    let (sink, registry) = (log.clone(), Registry::new().with_log(log.clone()));
    let format = format(options);
    let stack = Stack::new()
        .when(!options.no_log, move |app| {
            AccessLog::new(app).to(sink.clone()).format(format.clone())
        })
        // A load balancer has no password.
        .when(options.ready, |app| {
            Mounts::new().at("/-/ready", ready).or(app)
        })
        // Before anybody is asked for one.
        .when(https.is_some(), move |app| {
            RedirectHttps::new(app).port(https.unwrap_or(443))
        });
    // Whoever has no password sees nothing, the metrics included.
    let stack = match users {
        None => stack,
        Some(users) => {
            let basic = Basic::new(users);
            stack.with(move |app| Authenticate::new(app, basic.clone()))
        }
    };
    let stack = stack
        .when(options.metrics, move |app| {
            Metrics::new(app).to(registry.clone()).at("/-/metrics")
        })
        .append(inner);
    match options.inspect {
        true => {
            let stack = stack.timed();
            let page = Inspect::new(&stack);
            stack.app(Mounts::new().at("/-/stack", page).or(app))
        }
        false => stack.app(app),
    }
}

/// An app whose requests are logged as the options say.
fn access_log<A: App>(app: A, options: &Watching, log: &Sink) -> AccessLog<A> {
    AccessLog::new(app).to(log.clone()).format(format(options))
}

/// The form of the log.
fn format(options: &Watching) -> Format {
    let is_terminal = options.log.is_none() && crate::wants_colour(&io::stdout());
    match &options.log_format {
        Some(format) => format.clone(),
        None if is_terminal => Format::coloured(),
        None => Format::combined(),
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

/// Looks at the files anew whenever the process is sent SIGHUP.
#[cfg(unix)]
pub(crate) fn index_on_hangup(index: IndexedFiles) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let index = index.clone();
            let looked = tokio::task::spawn_blocking(move || index.reload()).await;
            if let Ok(Err(error)) = looked {
                eprintln!("vestibule: the files stay as they were: {error}");
            }
        }
    });
    Ok(())
}

#[cfg(not(unix))]
pub(crate) fn index_on_hangup(_: IndexedFiles) -> io::Result<()> {
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
    let Some((name, value)) = line.split_once(':') else {
        let text = format!("--header: {line:?} is no header, as in 'referrer-policy: same-origin'");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    };
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
pub fn limited<A: App>(mut server: Server<A>, options: &Connections) -> Server<A> {
    if options.strict {
        server = server.strict();
    }
    if let Some(count) = options.max_connections {
        server = server.max_connections(count);
    }
    if let Some(count) = options.max_per_address {
        server = server.max_per_address(count);
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
    if let Some(time) = options.body_timeout {
        server = server.body_timeout(time);
    }
    if let Some(count) = options.max_requests {
        server = server.max_requests(count);
    }
    if let Some(bytes) = options.max_header_bytes {
        server = server.max_header_bytes(bytes);
    }
    if let Some(threads) = options.workers {
        server = server.workers(threads);
    }
    if !options.proxy_protocol.is_empty() {
        let trusted = options.proxy_protocol.clone();
        server = server.proxy_protocol(move |peer| {
            let is_in = |ip| trusted.iter().any(|network| network.contains(ip));
            peer.ip().is_some_and(is_in)
        });
    }
    if let Some(time) = options.drain_delay {
        server = server.drain_delay(time);
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
pub fn web_address(address: &Address, is_https: bool) -> String {
    match address {
        Address::Tcp(address) if is_https => format!("https://{address}/"),
        Address::Tcp(address) => format!("http://{address}/"),
        other => other.to_string(),
    }
}

/// What `--listen` calls the sockets of a service manager.
const INHERITED: &str = "inherited";

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
            https: Https::default(),
            gateway: crate::args::Gateway::default(),
            files: Files::default(),
            connections: Connections::default(),
            watching: Watching::default(),
            htpasswd: None,
        };
        let error = app(&serve, None, &Sink::stdout())
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
