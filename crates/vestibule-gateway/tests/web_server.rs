//! nginx or Apache, started for a test on its own port, in its own directory.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running web server, which is killed on drop.
pub(crate) struct WebServer {
    child: Child,
    pub(crate) port: u16,
    log: PathBuf,
}

impl WebServer {
    /// Starts nginx in `dir`. `http` is the content of `http { }`, in which `DIR` is the directory
    /// and `PORT` the port.
    pub(crate) fn nginx(dir: &Path, http: &str) -> Self {
        // `master_process off`: a single process, which ends when it is killed.
        let text = format!("{NGINX}\nhttp {{\n{NGINX_HTTP}\n{http}\n}}\n");
        let mut command = Command::new("/usr/sbin/nginx");
        command
            .args(["-e", "nginx.log", "-c", "nginx.conf", "-p"])
            .arg(dir)
            .current_dir(dir);
        Self::start(dir, "nginx", "nginx-light", &text, command)
    }

    /// Starts Apache in `dir`; `conf` is appended to the common configuration.
    pub(crate) fn apache(dir: &Path, conf: &str) -> Self {
        let text = format!("{APACHE}\n{conf}\n");
        let mut command = Command::new("/usr/sbin/apache2");
        command.args(["-X", "-f"]).arg(dir.join("apache.conf"));
        Self::start(dir, "apache", "apache2-bin", &text, command)
    }

    fn start(dir: &Path, name: &str, package: &str, text: &str, mut command: Command) -> Self {
        fs::create_dir_all(dir.join("tmp")).unwrap();
        let log = dir.join(format!("{name}.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        // Apache would pass on the variables that cargo sets for the tests.
        command.env_remove("LD_LIBRARY_PATH");
        // Another process may take the port before the web server does.
        for _ in 0..5 {
            let port = free_port();
            let text = text
                .replace("DIR", dir.to_str().unwrap())
                .replace("PORT", &port.to_string());
            fs::write(dir.join(format!("{name}.conf")), &text).unwrap();
            let child = command.spawn();
            let mut child = child.unwrap_or_else(|error| {
                panic!("the Debian package {package} is needed: {error}");
            });
            let mut has_ended = false;
            let is_up = until(|| {
                has_ended = child.try_wait().unwrap().is_some();
                // The web server opens its sockets one after the other.
                let listens = || {
                    TcpStream::connect(("127.0.0.1", port)).is_ok()
                        && unix_sockets(&text).all(|socket| UnixStream::connect(socket).is_ok())
                };
                has_ended || listens()
            });
            if is_up && !has_ended {
                return Self { child, port, log };
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let told = fs::read_to_string(log).unwrap_or_default();
        panic!("{name} does not start: {told}")
    }

    /// Returns its error log, for the message of a failed test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the unix sockets of an nginx configuration.
fn unix_sockets(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let socket = line.trim().strip_prefix("listen unix:")?;
        socket.strip_suffix(';')
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Repeats the check for at most twenty seconds.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if is_so() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

const NGINX: &str = "
daemon off; master_process off; pid nginx.pid; error_log nginx.log error;
events { worker_connections 256; }
";

const NGINX_HTTP: &str = "
access_log off;
client_max_body_size 100m;
client_body_temp_path tmp/b; proxy_temp_path tmp/p; fastcgi_temp_path tmp/f; scgi_temp_path tmp/s; uwsgi_temp_path tmp/u;
";

const APACHE: &str = "
ServerRoot DIR
DefaultRuntimeDir DIR
Mutex file:DIR default
PidFile apache.pid
ErrorLog apache.log
Listen 127.0.0.1:PORT
ServerName ex.test
LoadModule mpm_event_module   /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module  /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module       /usr/lib/apache2/modules/mod_alias.so
LoadModule env_module         /usr/lib/apache2/modules/mod_env.so
LoadModule headers_module     /usr/lib/apache2/modules/mod_headers.so
LoadModule setenvif_module    /usr/lib/apache2/modules/mod_setenvif.so
LoadModule cgi_module         /usr/lib/apache2/modules/mod_cgi.so
LoadModule proxy_module       /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module  /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule proxy_fcgi_module  /usr/lib/apache2/modules/mod_proxy_fcgi.so
LoadModule proxy_scgi_module  /usr/lib/apache2/modules/mod_proxy_scgi.so
LoadModule proxy_uwsgi_module /usr/lib/apache2/modules/mod_proxy_uwsgi.so
User www-data
Group www-data
DocumentRoot DIR/tmp
ProxyRequests Off
";
