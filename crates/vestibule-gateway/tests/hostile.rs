//! Bad requests behind nginx, by HTTP, FastCGI and SCGI: nginx and the app see the same requests, or neither sees one.
//!
//! What nginx makes of a bad request is its business, and another than ours: it repairs some, and refuses some that we
//! take. What must not be is that it hears one request and the app two.

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

/// What an app saw since it was last asked.
type Seen = Arc<Mutex<Vec<String>>>;

/// Answers with what it saw, and writes that down.
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

/// The answers on a connection: their statuses and their bodies.
fn answers(mut text: &str) -> Vec<(u16, String)> {
    let mut answers = Vec::new();
    while !text.is_empty() {
        // HTTP/0.9 has no heads, and one answer.
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
fn faults_1_to_36_behind_nginx_mean_one_thing() {
    let dir = empty_dir();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let saw = ["http", "fcgi", "scgi"].map(|way| (way, Seen::default()));
    let ports = runtime.block_on(async {
        let mut ports = Vec::new();
        for (way, seen) in &saw {
            let app = witness(seen);
            let place = "127.0.0.1:0";
            let address = match *way {
                "http" => {
                    let server = vestibule_hyper::Server::new(app).bind(place).await.unwrap();
                    let address = server.address().clone();
                    tokio::spawn(server.run_until(std::future::pending()));
                    address
                }
                way => {
                    let server = match way {
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
            ports.push((*way, address.port()));
        }
        ports
    });
    let conf = ports.iter().fold(NGINX.to_owned(), |conf, (way, port)| {
        conf.replace(&format!("<{way}>"), &port.to_string())
    });
    let nginx = WebServer::nginx(&dir, &conf);
    let told: Vec<_> = std::thread::scope(|scope| {
        let ways = saw.each_ref().map(|(way, seen)| {
            let socket = dir.join(format!("{way}.sock"));
            scope.spawn(move || {
                let (mut told, mut count) = (Vec::new(), 0);
                for case in all() {
                    let read = send(&socket, &case);
                    let seen = std::mem::take(&mut *seen.lock().unwrap());
                    count += seen.len();
                    if let Err(why) = check(&read, &seen) {
                        told.push(format!(
                            "{way}, {}: {why}\n    {read:?}\n    {seen:?}",
                            case.name
                        ));
                    }
                }
                // Not that nginx keeps them all to itself.
                assert!(count >= 40, "{way}: {count} of them reach the app");
                println!("{way}: {count} requests reach the app");
                let mut stream = UnixStream::connect(&socket).unwrap();
                stream.write_all(LAST.as_bytes()).unwrap();
                let mut alive = String::new();
                stream.read_to_string(&mut alive).unwrap();
                assert!(alive.ends_with("GET /last []"), "{way}: {alive}");
                told
            })
        });
        ways.into_iter()
            .flat_map(|way| way.join().unwrap())
            .collect()
    });
    assert!(told.is_empty(), "{}\n{}", told.join("\n"), nginx.log());
    drop(nginx);
    fs::remove_dir_all(&dir).unwrap();
}

/// Sends the request with another one behind it, and reads to the end.
fn send(socket: &std::path::Path, case: &Case) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // What nginx refuses it does not read to its end.
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

/// Each request that the app saw was answered to this client, in order, and none besides.
fn check(read: &str, seen: &[String]) -> Result<(), &'static str> {
    let answers = answers(read);
    let heard: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 200)
        .map(|(_, body)| body)
        .collect();
    let is_known = |status| matches!(status, 200 | 400..=499 | 501 | 505);
    match () {
        () if !answers.iter().all(|(status, _)| is_known(*status)) => {
            Err("a fault of the server's")
        }
        () if !heard.iter().copied().eq(seen) => Err("two meanings"),
        () if seen.len() > 2 => Err("more requests than were sent"),
        () => Ok(()),
    }
}

/// The request behind each: its answer is the last on a connection.
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
