//! Servers as processes of their own, ours and the peers, and what the kernel says of them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server in a process of its own.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Where it speaks HTTP/2.
    pub(crate) http2: SocketAddr,
    /// Where its standard error goes.
    errors: PathBuf,
}

impl Process {
    /// Starts this program once more, from a shell that does something before.
    pub(crate) fn ours(folder: &Path, limit: &str, before: &str) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}\nexec \"$0\" \"$@\"")])
            .arg(program)
            .arg("--serve")
            .arg(folder.join("files"))
            .arg(limit);
        Self::of(&mut command, folder.join("ours.err"))
    }

    /// One that says where it is.
    pub(crate) fn of(command: &mut Command, errors: PathBuf) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("the folder is ours"))
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it was asked for"))
            .read_line(&mut line)
            .expect("it says where it is");
        let address = line.trim_end().trim_start_matches("http://");
        let address = address.trim_end_matches('/').parse().expect("an address");
        Self {
            child,
            address,
            http2: address,
            errors,
        }
    }

    /// Starts a server that takes its address as an argument.
    pub(crate) fn at(address: SocketAddr, command: &mut Command, errors: PathBuf) -> Self {
        let child = command
            .stdout(Stdio::null())
            .stderr(File::create(&errors).expect("the folder is ours"))
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let begun = Instant::now();
        while ask(address).is_err() {
            let is_late = begun.elapsed() > Duration::from_secs(10);
            assert!(!is_late, "{command:?} does not answer; is it installed?");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            child,
            address,
            http2: address,
            errors,
        }
    }

    /// axum, as [`peer::build`](crate::peer::build) built it, with the files.
    pub(crate) fn axum(folder: &Path, program: &Path) -> Self {
        let mut command = Command::new(program);
        Self::of(command.arg(folder.join("files")), folder.join("axum.err"))
    }

    /// actix-web, likewise, with one worker.
    pub(crate) fn actix(folder: &Path, program: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("1").arg(folder.join("files"));
        Self::of(&mut command, folder.join("actix.err"))
    }

    /// nginx as one process, which serves the files.
    pub(crate) fn nginx(folder: &Path, before: &str) -> Self {
        Self::nginx_with(folder, before, "off", &root(folder))
    }

    /// `master`: a process that starts the one that serves, and can start another. `what`: what it serves.
    pub(crate) fn nginx_with(folder: &Path, before: &str, master: &str, what: &str) -> Self {
        // It takes HTTP/2 in the clear at a place of its own.
        let [address, http2] = free();
        let config = format!(
            "daemon off; master_process {master}; pid nginx.pid; error_log stderr crit;
             events {{ worker_connections 4096; }}
             http {{ access_log off; sendfile on;
               server {{ listen {address}; {what} }}
               server {{ listen {http2} http2; {what} }} }}"
        );
        std::fs::write(folder.join("nginx.conf"), config).expect("the folder is ours");
        let mut command = Command::new("sh");
        // Of the Debian package `nginx-light`.
        command
            .args(["-c", &format!("{before}\nexec \"$0\" \"$@\""), "nginx"])
            .arg("-p")
            .arg(folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"));
        let mut nginx = Self::at(address, &mut command, folder.join("nginx.err"));
        nginx.http2 = http2;
        nginx
    }

    /// In KiB: `VmRSS:` is now, `VmHWM:` the most that it ever was.
    pub(crate) fn memory(&self, which: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which));
        let number = line.and_then(|line| line.split_whitespace().next());
        number
            .and_then(|it| it.parse().ok())
            .expect("Linux says it")
    }

    /// Seconds of CPU time.
    pub(crate) fn cpu(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // After the name, which may have spaces: the 12th and 13th, in hundredths of a second.
        let fields: Vec<_> = stat
            .rsplit(") ")
            .next()
            .expect("a name")
            .split(' ')
            .collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    /// How long it takes to end; `None` when it does not in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<Duration> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if self.child.try_wait().expect("it is our child").is_some() {
                return Some(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// How many lines of errors it has written.
    pub(crate) fn said(&self) -> usize {
        let text = std::fs::read_to_string(&self.errors).expect("the folder is ours");
        text.lines().filter(|line| line.contains("accept")).count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.wait(Duration::from_millis(1)).is_some() {
            return;
        }
        // A master ends its workers when it is asked to, and not when it is killed.
        signal("TERM", self.child.id());
        if self.wait(Duration::from_secs(2)).is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Sends a signal, by its name.
pub(crate) fn signal(name: &str, process: u32) {
    let command = format!("kill -{name} {process}");
    let sent = Command::new("sh").args(["-c", &command]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{command}");
}

/// One request by a connection of its own.
pub(crate) fn ask(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    match text.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// nginx's word for where the files are.
pub(crate) fn root(folder: &Path) -> String {
    format!("root {};", folder.join("files").display())
}

/// Addresses without a listener.
pub(crate) fn free<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}
