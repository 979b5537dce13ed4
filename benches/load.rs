//! Servers as processes of their own, wrk that asks them, and the CPU time that they take.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A server in a process of its own.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    /// Starts this program once more as one of its servers; its first line is where it is.
    pub(crate) fn start(case: &str) -> Self {
        let program = std::env::current_exe().expect("a program has a path");
        let mut process = Command::new(program)
            .args(["--serve", case])
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts once more");
        let stdout = process.stdout.take().expect("it was asked for");
        let mut url = String::new();
        BufReader::new(stdout)
            .read_line(&mut url)
            .expect("the server says where it is");
        let url = url.trim_end().to_owned();
        assert!(url.starts_with("http://"), "{case}: {url:?}");
        Self { process, url }
    }

    /// Takes charge of a server that listens, or will in a moment.
    #[allow(dead_code)] // not every benchmark has a peer that is a program
    pub(crate) fn of(process: Child, url: String) -> Self {
        Self { process, url }
    }

    /// Where it is.
    #[allow(dead_code)] // most benchmarks leave that to wrk
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Seconds of CPU time of the server, divided by the requests that wrk got answered.
    pub(crate) fn cpu_per_request(&self, path: &str) -> f64 {
        self.load(path, "1s");
        let before = self.cpu();
        let requests = self.load(path, "3s");
        (self.cpu() - before) / requests
    }

    fn load(&self, path: &str, time: &str) -> f64 {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--connections", "32", "--duration", time])
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

    /// User and system time so far, in seconds (proc(5), fields 14 and 15 of `stat`).
    fn cpu(&self) -> f64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let text = std::fs::read_to_string(path).expect("the server runs");
        let (_, fields) = text.rsplit_once(") ").expect("the name stands in brackets");
        let ticks = |index: usize| {
            let field = fields.split(' ').nth(index).expect("stat has 52 fields");
            field.parse::<f64>().expect("ticks are a number")
        };
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `sysconf(_SC_CLK_TCK)`, which is 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
