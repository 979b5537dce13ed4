//! nginx and Apache, started for a test in its own directory, and a client.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;
use vestibule_core::Address;
use vestibule_gateway::Server;

use crate::probe::probe;
use crate::web_server::WebServer;

/// The app with every protocol, on unix sockets in a directory, behind both web servers.
pub(crate) struct WebServers {
    nginx: WebServer,
    apache: WebServer,
    spawned: Child,
    pub(crate) direct_port: u16,
    pub(crate) dir: PathBuf,
    _runtime: Runtime,
}

/// A route to the app: the web server and the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) front: &'static str,
    pub(crate) prefix: &'static str,
}

/// The names are the protocols. `-tcp` means a TCP socket; `spawned` is a program that spawn-fcgi
/// starts.
pub(crate) const ROUTES: [Route; 20] = [
    route("nginx", "/http"),
    route("nginx", "/http-tcp"),
    route("nginx", "/fcgi"),
    route("nginx", "/fcgi-tcp"),
    route("nginx", "/kept"),
    route("nginx", "/spawned"),
    route("nginx", "/scgi"),
    route("nginx", "/scgi-tcp"),
    route("nginx", "/uwsgi"),
    route("nginx", "/uwsgi-tcp"),
    route("apache", "/http"),
    route("apache", "/http-tcp"),
    route("apache", "/fcgi"),
    route("apache", "/fcgi-tcp"),
    route("apache", "/kept"),
    route("apache", "/scgi"),
    route("apache", "/scgi-tcp"),
    route("apache", "/uwsgi"),
    route("apache", "/uwsgi-tcp"),
    route("apache", "/cgi"),
];

const fn route(front: &'static str, prefix: &'static str) -> Route {
    Route { front, prefix }
}

impl WebServers {
    pub(crate) fn start() -> Self {
        let dir = empty_dir();
        fs::create_dir_all(dir.join("cgi-bin")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let ports = runtime.block_on(serve(&dir));
        let program = dir.join("cgi-bin/app.cgi");
        let tests = std::env::current_exe().unwrap();
        let example = tests.parent().unwrap().join("../examples/probe");
        fs::copy(&example, &program).expect("cargo test builds the example `probe`");
        let spawned = spawn(&dir, &program);
        let conf = |text: &str| {
            let ports = ports.iter();
            ports.fold(text.to_owned(), |text, (name, port)| {
                text.replace(&format!("<{name}>"), &port.to_string())
            })
        };
        Self {
            nginx: WebServer::nginx(&dir, &conf(NGINX)),
            apache: WebServer::apache(&dir, &conf(APACHE)),
            direct_port: ports[0].1,
            spawned,
            dir,
            _runtime: runtime,
        }
    }

    /// Returns the error logs of the web servers, for the message of a failed test.
    pub(crate) fn logs(&self) -> String {
        format!("nginx: {}\napache: {}", self.nginx.log(), self.apache.log())
    }

    pub(crate) fn port(&self, route: Route) -> u16 {
        match route.front {
            "nginx" => self.nginx.port,
            _ => self.apache.port,
        }
    }

    pub(crate) fn ask(&self, route: Route, request: &Ask) -> Answer {
        let port = self.port(route);
        request
            .send(port, route.prefix)
            .unwrap_or_else(|error| Answer::gone(&error))
    }
}

impl Drop for WebServers {
    fn drop(&mut self) {
        let _ = self.spawned.kill();
        let _ = self.spawned.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Creates a new empty directory.
pub(crate) fn empty_dir() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::SeqCst);
    let name = format!("vestibule-gateway-{}-{count}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir_all(&dir).unwrap();
    // The web server may run as another user, and the app behind it writes here.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    dir
}

/// Starts the program with a listening socket as its standard input.
fn spawn(dir: &Path, program: &Path) -> Child {
    let child = Command::new("spawn-fcgi")
        .args(["-n", "-M", "0777", "-s"])
        .arg(dir.join("spawned.sock"))
        .arg("--")
        .arg(program)
        .spawn();
    child.expect("the Debian package spawn-fcgi is needed")
}

/// Starts the app with every protocol. Returns the names and ports of the TCP sockets, first that
/// of the app without a web server.
async fn serve(dir: &Path) -> Vec<(&'static str, u16)> {
    let mut ports = Vec::new();
    let unix = |name: &str| format!("unix:{}/{name}.sock", dir.display());
    for name in ["http-tcp", "http"] {
        let server = vestibule_hyper::Server::new(probe);
        let server = match name {
            "http" => server.bind(unix(name)).await.unwrap(),
            _ => server.bind("127.0.0.1:0").await.unwrap(),
        };
        ports.extend(port(server.address()).map(|port| (name, port)));
        tokio::spawn(server.run_until(std::future::pending()));
    }
    for name in [
        "fcgi",
        "kept",
        "fcgi-tcp",
        "scgi",
        "scgi-tcp",
        "uwsgi",
        "uwsgi-tcp",
    ] {
        let server = match &name[..4] {
            "scgi" => Server::scgi(probe),
            "uwsg" => Server::uwsgi(probe),
            _ => Server::fastcgi(probe),
        };
        let place = match name.ends_with("-tcp") {
            true => "127.0.0.1:0".to_owned(),
            false => unix(name),
        };
        let server = server.mount(format!("/{name}")).bind(place).await.unwrap();
        ports.extend(port(server.address()).map(|port| (name, port)));
        tokio::spawn(server.run_until(std::future::pending()));
    }
    open_sockets(dir);
    ports
}

fn port(address: &Address) -> Option<u16> {
    match address {
        Address::Tcp(address) => Some(address.port()),
        _ => None,
    }
}

/// Allows the web server, which may run as another user, to connect.
pub(crate) fn open_sockets(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "sock") {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        }
    }
}

