//! What stands around the app: the same middleware as around the files of `vestibule serve`.

use std::io;
use std::path::Path;

use vestibule::auth::Htpasswd;
use vestibule::compression::Compression;
use vestibule::files::StaticFiles;
use vestibule::logging::{Registry, SetRequestId, Sink};
use vestibule::{App, BoxApp, Mounts, Stack};
use vestibule_cli::common::{Proxy, behind_proxies, users, watched};

use super::args::Args;
use super::buffer_chunked::BufferChunked;
use super::mounted::Mounted;
use super::places::https_port;

/// The app in its stack, with the directories beside it.
pub(crate) fn around(
    app: impl App,
    args: &Args,
    log: &Sink,
    registry: Option<&Registry>,
) -> io::Result<BoxApp> {
    let users = match &args.htpasswd {
        Some(file) => Some(passwords(file, args)?),
        None => None,
    };
    let https = https_port(args);
    let is_behind_proxy = !args.trust_proxy.is_empty();
    let inner = Stack::new()
        .when(!is_behind_proxy, SetRequestId::new)
        .when(!args.no_compression, Compression::new);
    let app = match args.python.buffer_chunked {
        Some(mebibytes) => BufferChunked::new(app, mebibytes << 20).boxed(),
        None => app.boxed(),
    };
    // Without directories nothing looks at the path, and the app gets it however odd it is.
    let app = if args.files.is_empty() {
        app
    } else {
        beside(args, app)?.boxed()
    };
    let app = match args.mount.as_deref() {
        Some(prefix) if !prefix.is_empty() => Mounted::new(prefix, app).boxed(),
        _ => app,
    };
    let watching = &args.watching;
    let app = watched(inner, app, watching, users, https, None, log, registry);
    if is_behind_proxy {
        Ok(behind(args, app))
    } else {
        Ok(app)
    }
}

/// The app with the client that a proxy tells of, and the id that it gave the request. Both are taken
/// from whoever has opened the connection, so nothing comes before.
fn behind(args: &Args, app: BoxApp) -> BoxApp {
    let mut id = SetRequestId::new(behind_proxies(app, &args.trust_proxy, &args.trust_fields));
    for proxy in &args.trust_proxy {
        id = match proxy {
            Proxy::Network(network) => id.trust(*network),
            Proxy::Unix => id.trust_unix(),
        };
    }
    id.boxed()
}

/// The directories, and the app for everything else.
fn beside(args: &Args, app: impl App) -> io::Result<Mounts> {
    let mut mounts = Mounts::new();
    for (path, directory) in &args.files {
        let files = StaticFiles::try_new(directory).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot serve `{directory}`: {error}"))
        })?;
        mounts = mounts.at(path, files.listing(false));
    }
    Ok(mounts.or(app))
}

/// The users of a file that is in none of the directories that are served.
fn passwords(file: &Path, args: &Args) -> io::Result<Htpasswd> {
    for (_, directory) in &args.files {
        users(file, Path::new(directory))?;
    }
    Htpasswd::open(file).map_err(|error| {
        let text = format!("cannot use the passwords of `{}`: {error}", file.display());
        io::Error::new(error.kind(), text)
    })
}
