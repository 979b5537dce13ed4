//! What the user sees first.

use std::io;
use std::path::Path;

use vestibule::Address;

/// What is served, where, and by which stack.
pub(crate) fn welcome(directory: &Path, addresses: &[String], outline: &str, ink: Ink) -> String {
    let (bold, dim, plain) = ink.codes();
    let directory = directory.display().to_string();
    // Windows writes a whole path with a prefix that no user types.
    let directory = directory.strip_prefix(r"\\?\").unwrap_or(&directory);
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
        let text = welcome(Path::new(r"\\?\C:\site"), &[], "", Ink::Plain);
        assert!(text.starts_with("Serving C:\\site\n"), "{text}");
        let text = welcome(Path::new("/srv"), &addresses, "Log\n", Ink::Colour);
        assert_eq!(text.matches("\x1b[0m").count(), 2);
    }
}
