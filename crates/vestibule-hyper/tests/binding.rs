//! Where a server can listen, and what it says when it cannot.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::oneshot;
use vestibule_core::{App, Peer, Request};
use vestibule_hyper::{Bind, BindError, Bound, Server};

use crate::support::{answers, soon};

async fn hello(_: Request) -> &'static str {
    "hello"
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vestibule-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }

    fn address(&self) -> String {
        format!("unix:{}", self.socket().display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn an_address_in_use_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::new(hello).bind(address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    let text = format!(
        "cannot listen on `{address}`: another process listens there; stop it, or choose another port (port 0 takes any free one)"
    );
    assert_eq!(error.to_string(), text);
    // `main` shows the debug form of the error that it returns.
    let error = io::Error::from(error);
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(format!("{error:?}").contains(&text));
}

#[tokio::test]
async fn what_is_no_address_says_what_is() {
    for text in ["8080", "", "localhost"] {
        let error = Server::new(hello).bind(text).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
        assert!(error.to_string().contains("unix:/run/app.sock"), "{error}");
    }
    let error = Server::new(hello).bind("192.0.2.1:0").await.unwrap_err();
    assert!(error.to_string().contains("no such address"), "{error}");
    let error = Server::new(hello)
        .bind("unix:/nowhere/at/all")
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("its directory does not exist"),
        "{error}"
    );
}

#[tokio::test]
async fn a_unix_socket_serves_and_goes() {
    let scratch = Scratch::new("serves");
    let bound = Server::new(|request: Request| async move {
        let peer = Peer::of(&request).unwrap();
        let process = peer.credentials().and_then(|it| it.pid);
        format!("{} of {process:?} to {}", peer.address(), peer.local())
    })
    .bind(scratch.address())
    .await
    .unwrap();
    assert_eq!(bound.address().to_string(), scratch.address());
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(bound.run_until(async {
        let _ = stopped.await;
    }));
    let mut client = UnixStream::connect(scratch.socket()).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    soon(client.read_to_string(&mut text)).await.unwrap();
    assert_eq!(
        answers(&text).0,
        [format!(
            "200 unix: of {:?} to {}",
            i32::try_from(std::process::id()).ok(),
            scratch.address()
        )]
    );
    stop.send(()).unwrap();
    soon(ended).await.unwrap();
    assert!(!scratch.socket().exists());
}

#[tokio::test]
async fn faults_147_a_stale_unix_socket_is_replaced() {
    let scratch = Scratch::new("stale");
    drop(UnixListener::bind(scratch.socket()).unwrap());
    assert!(scratch.socket().exists());
    let bound = Server::new(hello).bind(scratch.address()).await.unwrap();

    // One on which somebody listens is not.
    let error = Server::new(hello)
        .bind(scratch.address())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(bound);
    assert!(!scratch.socket().exists());

    // Nor is a file, which is no socket.
    std::fs::write(scratch.socket(), "precious").unwrap();
    let error = Server::new(hello)
        .bind(scratch.address())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read(scratch.socket()).unwrap(), b"precious");
}

#[tokio::test]
async fn another_servers_socket_stays() {
    let scratch = Scratch::new("another");
    let first = Server::new(hello).bind(scratch.address()).await.unwrap();
    std::fs::remove_file(scratch.socket()).unwrap();
    let second = Server::new(hello).bind(scratch.address()).await.unwrap();
    drop(first);
    assert!(scratch.socket().exists());
    drop(second);
}

#[tokio::test]
async fn several_listeners_and_ready_ones() {
    let scratch = Scratch::new("several");
    let std = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let tokio = TcpListener::bind("[::1]:0").await;
    let unix = UnixListener::bind(scratch.socket()).unwrap();
    let mut bound = Server::new(hello)
        .bind(std)
        .await
        .unwrap()
        .bind(unix)
        .await
        .unwrap();
    let mut count = 2;
    if let Ok(tokio) = tokio {
        bound = bound.bind(tokio).await.unwrap();
        count += 1;
    }
    assert_eq!(bound.addresses().count(), count);
    drop(bound);
    // A socket that was given to us is not ours to remove.
    assert!(scratch.socket().exists());
}

