//! Requests with FastCGI: to PHP-FPM, to this crate's responder, and to broken responders.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use vestibule_core::{App, Body, CollectError, Failure, Mounts, Request, Response};
use vestibule_gateway::{FastCgi, Server};
use vestibule_lint::Lint;

use crate::front::empty_dir;
use crate::web_server::until;

fn get(path: &str) -> Request {
    let mut request = Request::default();
    *request.uri_mut() = path.parse().unwrap();
    request
}

fn post(path: &str, body: impl Into<Body>) -> Request {
    let mut request = get(path);
    *request.method_mut() = http::Method::POST;
    *request.body_mut() = body.into();
    request
}

/// Returns status, some headers, and body.
async fn describe(response: Response) -> String {
    let (head, body) = response.into_parts();
    let mut text = head.status.as_u16().to_string();
    for name in ["content-type", "set-cookie", "location", "x-a"] {
        for value in head.headers.get_all(name) {
            text += &format!(" {name}={}", value.to_str().unwrap());
        }
    }
    match body.collect(1 << 30).await {
        Ok(body) if body.len() < 1000 => text + " " + &String::from_utf8_lossy(&body),
        Ok(body) => text + &format!(" {} bytes", body.len()),
        Err(error) => text + &format!(" broke: {error}"),
    }
}

/// PHP-FPM, which is stopped on drop.
struct Fpm(Child);

