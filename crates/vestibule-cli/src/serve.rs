//! `vestibule serve`: a directory, or one file, behind a stack.

use std::error::Error;
use std::io;
use std::sync::{Arc, OnceLock};

use vestibule::App;
use vestibule::hyper::{Bind, BindError, Server};

use crate::args::Serve;
use crate::inherited::{Inherited, is_inherited};
use crate::limits::limited;
use crate::log::sink;
use crate::metrics::{MetricsListener, count_connections, refusals, registry};
use crate::open::open;
use crate::password;
use crate::signals::{end_with_the_server, index_on_hangup, reopen_on_hangup};
use crate::stack::{Served, app, behind};
use crate::tls::{Tls, tls, with_tls};
use crate::welcome::{Ink, all_web_addresses, first_on_the_network, interfaces, qr, welcome};

/// Serves until the process is asked to end.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let log = sink(&serve.watching)?;
    let registry = registry(&serve.watching, &log, serve.metrics_listen.is_some());
    // Before there are threads: this reads the environment, and takes from it.
    let all = serve.listening.listen.iter();
    let mut all = all.chain(&serve.https.redirect_https);
    let inherited = match all.any(|place| is_inherited(place)) {
        true => Bind::inherited()?,
        false => Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let tls = tls(&serve.https)?;
        let places = places(serve, inherited, tls.as_ref())?;
        let Served {
            app,
            index,
            changes,
        } = app(serve, places.https_port, &log, registry.as_ref())?;
        let app = behind(&serve.gateway, app);
        let outline = app.outline();
        let metrics_at = Arc::new(OnceLock::new());
        let app = match (&registry, &serve.metrics_listen) {
            (Some(registry), Some(_)) => {
                MetricsListener::new(app, registry.clone(), metrics_at.clone()).boxed()
            }
            _ => app,
        };
        let refusals = refusals(&serve.watching, &log, registry.as_ref());
        let server = limited(Server::new(app).refused(refusals), &serve.connections);
        if let Some(registry) = &registry {
            count_connections(registry, &server.counts())?;
        }
        #[cfg(unix)]
        let server = server.handover();
        let Places {
            all: places, count, ..
        } = places;
        let mut places = Bind::beside_each_other(places).into_iter();
        let first = places.next().ok_or("there is no place to listen at")?;
        let explained = |error| in_use(error, serve);
        let mut server = server.bind(first).await.map_err(explained)?;
        for place in places {
            server = server.bind(place).await.map_err(explained)?;
        }
        let bound: Vec<_> = server.addresses().collect();
        let addresses = all_web_addresses(&bound, |at| tls.is_some() && at < count, &interfaces());
        warn_of_passwords(serve, &addresses);
        // A directory by its real path; a file by the name that it is served at.
        let directory = match serve.directory.is_file() {
            true => std::path::absolute(&serve.directory)?,
            false => serve.directory.canonicalize()?,
        };
        let ink = Ink::of_stderr();
        if !serve.watching.writes_json() {
            let text = welcome(&directory, &addresses, &outline.to_string(), ink);
            eprint!("{text}");
        }
        show(serve, &addresses);
        if let Some(place) = &serve.metrics_listen {
            server = server.bind(&**place).await?;
            let bound = server.addresses().last().cloned();
            if let Some(bound) = bound {
                tracing::info!(target: "vestibule", address = %bound, "metrics are at /metrics");
                // It is set once, here.
                let _ = metrics_at.set(bound);
            }
        }
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

/// Shows the site on a phone and in the browser of this desktop, as far as it is asked for.
fn show(serve: &Serve, addresses: &[String]) {
    let prefix = serve.gateway.mount.as_deref().unwrap_or_default();
    let prefix = prefix.trim_start_matches('/');
    if serve.qr {
        let url = first_on_the_network(addresses).map(|url| format!("{url}{prefix}"));
        match url.and_then(|url| qr(&url)) {
            Some(_) if serve.watching.writes_json() => {}
            Some(code) => eprintln!("{code}\n"),
            None => {
                tracing::warn!(target: "vestibule", "--qr: this machine has no address on a network")
            }
        }
    }
    if serve.open && !is_restart() {
        match addresses.iter().find(|it| it.starts_with("http")) {
            Some(url) => open(format!("{url}{prefix}")),
            None => tracing::warn!(target: "vestibule", "--open: a browser opens no unix socket"),
        }
    }
}

/// Whether the process before this one handed over its sockets: its browser is open.
fn is_restart() -> bool {
    #[cfg(unix)]
    return vestibule::hyper::is_restart();
    #[cfg(not(unix))]
    return false;
}

/// Warns of passwords that others can read.
fn warn_of_passwords(serve: &Serve, addresses: &[String]) {
    if !serve.auth.is_empty() {
        eprintln!(
            "vestibule: --auth: other users of this machine see the password in the list of processes; \
             the variable {} is not shown there",
            password::VARIABLE
        );
    }
    let has_users =
        !serve.auth.is_empty() || serve.htpasswd.is_some() || password::is_in_environment();
    // A proxy in front may speak TLS.
    let is_in_the_clear = serve.https.tls.is_empty() && serve.gateway.trust_proxy.is_empty();
    if has_users && is_in_the_clear && first_on_the_network(addresses).is_some() {
        eprintln!(
            "vestibule: passwords are readable on the network, since the site is not encrypted: add --tls"
        );
    }
}

/// Names the option that ends the conflict about a port.
fn in_use(error: BindError, serve: &Serve) -> Box<dyn Error> {
    let address = error.address();
    if error.kind() != io::ErrorKind::AddrInUse || address.starts_with("unix:") {
        return error.into();
    }
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let is_redirect = serve.https.redirect_https.as_deref() == Some(address);
    let is_listed = serve.listening.port.is_none() && serve.listening.listen != [DEFAULT];
    let option = match (is_redirect, is_listed) {
        (true, _) => format!("--redirect-https {host}:0"),
        (false, true) => format!("--listen {host}:0"),
        (false, false) => "-P 0".to_owned(),
    };
    format!(
        "cannot listen on `{address}`: another process listens there; stop it, or choose another port \
         (`{option}` takes any free one)"
    )
    .into()
}

/// Where to listen; a unix socket with `mode`.
fn place(text: &str, mode: Option<u32>) -> Bind {
    match mode {
        Some(mode) => Bind::from(text).mode(mode),
        None => Bind::from(text),
    }
}

/// Where to listen.
struct Places {
    /// Behind the others those from which visitors are sent on to https.
    all: Vec<Bind>,
    /// How many the others are.
    count: usize,
    /// The port to which visitors are sent on, when they are to be.
    https_port: Option<u16>,
}

fn places(
    serve: &Serve,
    inherited: Vec<(String, Bind)>,
    tls: Option<&Tls>,
) -> Result<Places, Box<dyn Error>> {
    let (mut all, mut port) = (Vec::new(), None);
    let (texts, redirects) = (serve.listening.places(), &serve.https.redirect_https);
    let mut inherited = Inherited::new(inherited, texts.iter().chain(redirects));
    for text in &texts {
        if let Some(sockets) = inherited.take(text) {
            all.extend(sockets?);
        } else if text.ends_with(":0") && port.is_none() && redirects.is_some() {
            // Which port it is has to be known before visitors come.
            let socket = match &**text {
                // All interfaces; a machine without IPv6 has those of IPv4.
                ":0" => std::net::TcpListener::bind("[::]:0")
                    .or_else(|_| std::net::TcpListener::bind("0.0.0.0:0"))?,
                text => std::net::TcpListener::bind(text)?,
            };
            port = Some(socket.local_addr()?.port());
            all.push(socket.into());
        } else {
            let number = text
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok());
            port = port.or(number);
            all.push(place(text, serve.gateway.socket_mode));
        }
    }
    if let Some(tls) = tls {
        all = all.into_iter().map(|it| with_tls(it, tls)).collect();
    }
    let count = all.len();
    if let Some(text) = redirects {
        match inherited.take(text) {
            Some(sockets) => all.extend(sockets?),
            None => all.push(Bind::from(&**text)),
        }
    }
    let left = inherited.names();
    if !left.is_empty() {
        tracing::warn!(target: "vestibule", "inherited sockets that no --listen takes: {left}");
    }
    let port = serve.https.https_port.or(port).unwrap_or(443);
    Ok(Places {
        all,
        count,
        https_port: redirects.is_some().then_some(port),
    })
}

/// Where to listen when nothing is said.
const DEFAULT: &str = "127.0.0.1:8080";
