//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;
use std::path::Path;

use vestibule::files::StaticFiles;
use vestibule::hyper::Server;
use vestibule::logging::AccessLog;
use vestibule::{Address, BoxApp, Stack};

use crate::args::Serve;

/// Serves until the process is asked to end.
pub(crate) fn run(serve: &Serve) -> Result<(), Box<dyn Error>> {
    let app = app(serve)?;
    let outline = app.outline();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::new(app).bind(&*serve.listen).await?;
        let address = web_address(server.address());
        let directory = serve.directory.canonicalize()?;
        eprint!(
            "{}",
            welcome(&directory, &address, &outline.to_string(), Ink::of_stderr())
        );
        server.run().await?;
        Ok(())
    })
}

/// The stack that the program serves a directory with.
fn app(serve: &Serve) -> io::Result<BoxApp> {
    let directory = &serve.directory;
    let files = StaticFiles::try_new(directory).map_err(|error| {
        let text = format!("cannot serve `{}`: {error}", directory.display());
        io::Error::new(error.kind(), text)
    })?;
    Ok(Stack::new().with(AccessLog::new).app(files))
}

/// What the user sees first.
fn welcome(directory: &Path, address: &str, outline: &str, ink: Ink) -> String {
    let (bold, dim, plain) = ink.codes();
    let directory = directory.display();
    format!("{bold}Serving {directory}\n     at {address}{plain}\n\n{dim}{outline}{plain}\n")
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
        let text = welcome(
            Path::new("/srv"),
            "http://127.0.0.1:1/",
            "Log\nFiles\n",
            Ink::Plain,
        );
        assert_eq!(
            text,
            "Serving /srv\n     at http://127.0.0.1:1/\n\nLog\nFiles\n\n"
        );
        let text = welcome(Path::new("/srv"), "x", "Log\n", Ink::Colour);
        assert_eq!(text.matches("\x1b[0m").count(), 2);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let serve = Serve {
            directory: "no/such/place".into(),
            listen: String::new(),
        };
        let error = app(&serve).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
