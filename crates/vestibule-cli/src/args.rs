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
