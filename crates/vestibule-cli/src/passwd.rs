//! `vestibule passwd`: sets the password of a user in a file.

use std::error::Error;
use std::io::{self, BufRead, IsTerminal, Write};

use vestibule::auth::{Change, HashKind, set_password_as, weakness};

use crate::args::Passwd;

/// Asks for the password, or reads it from standard input, and writes the file.
pub(crate) fn run(passwd: &Passwd) -> Result<(), Box<dyn Error>> {
    let Passwd { file, user, bcrypt } = passwd;
    let kind = match bcrypt {
        true => HashKind::Bcrypt,
        false => HashKind::Argon2,
    };
    let stdin = io::stdin();
    let password = match stdin.is_terminal() {
        true => ask_twice()?,
        false => one_line(&mut stdin.lock())?,
    };
    let change = set_password_as(kind, file, user, &password).map_err(|error| {
        let text = format!("cannot set the password in `{}`: {error}", file.display());
        io::Error::new(error.kind(), text)
    })?;
    if let Some(why) = weakness(user, &password) {
        eprintln!("vestibule: the password is weak: {why}");
    }
    let done = match change {
        Change::Created => "the file is new, and so is",
        Change::Added => "added",
        Change::Replaced => "changed the password of",
    };
    println!("{}: {done} {user:?}", file.display());
    Ok(())
}

fn ask_twice() -> io::Result<String> {
    let first = ask("New password: ")?;
    match ask("Again: ")? == first {
        true => Ok(first),
        false => Err(io::Error::other("the two differ, nothing was changed")),
    }
}

/// Asks on the terminal, which shows nothing of the answer.
fn ask(question: &str) -> io::Result<String> {
    let stdin = io::stdin();
    // Quiet first: what is typed before it is dropped, and nobody types before the question.
    let quiet = Quiet::begin();
    eprint!("{question}");
    io::stderr().flush()?;
    let answer = one_line(&mut stdin.lock());
    drop(quiet);
    eprintln!();
    answer
}

/// A line without its end.
fn one_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "there is no password on standard input",
        ));
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
#[cfg(unix)]
struct Quiet(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Quiet {
    fn begin() -> Self {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let terminal = io::stdin();
        let before = tcgetattr(&terminal).ok();
        if let Some(before) = &before {
            let mut quiet = before.clone();
            quiet.local_modes.remove(LocalModes::ECHO);
            // A terminal that cannot be quiet shows the password to whoever typed it.
            let _ = tcsetattr(&terminal, OptionalActions::Flush, &quiet);
        }
        Self(before)
    }
}

#[cfg(unix)]
impl Drop for Quiet {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Elsewhere the terminal shows what is typed, and the user is warned.
#[cfg(not(unix))]
struct Quiet;

#[cfg(not(unix))]
impl Quiet {
    fn begin() -> Self {
        eprintln!("(this terminal shows the password as it is typed)");
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_end() {
        let cases = [
            ("a b \n", "a b "),
            ("a\r\n", "a"),
            ("a", "a"),
            ("\n", ""),
            ("a\nb\n", "a"),
        ];
        for (input, line) in cases {
            assert_eq!(one_line(&mut input.as_bytes()).unwrap(), line, "{input:?}");
        }
        assert!(one_line(&mut &b""[..]).is_err());
    }
}
