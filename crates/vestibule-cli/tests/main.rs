//! The program as its users meet it: started for real, asked by curl, stopped by a signal.

#![allow(clippy::unwrap_used)] // what fails here is a test

#[cfg(unix)]
mod behind;
#[cfg(unix)]
mod browser;
mod certificates;
mod clients;
mod cors;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(unix)]
mod downloads;
#[cfg(unix)]
mod events;
#[cfg(unix)]
#[path = "../../vestibule-hyper/tests/http2_frame.rs"]
mod http2_frame;
#[cfg(unix)]
mod limits;
#[cfg(target_os = "linux")]
mod listening;
#[cfg(unix)]
mod one_file;
#[cfg(unix)]
mod readers;
mod site_files;
mod users;
#[cfg(unix)]
mod watch;
#[cfg(unix)]
#[path = "../../vestibule-gateway/tests/web_server.rs"]
mod web_server;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/site");
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn vestibule(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments);
    for variable in ["NO_COLOR", "BROWSER", "RUST_LOG", "VESTIBULE_AUTH"] {
        command.env_remove(variable);
    }
    command
}

/// A running program; it is killed when a test fails before it has ended it.
struct Running {
    child: Child,
    /// Where it is first.
    address: String,
    addresses: Vec<String>,
    welcome: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Starts the program on a free port, and waits until it says where it is.
    fn serve(arguments: &[&str]) -> Self {
        Self::serve_at(&["--listen", "127.0.0.1:0"], arguments)
    }

    /// Starts the program at these places.
    fn serve_at(places: &[&str], arguments: &[&str]) -> Self {
        Self::start(&mut vestibule(&[&["serve"], places, arguments].concat()))
    }

    /// Starts what `vestibule` has made, and waits until it says where it is.
    fn start(program: &mut Command) -> Self {
        let mut child = program
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut welcome = String::new();
        while !welcome.contains("\n\n") {
            let read = stderr.read_line(&mut welcome).unwrap();
            assert!(read > 0, "the program ended: {welcome}");
        }
        let places = welcome
            .lines()
            .filter_map(|line| line.strip_prefix("     at "));
        let addresses: Vec<_> = places.map(str::to_owned).collect();
        Self {
            child,
            address: addresses[0].clone(),
            addresses,
            welcome,
            stderr,
        }
    }

    /// What `curl -i` prints of a path.
    fn curl(&self, arguments: &[&str], path: &str) -> String {
        curl(arguments, &format!("{}{path}", self.address)).unwrap()
    }

    /// Ends it as a person at a terminal does; gives what it wrote to standard output and error.
    fn interrupt(mut self) -> (String, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut out = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        let mut error = std::mem::take(&mut self.welcome);
        self.stderr.read_to_string(&mut error).unwrap();
        assert!(self.child.wait().unwrap().success(), "{error}");
        (out, error)
    }
}

/// What `curl -i` prints, or why it fails.
fn curl(arguments: &[&str], url: &str) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20"])
        .args(arguments)
        .arg(url)
        .output()
        .expect("curl asks the server: install the Debian package `curl`");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(text(&output)),
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_site_is_served_logged_and_ended() {
    let site = Running::serve(&[SITE]);
    let page = site.curl(&[], "");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(
        page.contains("content-type: text/html; charset=utf-8\r\n"),
        "{page}"
    );
    assert!(page.contains("<h1>The Vestibule</h1>"), "{page}");

    let etag = page
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let again = site.curl(&["-H", &format!("if-none-match: {etag}")], "");
    assert!(
        again.starts_with("HTTP/1.1 304 Not Modified\r\n"),
        "{again}"
    );

    assert!(
        site.curl(&[], "style.css")
            .contains("content-type: text/css; charset=utf-8\r\n")
    );
    assert!(site.curl(&[], "rooms").contains("location: /rooms/\r\n"));
    assert!(
        site.curl(&["--path-as-is"], "../main.rs")
            .starts_with("HTTP/1.1 40")
    );
    assert!(
        site.curl(&["--http2-prior-knowledge"], "")
            .starts_with("HTTP/2 200")
    );

    let (log, error) = site.interrupt();
    let first = log.lines().next().unwrap();
    assert!(first.starts_with("127.0.0.1 - - ["), "{log}");
    assert!(first.contains("] \"GET / HTTP/1.1\" 200 "), "{log}");
    assert!(log.contains("\"GET / HTTP/1.1\" 304 0 "), "{log}");
    assert!(log.contains("\"GET / HTTP/2.0\" 200 "), "{log}");
    assert!(
        error.contains("AccessLog  format: combined, to: stdout\nCompression  codings: "),
        "{error}"
    );
    assert!(
        !error.contains('\x1b'),
        "no colour where nobody looks: {error}"
    );
}

