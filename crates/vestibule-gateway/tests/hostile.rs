//! Bad requests behind nginx, with HTTP, FastCGI and SCGI: nginx and the app see the same requests,
//! or neither sees one.
//!
//! nginx has its own rules for bad requests: it repairs some, and refuses some that this server
//! accepts. But nginx must never see one request where the app sees two.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vestibule_core::{Address, App, Request};
use vestibule_gateway::Server;

use crate::front::empty_dir;
use crate::requests::{Case, all};
use crate::web_server::WebServer;

/// The requests that an app received since the last check.
type Seen = Arc<Mutex<Vec<String>>>;

/// Responds with its request, and records it.
fn witness(seen: &Seen) -> impl App {
    let seen = seen.clone();
    move |request: Request| {
        let seen = seen.clone();
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let text = match request.into_body().collect(1 << 20).await {
                Ok(body) => format!("{line} [{}]", String::from_utf8_lossy(&body)),
                Err(error) => format!("{line}: {error}"),
            };
            seen.lock().unwrap().push(text.clone());
            text
        }
    }
}

/// Returns the responses on a connection: their statuses and their bodies.
fn answers(mut text: &str) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        // HTTP/0.9 has no heads, and one response.
        let Some((head, rest)) = text
            .split_once("\r\n\r\n")
            .filter(|_| text.starts_with("HTTP/1"))
        else {
            let refused = text.get(..3).and_then(|status| status.parse().ok());
            answers.push((refused.unwrap_or(200), text.to_owned()));
            return answers;
        };
        let head = head.to_ascii_lowercase();
        let status = head[9..12].parse().unwrap();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let length = match status {
            100 => 0,
            _ => length.min(rest.len()),
        };
        let (body, rest) = rest.split_at(length);
        if status != 100 {
            answers.push((status, body.to_owned()));
        }
        text = rest;
    }
    answers
}

#[test]
fn bad_requests_mean_the_same_to_nginx_and_the_app() {
    let dir = empty_dir();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let saw = ["http", "fcgi", "scgi"].map(|route| (route, Seen::default()));
    let ports = runtime.block_on(async {
        let mut ports = Vec::new();
        for (route, seen) in &saw {
            let app = witness(seen);
            let place = "127.0.0.1:0";
            let address = match *route {
                "http" => {
                    let server = vestibule_hyper::Server::new(app).bind(place).await.unwrap();
                    let address = server.address().clone();
                    tokio::spawn(server.run_until(std::future::pending()));
                    address
                }
                route => {
                    let server = match route {
                        "fcgi" => Server::fastcgi(app),
                        _ => Server::scgi(app),
                    };
                    let server = server.bind(place).await.unwrap();
                    let address = server.address().clone();
                    tokio::spawn(server.run_until(std::future::pending()));
                    address
                }
            };
            let Address::Tcp(address) = address else {
                panic!("it listens on TCP");
            };
            ports.push((*route, address.port()));
        }
        ports
    });
    let conf = ports.iter().fold(NGINX.to_owned(), |conf, (route, port)| {
        conf.replace(&format!("<{route}>"), &port.to_string())
    });
    let nginx = WebServer::nginx(&dir, &conf);
    let told: Vec<_> = std::thread::scope(|scope| {
        let routes = saw.each_ref().map(|(route, seen)| {
            let socket = dir.join(format!("{route}.sock"));
            scope.spawn(move || {
                let (mut told, mut count) = (Vec::new(), 0);
                for case in all() {
                    let read = send(&socket, &case);
                    let seen = std::mem::take(&mut *seen.lock().unwrap());
                    count += seen.len();
                    if let Err(why) = check(&read, &seen) {
                        told.push(format!(
                            "{route}, {}: {why}\n    {read:?}\n    {seen:?}",
                            case.name
                        ));
                    }
                }
                // Ensures that nginx does not refuse them all.
                assert!(count >= 40, "{route}: {count} of them reach the app");
                println!("{route}: {count} requests reach the app");
                let mut stream = UnixStream::connect(&socket).unwrap();
                stream.write_all(LAST.as_bytes()).unwrap();
                let mut alive = String::new();
                stream.read_to_string(&mut alive).unwrap();
                assert!(alive.ends_with("GET /last []"), "{route}: {alive}");
                told
            })
        });
        routes
            .into_iter()
            .flat_map(|route| route.join().unwrap())
            .collect()
    });
    assert!(told.is_empty(), "{}\n{}", told.join("\n"), nginx.log());
    drop(nginx);
    fs::remove_dir_all(&dir).unwrap();
}

/// Sends the request followed by another one, and reads to the end.
fn send(socket: &std::path::Path, case: &Case) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // nginx does not read a refused request to its end.
    let _ = stream.write_all(format!("{}{LAST}", case.request).as_bytes());
    let mut read = Vec::new();
    if let Err(error) = stream.read_to_end(&mut read) {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::ConnectionReset,
            "{}",
            case.name
        );
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Checks that each request of the app has its response to this client, in order, and that there
/// are no others.
fn check(read: &str, seen: &[String]) -> Result<(), &'static str> {
    let answers = answers(read);
    let heard: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 200)
        .map(|(_, body)| body)
        .collect();
    let is_known = |status| matches!(status, 200 | 400..=499 | 501 | 505);
    match () {
        () if !answers.iter().all(|(status, _)| is_known(*status)) => Err("an error of the server"),
        () if !heard.iter().copied().eq(seen) => Err("two meanings"),
        () if seen.len() > 2 => Err("more requests than were sent"),
        () => Ok(()),
    }
}

/// The request after each bad one: its response is the last on a connection.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

const NGINX: &str = r#"
keepalive_timeout 1s; client_header_timeout 1s; client_body_timeout 1s; lingering_timeout 100ms;
upstream by_http { server 127.0.0.1:<http>; keepalive 4; }
upstream by_fcgi { server 127.0.0.1:<fcgi>; keepalive 4; }
server { listen 127.0.0.1:PORT; }
server {
  listen unix:DIR/http.sock;
  location / {
    proxy_pass http://by_http;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
  }
}
server {
  listen unix:DIR/fcgi.sock;
  location / { include /etc/nginx/fastcgi_params; fastcgi_pass by_fcgi; fastcgi_keep_conn on; }
}
server {
  listen unix:DIR/scgi.sock;
  location / { include /etc/nginx/scgi_params; scgi_pass 127.0.0.1:<scgi>; }
}
"#;
