//! The part of `memory` that is about compression: clients that ask for a coding, and read nothing.

use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use crate::load::{Server, ask};
use crate::peer;

/// Measures the rows whose name contains `rows`, of this program `vestibule` or of the one of this checkout.
pub(crate) fn measure(rows: &str, program: Option<&str>) -> ExitCode {
    let program = program.map_or_else(build_program, PathBuf::from);
    let mut ours = Vec::new();
    let mut peers = Vec::new();
    println!(
        "{:<44} {:>8} {:>8} {:>12} {:>14}",
        "readers that read nothing of", "readers", "MB most", "KiB a reader", "left, to start"
    );
    for size in [2, 60] {
        let texts = Texts::new(size);
        for accept in ACCEPT {
            let name = format!("vestibule serve, {size} MB, {accept}");
            if name.contains(rows) {
                ours.push(row(name, texts.serve_by_us(&program), READERS, accept));
            }
        }
        for (peer, readers, accepts) in PEERS {
            for accept in *accepts {
                let name = format!("{peer}, {size} MB, {accept}");
                if name.contains(rows) {
                    peers.push(row(name, texts.serve_by(peer), *readers, accept));
                }
            }
        }
    }
    for accept in ACCEPT {
        let name = format!("vestibule, a stream, {accept}");
        if name.contains(rows) {
            let server = Server::spawn(&mut Command::new(peer::build("stream")));
            ours.push(row(name, server, READERS, accept));
        }
    }
    let all_met = ours
        .into_iter()
        .fold(true, |all, row| all & ended(row).is_met());
    for row in peers {
        ended(row);
    }
    println!("\nours: at most {MOST:.0} MB, and {LEFT:.1} of the start after a minute: {all_met}");
    if all_met {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

struct Row {
    most: f64,
    left: f64,
}

impl Row {
    fn is_met(&self) -> bool {
        self.most / 1e6 <= MOST && self.left <= LEFT
    }
}

/// Measures a row. The server then rests for a minute while the next rows are measured, and the line
/// is printed after that.
fn row(name: String, server: Server, readers: u32, accept: &str) -> JoinHandle<Row> {
    ask(&mut server.connect(), "/nothing");
    let start = server.memory();
    let held: Vec<TcpStream> = (0..readers)
        .map(|number| {
            let mut connection = server.connect();
            let request = format!(
                "GET /{number}.csv HTTP/1.1\r\nhost: 127.0.0.1\r\naccept-encoding: {accept}\r\n\r\n"
            );
            connection
                .write_all(request.as_bytes())
                .expect("the server reads");
            connection
        })
        .collect();
    let most = settled(&server);
    drop(held);
    spawn(move || {
        sleep(AFTER);
        let left = server.memory() / start;
        println!(
            "{name:<44} {readers:>8} {:>8.1} {:>12.1} {left:>14.2}",
            most / 1e6,
            (most - start) / f64::from(readers) / 1024.0
        );
        Row { most, left }
    })
}

fn ended(row: JoinHandle<Row>) -> Row {
    row.join().expect("the server runs")
}

/// Waits until every socket is full and nothing moves any more, and returns the most that was resident.
fn settled(server: &Server) -> f64 {
    let (mut most, mut calm) = (0.0, 0);
    let mut seconds = 0;
    while (calm < CALM || seconds < FULL) && seconds < PATIENCE {
        sleep(Duration::from_secs(1));
        let now = server.peak_memory();
        calm = if now > most { 0 } else { calm + 1 };
        (most, seconds) = (now, seconds + 1);
    }
    most
}

/// A folder with as many texts as there are readers. They are one file of many names: a server cannot know that.
struct Texts(PathBuf);

impl Texts {
    fn new(megabytes: usize) -> Self {
        let folder = format!("vestibule-coded-{megabytes}-{}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&folder).expect("a folder in the temporary one");
        let first = folder.join("0.csv");
        let mut file = BufWriter::new(std::fs::File::create(&first).expect("a new file"));
        let (mut state, mut bytes) = (1_u64, 0);
        while bytes < megabytes * 1_000_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let word = ["door", "street", "house", "request"][(state >> 62) as usize];
            let line = format!(
                "{},{word},2026-11-30T00:00:00Z,{}\n",
                state >> 40,
                state >> 50
            );
            file.write_all(line.as_bytes()).expect("room on the disk");
            bytes += line.len();
        }
        file.flush().expect("room on the disk");
        for number in 1..READERS {
            std::fs::hard_link(&first, folder.join(format!("{number}.csv"))).expect("a link");
        }
        Self(folder)
    }

    fn serve_by_us(&self, program: &Path) -> Server {
        let address = free_address();
        let process = Command::new(program)
            .arg("serve")
            .arg(&self.0)
            .args(["--no-log", "--listen", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        listening(Server::of(process, format!("http://{address}/")), &address)
    }

    fn serve_by(&self, peer: &str) -> Server {
        if peer == NGINX {
            return self.serve_by_nginx();
        }
        Server::spawn(Command::new(peer::build("tower-http-files")).arg(&self.0))
    }

    /// nginx as one process, with gzip at its default level.
    fn serve_by_nginx(&self) -> Server {
        let address = free_address();
        let folder = self.0.display();
        let conf =
            std::env::temp_dir().join(format!("vestibule-coded-{}.conf", std::process::id()));
        let text = format!(
            "daemon off; master_process off; pid {folder}/nginx.pid; error_log /dev/null;\n\
             worker_rlimit_nofile 20000; events {{ worker_connections 9000; }}\n\
             http {{ access_log off; types {{ text/csv csv; }} gzip on; gzip_types text/csv;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
             scgi_temp_path {folder}/scgi;\n\
             server {{ listen {address}; root {folder}; }} }}\n"
        );
        std::fs::write(&conf, text).expect("room on the disk");
        let process = Command::new("nginx")
            .arg("-c")
            .arg(&conf)
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is the peer: install the Debian package `nginx-light`");
        listening(Server::of(process, format!("http://{address}/")), &address)
    }
}

impl Drop for Texts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Builds the program `vestibule`, and returns where it is.
fn build_program() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let built = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "build",
            "--release",
            "--locked",
            "--quiet",
            "-p",
            "vestibule-cli",
        ])
        .current_dir(root)
        .status();
    assert!(built.expect("cargo runs").success(), "the program is built");
    root.join("target/release/vestibule")
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

fn listening(server: Server, address: &str) -> Server {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nothing listens at {address}");
        sleep(Duration::from_millis(10));
    }
    server
}

const NGINX: &str = "nginx";

/// The peers, how many readers they have, and what these ask for. At 2,000 tower-http would need more memory than
/// most machines have.
const PEERS: &[(&str, u32, &[&str])] = &[
    (NGINX, READERS, &["gzip"]),
    ("tower-http", 200, &["gzip", "br", "zstd"]),
];

const ACCEPT: [&str; 8] = [
    "identity",
    "gzip",
    "deflate",
    "br",
    "zstd",
    "gzip, deflate, br, zstd",
    "gzip, identity;q=0",
    "br, identity;q=0",
];

const READERS: u32 = 2_000;

/// How many seconds readers are held at least, how many without a new maximum, and how many at most: a client that does
/// not read is cut after 30.
const FULL: u32 = 8;
const CALM: u32 = 3;
const PATIENCE: u32 = 25;
const AFTER: Duration = Duration::from_secs(60);

/// The bars: megabytes at most, and how much of the start is left at most.
const MOST: f64 = 128.0;
const LEFT: f64 = 2.0;
