//! Measures the CPU time of an app behind nginx by FastCGI, beside the same app by HTTP/1.1.
//!
//! `cargo bench --bench gateway --features gateway` starts nginx as one process, and the app once for each
//! protocol, as processes of their own with one worker thread; nginx keeps its connections to them, over
//! unix sockets. wrk asks nginx, and the CPU time that the app took, as the kernel counts it, is divided by
//! the requests that were answered. The two take turns, and the best turn of each counts. wrk and nginx are
//! Debian packages.

mod load;

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use load::{Asked, Server};
use vestibule::prelude::*;

const CASES: [&str; 4] = ["http", "fastcgi", "scgi", "uwsgi"];

fn main() -> ExitCode {
    match load::asked() {
        Asked::Serve(case) => {
            serve(&case);
            ExitCode::SUCCESS
        }
        Asked::Try => {
            let nginx = Nginx::start();
            for case in CASES {
                drop(nginx.app(case));
            }
            println!("{} apps start; `cargo bench` measures them", CASES.len());
            ExitCode::SUCCESS
        }
        Asked::Measure(_) => compare(),
    }
}

fn compare() -> ExitCode {
    let nginx = Nginx::start();
    let mut best = [f64::INFINITY; CASES.len()];
    for _ in 0..TURNS {
        for (case, best) in CASES.iter().zip(&mut best) {
            *best = best.min(nginx.app(case).cpu_per_request(""));
        }
    }
    println!("{:<24} {:>16} {:>10}", "a request by", "CPU, us", "to HTTP");
    for (case, cost) in CASES.iter().zip(best) {
        println!("{case:<24} {:>16.2} {:>10.3}", cost * 1e6, cost / best[0]);
    }
    let ratio = best[1] / best[0];
    let is_met = ratio <= BAR;
    let verdict = if is_met { "met" } else { "NOT MET" };
    println!("\nFastCGI to HTTP/1.1: {ratio:.3}, at most {BAR:.2}: {verdict}");
    match is_met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// `case` is a protocol, the directory of the sockets, and where nginx is.
fn serve(case: &str) {
    let mut words = case.split(' ');
    let mut word = || words.next().expect("a case has three words").to_owned();
    let (protocol, directory, url) = (word(), word(), word());
    load::run(1, async {
        let place = format!("unix:{directory}/{protocol}.sock");
        // nginx may run as another user.
        let tell = || {
            writeln!(std::io::stdout(), "{url}{protocol}").expect("the benchmark reads the pipe")
        };
        if protocol == "http" {
            let bind = vestibule::hyper::Bind::from(place).mode(0o666);
            let server = vestibule::hyper::Server::new(hello)
                .bind(bind)
                .await
                .expect("a socket");
            tell();
            let _ = server.run().await;
            return;
        }
        let server = match &*protocol {
            "fastcgi" => vestibule::gateway::Server::fastcgi(hello),
            "scgi" => vestibule::gateway::Server::scgi(hello),
            _ => vestibule::gateway::Server::uwsgi(hello),
        };
        let bind = vestibule::gateway::Bind::from(place).mode(0o666);
        let server = server.bind(bind).await.expect("a socket");
        tell();
        let _ = server.run().await;
    });
}

async fn hello(_: Request) -> &'static str {
    "Hello, world!"
}

/// nginx in front of the apps.
struct Nginx {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl Nginx {
    fn start() -> Self {
        // The path of a socket has to be short.
        let name = format!("vestibule-bench-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(directory.join("tmp")).expect("a directory for nginx");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
        let port = free.expect("a free port").port();
        let conf = CONF
            .replace("DIR", &directory.display().to_string())
            .replace("PORT", &port.to_string());
        fs::write(directory.join("nginx.conf"), conf).expect("nginx's directory is writable");
        let process = Command::new("nginx")
            .args(["-e", "stderr", "-c", "nginx.conf", "-p"])
            .arg(&directory)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx stands in front: install the Debian package `nginx-light`");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nginx does not listen");
            std::thread::yield_now();
        }
        Self {
            process,
            directory,
            port,
        }
    }

    fn app(&self, protocol: &str) -> Server {
        let (directory, port) = (self.directory.display(), self.port);
        Server::start(&format!("{protocol} {directory} http://127.0.0.1:{port}/"))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        remove(&self.directory);
    }
}

fn remove(directory: &Path) {
    let _ = fs::remove_dir_all(directory);
}

/// nginx as one process. The parameters are Debian's, and the same for all but HTTP, which has the
/// headers that `vestibule config nginx` sets.
const CONF: &str = r#"
daemon off; master_process off; pid nginx.pid; error_log stderr crit;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 100000000;
  client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; scgi_temp_path tmp/s; uwsgi_temp_path tmp/u;
  upstream http { server unix:DIR/http.sock; keepalive 32; keepalive_requests 100000000; }
  upstream fastcgi { server unix:DIR/fastcgi.sock; keepalive 32; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:PORT;
    location /http {
      proxy_pass http://http; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header Proxy "";
    }
    location /fastcgi {
      include /etc/nginx/fastcgi_params; fastcgi_param HTTP_PROXY "";
      fastcgi_pass fastcgi; fastcgi_keep_conn on;
    }
    location /scgi { include /etc/nginx/scgi_params; scgi_param HTTP_PROXY ""; scgi_pass unix:DIR/scgi.sock; }
    location /uwsgi { include /etc/nginx/uwsgi_params; uwsgi_param HTTP_PROXY ""; uwsgi_pass unix:DIR/uwsgi.sock; }
  }
}
"#;

const TURNS: usize = 4;
const BAR: f64 = 1.3;