#[test]
fn passwords_are_set_and_asked_for() {
    let scratch = std::env::temp_dir().join(format!("vestibule-passwd-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let file = scratch.join("users");
    let file = file.to_str().unwrap();
    let set = |user: &str, password: &str| {
        let mut child = vestibule(&["passwd", file, user])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    };
    let made = set("alice", "correct horse battery\n");
    assert!(made.status.success());
    assert!(
        text(&made).ends_with("users: the file is new, and so is \"alice\"\n"),
        "{}",
        text(&made)
    );
    let weak = text(&set("bob", "hunter2"));
    assert!(
        weak.contains("weak: it is shorter than 12 characters"),
        "{weak}"
    );
    assert!(!weak.contains("hunter2"));
    assert_eq!(set("a:b", "x").status.code(), Some(1));

    let site = Running::serve(&[SITE, "--htpasswd", file, "--metrics"]);
    let refused = site.curl(&[], "");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    assert!(
        refused.contains("www-authenticate: Basic realm="),
        "{refused}"
    );
    for path in ["", "-/metrics"] {
        let refused = site.curl(&["-u", "alice:wrong"], path);
        assert!(refused.starts_with("HTTP/1.1 401 "), "{path}: {refused}");
    }
    assert!(
        site.curl(&["-u", "alice:correct horse battery"], "")
            .starts_with("HTTP/1.1 200 ")
    );
    let (log, error) = site.interrupt();
    assert!(error.contains("Authenticate  scheme: Basic"), "{error}");
    let shown = log + &error;
    assert!(
        !shown.contains("correct horse") && !shown.contains("argon2"),
        "{shown}"
    );
    std::fs::remove_dir_all(&scratch).unwrap();
}

/// On a terminal it asks twice, and shows nothing of the answers.
#[test]
fn a_password_is_asked_for_on_a_terminal() {
    let scratch = std::env::temp_dir().join(format!("vestibule-terminal-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    let file = scratch.join("users");
    let ask = |answers: [&str; 2]| {
        let program = env!("CARGO_BIN_EXE_vestibule");
        let command = format!("{program} passwd --bcrypt {} alice", file.display());
        let mut terminal = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script is a terminal: install the Debian package `bsdutils`");
        let mut input = terminal.stdin.take().unwrap();
        let mut output = terminal.stdout.take().unwrap();
        let mut shown = String::new();
        let mut byte = [0];
        for (question, answer) in ["New password: ", "Again: "].into_iter().zip(answers) {
            // What is typed before the question does not count.
            while !shown.ends_with(question) {
                assert_eq!(output.read(&mut byte).unwrap(), 1, "{shown}");
                shown.push(char::from(byte[0]));
            }
            input.write_all(answer.as_bytes()).unwrap();
        }
        output.read_to_string(&mut shown).unwrap();
        (terminal.wait().unwrap().success(), shown)
    };
    let (is_done, shown) = ask(["correct horse battery\n", "correct horse\n"]);
    assert!(!is_done && shown.contains("the two differ"), "{shown}");
    let (is_done, shown) = ask(["correct horse battery\n"; 2]);
    assert!(is_done && shown.contains("the file is new"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(stored.starts_with("alice:$2y$10$"), "{stored}");
    std::fs::remove_dir_all(&scratch).unwrap();
}

#[test]
fn this_repository_is_served_without_its_secrets() {
    let site = Running::serve(&[REPOSITORY]);
    let list = site.curl(&[], "");
    assert!(list.starts_with("HTTP/1.1 200 OK\r\n"), "{list}");
    assert!(
        list.contains("./README.md") && !list.contains(".git"),
        "{list}"
    );
    assert!(site.curl(&[], "README.md").contains("# Vestibule"));
    assert!(site.curl(&[], ".git/config").starts_with("HTTP/1.1 404 "));
    site.interrupt();
}

#[test]
fn options_reach_the_files() {
    let options = [
        "--no-listing",
        "--spa",
        "--cache-control",
        "*.css=max-age=60",
        "--type",
        "js=text/plain",
        "--type",
        "/style.*=text/x-style",
    ];
    let site = Running::serve(&[&options, &[SITE][..]].concat());
    let page = site.curl(&["-H", "accept: text/html"], "no/such/page");
    assert!(
        page.starts_with("HTTP/1.1 200 OK\r\n") && page.contains("<h1>"),
        "{page}"
    );
    assert!(site.curl(&[], "no/such.js").starts_with("HTTP/1.1 404 "));
    assert!(
        site.curl(&[], "style.css")
            .contains("cache-control: max-age=60\r\n")
    );
    assert!(
        site.curl(&[], "door.js")
            .contains("content-type: text/plain")
    );
    assert!(
        site.curl(&[], "style.css")
            .contains("content-type: text/x-style\r\n")
    );
    site.interrupt();
}

/// A rule that can match nothing would have no effect, and no user would see why.
#[test]
fn rules_without_effect_are_refused_with_their_fix() {
    for (option, value, fix) in [
        ("--type", "tar.gz=application/gzip", "write '*.tar.gz'"),
        ("--type", "ts=video", "as in text/plain"),
        ("--cache-control", "*.[jt]s=no-cache", "write '*.{j,t}s'"),
        ("--header", "docs/=x-a: b", "write 'docs/**'"),
        ("--encoded", "*.tar.gz", "archives only"),
    ] {
        let output = vestibule(&["serve", SITE, option, value]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(option) && text.contains(fix), "{text}");
    }
}

#[test]
fn files_that_are_stored_compressed_are_sent_so() {
    let site = Scratch::new("encoded");
    site.write("game.js.gz", "\u{1f}\u{8}");
    site.write("logo.svgz", "\u{1f}\u{8}");
    let running = Running::serve(&[site.path(), "--encoded", "*.gz"]);
    let script = running.curl(&["-H", "accept-encoding: gzip"], "game.js.gz");
    assert!(
        script.contains("content-type: text/javascript; charset=utf-8\r\n")
            && script.contains("content-encoding: gzip\r\n"),
        "{script}"
    );
    let download = running.curl(&[], "game.js.gz");
    assert!(
        download.contains("content-type: application/gzip\r\n")
            && download.contains("vary: accept-encoding\r\n")
            && !download.contains("content-encoding"),
        "{download}"
    );
    let image = running.curl(&[], "logo.svgz");
    assert!(
        image.contains("content-type: image/svg+xml\r\n")
            && image.contains("content-encoding: gzip\r\n"),
        "{image}"
    );
    running.interrupt();
}

/// A page that is not there is no mistake, since it may come; but nobody looks for long why it is not sent.
#[test]
fn pages_that_are_not_there_are_named() {
    let site = Scratch::new("pages");
    site.write("index.html", "<p>home");
    let running = Running::serve(&[site.path(), "--spa", "--not-found", "lost.html"]);
    let says = "vestibule: --not-found: there is no `lost.html` in ";
    assert!(running.welcome.contains(says), "{}", running.welcome);
    assert!(!running.welcome.contains("--spa"), "{}", running.welcome);
    site.write("lost.html", "<p>lost");
    // A path without an extension would be a route of the app.
    let lost = running.curl(&[], "nothing.js");
    assert!(
        lost.starts_with("HTTP/1.1 404 ") && lost.ends_with("<p>lost"),
        "{lost}"
    );
    running.interrupt();
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let wrong_flag = vestibule(&["serve", "--lisen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(wrong_flag.status.code(), Some(2));
    assert!(text(&wrong_flag).contains("a similar argument exists: '--listen'"));

    let no_directory = vestibule(&["serve", "no/such/place"]).output().unwrap();
    assert_eq!(no_directory.status.code(), Some(1));
    assert!(text(&no_directory).starts_with("vestibule: cannot serve `no/such/place`: "));

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = vestibule(&["serve", SITE, "--listen", &address])
        .output()
        .unwrap();
    assert_eq!(in_use.status.code(), Some(1));
    assert!(
        text(&in_use).contains("another process listens there; stop it, or choose another port")
    );
}

#[test]
fn a_log_of_its_own_metrics_and_the_page_of_the_stack() {
    let log = std::env::temp_dir().join(format!("vestibule-cli-{}.log", std::process::id()));
    let path = log.to_str().unwrap();
    let site = Running::serve(&[
        SITE,
        "--log",
        path,
        "--log-format",
        "%m %U %>s",
        "--metrics",
        "--inspect",
    ]);
    site.curl(&[], "style.css");
    let metrics = site.curl(&[], "-/metrics");
    let counted = "http_server_requests_total{method=\"GET\",status=\"2xx\",route=\"\",outcome=\"complete\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(
        site.curl(&[], "-/stack")
            .contains("<title>The stack</title>")
    );
    let stack = site.curl(&[], "-/stack/json");
    assert!(stack.contains("{\"name\":\"AccessLog\""), "{stack}");
    assert!(
        site.curl(&["-H", "x-forwarded-for: 192.0.2.1"], "-/stack")
            .starts_with("HTTP/1.1 404 ")
    );

    let until = |path: &str, text: &str| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !std::fs::read_to_string(path).is_ok_and(|found| found.contains(text)) {
            assert!(std::time::Instant::now() < deadline, "{path} has no {text}");
            std::thread::yield_now();
        }
    };
    until(path, "GET /style.css 200\n");
    let old = format!("{path}.1");
    std::fs::rename(&log, &old).unwrap();
    let pid = site.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap()
            .success()
    );
    until(path, "");
    site.curl(&[], "rooms");
    until(path, "GET /rooms ");
    let (out, _) = site.interrupt();
    assert_eq!(out, "");
    let _ = std::fs::remove_file(log);
    let _ = std::fs::remove_file(old);

    let wrong = vestibule(&["serve", SITE, "--log-format", "%h %j"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong).contains("column 5: there is no directive `%j`"),
        "{}",
        text(&wrong)
    );
}

/// A directory for one test, gone with it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self::below(std::env::temp_dir(), name)
    }

    fn below(place: impl Into<std::path::PathBuf>, name: &str) -> Self {
        let name = format!("vestibule-{name}-{}", std::process::id());
        let path = place.into().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn files_are_compressed_beforehand_and_sent_so() {
    let site = Scratch::new("precompress");
    site.write("app.js", &"let a = 1;\n".repeat(1000));
    site.write("photo.avif", &"x".repeat(1000));
    let run = || vestibule(&["precompress", site.path()]).output().unwrap();
    let first = run();
    assert!(first.status.success());
    let said = text(&first);
    assert!(
        said.starts_with("1 files: 3 sidecars written, 33 kB to "),
        "{said}"
    );
    assert!(!said.contains('\x1b'), "no bar where nobody looks: {said}");
    assert!(text(&run()).contains(" 0 sidecars written; 3 were fresh"));

    let running = Running::serve(&[site.path(), "--precompressed"]);
    for coding in ["br", "zstd", "gzip"] {
        let answer = running.curl(
            &["--head", "-H", &format!("accept-encoding: {coding}")],
            "app.js",
        );
        assert!(
            answer.contains(&format!("content-encoding: {coding}\r\n")),
            "{answer}"
        );
        assert!(answer.contains("etag: \""), "strong: {answer}");
    }
    running.interrupt();

    // A copy that belongs to no file is not one of ours.
    site.write("alone.js.gz", "x");
    let clean = |options: &[&str]| {
        let output =
            vestibule(&[&["precompress", site.path(), "--clean"], options].concat()).output();
        text(&output.unwrap())
    };
    assert_eq!(
        clean(&["--codings", "gzip"]),
        "1 files: 1 sidecars removed\n"
    );
    assert!(clean(&["--exclude", "*.js"]).ends_with("0 files: 0 sidecars removed\n"));
    assert!(clean(&["--only", "*.jss"]).contains("no file that shrinks matches"));
    assert!(clean(&["--threads", "2"]).contains("cannot be used with"));
    assert!(clean(&["--codings", "br,lzma"]).contains("[possible values: br, zstd, gzip]"));
    assert_eq!(clean(&[]), "1 files: 2 sidecars removed\n");
    let left: Vec<_> = std::fs::read_dir(site.path()).unwrap().collect();
    assert_eq!(
        left.len(),
        3,
        "app.js, alone.js.gz and photo.avif: {left:?}"
    );

    let missing = vestibule(&["precompress", "no/such/place"])
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing).starts_with("vestibule: cannot look into `no/such/place`: "));
}

#[test]
fn a_page_that_is_watched_is_told_of_changes() {
    let site = Scratch::new("watch");
    site.write("index.html", "<p>one");
    site.write("style.css", "p {}");
    let running = Running::serve(&[site.path(), "--watch"]);
    let page = running.curl(
        &[
            "-H",
            "accept: text/html",
            "-H",
            "accept-encoding: gzip",
            "--compressed",
        ],
        "",
    );
    assert!(
        page.contains("<p>one\n<script src=\"/-/reload.js\" data-version=\""),
        "{page}"
    );
    assert!(
        page.contains("cache-control: no-store\r\n") && !page.contains("etag"),
        "{page}"
    );
    let style = running.curl(&[], "style.css");
    assert!(
        style.contains("cache-control: no-cache\r\n") && style.contains("etag"),
        "{style}"
    );
    assert!(
        running
            .curl(&[], "-/reload.js")
            .contains("new EventSource(")
    );

    assert!(
        running
            .curl(&[], "-/reload-worker.js")
            .contains("new BroadcastChannel(")
    );
    // The page was made from the files of now.
    let mut events = Events::of(&running);
    let version = events.next("data: now ");
    assert!(page.contains(&version), "{version}: {page}");
    site.write("style.css", "p { color: green }");
    assert_ne!(events.next("data: styles "), version);
    site.write("index.html", "<p>one and two");
    events.next("data: files ");
    assert!(
        running
            .curl(&["-H", "accept: text/html"], "")
            .contains("<p>one and two\n<script")
    );
    // Those who wait for events do not hold up the end.
    let start = std::time::Instant::now();
    running.interrupt();
    assert!(start.elapsed() < std::time::Duration::from_secs(15));
    assert!(
        events.child.wait().unwrap().success(),
        "the events have an end"
    );
}

/// The events that a page of `--watch` gets.
struct Events {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Events {
    fn of(site: &Running) -> Self {
        let mut child = Command::new("curl")
            .args([
                "--silent",
                "--no-buffer",
                &format!("{}-/reload", site.address),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line that begins in this way, and returns the rest.
    fn next(&mut self, start: &str) -> String {
        let mut rest = self.lines.by_ref().map_while(Result::ok);
        rest.find_map(|line| line.strip_prefix(start).map(str::to_owned))
            .unwrap_or_else(|| panic!("the events ended before {start:?}"))
    }
}

#[test]
fn an_index_is_made_anew_on_hangup() {
    let site = Scratch::new("indexed");
    site.write("a.txt", "old");
    let running = Running::serve(&[site.path(), "--indexed", "--header", "*.txt=x-kind: text"]);
    assert!(running.welcome.contains("files: 1") || running.curl(&[], "a.txt").ends_with("old"));
    site.write("a.txt", "new");
    let answer = running.curl(&[], "a.txt");
    assert!(
        answer.ends_with("old") && answer.contains("x-kind: text\r\n"),
        "{answer}"
    );
    let pid = running.child.id().to_string();
    let sent = Command::new("kill").args(["-HUP", &pid]).status().unwrap();
    assert!(sent.success());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !running.curl(&[], "a.txt").ends_with("new") {
        assert!(std::time::Instant::now() < deadline, "it is still old");
    }
    running.interrupt();
}

#[test]
fn files_are_handed_over() {
    let nginx = Running::serve(&[SITE, "--x-accel-redirect", "/files"]);
    let answer = nginx.curl(&[], "style.css");
    assert!(
        answer.contains("x-accel-redirect: /files/style.css\r\n"),
        "{answer}"
    );
    nginx.interrupt();
    let apache = Running::serve(&[SITE, "--x-sendfile"]);
    let answer = apache.curl(&[], "style.css");
    assert!(
        answer.contains("/site/style.css\r\n") && answer.contains("x-sendfile: /"),
        "{answer}"
    );
    apache.interrupt();
    let wrong = vestibule(&["serve", SITE, "--header", "*=etag: x"])
        .output()
        .unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong).contains("--header: \"etag\" cannot be set: the server sets it itself"));
    let wrong = vestibule(&["serve", SITE, "--header", "*=etag"]).output();
    assert!(text(&wrong.unwrap()).contains("--header: \"etag\" is no header, as in "));
}

/// `vestibule wsgi` is Python's: here only what it says where there is none that has the host. With it, the tests of
/// `vestibule-wsgi` ask it.
#[cfg(unix)]
#[test]
fn a_python_without_the_host_is_told_what_to_install() {
    let wsgi = |venv: &str| {
        let mut command = vestibule(&["wsgi", "app:app", "--processes", "2"]);
        let output = command.env("VIRTUAL_ENV", venv).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = wsgi("/no/such/place");
    assert!(
        said.contains("cannot start `/no/such/place/bin/python`"),
        "{said}"
    );
    // Pythons that import `vestibule_wsgi` in other ways: how they end, and what they say.
    for (script, want) in [
        ("exit 41", "-m pip install vestibule-wsgi` installs it"),
        (
            "echo 'Traceback (most recent call last):' >&2; echo 'ImportError: libssl.so.3: no such file' >&2; exit 1",
            "cannot import its package vestibule-wsgi: ImportError: libssl.so.3: no such file",
        ),
        (
            "exit 1",
            "cannot import its package vestibule-wsgi: it says nothing",
        ),
        (
            "kill -9 $$",
            "cannot import its package vestibule-wsgi: it says nothing",
        ),
    ] {
        let said = wsgi(python(script).path());
        assert!(said.contains(want), "{script}: {said}");
    }
}

/// A virtual environment whose Python is a script.
#[cfg(unix)]
fn python(script: &str) -> Scratch {
    use std::os::unix::fs::PermissionsExt;
    let folder = Scratch::new("wsgi");
    let python = format!("{}/bin/python", folder.path());
    std::fs::create_dir(format!("{}/bin", folder.path())).unwrap();
    std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

#[cfg(unix)]
#[test]
fn the_help_about_python_apps_needs_no_python_package() {
    let folder = python("exit 41");
    for option in ["--help", "-h"] {
        let mut command = vestibule(&["wsgi", option]);
        let output = command.env("VIRTUAL_ENV", folder.path()).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{option}");
        assert!(shown.contains("Usage: vestibule wsgi"), "{shown}");
        assert!(shown.contains("pip install vestibule-wsgi"), "{shown}");
    }
}
