//! `--open`: shows the site in the browser of the desktop.

use std::process::{Command, ExitStatus, Stdio};
use std::{env, io, thread};

use crate::password;

/// Starts a browser at `url` and returns at once. A failure is one line on standard error: the server goes on.
pub(crate) fn open(url: String) {
    // A browser may stay in the foreground for as long as it is open.
    thread::spawn(move || {
        if let Err(error) = start(&url) {
            eprintln!("vestibule: cannot open a browser: {error}; the address is {url}");
        }
    });
}

/// Starts the first opener that the system has, and waits until it ends.
fn start(url: &str) -> io::Result<()> {
    let mut openers = env::var("BROWSER").map_or_else(|_| Vec::new(), |it| browsers(&it, url));
    openers.push(system(url));
    let mut missing = None;
    for words in openers {
        match run(&words) {
            Ok(status) if status.success() => return Ok(()),
            Ok(status) => return Err(io::Error::other(format!("`{}`: {status}", words[0]))),
            Err(error) => {
                let text = format!("`{}`: {error}", words[0]);
                missing = Some(io::Error::new(error.kind(), text));
            }
        }
    }
    Err(missing.unwrap_or_else(|| io::ErrorKind::NotFound.into()))
}

fn run(words: &[String]) -> io::Result<ExitStatus> {
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        // The browser has no use for the passwords of the server.
        .env_remove(password::VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Ctrl-C in the terminal ends the server, and not the browser.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.status()
}

/// The commands of `BROWSER`: separated by colons, each with `%s` for the address, or without, when it comes last.
///
/// Source: `xdg-open` of xdg-utils, and the module `webbrowser` of Python, which read it in this way.
fn browsers(variable: &str, url: &str) -> Vec<Vec<String>> {
    // A path on Windows has a colon.
    let separator = if cfg!(windows) { ';' } else { ':' };
    let commands = variable.split(separator).map(|command| {
        let mut words: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        let has_place = words.iter().any(|word| word.contains("%s"));
        words
            .iter_mut()
            .for_each(|word| *word = word.replace("%s", url));
        if !has_place && !words.is_empty() {
            words.push(url.to_owned());
        }
        words
    });
    commands.filter(|words| !words.is_empty()).collect()
}

/// The opener that the system has.
fn system(url: &str) -> Vec<String> {
    let words: &[&str] = if cfg!(windows) {
        // `start` takes the first quoted word for the title of a window.
        &["cmd", "/c", "start", "", url]
    } else if cfg!(target_os = "macos") {
        &["open", url]
    } else {
        &["xdg-open", url]
    };
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn the_commands_of_the_variable() {
        let cases: [(&str, &[&str]); 6] = [
            ("firefox", &["firefox URL"]),
            ("firefox --new-tab %s", &["firefox --new-tab URL"]),
            ("a:b %s:c", &["a URL", "b URL", "c URL"]),
            ("a --at=%s -x", &["a --at=URL -x"]),
            ("", &[]),
            (" : :", &[]),
        ];
        for (variable, want) in cases {
            let got: Vec<_> = browsers(variable, "URL")
                .iter()
                .map(|it| it.join(" "))
                .collect();
            assert_eq!(got, want, "{variable:?}");
        }
    }
}
