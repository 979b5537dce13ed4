//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;

use vestibule::hyper::{Bind, Server, refusal};

use crate::args::Serve;
use crate::limits::limited;
use crate::log::{access_log, sink};
use crate::signals::{end_with_the_server, index_on_hangup, reopen_on_hangup};
use crate::stack::{Served, app, behind};
use crate::tls::{Tls, tls, with_tls};
use crate::welcome::{Ink, web_address, welcome};

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
        let first = places.next().ok_or(NOTHING_INHERITED)?;
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
        places = places.into_iter().map(|it| with_tls(it, tls)).collect();
    }
    let redirects = serve.https.redirect_https.is_some();
    Ok((places, redirects.then_some(port.unwrap_or(443))))
}

/// What `--listen` calls the sockets of a service manager.
const INHERITED: &str = "inherited";

/// When there is nothing else to listen at.
const NOTHING_INHERITED: &str = "no sockets are inherited: a service manager has to start this process, with LISTEN_FDS and LISTEN_PID";
