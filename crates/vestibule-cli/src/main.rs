//! The program `vestibule`: a thin hand on the crates of the workspace.

mod args;
mod config;
#[cfg(unix)]
mod gateway;
mod passwd;
mod precompress;
mod reload;
mod serve;

use std::io::IsTerminal;
use std::process::ExitCode;

use args::{Args, Command};
use clap::Parser;

fn main() -> ExitCode {
    let args = Args::parse();
    events_to_stderr();
    let done = match args.command {
        Command::Config(config) => {
            print!("{}", config::text(&config));
            Ok(())
        }
        #[cfg(unix)]
        Command::Serve(serve) if gateway::is_asked(&serve.gateway) => gateway::run(&serve),
        Command::Serve(serve) => serve::run(&serve),
        Command::Passwd(passwd) => passwd::run(&passwd),
        Command::Precompress(precompress) => precompress::run(&precompress),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vestibule: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the server and the middleware have to say goes to standard error, coloured on a terminal.
fn events_to_stderr() {
    tracing_subscriber::fmt()
        .with_ansi(wants_colour(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .init();
}

/// On a terminal, unless `NO_COLOR` is set to something (no-color.org).
fn wants_colour(stream: &impl IsTerminal) -> bool {
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_plain
}
