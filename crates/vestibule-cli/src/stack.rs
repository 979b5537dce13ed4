//! The stack around what is served, as the options say.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch::Sender;
use vestibule::auth::{Authenticate, Basic, Htpasswd};
use vestibule::compression::{Compression, EncoderBudget};
use vestibule::files::IndexedFiles;
use vestibule::hyper::ready;
use vestibule::inspect::Inspect;
use vestibule::logging::{AccessLog, Metrics, Registry, Sink};
use vestibule::security::{ProxyHeaders, RedirectHttps};
use vestibule::{App, BoxApp, Mounts, Stack};

use crate::args::{Gateway, Serve, Watching};
use crate::cors::{AllowedOrigins, Cors};
use crate::files::{self, files, symlinks};
use crate::log::format;
use crate::password;
use crate::reload::{self, Reload};
use crate::tree::Tree;
use crate::values::{Proxy, ProxyField};

/// What the program serves a directory with.
pub(crate) struct Served {
    /// The stack.
    pub(crate) app: BoxApp,
    /// The files that were looked at once.
    pub(crate) index: Option<IndexedFiles>,
    /// Tells the pages of what changes, until it is dropped.
    pub(crate) changes: Option<Sender<reload::Version>>,
}

/// The stack around the files, as the options say. `https`: the port that visitors who come in the
/// clear are sent on to.
pub(crate) fn app(
    serve: &Serve,
    https: Option<u16>,
    log: &Sink,
    registry: Option<&Registry>,
) -> io::Result<Served> {
    let users = match &serve.htpasswd {
        Some(file) => Some(users(file, &serve.directory)?),
        None => password::users(&serve.auth)?,
    };
    let compresses = !serve.files.no_compression;
    let (max_size, memory) = (serve.files.compress_max_size, serve.files.compress_memory);
    let mut stack = Stack::new().when(compresses, move |app| compression(app, max_size, memory));
    let mut changes = None;
    if serve.files.watch {
        let (sender, told) = reload::watch(tree(serve));
        let prefix: Arc<str> = serve.gateway.mount.as_deref().unwrap_or_default().into();
        stack = stack.with(move |app| Reload::new(app, told.clone(), prefix.clone()));
        changes = Some(sender);
    }
    let files = files(serve)?;
    let index = match (&files, serve.files.indexed) {
        (files::SiteFiles::Directory(files), Some(megabytes)) => {
            Some(files.clone().indexed(u64::from(megabytes) << 20)?)
        }
        _ => None,
    };
    let files = match &index {
        Some(index) => index.clone().boxed(),
        None => files.boxed(),
    };
    let cors = AllowedOrigins::from_options(&serve.files.cors)
        .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
    Ok(Served {
        app: watched(
            stack,
            files,
            &serve.watching,
            users,
            https,
            cors,
            log,
            registry,
        ),
        index,
        changes,
    })
}

/// Compression with limits in MiB, where they are set.
fn compression<A: App>(app: A, max_size: Option<u32>, memory: Option<u32>) -> Compression<A> {
    let mut compression = Compression::new(app);
    if let Some(max_size) = max_size {
        compression = compression.max_size(u64::from(max_size) << 20);
    }
    if let Some(memory) = memory {
        compression = compression.budget(EncoderBudget::new(u64::from(memory) << 20));
    }
    compression
}

/// The files whose changes pages are told of: those that a visitor may get.
fn tree(serve: &Serve) -> Tree {
    Tree::new(&serve.directory)
        .dotfiles(serve.files.dotfiles)
        .symlinks(symlinks(&serve.files))
        .precompressed(serve.files.precompressed)
        .hide(&serve.files.hide)
        .without(serve.watching.log.as_deref())
}

