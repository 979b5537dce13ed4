//! The program `vestibule`: a thin hand on the crates of the workspace.
//!
//! As a library it has what the house's other programs share with it: options, and what they mean.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod args;
mod config;
mod cors;
mod events;
mod files;
#[cfg(unix)]
mod gateway;
mod idle_options;
mod inherited;
mod limits;
mod log;
mod metrics;
mod missing;
mod one_file;
mod open;
mod passwd;
mod password;
#[cfg(feature = "precompress")]
mod precompress;
mod reload;
mod serve;
mod signals;
mod stack;
mod tls;
mod tree;
mod values;
mod welcome;
#[cfg(unix)]
mod wsgi;

use std::error::Error;
use std::io::IsTerminal;
use std::process::ExitCode;

use args::{Args, Command, Watching};
use clap::Parser;

/// For the house's other programs; nothing here is kept stable.
#[doc(hidden)]
pub mod common {
    pub use crate::args::{Connections, Https, Listening, Watching};
    pub use crate::events::{complain, events_to_stderr};
    pub use crate::limits::limited;
    pub use crate::log::sink;
    pub use crate::metrics::{count_connections, refusals, registry};
    pub use crate::signals::reopen_on_hangup;
    pub use crate::stack::{behind_proxies, users, watched};
    pub use crate::tls::tls;
    pub use crate::values::{Certificate, Proxy, ProxyField, duration, mode, pair, prefix};
    pub use crate::wants_colour;
    pub use crate::welcome::{Ink, interfaces, web_addresses};
}

/// What the program does: reads its arguments, and does what they say.
#[must_use]
pub fn run() -> ExitCode {
    let args = Args::parse();
    let watching = match &args.command {
        Command::Serve(serve) => &serve.watching,
        _ => &Watching::default(),
    };
    events::events_to_stderr(watching);
    let is_json = watching.writes_json();
    let checked = missing::check(&args.command, missing::Build::THIS)
        .and_then(|()| idle_options::check(&args.command));
    match checked.and_then(|()| act(args.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            events::complain(is_json, &*error);
            ExitCode::FAILURE
        }
    }
}

/// Does what the command says.
fn act(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Config(config) => {
            print!("{}", config::text(&config)?);
            Ok(())
        }
        #[cfg(unix)]
        Command::Serve(serve) if gateway::is_asked(&serve.gateway) => gateway::run(&serve),
        Command::Serve(serve) => serve::run(&serve),
        Command::Passwd(passwd) => passwd::run(&passwd),
        #[cfg(feature = "precompress")]
        Command::Precompress(precompress) => precompress::run(&precompress),
        #[cfg(unix)]
        Command::Wsgi(wsgi) => wsgi::run(&wsgi),
        // The other builds have been refused before.
        #[cfg(not(all(unix, feature = "precompress")))]
        _ => Err("this build of vestibule has no such command".into()),
    }
}

/// On a terminal, unless `NO_COLOR` is set to something (no-color.org).
pub fn wants_colour(stream: &impl IsTerminal) -> bool {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_plain
}
