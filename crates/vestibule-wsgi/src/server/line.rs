//! The line between supervisor and worker: a socket, which is the worker's standard input.
//!
//! The worker says `ready`, and `replace` with a reason. The supervisor says nothing: when its end is
//! closed it has died, and the worker ends as well.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What a worker has to say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// It serves.
    Ready,
    /// It should be replaced; why.
    Replace(String),
}

/// The supervisor's end.
pub(crate) struct Hearing(BufReader<UnixStream>);

impl Hearing {
    /// A line, and the worker's end of it.
    pub(crate) fn open() -> io::Result<(Self, Stdio)> {
        let (own, other) = StdStream::pair()?;
        own.set_nonblocking(true)?;
        let own = BufReader::new(UnixStream::from_std(own)?);
        Ok((Self(own), OwnedFd::from(other).into()))
    }

    /// The next word; `None` when the worker has closed its end.
    pub(crate) async fn hear(&mut self) -> Option<Word> {
        let mut text = String::new();
        loop {
            text.clear();
            if self.0.read_line(&mut text).await.ok()? == 0 {
                return None;
            }
            match text
                .trim_end()
                .split_once(' ')
                .unwrap_or((text.trim_end(), ""))
            {
                ("ready", _) => return Some(Word::Ready),
                ("replace", why) => return Some(Word::Replace(why.to_owned())),
                _ => {}
            }
        }
    }
}

/// Takes the worker's end from standard input, which is empty from then on.
pub(crate) fn take() -> io::Result<StdStream> {
    let line = rustix::stdio::stdin().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let line = StdStream::from(line);
    line.set_nonblocking(true)?;
    Ok(line)
}

/// The two ways of the worker's end.
pub(crate) fn split(line: StdStream) -> io::Result<(Speaker, Listener)> {
    let (listener, speaker) = UnixStream::from_std(line)?.into_split();
    Ok((Speaker(speaker), Listener(listener)))
}

/// By which the worker speaks.
pub(crate) struct Speaker(OwnedWriteHalf);

impl Speaker {
    pub(crate) async fn say(&mut self, word: &Word) {
        let text = match word {
            Word::Ready => "ready\n".to_owned(),
            Word::Replace(why) => format!("replace {why}\n"),
        };
        // A supervisor that is gone is noticed by the other way.
        let _ = self.0.write_all(text.as_bytes()).await;
    }
}

/// By which the worker notices that the supervisor is gone.
pub(crate) struct Listener(OwnedReadHalf);

impl Listener {
    pub(crate) async fn lost(&mut self) {
        let mut nothing = [0];
        while matches!(self.0.read(&mut nothing).await, Ok(count) if count > 0) {}
    }
}