impl Fpm {
    fn start(dir: &Path) -> Self {
        let user = match Command::new("id")
            .arg("-u")
            .output()
            .unwrap()
            .stdout
            .trim_ascii()
        {
            b"0" => "user = www-data\ngroup = www-data\n",
            _ => "",
        };
        let conf = FPM
            .replace("DIR", dir.to_str().unwrap())
            .replace("USER\n", user);
        fs::write(dir.join("fpm.conf"), conf).unwrap();
        let found = fs::read_dir("/usr/sbin").unwrap().find_map(|entry| {
            let path = entry.unwrap().path();
            let is_fpm = path.file_name()?.to_str()?.starts_with("php-fpm");
            is_fpm.then_some(path)
        });
        let program = found.expect("the Debian package php-fpm is needed");
        let child = Command::new(program)
            .args(["--nodaemonize", "--fpm-config"])
            .arg(dir.join("fpm.conf"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let fpm = Self(child);
        let socket = dir.join("fpm.sock");
        let is_up = until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok());
        assert!(is_up, "{:?}", fs::read_to_string(dir.join("fpm.log")));
        fpm
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        // SIGTERM, since its workers would outlive a killed master.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").arg(pid).status();
        let _ = self.0.wait();
    }
}

const FPM: &str = "
[global]
error_log = DIR/fpm.log
[www]
USER
listen = DIR/fpm.sock
listen.mode = 0666
pm = static
pm.max_children = 2
";

#[tokio::test]
async fn php_fpm() {
    let dir = empty_dir();
    let root = dir.join("site");
    fs::create_dir_all(root.join("dir")).unwrap();
    for (name, text) in SCRIPTS {
        fs::write(root.join(name), text).unwrap();
    }
    let _fpm = Fpm::start(&dir);
    let app = FastCgi::new(format!("unix:{}/fpm.sock", dir.display())).scripts(&root, "php");
    let with_fallback = Lint::new(app.clone().fallback("index.php")).panics();
    let app = Lint::new(app).panics();

    let cases = [
        (get("/"), "GET  / q= b=0"),
        (
            get("/index.php?a=%20b"),
            "GET  /index.php?a=%20b q=a=%20b b=0",
        ),
        (
            get("/index.php/more/%C3%A9"),
            "GET /more/\u{e9} /index.php/more/%C3%A9 q= b=0",
        ),
        (get("/index.php/"), "GET / /index.php/ q= b=0"),
        (post("/index.php", "abc"), "POST  /index.php q= b=3"),
        (
            post("/index.php", vec![b'x'; 5 << 20]),
            "POST  /index.php q= b=5242880",
        ),
    ];
    for (request, expected) in cases {
        let text = describe(app.call(request).await).await;
        assert_eq!(
            text,
            format!(
                "200 content-type=text/plain;charset=UTF-8 set-cookie=a=1 set-cookie=b=2 {expected}"
            )
        );
    }
    let mut head = get("/index.php");
    *head.method_mut() = http::Method::HEAD;
    assert!(
        describe(app.call(head).await)
            .await
            .ends_with("set-cookie=b=2 ")
    );
    assert_eq!(
        describe(app.call(get("/moved.php")).await).await,
        "302 content-type=text/html; charset=UTF-8 location=/there "
    );
    assert_eq!(
        describe(app.call(get("/large.php")).await).await,
        "200 content-type=text/html; charset=UTF-8 20000000 bytes"
    );
    // A file that is not a script is not run, for any path.
    for path in [
        "/evil.jpg",
        "/evil.jpg/x.php",
        "/no.php",
        "/dir/",
        "/dir",
        "/a%2Fb.php",
        "/moved.php%00",
    ] {
        let status = app.call(get(path)).await.status();
        assert!([400, 404].contains(&status.as_u16()), "{path}: {status}");
    }
    assert_eq!(app.call(get("/../index.php")).await.status(), 400);
    assert!(
        describe(with_fallback.call(get("/a/post/7")).await)
            .await
            .ends_with("GET /a/post/7 /a/post/7 q= b=0")
    );
    let (_sender, body) = Body::channel();
    assert_eq!(app.call(post("/index.php", body)).await.status(), 411);
    // Below a mount, the script's name has the prefix.
    let mounted = Mounts::new().at("/blog", app.clone());
    let text = describe(mounted.call(get("/blog/name.php/x")).await).await;
    assert!(text.ends_with("/blog/name.php /x"), "{text}");
    // The script throws an exception: PHP itself responds with 500.
    assert_eq!(app.call(get("/throws.php")).await.status(), 500);
    fs::remove_dir_all(&dir).unwrap();
}

const SCRIPTS: &[(&str, &str)] = &[
    (
        "index.php",
        r#"<?php header("Content-Type: text/plain"); header("Set-Cookie: a=1"); header("Set-Cookie: b=2", false);
        $body = file_get_contents("php://input");
        echo $_SERVER["REQUEST_METHOD"], " ", $_SERVER["PATH_INFO"] ?? "", " ", $_SERVER["REQUEST_URI"], " q=", $_SERVER["QUERY_STRING"], " b=", strlen($body);"#,
    ),
    ("moved.php", r#"<?php header("Location: /there");"#),
    (
        "large.php",
        r#"<?php for ($i = 0; $i < 200; $i++) { echo str_repeat("x", 100000); }"#,
    ),
    (
        "name.php",
        r#"<?php echo $_SERVER["SCRIPT_NAME"], " ", $_SERVER["PATH_INFO"];"#,
    ),
    ("throws.php", r#"<?php throw new Exception("x");"#),
    ("evil.jpg", "<?php echo 'evil';"),
];

async fn echo(request: Request) -> Result<String, CollectError> {
    let uri = request.uri().to_string();
    let body = request.into_body().collect(1 << 30).await?;
    Ok(format!("{uri} {}", body.len()))
}

/// A round trip: the same request through this crate's responder.
#[tokio::test]
async fn the_responder_of_this_crate() {
    let dir = empty_dir();
    let place = format!("unix:{}/own.sock", dir.display());
    let server = Server::fastcgi(echo).bind(&*place).await.unwrap();
    tokio::spawn(server.run_until(std::future::pending()));
    let app = FastCgi::new(place);
    for (request, expected) in [
        (get("/a%2Fb?q"), "/a%2Fb?q 0"),
        (post("/a", "abc"), "/a 3"),
        (post("/a", vec![0; 3 << 20]), "/a 3145728"),
    ] {
        let text = describe(app.call(request).await).await;
        assert_eq!(
            text,
            format!("200 content-type=text/plain; charset=utf-8 {expected}")
        );
    }
    let (mut sender, body) = Body::channel();
    let (response, ()) = tokio::join!(app.call(post("/a", body)), async {
        sender.send("ab").await.unwrap();
        sender.send("c").await.unwrap();
        sender.finish();
    });
    assert!(describe(response).await.ends_with("/a 3"));
    let (mut sender, body) = Body::channel();
    sender.abort("the client went away");
    assert_eq!(app.call(post("/a", body)).await.status(), 400);
    fs::remove_dir_all(&dir).unwrap();
}

fn record(kind: u8, id: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, id, high, low, 0, 0], content].concat()
}

fn end(app_status: u8, protocol_status: u8) -> Vec<u8> {
    record(3, 1, &[0, 0, 0, app_status, protocol_status, 0, 0, 0])
}

/// The output of a broken responder, and the response to its client.
#[tokio::test]
async fn broken_responders() {
    let ok = b"Status: 200 OK\r\nX-A: b\r\n\r\nbody";
    let out = |content: &[u8]| record(6, 1, content);
    let large = [out(&[b'a'; 60_000]), out(&[b'a'; 60_000])].concat();
    let complaints = record(7, 1, &[b'e'; 65_000]).repeat(160);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        (
            "good",
            [out(ok), out(b""), end(0, 0)].concat(),
            "200 x-a=b body",
        ),
        ("nothing", vec![], "502"),
        (
            "STDERR alone",
            [record(7, 1, b"no"), end(0, 0)].concat(),
            "502",
        ),
        (
            "10 MB of STDERR",
            [complaints, out(ok), end(0, 0)].concat(),
            "200 x-a=b body",
        ),
        ("an end without output", end(0, 0), "502"),
        (
            "data after the end",
            [out(ok), end(0, 0), out(b"more"), b"x".to_vec()].concat(),
            "200 x-a=b body",
        ),
        (
            "a head of more than 64 KiB",
            [large, end(0, 0)].concat(),
            "502",
        ),
        (
            "no empty line",
            [out(b"Status: 200 OK\r\nX-A: b\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "Status: abc",
            [out(b"Status: abc\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "Status: 101",
            [out(b"Status: 101 Switching\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "Status: 099",
            [out(b"Status: 099\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "Status: 1000",
            [out(b"Status: 1000\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "CR in a value",
            [out(b"Status: 200 OK\r\nX-A: b\rX-B: c\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "NUL in a value",
            [out(b"Status: 200 OK\r\nX-A: b\0c\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        (
            "an invalid name",
            [out(b"Status: 200 OK\r\nX A: b\r\n\r\n"), end(0, 0)].concat(),
            "502",
        ),
        ("an exit status", end(1, 0), "502"),
        (
            "an exit status after the head",
            [out(ok), end(1, 0)].concat(),
            "200 x-a=b broke",
        ),
        ("overloaded", end(0, 2), "502"),
        ("no multiplexing", end(0, 1), "502"),
        (
            "an end that is short",
            [out(ok), record(3, 1, b"")].concat(),
            "200 x-a=b broke",
        ),
        ("no end", out(ok), "200 x-a=b broke"),
        (
            "half a record",
            [out(ok), vec![1, 6, 0]].concat(),
            "200 x-a=b broke",
        ),
        ("version 0", vec![0; 16], "502"),
        (
            "another request's answer",
            [record(6, 2, ok), end(0, 0)].concat(),
            "502",
        ),
        (
            "management records",
            [
                record(10, 0, b""),
                record(11, 0, &[9; 8]),
                out(ok),
                end(0, 0),
            ]
            .concat(),
            "200 x-a=b body",
        ),
        (
            "a length that is short",
            [out(b"Content-Length: 2\n\nabc"), end(0, 0)].concat(),
            "200 broke",
        ),
        (
            "a length that is long",
            [out(b"Content-Length: 9\n\nabc"), end(0, 0)].concat(),
            "200 broke",
        ),
        (
            "the head byte by byte",
            [ok.chunks(1).flat_map(out).collect(), end(0, 0)].concat(),
            "200 x-a=b body",
        ),
        ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), "502"),
    ];
    let dir = empty_dir();
    for (at, (name, bytes, expected)) in cases.into_iter().enumerate() {
        let path = dir.join(format!("{at}.sock"));
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request is small, and arrives at once.
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&bytes).await;
        });
        let app = FastCgi::new(format!("unix:{}", path.display()));
        let text = describe(app.call(get("/")).await).await;
        assert!(text.starts_with(expected), "{name}: {text}");
    }
    fs::remove_dir_all(&dir).unwrap();
}

#[tokio::test]
async fn a_missing_or_silent_responder() {
    let dir = empty_dir();
    let path = dir.join("x.sock");
    let app = FastCgi::new(format!("unix:{}", path.display())).timeout(Duration::from_millis(50));
    let response = app.call(get("/")).await;
    assert_eq!(response.status(), 502);
    let why = Failure::of(&response).unwrap().to_string();
    assert!(
        why.starts_with("the responder cannot be reached: "),
        "{why}"
    );
    let _silent = UnixListener::bind(&path).unwrap();
    assert_eq!(app.call(get("/")).await.status(), 504);
    fs::remove_dir_all(&dir).unwrap();
}

/// A client that disconnects closes the connection to the responder.
#[tokio::test]
async fn a_client_that_disconnects_cancels_the_request() {
    let dir = empty_dir();
    let path = dir.join("x.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let app = FastCgi::new(format!("unix:{}", path.display()));
    for has_answered in [false, true] {
        let call = app.call(get("/"));
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            if has_answered {
                stream
                    .write_all(&record(6, 1, b"Status: 200\n\nx"))
                    .await
                    .unwrap();
            }
            stream
        };
        let mut stream = match has_answered {
            false => tokio::select! {
                _ = call => unreachable!("the responder never answers"),
                stream = served => stream,
            },
            true => {
                let (response, stream) = tokio::join!(call, served);
                drop(response);
                stream
            }
        };
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
        assert!(read.await.is_ok(), "{has_answered}: the connection is open");
    }
    fs::remove_dir_all(&dir).unwrap();
}