#[tokio::test]
async fn a_unix_socket_has_the_mode_it_is_given() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("mode");
    for mode in [0o600, 0o660, 0o666] {
        let bind = Bind::from(scratch.address()).mode(mode);
        let _bound = Server::new(hello).bind(bind).await.unwrap();
        let is = scratch.socket().metadata().unwrap().permissions().mode();
        assert_eq!(is & 0o777, mode);
    }
}

#[tokio::test]
async fn a_port_is_shared_when_all_agree() {
    let shared = |address: &str| Bind::from(address).reuse_port().backlog(16);
    let first = Server::new(hello)
        .bind(shared("127.0.0.1:0"))
        .await
        .unwrap();
    let address = first.address().to_string();
    let second = Server::new(hello).bind(shared(&address)).await.unwrap();
    assert_eq!(second.address().to_string(), address);
    let error = Server::new(hello).bind(&*address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// The process that the test below starts: it serves what it inherits.
#[cfg(feature = "socket-activation")]
#[tokio::test]
#[ignore = "runs inside of the test below"]
async fn inheritor() {
    let mut inherited = Bind::inherited().unwrap();
    assert_eq!(inherited.len(), 1);
    let (name, socket) = inherited.remove(0);
    let app = move |_: Request| std::future::ready(name.clone());
    Server::new(app)
        .bind(socket)
        .await
        .unwrap()
        .run()
        .await
        .unwrap();
}

#[cfg(feature = "socket-activation")]
#[tokio::test]
async fn faults_146_an_inherited_socket_refuses_nobody() {
    use std::process::{Command, Stdio};
    let scratch = Scratch::new("inherited");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let notices = std::os::unix::net::UnixDatagram::bind(scratch.socket()).unwrap();
    notices
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    let notice = || {
        let mut heard = [0; 32];
        let count = notices.recv(&mut heard).unwrap();
        String::from_utf8_lossy(&heard[..count]).into_owned()
    };
    // It connects before any server runs, and is answered by the first.
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut early = tokio::net::TcpStream::connect(address).await.unwrap();
    early.write_all(get).await.unwrap();
    let mut waiting = vec![early];
    for _ in 0..2 {
        let descriptor = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        let script =
            "LISTEN_PID=$$ exec \"$0\" binding::inheritor --exact --ignored 3<&0 0</dev/null";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe().unwrap())
            .env("LISTEN_FDS", "1")
            .env("LISTEN_FDNAMES", "web")
            .env("NOTIFY_SOCKET", scratch.socket())
            .stdin(Stdio::from(descriptor))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        assert_eq!(notice(), "READY=1");
        let mut text = String::new();
        soon(waiting.remove(0).read_to_string(&mut text))
            .await
            .unwrap();
        assert_eq!(answers(&text).0, ["200 web"]);
        let kill = format!("kill -TERM {}", child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(notice(), "STOPPING=1");
        assert!(child.wait().unwrap().success());
        // Between the two servers nobody accepts, and nobody is refused.
        let mut between = tokio::net::TcpStream::connect(address).await.unwrap();
        between.write_all(get).await.unwrap();
        waiting.push(between);
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("[::]:0").expect("the tests need IPv6");
    listener.local_addr().unwrap().port()
}

/// Whether the server is reached at `ip`, and its peer has an address of that version.
async fn answers_at(ip: &str, port: u16) -> bool {
    let Ok(mut client) = tokio::net::TcpStream::connect(format!("{ip}:{port}")).await else {
        return false;
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    client.write_all(request).await.unwrap();
    let mut text = String::new();
    soon(client.read_to_string(&mut text)).await.unwrap();
    text.ends_with(if ip.contains(':') { "is v6" } else { "is v4" })
}

async fn version(request: Request) -> &'static str {
    match Peer::of(&request).and_then(|it| it.address().ip()) {
        Some(ip) if ip.is_ipv6() => "is v6",
        _ => "is v4",
    }
}

/// Binds `places` one after the other.
async fn bind_all(places: Vec<Bind>, workers: usize) -> Result<Bound<impl App>, BindError> {
    let mut places = places.into_iter();
    let server = Server::new(version).workers(workers);
    let mut bound = server.bind(places.next().unwrap()).await?;
    for place in places {
        bound = bound.bind(place).await?;
    }
    Ok(bound)
}

/// Binds `places`, whose port `P` is one that is free.
async fn bound_at(places: &[&str], workers: usize) -> (Bound<impl App>, u16) {
    for _ in 0..50 {
        let port = free_port();
        let places = places.iter().map(|it| it.replace('P', &port.to_string()));
        match bind_all(Bind::beside_each_other(places), workers).await {
            Ok(bound) => return (bound, port),
            // Something else has got the port in the meantime.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
        }
    }
    panic!("no port is free");
}

#[tokio::test]
async fn all_of_ipv4_and_all_of_ipv6_are_two_sockets() {
    // the places, and whether 127.0.0.1, 127.0.0.2 and ::1 are answered
    let cases: [(&[&str], [bool; 3]); 6] = [
        (&["0.0.0.0:P", "[::]:P"], [true; 3]),
        (&["[::]:P", "0.0.0.0:P"], [true; 3]),
        (&["127.0.0.1:P", "[::]:P"], [true, false, true]),
        (&["[::]:P", "127.0.0.1:P"], [true, false, true]),
        (&["0.0.0.0:P", "[::1]:P"], [true; 3]),
        (&["127.0.0.1:0", ":P"], [true; 3]),
    ];
    for (places, want) in cases {
        for workers in [0, 2] {
            let (bound, port) = bound_at(places, workers).await;
            let (stop, stopped) = oneshot::channel::<()>();
            let ended = tokio::spawn(bound.run_until(async { drop(stopped.await) }));
            for (ip, want) in ["127.0.0.1", "127.0.0.2", "[::1]"].into_iter().zip(want) {
                let is_answered = answers_at(ip, port).await;
                assert_eq!(is_answered, want, "{ip} of {places:?}, {workers} workers");
            }
            stop.send(()).unwrap();
            soon(ended).await.unwrap();
        }
    }
}

#[tokio::test]
async fn port_0_is_another_one_for_each_address() {
    let places = Bind::beside_each_other(["[::]:0", "0.0.0.0:0"]);
    let bound = bind_all(places, 0).await.unwrap();
    let ports: Vec<_> = bound
        .addresses()
        .map(|it| it.to_string().rsplit_once(':').unwrap().1.to_owned())
        .collect();
    assert_eq!(ports.len(), 2);
    assert_ne!(ports[0], ports[1]);
}

/// Binding one by one, the server cannot know what comes.
#[tokio::test]
async fn an_address_that_this_server_has_is_not_another_process() {
    for (first, second) in [
        ("[::]:P", "0.0.0.0:P"),
        (":P", "127.0.0.1:P"),
        ("0.0.0.0:P", "127.0.0.1:P"),
        ("127.0.0.1:P", "127.0.0.1:P"),
        ("0.0.0.0:P", ":P"),
    ] {
        let (bound, port) = bound_at(&[first], 0).await;
        let second = second.replace('P', &port.to_string());
        let error = bound.bind(&*second).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("this server listens at"), "{first}: {said}");
        assert!(said.contains(&format!(":{port}` already")), "{said}");
        assert_eq!(error.address(), second);
    }
    // The other order is well.
    let (bound, port) = bound_at(&["127.0.0.1:P"], 0).await;
    drop(bound.bind(format!("[::]:{port}")).await.unwrap());
}
