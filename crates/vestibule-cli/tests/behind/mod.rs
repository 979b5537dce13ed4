//! What `vestibule config` prints, pasted into real web servers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::web_server::WebServer;
use crate::{SITE, text, vestibule};

/// Every web server, by every protocol, at the root and below it.
#[test]
fn what_config_prints_works() {
    for prefix in ["/", "/app"] {
        for server in ["nginx", "apache"] {
            for by in ["http", "fastcgi", "scgi", "uwsgi"] {
                let dir = empty_dir(&format!("{server}-{by}{}", prefix.len()));
                let socket = dir.join("app.sock");
                let printed = config(
                    &[server, "--by", by, "--prefix", prefix, "--socket"],
                    &socket,
                );
                let program = start(&dir, options(&printed));
                let front = match server {
                    "nginx" => nginx(&dir, &printed),
                    _ => WebServer::apache(&dir, &printed),
                };
                let name = format!("{server} by {by} at {prefix}");
                check(&front, prefix.trim_end_matches('/'), &name);
                program.end();
                let log = fs::read_to_string(dir.join("access.log")).unwrap();
                let is_known = |line: &str| line.starts_with("127.0.0.1 - - [");
                assert!(
                    log.lines().count() > 2 && log.lines().all(is_known),
                    "{name}: {log}"
                );
                fs::remove_dir_all(&dir).unwrap();
            }
        }
    }
}

#[test]
fn the_cgi_program_of_apache() {
    let dir = empty_dir("cgi");
    let program = dir.join("vestibule");
    let printed = text(
        &vestibule(&["config", "apache", "--by", "cgi", "--prefix", "/app"])
            .output()
            .unwrap(),
    );
    let script: Vec<_> = printed
        .lines()
        .filter_map(|line| line.strip_prefix("#   "))
        .collect();
    let script = script.join("\n").replace(
        "exec vestibule",
        &format!("exec {}", env!("CARGO_BIN_EXE_vestibule")),
    );
    fs::write(&program, script.replace("DIR", SITE)).unwrap();
    make_executable(&program);
    let printed = printed.replace("/usr/lib/cgi-bin", dir.to_str().unwrap());
    let front = WebServer::apache(&dir, &printed);
    check(&front, "/app", "apache by cgi");
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn what_cannot_be_is_said() {
    let answer = vestibule(&["config", "nginx", "--by", "cgi"])
        .output()
        .unwrap();
    assert_eq!(
        text(&answer),
        "vestibule: nginx starts no programs; use another protocol, or Apache\n"
    );
    let answer = vestibule(&["config", "nginx", "--prefix", "/a b;"])
        .output()
        .unwrap();
    assert!(
        text(&answer).contains("a path, as in /app, of letters, digits and -._~"),
        "{}",
        text(&answer)
    );
    let answer = vestibule(&["serve", SITE, "--fastcgi", "unix:/no/such/place"])
        .output()
        .unwrap();
    assert!(
        text(&answer).contains("its directory does not exist"),
        "{}",
        text(&answer)
    );
}

fn check(front: &WebServer, prefix: &str, name: &str) {
    let ask = |arguments: &[&str], path: &str| {
        let url = format!("http://127.0.0.1:{}{prefix}{path}", front.port);
        let output = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--include",
                "--max-time",
                "20",
                "--path-as-is",
            ])
            .args(arguments)
            .arg(url)
            .output()
            .expect("curl asks the server: install the Debian package `curl`");
        String::from_utf8(output.stdout).unwrap().to_lowercase()
    };
    let page = ask(&[], "/");
    let why = || format!("{name}: {}", front.log());
    assert!(
        page.starts_with("http/1.1 200 ") && page.contains("<!doctype html>"),
        "{page}{}",
        why()
    );
    let tag = page
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap_or_default();
    let again = ask(&["-H", &format!("if-none-match: {tag}")], "/");
    assert!(again.starts_with("http/1.1 304 "), "{again}{}", why());
    assert!(
        ask(&["--head"], "/style.css").starts_with("http/1.1 200 "),
        "{}",
        why()
    );
    let moved = ask(&[], "/rooms");
    let there = [
        format!("location: {prefix}/rooms/\r\n"),
        format!(
            "location: http://127.0.0.1:{}{prefix}/rooms/\r\n",
            front.port
        ),
    ];
    assert!(
        there.iter().any(|line| moved.contains(line)),
        "{moved}{}",
        why()
    );
    assert!(ask(&[], "/a%2fb").starts_with("http/1.1 404 "), "{}", why());
    assert!(
        ask(&[], "/..%2f..%2fetc/passwd").starts_with("http/1.1 4"),
        "{}",
        why()
    );
}

fn config(arguments: &[&str], socket: &Path) -> String {
    let output = vestibule(&["config"])
        .args(arguments)
        .arg(socket)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What stands behind `vestibule serve DIR` in the comment.
fn options(printed: &str) -> Vec<&str> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix("#   vestibule serve DIR "));
    line.unwrap().split(' ').collect()
}

/// A running program; it is killed when a test fails before it has ended it.
struct Program(Child);

impl Program {
    /// Ends it as a service manager does: its log is whole then.
    fn end(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts what the comment says, in the group of the web server, and waits until it listens.
fn start(dir: &Path, options: Vec<&str>) -> Program {
    let mut command = vestibule(&["serve", SITE]);
    command
        .args(options)
        .arg("--log")
        .arg(dir.join("access.log"));
    let groups = fs::read_to_string("/etc/group").unwrap();
    let group = groups
        .lines()
        .find_map(|line| line.strip_prefix("www-data:x:"));
    let group = group.and_then(|rest| rest.split(':').next()?.parse().ok());
    // Without root, the web servers run as we do.
    if let (Some(group), true) = (group, is_root()) {
        command.gid(group);
    }
    let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut program = Program(command.spawn().unwrap());
    let lines = BufReader::new(program.0.stderr.take().unwrap()).lines();
    let mut told = Vec::new();
    // The pipe is read to its end by a thread, so that nobody waits for it.
    let mut lines = lines.map_while(Result::ok);
    while !told
        .last()
        .is_some_and(|line: &String| line.contains("unix:"))
    {
        told.push(
            lines
                .next()
                .unwrap_or_else(|| panic!("the program ended: {told:?}")),
        );
    }
    std::thread::spawn(move || lines.for_each(drop));
    program
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// The site's own `server`, and Debian's files of parameters beside it.
fn nginx(dir: &Path, printed: &str) -> WebServer {
    for name in ["fastcgi_params", "scgi_params", "uwsgi_params"] {
        fs::copy(Path::new("/etc/nginx").join(name), dir.join(name)).unwrap();
    }
    WebServer::nginx(
        dir,
        &format!("server {{\nlisten 127.0.0.1:PORT;\n{printed}}}"),
    )
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A directory that nobody else has; the path of a socket must be short.
fn empty_dir(name: &str) -> PathBuf {
    let name = format!("vestibule-cli-{}-{name}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}