/// A request. Its path is appended to the prefix of the route.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_chunked: bool,
    pub(crate) is_slow: bool,
}

impl Ask {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self {
            method: "GET",
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            is_chunked: false,
            is_slow: false,
        }
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.method = "POST";
        self.body = body.into();
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.is_chunked = true;
        self
    }

    pub(crate) fn slow(mut self) -> Self {
        self.is_slow = true;
        self
    }

    fn bytes(&self, prefix: &str) -> Vec<u8> {
        let Self { method, path, .. } = self;
        let head =
            format!("{method} {prefix}{path} HTTP/1.1\r\nHost: ex.test\r\nConnection: close\r\n");
        let mut bytes = head.into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        match (self.is_chunked, self.method) {
            (true, _) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for piece in self.body.chunks(1000) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
                    bytes.extend([piece, b"\r\n"].concat());
                }
                bytes.extend(b"0\r\n\r\n");
            }
            (false, "POST") => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", self.body.len()).into_bytes());
                bytes.extend(&self.body);
            }
            _ => bytes.extend(b"\r\n"),
        }
        bytes
    }

    /// Sends the request; the caller reads the response.
    pub(crate) fn open(&self, port: u16, prefix: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        let bytes = self.bytes(prefix);
        match self.is_slow {
            // A server that responds before it has read the whole request may have closed.
            false => drop(stream.write_all(&bytes)),
            true => {
                stream.set_nodelay(true)?;
                for piece in bytes.chunks(40) {
                    stream.write_all(piece)?;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
        Ok(stream)
    }

    pub(crate) fn send(&self, port: u16, prefix: &str) -> io::Result<Answer> {
        let mut stream = self.open(port, prefix)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        Ok(Answer::parse(&bytes, self.method == "HEAD"))
    }
}

/// The parts of a response that must be the same on every route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
    pub(crate) is_whole: bool,
}

impl Answer {
    fn gone(error: &io::Error) -> Self {
        Self {
            status: 0,
            headers: Vec::new(),
            body: error.to_string(),
            is_whole: false,
        }
    }

    fn parse(bytes: &[u8], is_head: bool) -> Self {
        let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.map_or(bytes.len(), |end| end + 4));
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = head.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0);
        let has = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length = has("content-length: ").and_then(|it| it.parse().ok());
        let (body, is_whole) = match has("transfer-encoding: chunked") {
            Some(_) if !is_head => dechunk(body),
            _ => {
                let is_short =
                    !is_head && length.is_some_and(|it| body.len() < it) && status != 304;
                (body.to_vec(), !is_short)
            }
        };
        const KEPT: [&str; 5] = [
            "content-type",
            "set-cookie",
            "location",
            "etag",
            "content-range",
        ];
        let kept = |line: &&str| KEPT.iter().any(|name| line.starts_with(name));
        let shown = match body.len() {
            0..2000 => String::from_utf8_lossy(&body).into_owned(),
            length => format!("{length} bytes"),
        };
        let mut headers: Vec<_> = head.lines().filter(kept).map(str::to_owned).collect();
        headers.sort();
        Self {
            status,
            headers,
            body: shown,
            is_whole,
        }
    }
}

