//! What the program can be asked for. These comments are its manual.

use std::path::PathBuf;

use clap::{Args as Group, Parser, Subcommand};

/// Serves a directory over HTTP, through a stack of middleware that prints itself.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, max_term_width = 92)]
#[command(after_help = "Try `vestibule serve` in a directory with an index.html.")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Serve),
    Passwd(Passwd),
}

/// Serve the files of a directory
///
/// Files are sent with their type, a strong entity tag and the time of their last change, and are not
/// sent again to a browser that has them. A directory is its index.html. What begins with a dot, and
/// what lies outside of the directory, is not found.
///
/// One line a request goes to standard output, in the combined log format; everything else goes to
/// standard error. The first Ctrl-C, or SIGTERM, lets open requests end, for at most 30 seconds; the
/// second ends at once.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  vestibule serve                              this directory, at http://127.0.0.1:8080/
  vestibule serve public --listen 0.0.0.0:80   to everyone on the network
  vestibule serve public --listen unix:/run/site.sock")]
pub(crate) struct Serve {
    /// The directory
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) directory: PathBuf,

    /// Where to listen: an address and a port, or unix: and a path; port 0 takes a free one
    #[arg(long, short, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub(crate) listen: String,

    /// Ask every visitor for a name and a password of this file, which `vestibule passwd` writes
    #[arg(long, value_name = "FILE")]
    pub(crate) htpasswd: Option<PathBuf>,
}

/// Set the password of a user in a file
///
/// Asks for the password twice, or reads it from standard input when that is no terminal. It is
/// stored as an argon2 hash. The file is replaced at once or not at all; a new one can be read by
/// you only. A running `vestibule serve --htpasswd` sees the change within a second.
#[derive(Debug, Group)]
#[command(after_help = "\
Examples:
  vestibule passwd users alice                 asks for the password
  pwgen 20 1 | vestibule passwd users robot    reads it")]
pub(crate) struct Passwd {
    /// The file; it is made when it is not there
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The user, who is added or gets another password
    #[arg(value_name = "USER")]
    pub(crate) user: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_sound() {
        Args::command().debug_assert();
    }
}
