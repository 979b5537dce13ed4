//! Responses that let nginx and Apache send the file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule_core::Address;
use vestibule_hyper::Server;
use vestibule_static::{HandOver, StaticFiles};

use crate::support::{Folder, ask};

/// A web server with this app behind it.
struct Front {
    process: Child,
    port: u16,
}

impl Front {
    /// Starts `program` with a configuration in which `DIR`, `PORT` and `APP` are replaced.
    async fn start(mut program: Command, dir: &Path, config: &str, how: HandOver) -> Self {
        let app = StaticFiles::new(dir.join("root"))
            .hand_over(how)
            .cache_control("*.txt", "max-age=60");
        let server = Server::new(app).bind("127.0.0.1:0").await.unwrap();
        let Address::Tcp(app) = *server.address() else {
            panic!("it is bound to a port");
        };
        tokio::spawn(server.run_until(std::future::pending()));
        let port = free_port().await;
        let config = config
            .replace("DIR", dir.to_str().unwrap())
            .replace("PORT", &port.to_string())
            .replace("APP", &app.to_string());
        fs::write(dir.join("front.conf"), config).unwrap();
        let process = program.arg(dir.join("front.conf")).stdin(Stdio::null());
        let process = process.stdout(Stdio::null()).spawn();
        let front = Self {
            process: process
                .expect("the Debian packages nginx-light and libapache2-mod-xsendfile are needed"),
            port,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_up(port).await {
            assert!(Instant::now() < deadline, "it does not start");
            tokio::task::yield_now().await;
        }
        front
    }

    /// Returns the head and the body of a response.
    async fn ask(&self, line: &str, fields: &str) -> (String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head.to_ascii_lowercase(), body.to_owned())
    }

    /// Checks the behaviour that both servers share.
    async fn check(&self) {
        let (head, body) = self.ask("GET /a.txt", "").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(
            head.contains("content-type: text/plain; charset=utf-8"),
            "{head}"
        );
        assert!(head.contains("cache-control: max-age=60"), "{head}");
        assert!(
            !head.contains("x-accel-redirect") && !head.contains("x-sendfile"),
            "{head}"
        );
        assert_eq!(body, "0123456789");

        let (head, body) = self.ask("HEAD /a.txt", "").await;
        assert!(
            head.starts_with("http/1.1 200") && head.contains("content-length: 10"),
            "{head}"
        );
        assert_eq!(body, "");

        let (head, body) = self.ask("GET /a.txt", "range: bytes=2-4\r\n").await;
        assert!(head.starts_with("http/1.1 206"), "{head}");
        assert_eq!(body, "234");

        for (path, content) in [
            ("/sub%20dir/b%25c%3f.txt", "odd"),
            ("/%c3%a4.txt", "ae"),
            ("/sub%20dir/", "<p>sub"),
        ] {
            let (head, body) = self.ask(&format!("GET {path}"), "").await;
            assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
            assert_eq!(body, content, "{path}");
        }

        let (head, _) = self.ask("GET /sub%20dir?a=1", "").await;
        assert!(head.starts_with("http/1.1 308"), "{head}");
        for path in ["/none", "/.env", "/out"] {
            let (head, body) = self.ask(&format!("GET {path}"), "").await;
            assert!(head.starts_with("http/1.1 404"), "{path}: {head}");
            assert!(!body.contains("SECRET"), "{path}");
        }
    }
}

async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns whether the port has a listener. A process that connects to a free port many times can
/// connect to itself.
async fn is_up(port: u16) -> bool {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    stream.is_ok_and(|stream| stream.local_addr().unwrap() != stream.peer_addr().unwrap())
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn site() -> (Folder, PathBuf) {
    let folder = Folder::new();
    // The web server may run as another user.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    folder.file("root/a.txt", "0123456789");
    folder.file("root/sub dir/b%c?.txt", "odd");
    folder.file("root/sub dir/index.html", "<p>sub");
    folder.file("root/ä.txt", "ae");
    folder.file("root/.env", "SECRET");
    folder.file("secret", "SECRET");
    std::os::unix::fs::symlink("../secret", folder.path().join("root/out")).unwrap();
    let dir = folder.path().to_owned();
    (folder, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_sends_the_file_of_x_accel_redirect() {
    let (_folder, dir) = site();
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.args(["-e", "stderr", "-p"]).arg(&dir).arg("-c");
    let how = HandOver::XAccelRedirect("/handed".into());
    let front = Front::start(nginx, &dir, NGINX, how).await;
    front.check().await;
    let (head, _) = front.ask("GET /handed/a.txt", "").await;
    assert!(head.starts_with("http/1.1 404"), "it is internal: {head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apache_sends_the_file_of_x_sendfile() {
    let (_folder, dir) = site();
    let mut apache = Command::new("/usr/sbin/apache2");
    apache.args(["-X", "-f"]);
    let front = Front::start(apache, &dir, APACHE, HandOver::XSendfile).await;
    front.check().await;
}

#[tokio::test]
async fn responses_that_are_handed_over() {
    let folder = Folder::new();
    folder.file("a.js", "let a");
    folder.file("a.js.br", "<br>");
    folder.file("404.html", "<p>none");
    let app = StaticFiles::new(folder.path())
        .precompressed(true)
        .not_found("404.html")
        .hand_over(HandOver::XSendfile);
    let indexed = app.clone().indexed(1 << 20).unwrap();
    let path = folder.path().join("a.js");
    for fields in [
        &["accept-encoding: br"][..],
        &["if-none-match: *"],
        &["if-match: \"x\""],
        &["range: bytes=0-1"],
    ] {
        for answer in [
            ask(&app, "GET /a.js", fields).await,
            ask(&indexed, "GET /a.js", fields).await,
        ] {
            assert_eq!(answer.status, 200, "{fields:?}");
            assert_eq!(answer.header("x-sendfile"), path.to_str().unwrap());
            assert_eq!(answer.header("content-length"), "0");
            for absent in ["etag", "content-encoding", "accept-ranges", "vary"] {
                assert_eq!(answer.header(absent), "", "{absent}");
            }
        }
    }
    let missing = ask(&app, "GET /none", &[]).await;
    assert_eq!((missing.status, missing.text()), (404, "<p>none"));
}

const NGINX: &str = "
daemon off; master_process off; pid DIR/nginx.pid; error_log stderr crit;
events { worker_connections 64; }
http {
    access_log off;
    client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fcgi;
    uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
    server {
        listen 127.0.0.1:PORT;
        location / { proxy_pass http://APP; }
        location /handed/ { internal; alias DIR/root/; }
    }
}
";

const APACHE: &str = r#"
ServerRoot DIR
ServerName localhost
Listen 127.0.0.1:PORT
PidFile DIR/apache.pid
ErrorLog DIR/apache.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule xsendfile_module /usr/lib/apache2/modules/mod_xsendfile.so
AllowEncodedSlashes NoDecode
ProxyPass / http://APP/ nocanon
XSendFile on
XSendFilePath DIR/root
"#;
