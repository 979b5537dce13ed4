//! `vestibule serve`: a directory behind a stack.

use std::error::Error;
use std::io;
use std::path::Path;

use vestibule::auth::{Authenticate, Basic, Htpasswd};
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
    let stack = Stack::new().with(AccessLog::new);
    let stack = match &serve.htpasswd {
        None => stack,
        Some(file) => {
            let basic = Basic::new(users(file, directory)?);
            stack.with(move |app| Authenticate::new(app, basic.clone()))
        }
    };
    Ok(stack.app(files))
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
            listen: String::new(),
            htpasswd: None,
        };
        let error = app(&serve).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot serve `no/such/place`: "),
            "{error}"
        );
    }
}
