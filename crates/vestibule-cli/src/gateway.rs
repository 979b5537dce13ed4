//! `vestibule serve` behind a web server, by its protocols.

use std::error::Error;
use std::process::ExitCode;

use vestibule::gateway::{Bind, Server, cgi};

use crate::args::{Gateway, Serve};
use crate::files::files;
use crate::log::sink;
use crate::metrics::registry;
use crate::signals::{index_on_hangup, reopen_on_hangup};
use crate::stack::{Served, app};

/// Whether a protocol other than HTTP is asked for.
pub(crate) const fn is_asked(gateway: &Gateway) -> bool {
    gateway.fastcgi.is_some() || gateway.scgi.is_some() || gateway.uwsgi.is_some() || gateway.cgi
}

/// Serves until the process is asked to end; by CGI, one request.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let gateway = &serve.gateway;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    if gateway.cgi {
        // The log's lines go to standard output, which is the response's here.
        let files = files(serve)?;
        let code = runtime.block_on(cgi(files.boxed()));
        // A read of standard input that still blocks must not hold the process.
        std::process::exit(i32::from(code != ExitCode::SUCCESS));
    }
    let log = sink(&serve.watching)?;
    let registry = registry(&serve.watching, &log, false);
    let Served { app, index, .. } = app(serve, None, &log, registry.as_ref())?;
    let (server, place) = match (&gateway.fastcgi, &gateway.scgi, &gateway.uwsgi) {
        (Some(place), _, _) => (Server::fastcgi(app), place),
        (_, Some(place), _) => (Server::scgi(app), place),
        (_, _, Some(place)) => (Server::uwsgi(app), place),
        _ => return Err("there is no protocol to serve by".into()),
    };
    let server = match &gateway.mount {
        Some(prefix) => server.mount(prefix.clone()),
        None => server,
    };
    runtime.block_on(async {
        let mut place = match &**place {
            "inherited" => Bind::inherited(),
            place => Bind::from(place),
        };
        if let Some(mode) = gateway.socket_mode {
            place = place.mode(mode);
        }
        let server = server.bind(place).await?;
        reopen_on_hangup(log)?;
        if let Some(index) = index {
            index_on_hangup(index)?;
        }
        if !serve.watching.writes_json() {
            eprintln!(
                "Serving {} at {}",
                serve.directory.display(),
                server.address()
            );
        }
        server.run().await?;
        Ok(())
    })
}