fn dechunk(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut whole = Vec::new();
    loop {
        let Some(end) = body.windows(2).position(|it| it == b"\r\n") else {
            return (whole, false);
        };
        let size = std::str::from_utf8(&body[..end]).ok();
        let Some(size) = size.and_then(|it| usize::from_str_radix(it, 16).ok()) else {
            return (whole, false);
        };
        body = &body[end + 2..];
        if size == 0 {
            return (whole, true);
        }
        if body.len() < size + 2 {
            whole.extend(body);
            return (whole, false);
        }
        whole.extend(&body[..size]);
        body = &body[size + 2..];
    }
}

const NGINX: &str = r#"
upstream kept { server unix:DIR/kept.sock; keepalive 4; }
server {
  listen 127.0.0.1:PORT;
  merge_slashes off;
  location /http/ {
    rewrite ^ $request_uri;
    rewrite ^/http(/.*)$ $1 break;
    proxy_pass http://unix:DIR/http.sock:$uri;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header Proxy "";
  }
  location /http-tcp/ {
    rewrite ^ $request_uri;
    rewrite ^/http-tcp(/.*)$ $1 break;
    proxy_pass http://127.0.0.1:<http-tcp>$uri;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header Proxy "";
  }
  location /fcgi {
    include /etc/nginx/fastcgi_params; fastcgi_param HTTP_PROXY "";
    fastcgi_pass unix:DIR/fcgi.sock;
  }
  location /fcgi-tcp {
    include /etc/nginx/fastcgi_params; fastcgi_param HTTP_PROXY "";
    fastcgi_pass 127.0.0.1:<fcgi-tcp>;
  }
  location /spawned {
    include /etc/nginx/fastcgi_params; fastcgi_split_path_info ^(/spawned)(/.*)?$;
    fastcgi_param SCRIPT_NAME $fastcgi_script_name; fastcgi_param PATH_INFO $fastcgi_path_info;
    fastcgi_param HTTP_PROXY "";
    fastcgi_pass unix:DIR/spawned.sock;
  }
  location /scgi-tcp {
    include /etc/nginx/scgi_params; scgi_param HTTP_PROXY "";
    scgi_pass 127.0.0.1:<scgi-tcp>;
  }
  location /uwsgi-tcp {
    include /etc/nginx/uwsgi_params; uwsgi_param HTTP_PROXY "";
    uwsgi_pass 127.0.0.1:<uwsgi-tcp>;
  }
  location /kept {
    include /etc/nginx/fastcgi_params; fastcgi_param HTTP_PROXY "";
    fastcgi_pass kept; fastcgi_keep_conn on;
  }
  location /scgi {
    include /etc/nginx/scgi_params; scgi_param HTTP_PROXY "";
    scgi_pass unix:DIR/scgi.sock;
  }
  location /uwsgi {
    include /etc/nginx/uwsgi_params; uwsgi_param HTTP_PROXY "";
    uwsgi_pass unix:DIR/uwsgi.sock;
  }
}
"#;

const APACHE: &str = r#"
RequestHeader unset Proxy early
AllowEncodedSlashes NoDecode
MergeSlashes Off
<Location /http/>
  ProxyPass unix:DIR/http.sock|http://app.unix/ nocanon
  ProxyPreserveHost On
</Location>
<Location /http-tcp/>
  ProxyPass http://127.0.0.1:<http-tcp>/ nocanon
  ProxyPreserveHost On
</Location>
<Location /fcgi-tcp>
  ProxyPass fcgi://127.0.0.1:<fcgi-tcp> flushpackets=on
  ProxyFCGIBackendType GENERIC
</Location>
<Location /scgi-tcp>
  ProxyPass scgi://127.0.0.1:<scgi-tcp>
</Location>
<Location /uwsgi-tcp>
  ProxyPass uwsgi://127.0.0.1:<uwsgi-tcp>
</Location>
<Location /fcgi>
  ProxyPass unix:DIR/fcgi.sock|fcgi://fcgi flushpackets=on
  ProxyFCGIBackendType GENERIC
  CGIPassAuth On
</Location>
<Location /kept>
  ProxyPass unix:DIR/kept.sock|fcgi://kept enablereuse=on flushpackets=on
  ProxyFCGIBackendType GENERIC
</Location>
<Location /scgi>
  ProxyPass unix:DIR/scgi.sock|scgi://scgi
</Location>
<Location /uwsgi>
  ProxyPass unix:DIR/uwsgi.sock|uwsgi://uwsgi
</Location>
ScriptAlias /cgi DIR/cgi-bin/app.cgi
<Directory DIR/cgi-bin>
  Require all granted
  CGIPassAuth On
</Directory>
"#;