/// An app in a stack that is logged, counted, guarded and shown as the options say.
#[allow(
    clippy::too_many_arguments,
    reason = "each is a different part of the stack, and two programs pass them"
)]
pub fn watched(
    inner: Stack,
    app: impl App,
    options: &Watching,
    users: Option<Htpasswd>,
    https: Option<u16>,
    cors: Option<AllowedOrigins>,
    log: &Sink,
    registry: Option<&Registry>,
) -> BoxApp {
    let (sink, registry) = (log.clone(), registry.cloned());
    let has_page = options.metrics;
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
    // Outside of the password, since a preflight has none and a script must be able to read a 401.
    let stack = match cors {
        None => stack,
        Some(origins) => stack.with(move |app| Cors::new(app, origins.clone())),
    };
    // Without a password there is nothing to see, the metrics included.
    let stack = match users {
        None => stack,
        Some(users) => {
            let basic = Basic::new(users);
            stack.with(move |app| Authenticate::new(app, basic.clone()))
        }
    };
    let stack = stack
        .when(registry.is_some(), move |app| {
            let metrics = Metrics::new(app).to(registry.clone().unwrap_or_default());
            match has_page {
                true => metrics.at("/-/metrics"),
                false => metrics,
            }
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

/// The app where a web server in front has it, and with the client that it tells of.
pub(crate) fn behind(options: &Gateway, app: BoxApp) -> BoxApp {
    let app = match &options.mount {
        Some(prefix) if !prefix.is_empty() => Mounts::new().at(prefix, app).boxed(),
        _ => app,
    };
    match options.trust_proxy.is_empty() {
        true => app,
        false => behind_proxies(app, &options.trust_proxy, &options.trust_fields).boxed(),
    }
}

/// The app with the client that one of these proxies tells of.
pub fn behind_proxies<A: App>(app: A, proxies: &[Proxy], fields: &[ProxyField]) -> ProxyHeaders<A> {
    let trust = |outer: ProxyHeaders<A>, proxy: &Proxy| match proxy {
        Proxy::Unix => outer.trust_unix(true),
        Proxy::Network(network) => outer.trust(*network),
    };
    let app = ProxyHeaders::new(app)
        .host(fields.contains(&ProxyField::Host))
        .port(fields.contains(&ProxyField::Port))
        .prefix(fields.contains(&ProxyField::Prefix))
        .forwarded(fields.contains(&ProxyField::Forwarded));
    proxies.iter().fold(app, trust)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Connections, Files, Https, Listening};

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

    /// The server logs every finding at its start: the program itself gives no cause for one.
    #[test]
    fn the_layers_are_in_order() {
        for is_on in [false, true] {
            let watching = Watching {
                no_log: !is_on,
                metrics: is_on,
                ready: is_on,
                inspect: is_on,
                ..Watching::default()
            };
            let gateway = Gateway {
                mount: is_on.then(|| "/app".to_owned()),
                trust_proxy: is_on.then_some(Proxy::Unix).into_iter().collect(),
                ..Gateway::default()
            };
            let inner = Stack::new().when(is_on, Compression::new);
            let users = is_on.then(|| Htpasswd::new().with_user("a", "a"));
            let hello = async |_: vestibule::Request| "hello";
            let log = Sink::stdout();
            let cors = is_on.then_some(AllowedOrigins::Any);
            let https = is_on.then_some(443);
            let counted = crate::metrics::registry(&watching, &log, false);
            let counted = counted.as_ref();
            let app = watched(inner, hello, &watching, users, https, cors, &log, counted);
            let outline = behind(&gateway, app).outline();
            assert_eq!(outline.check(), [], "{outline}");
        }
    }

    #[test]
    fn limits_of_compression_are_in_mebibytes() {
        let hello = async |_: vestibule::Request| "hello";
        for (max_size, memory, shown) in [
            (None, None, "max_size: 64 MiB, budget: 16 MiB"),
            (Some(1), None, "max_size: 1 MiB, budget: 16 MiB"),
            (
                Some(0),
                Some(u32::MAX),
                "max_size: 0, budget: 4294967295 MiB",
            ),
        ] {
            let app = compression(hello, max_size, memory);
            let outline = app.boxed().outline().to_string();
            assert!(outline.contains(shown), "{outline}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let serve = Serve {
            directory: "no/such/place".into(),
            listening: Listening::default(),
            _small_p: None,
            open: false,
            qr: false,
            auth: Vec::new(),
            https: Https::default(),
            gateway: crate::args::Gateway::default(),
            files: Files::default(),
            connections: Connections::default(),
            watching: Watching::default(),
            metrics_listen: None,
            htpasswd: None,
        };
        let error = app(&serve, None, &Sink::stdout(), None)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
