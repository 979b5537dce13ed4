//! A restart that hands the listening sockets over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::process::{GET, PATIENCE, Process, ask, connect, kill};

/// F13. Twenty restarts while clients connect, ask once, and go.
#[test]
fn faults_146_twenty_restarts_refuse_and_reset_nobody() {
    restarts(20, "0");
}

/// Each worker has a copy of the sockets.
#[test]
fn faults_146_restarts_of_workers() {
    restarts(5, "2");
}

fn restarts(count: usize, workers: &str) {
    let server = Process::start(&[
        ("HANDOVER", "1"),
        ("LAME_DUCK", "10000"),
        ("WORKERS", workers),
    ]);
    let address = server.address;
    // It hears signals when it serves.
    assert_eq!(ask(&mut server.connect(), GET).unwrap().0, "200 hello");
    let stop = AtomicBool::new(false);
    let asked = AtomicUsize::new(0);
    let failures = std::sync::Mutex::new(Vec::new());
    let mut current = Owner(server.id());
    std::thread::scope(|scope| {
        for kept in [false, false, true] {
            let (stop, asked, failures) = (&stop, &asked, &failures);
            scope.spawn(move || {
                let mut stream = None;
                while !stop.load(Ordering::SeqCst) {
                    let mut once = || -> std::io::Result<()> {
                        let mut now = match stream.take() {
                            Some(stream) => stream,
                            None => TcpStream::connect(address)?,
                        };
                        now.set_read_timeout(Some(PATIENCE))?;
                        let (_, closes) = ask(&mut now, GET)?;
                        stream = Some(now).filter(|_| kept && !closes);
                        Ok(())
                    };
                    match once() {
                        Ok(()) => drop(asked.fetch_add(1, Ordering::SeqCst)),
                        Err(error) => {
                            failures.lock().unwrap().push(error.to_string());
                            return;
                        }
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        let mut before_it = vec![];
        for _ in 0..count {
            let before = asked.load(Ordering::SeqCst);
            restart(address, &mut current, &mut before_it);
            while asked.load(Ordering::SeqCst) < before + 20 && failures.lock().unwrap().is_empty()
            {
                std::thread::yield_now();
            }
        }
    });
    assert_eq!(*failures.lock().unwrap(), Vec::<String>::new());
    assert!(asked.load(Ordering::SeqCst) >= 20 * count);
    // The first has drained and ended well.
    let (status, said) = server.wait_without_rest();
    assert!(status.success(), "{said}");
    drop(current);
}

/// Ends the clients, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A process that is not our child: it is ended with the test.
struct Owner(u32);

impl Drop for Owner {
    fn drop(&mut self) {
        let command = format!("kill -KILL {}", self.0);
        let _ = Command::new("sh")
            .args(["-c", &command])
            .stderr(Stdio::null())
            .status();
    }
}

/// Asks for a new process, and waits until it answers. For a moment those before it may, too.
fn restart(address: SocketAddr, current: &mut Owner, before_it: &mut Vec<u32>) {
    kill("USR2", current.0);
    before_it.push(current.0);
    let begun = Instant::now();
    loop {
        let mut stream = connect(address);
        let (said, _) = ask(&mut stream, b"GET /pid HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let id: u32 = said["200 ".len()..].parse().unwrap();
        if !before_it.contains(&id) {
            current.0 = id;
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "no other process answers");
    }
}

impl Process {
    /// Waits for the process alone: others have its standard error, too.
    fn wait_without_rest(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, String::new());
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A new process that cannot serve changes nothing, and a unix socket keeps its file.
#[test]
fn a_restart_that_fails_changes_nothing() {
    use std::os::unix::net::UnixStream;
    let place = std::env::temp_dir().join(format!("vestibule-handover-{}", std::process::id()));
    let _ = std::fs::create_dir(&place);
    let (socket, program) = (place.join("s"), place.join("program"));
    // A program that can be replaced by one that fails.
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let mut child = Command::new(&program)
        .args(["process::server", "--exact", "--ignored"])
        .env("PLACE", format!("unix:{}", socket.display()))
        .env("HANDOVER", "1")
        .env("LAME_DUCK", "10000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let owner = Owner(child.id());
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /pid HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text
            .split_once("\r\n\r\n")
            .map_or(String::new(), |(_, body)| body.to_owned()))
    };
    let until = |what: &str, is_true: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_true() {
            assert!(begun.elapsed() < PATIENCE, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until("it serves", &|| ask().is_ok());
    let first = child.id().to_string();
    assert_eq!(ask().unwrap(), first);

    let whole = place.join("whole");
    std::fs::rename(&program, &whole).unwrap();
    std::fs::copy("/bin/false", &program).unwrap();
    kill("USR2", child.id());
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("no other process took over") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it has ended");
    }
    assert_eq!(ask().unwrap(), first);

    std::fs::rename(&whole, &program).unwrap();
    kill("USR2", child.id());
    until("another serves", &|| ask().is_ok_and(|id| id != first));
    // The first takes no more when it has ended; until then both do.
    assert!(child.wait().unwrap().success());
    std::mem::forget(owner);
    let second = Owner(ask().unwrap().parse().unwrap());
    // The first is gone, and has left the file.
    assert_ne!(second.0.to_string(), first);
    kill("TERM", second.0);
    until("the file is gone", &|| !socket.exists());
    let _ = std::fs::remove_dir_all(place);
}

/// systemd is told which process is the main one now, and not that the service stops.
#[test]
fn a_service_manager_hears_of_a_restart() {
    let place = std::env::temp_dir().join(format!("vestibule-notices-{}", std::process::id()));
    let _ = std::fs::remove_file(&place);
    let notices = std::os::unix::net::UnixDatagram::bind(&place).unwrap();
    notices.set_read_timeout(Some(PATIENCE)).unwrap();
    let notice = || {
        let mut heard = [0; 64];
        let count = notices.recv(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..count]).into_owned()
    };
    let socket = place.to_str().unwrap();
    let server = Process::start(&[
        ("HANDOVER", "1"),
        ("LAME_DUCK", "0"),
        ("NOTIFY_SOCKET", socket),
    ]);
    assert_eq!(notice(), "READY=1");
    assert!(ask(&mut server.connect(), GET).is_ok());
    kill("USR2", server.id());
    assert_eq!(notice(), "READY=1");
    let said = notice();
    let next = said.strip_prefix("MAINPID=").expect(&said);
    let next = Owner(next.parse().unwrap());
    assert!(server.wait_without_rest().0.success());
    kill("TERM", next.0);
    assert_eq!(notice(), "STOPPING=1");
    std::mem::forget(next);
    std::fs::remove_file(place).unwrap();
}
