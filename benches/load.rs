//! Servers as processes of their own, wrk that asks them, and the CPU time that they take.

#![allow(dead_code, reason = "a benchmark takes what it needs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

/// The requests of a run of h2load.
pub(crate) struct Asking<'a> {
    pub(crate) path: &'a str,
    pub(crate) connections: u32,
    /// Requests at a time on each.
    pub(crate) streams: u32,
    /// In all.
    pub(crate) requests: u32,
    /// The file that each request sends.
    pub(crate) upload: Option<&'a Path>,
}

/// A server in a process of its own.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts this program once more as one of its servers.
    pub(crate) fn start(case: &str) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        Self::spawn(Command::new(program).args(["--serve", case]))
    }

    /// Starts a server; its first line is where it is.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let stdout = process.stdout.take().expect("it was asked for");
        let mut url = String::new();
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("the server says where it is");
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http://"), "{command:?}: {url:?}");
        Self { process, url }
    }

    /// Takes charge of a server that listens, or will in a moment.
    pub(crate) fn of(process: Child, url: String) -> Self {
        Self { process, url }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Gives it one core, with all its threads.
    pub(crate) fn pin(self, core: u32) -> Self {
        let pinned = Command::new("taskset")
            .args(["--all-tasks", "--cpu-list", "--pid"])
            .args([core.to_string(), self.process.id().to_string()])
            .stdout(Stdio::null())
            .status();
        assert!(
            pinned.is_ok_and(|status| status.success()),
            "taskset pins it"
        );
        self
    }

    /// Seconds of CPU time of the server, divided by the requests that wrk got answered.
    pub(crate) fn cpu_per_request(&self, path: &str) -> f64 {
        self.cpu_per_request_of(path, 32, &[])
    }

    /// The same for this number of connections, and requests with these fields.
    pub(crate) fn cpu_per_request_of(
        &self,
        path: &str,
        connections: usize,
        fields: &[&str],
    ) -> f64 {
        self.load(path, connections, fields, "1s");
        let before = self.cpu();
        let requests = self.load(path, connections, fields, "2s");
        (self.cpu() - before) / requests
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> TcpStream {
        let address = self.url.trim_start_matches("http://");
        TcpStream::connect(address.trim_end_matches('/')).expect("the server listens")
    }

    /// Its resident memory, in bytes (proc(5), `VmRSS` of `status`).
    pub(crate) fn memory(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// The most that was ever resident, in bytes (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> f64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> f64 {
        let path = format!("/proc/{}/status", self.process.id());
        let text = std::fs::read_to_string(path).expect("the server runs");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        1024.0
            * kib
                .and_then(|it| it.parse::<f64>().ok())
                .expect("it is in kB")
    }

    /// Sends it SIGTERM.
    pub(crate) fn terminate(&self) {
        let kill = format!("kill {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{kill}");
    }

    /// How it ended; `None` when it did not in time.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.process.try_wait().expect("it is our child") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// Its standard error, which must be a pipe.
    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.process.stderr.take().expect("it was asked for")
    }

    /// The instructions that the server takes for a request, without the kernel's: by callgrind, over
    /// one kept connection, the many less the few.
    pub(crate) fn instructions_per_request(case: &str) -> f64 {
        let [few, many] = [100_u32, 2_100].map(|requests| Self::instructions(case, requests));
        (many - few) / 2_000.0
    }

    fn instructions(case: &str, requests: u32) -> f64 {
        let program = std::env::current_exe().expect("a program has a path");
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["--serve", case])
            .stderr(Stdio::piped());
        let mut server = Self::spawn(&mut valgrind);
        let mut connection = server.connect();
        for _ in 0..requests {
            ask(&mut connection, "/");
        }
        drop(connection);
        // At its end valgrind counts up, whatever the server does.
        server.terminate();
        let mut text = String::new();
        let mut stderr = server.stderr();
        stderr.read_to_string(&mut text).expect("it is text");
        let count = text
            .lines()
            .find_map(|line| line.split_once("Collected : "));
        let (_, count) = count.unwrap_or_else(|| panic!("callgrind did not count:\n{text}"));
        count.trim().parse().expect("callgrind prints a number")
    }

    /// How many requests the server answers in a second, and its CPU time for each, in seconds.
    pub(crate) fn throughput(&self) -> (f64, f64) {
        self.load("", 32, &[], "1s");
        let before = self.cpu();
        let requests = self.load("", 32, &[], "3s");
        (requests / 3.0, (self.cpu() - before) / requests)
    }

    /// The CPU time of a request over HTTP/2, in seconds, and how many are answered in a second.
    pub(crate) fn by_http2(&self, asking: &Asking<'_>) -> (f64, f64) {
        self.h2load(asking, asking.requests / 5);
        let before = self.cpu();
        let rate = self.h2load(asking, asking.requests);
        ((self.cpu() - before) / f64::from(asking.requests), rate)
    }

    fn h2load(&self, asking: &Asking<'_>, requests: u32) -> f64 {
        // Each connection asks at least once.
        let requests = requests.max(asking.connections);
        let mut h2load = Command::new("h2load");
        h2load
            .arg(format!("--requests={requests}"))
            .arg(format!("--clients={}", asking.connections))
            .arg(format!("--max-concurrent-streams={}", asking.streams));
        if let Some(file) = asking.upload {
            h2load.arg("--data").arg(file);
        }
        let output = h2load
            .arg(format!("{}{}", self.url, asking.path))
            .output()
            .expect("h2load asks the server: install the Debian package `nghttp2-client`");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(&format!(" {requests} 2xx")), "{text}");
        let rate = text.lines().find_map(|line| {
            let (rate, _) = line.strip_prefix("finished in ")?.split_once(" req/s")?;
            rate.rsplit(' ').next()?.parse().ok()
        });
        rate.unwrap_or_else(|| panic!("h2load says no rate:\n{text}"))
    }

    fn load(&self, path: &str, connections: usize, fields: &[&str], time: &str) -> f64 {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "60s", "--duration", time])
            .args(["--connections", &connections.to_string()])
            .args(fields.iter().flat_map(|field| ["--header", field]))
            .arg(format!("{}{path}", self.url))
            .output()
            .expect("wrk asks the server: install the Debian package `wrk`");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            !text.contains("Non-2xx") && !text.contains("Socket errors"),
            "{text}"
        );
        let line = text
            .lines()
            .find_map(|line| line.split_once(" requests in "));
        let (count, _) = line.unwrap_or_else(|| panic!("wrk says no count:\n{text}"));
        count.trim().parse().expect("a count is a number")
    }

    /// The CPU time of its threads so far, in seconds: the first field of their `schedstat`, which the
    /// kernel counts in nanoseconds.
    pub(crate) fn cpu(&self) -> f64 {
        let tasks = format!("/proc/{}/task", self.process.id());
        let tasks = std::fs::read_dir(tasks).expect("the server runs");
        let nanoseconds = tasks.filter_map(|task| {
            // A thread may be gone again.
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        });
        nanoseconds.sum::<f64>() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The job of a benchmark process.
pub(crate) enum Asked {
    /// To be one of its servers.
    Serve(String),
    /// To see that all start and answer, as `cargo test` does.
    Try,
    /// To measure: what is named, or everything.
    Measure(Vec<String>),
}

/// Reads the job of this process from its arguments.
pub(crate) fn asked() -> Asked {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [serve, case] if serve == "--serve" => Asked::Serve(case.clone()),
        all if !all.iter().any(|argument| argument == "--bench") => Asked::Try,
        _ => Asked::Measure(arguments),
    }
}

/// Runs a server on this number of threads.
pub(crate) fn run(threads: usize, server: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(server);
}

/// As many as the machine has.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A listener on a free port; the program's first line says where it is.
pub(crate) async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr();
    let address = address.expect("a bound socket has an address");
    writeln!(std::io::stdout(), "http://{address}/").expect("the benchmark reads the pipe");
    listener
}

/// Asks on a kept connection, and reads the head of the answer and what came with it.
pub(crate) fn ask(connection: &mut TcpStream, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        match connection.read(&mut piece).expect("the server answers") {
            0 => break,
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
