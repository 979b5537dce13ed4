//! A restart without a gap: the next process gets the listening sockets of this one.
//!
//! At SIGUSR2 the program is started again. Its standard input is one end of a pair of sockets; by
//! the other end it is sent this process's listening sockets, and says one byte when it serves. Both
//! accept from the same queues then, and this process drains. A new process that ends without that
//! byte has changed nothing.
//!
//! Source: unix(7), `SCM_RIGHTS`. No descriptor is inherited by chance: all are closed on exec, and
//! the pair stands where each program has its standard input.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::net::UnixStream as Pair;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use vestibule_socket::{Ownership, SocketFile};

use crate::listen::{BindError, Listener};

/// What this process can hand over.
pub(crate) struct Handover {
    /// `None` when the system does not tell, as in a place without `/proc`.
    program: Option<PathBuf>,
    /// Copies of the listening sockets, and the text that each was bound by.
    sockets: Vec<(String, OwnedFd)>,
    files: Vec<SocketFile>,
    ownerships: Vec<Ownership>,
    asked: Signal,
}

impl Handover {
    pub(crate) fn prepare(listeners: &[Listener]) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for Listener { socket, .. } in listeners {
            if let Some(text) = socket.text() {
                sockets.push((text.to_owned(), socket.as_fd().try_clone_to_owned()?));
            }
        }
        Ok(Self {
            // Now: when the file has been replaced, the system has no name for it any more.
            program: std::env::current_exe().ok(),
            sockets,
            files: files(listeners).cloned().collect(),
            ownerships: listeners.iter().map(|it| it.socket.ownership()).collect(),
            asked: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits until it is asked for and a new process has taken over: that process's number.
    pub(crate) async fn done(mut self) -> u32 {
        loop {
            self.asked.recv().await;
            match self.pass().await {
                Ok(next) => {
                    self.files.iter().for_each(|file| file.set_ours(false));
                    self.ownerships.iter().for_each(|it| it.set_ours(false));
                    return next;
                }
                Err(error) => tracing::error!(
                    target: "vestibule", "no other process took over; this one goes on: {error}"
                ),
            }
        }
    }

    async fn pass(&self) -> io::Result<u32> {
        let program = self.program.as_ref();
        let program =
            program.ok_or_else(|| io::Error::other("where the program is, is not known"))?;
        if self.sockets.len() > MOST {
            let text = format!("no more than {MOST} sockets can be handed over");
            return Err(io::Error::other(text));
        }
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(PARENT, std::process::id().to_string())
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        let answered = async {
            send(ours.as_fd(), &self.sockets)?;
            ours.shutdown(std::net::Shutdown::Write)?;
            ours.set_nonblocking(true)?;
            hear(&Pair::from_std(ours)?).await
        };
        let failed = match timeout(PATIENCE, answered).await {
            Ok(Ok(true)) => return Ok(child.id()),
            Ok(Ok(false)) => io::Error::other("it ended, or closed its standard input"),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "it did not serve in time"),
        };
        // What does not serve by now must not begin to.
        let _ = child.kill();
        let _ = child.wait();
        Err(failed)
    }
}

/// Waits for the byte; false when the other end is closed without it.
async fn hear(pair: &Pair) -> io::Result<bool> {
    loop {
        pair.readable().await?;
        match pair.try_read(&mut [0]) {
            Ok(count) => return Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sockets that the process before this one has sent, and that nobody has bound yet.
static INHERITED: Mutex<Inherited> = Mutex::new(Inherited::NotAsked);

enum Inherited {
    NotAsked,
    /// They are here; the process before this one waits.
    Here(Vec<(String, OwnedFd)>),
    /// There are none, or this process serves.
    Done,
}

/// The socket that the process before this one had by the same text. Its file is that process's until
/// this one serves.
pub(crate) fn listener(
    text: Option<&str>,
) -> Result<Option<vestibule_socket::Listener>, BindError> {
    let Some(text) = text else {
        return Ok(None);
    };
    let taken = take(text).map_err(|error| BindError::new(text, error))?;
    taken
        .map(|socket| vestibule_socket::Listener::adopt(text, socket))
        .transpose()
}

/// Whether this process was started by [`Server::handover`](crate::Server::handover) of the process before it.
///
/// A program asks before it does what belongs to its first start alone, such as opening a browser.
///
/// ```
/// assert!(!vestibule_hyper::is_restart());
/// ```
#[must_use]
pub fn is_restart() -> bool {
    let parent = std::os::unix::process::parent_id().to_string();
    // A grandchild has the variable too, and another parent.
    std::env::var_os(PARENT).is_some_and(|it| it == *parent)
}

fn take(text: &str) -> io::Result<Option<OwnedFd>> {
    let mut inherited = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Inherited::NotAsked = *inherited {
        *inherited = match is_restart() {
            true => Inherited::Here(receive(rustix::stdio::stdin())?),
            false => Inherited::Done,
        };
    }
    let Inherited::Here(sockets) = &mut *inherited else {
        return Ok(None);
    };
    let at = sockets.iter().position(|(own, _)| own == text);
    Ok(at.map(|at| sockets.remove(at).1))
}

/// This process serves: the one before it may go, and its files are ours.
pub(crate) fn serves(listeners: &[Listener]) {
    let mut inherited = INHERITED.lock().unwrap_or_else(PoisonError::into_inner);
    let Inherited::Here(rest) = std::mem::replace(&mut *inherited, Inherited::Done) else {
        return;
    };
    for (text, _) in rest {
        tracing::warn!(target: "vestibule", address = text, "nobody listens here any more");
    }
    files(listeners).for_each(|file| file.set_ours(true));
    if let Err(error) = rustix::io::write(rustix::stdio::stdin(), b"1") {
        tracing::warn!(target: "vestibule", "the process before this one is gone: {error}");
    }
}

fn files(listeners: &[Listener]) -> impl Iterator<Item = &SocketFile> {
    listeners.iter().filter_map(|it| it.socket.file())
}

/// Sends sockets, and their texts as lines.
fn send(pair: BorrowedFd<'_>, sockets: &[(String, OwnedFd)]) -> io::Result<()> {
    let lines: String = sockets
        .iter()
        .map(|(text, _)| format!("{text}\n"))
        .collect();
    let descriptors: Vec<_> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    // There is room for as many as there can be.
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(
        pair,
        &[IoSlice::new(lines.as_bytes())],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Receives what `send` sent.
fn receive(pair: BorrowedFd<'_>) -> io::Result<Vec<(String, OwnedFd)>> {
    let (mut lines, mut descriptors) = (Vec::new(), Vec::new());
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(pair, &mut slices, &mut ancillary, CLOSE_ON_EXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                for socket in sockets {
                    close_on_exec(&socket)?;
                    descriptors.push(socket);
                }
            }
        }
        if received.bytes == 0 {
            break;
        }
        lines.extend_from_slice(&bytes[..received.bytes]);
    }
    let lines = String::from_utf8_lossy(&lines).into_owned();
    let lines: Vec<_> = lines.lines().map(str::to_owned).collect();
    match lines.len() == descriptors.len() {
        true => Ok(lines.into_iter().zip(descriptors).collect()),
        false => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the sockets that were handed over are not as many as their addresses",
        )),
    }
}

/// Sets `FD_CLOEXEC`, for systems without `MSG_CMSG_CLOEXEC`, such as macOS. A child that another thread
/// starts in between would inherit the descriptor: sockets are received once, before the first one is bound.
fn close_on_exec(descriptor: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfd(
        descriptor,
        fcntl_getfd(descriptor)? | FdFlags::CLOEXEC,
    )?)
}

/// Makes the system set `FD_CLOEXEC` as it makes the descriptors, where it can.
#[cfg(any(target_os = "android", target_os = "linux"))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(any(target_os = "android", target_os = "linux")))]
const CLOSE_ON_EXEC: RecvFlags = RecvFlags::empty();

/// Names the process that hands over.
const PARENT: &str = "VESTIBULE_HANDOVER";

/// The most sockets that are handed over.
const MOST: usize = 64;

/// How long a new process may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn sockets_and_their_texts_arrive() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = vec![
            ("127.0.0.1:0".to_owned(), OwnedFd::from(listener)),
            (
                "unix:/x".to_owned(),
                OwnedFd::from(UnixStream::pair().unwrap().0),
            ),
        ];
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(ours.as_fd(), &sockets).unwrap();
        drop((ours, sockets));
        let mut received = receive(theirs.as_fd()).unwrap();
        let texts: Vec<_> = received.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["127.0.0.1:0", "unix:/x"]);
        for (text, socket) in &received {
            assert!(is_closed_on_exec(socket), "{text}");
        }
        let listener = TcpListener::from(received.remove(0).1);
        let _client = TcpStream::connect(address).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn the_flag_is_set_where_the_system_did_not() {
        let descriptor = OwnedFd::from(UnixStream::pair().unwrap().0);
        fcntl_setfd(&descriptor, FdFlags::empty()).unwrap();
        assert!(!is_closed_on_exec(&descriptor));
        close_on_exec(&descriptor).unwrap();
        assert!(is_closed_on_exec(&descriptor));
    }

    fn is_closed_on_exec(descriptor: &OwnedFd) -> bool {
        fcntl_getfd(descriptor).unwrap().contains(FdFlags::CLOEXEC)
    }

    #[test]
    fn nothing_is_nothing() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(ours);
        assert!(receive(theirs.as_fd()).unwrap().is_empty());
    }
}
