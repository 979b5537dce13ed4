//! Socket.IO as its Python client speaks it: long polling, the change to a WebSocket, and the end.
//!
//! The server is written by hand from the protocol's documents, since what is tested is how the transports pass through
//! our layers and our server. Source: Engine.IO protocol, revision 4; Socket.IO protocol, revision 5.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use vestibule::http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use vestibule::http::{Method, StatusCode};
use vestibule::hyper::Shutdown;
use vestibule::logging::Sink;
use vestibule::prelude::*;

use crate::peers::{Peer, Serving, full_stack};

/// One client, whatever carries its packets.
struct Session {
    id: String,
    /// Packets for the client.
    outbox: UnboundedSender<String>,
    /// Held by the transport that sends them.
    waiting: tokio::sync::Mutex<UnboundedReceiver<String>>,
}

impl Session {
    fn new(id: String) -> Self {
        let (outbox, waiting) = unbounded_channel();
        Self {
            id,
            outbox,
            waiting: waiting.into(),
        }
    }

    /// The first packet: what the client has to know.
    fn open(&self, upgrades: &str) -> String {
        format!(
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":60000,"pingTimeout":60000,"maxPayload":1000000}}"#,
            self.id
        )
    }

    fn send(&self, packet: impl Into<String>) {
        let _ = self.outbox.send(packet.into());
    }

    /// Answers one packet of the client.
    fn take(&self, packet: &str) {
        if packet.starts_with("40") {
            self.send(format!(r#"40{{"sid":"{}s"}}"#, self.id));
        }
        let Some(event) = packet.strip_prefix("42") else {
            return;
        };
        // The number of the acknowledgement, if one is wanted, and a JSON array.
        let (ack, event) = event.split_at(event.find('[').unwrap());
        if event == r#"["tell me"]"# {
            self.send(r#"42["news","now"]"#);
        } else if let Some(argument) = event.strip_prefix(r#"["echo","#) {
            self.send(format!("43{ack}[{argument}"));
        }
    }

    /// Waits for packets, and gives all that are there.
    async fn poll(&self, shutdown: &Shutdown) -> String {
        let mut waiting = self.waiting.lock().await;
        let first = tokio::select! {
            packet = waiting.recv() => packet.unwrap(),
            () = shutdown.begun() => "1".to_owned(),
        };
        let mut packets = vec![first];
        while let Ok(packet) = waiting.try_recv() {
            packets.push(packet);
        }
        packets.join("\x1e")
    }
}

type Sessions = Arc<Mutex<HashMap<String, Arc<Session>>>>;

async fn engine(sessions: Sessions, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let find = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(found, value)| (found == name).then(|| value.to_owned()))
    };
    let is_websocket = find("transport").as_deref() == Some("websocket");
    let id = find("sid");
    let is_known = id.is_some();
    let session = match id {
        Some(id) => sessions.lock().unwrap().get(&id).cloned(),
        None => {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            let id = format!("id{}", NEXT.fetch_add(1, Relaxed));
            let session = Arc::new(Session::new(id.clone()));
            sessions.lock().unwrap().insert(id, session.clone());
            Some(session)
        }
    };
    let Some(session) = session else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let shutdown = Shutdown::of(&request).unwrap();
    let text = |text: String| ([(CONTENT_TYPE, "text/plain; charset=UTF-8")], text).into_response();
    match (is_websocket, is_known, request.method()) {
        (true, ..) => upgrade(request, session, is_known, shutdown),
        (_, false, _) => text(session.open(r#""websocket""#)),
        (_, _, &Method::POST) => {
            let body = request.into_body().collect(1 << 20).await.unwrap();
            let body = String::from_utf8(body.to_vec()).unwrap();
            body.split('\x1e').for_each(|packet| session.take(packet));
            if body.split('\x1e').any(|packet| packet == "1") {
                // A poll that comes later finds nothing, and one that is open ends.
                sessions.lock().unwrap().remove(&session.id);
                session.send("6");
            }
            text("ok".to_owned())
        }
        _ => text(session.poll(&shutdown).await),
    }
}

/// Changes to a WebSocket, from polling or at once.
fn upgrade(
    mut request: Request,
    session: Arc<Session>,
    is_known: bool,
    shutdown: Shutdown,
) -> Response {
    let accept = derive_accept_key(request.headers()[SEC_WEBSOCKET_KEY].as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        if is_known {
            // The client tries the new transport while it goes on polling.
            assert_eq!(next_text(&mut socket).await, "2probe");
            socket.send(Message::text("3probe")).await.unwrap();
            session.send("6");
            assert_eq!(next_text(&mut socket).await, "5");
        } else {
            socket.send(Message::text(session.open(""))).await.unwrap();
        }
        let mut waiting = session.waiting.lock().await;
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => session.take(&text),
                    Some(Ok(_)) => {}
                    _ => return,
                },
                packet = waiting.recv() => {
                    if socket.send(Message::text(packet.unwrap())).await.is_err() {
                        return;
                    }
                }
                () = shutdown.begun() => {
                    let _ = socket.send(Message::text("1")).await;
                    let _ = socket.close(None).await;
                    while let Some(Ok(_)) = socket.next().await {}
                    return;
                }
            }
        }
    });
    let fields = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, &accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, fields).into_response()
}

async fn next_text(socket: &mut WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) -> String {
    let message = socket.next().await.unwrap().unwrap();
    message.into_text().unwrap().to_string()
}

#[tokio::test]
async fn python_socketio_polls_and_changes_to_a_websocket_through_a_full_stack() {
    let (lines, log) = Sink::memory();
    let sessions = Sessions::default();
    let app = full_stack(log, "%m %q %>s %{content-encoding}o %X")
        .app(move |request| engine(sessions.clone(), request));
    let serving = Serving::start(app).await;
    let packages = "python-socketio, requests and websocket-client (pip)";
    let mut client = Peer::python("socketio_client.py", &serving.address.to_string(), packages);
    for transport in ["websocket", "polling", "websocket"] {
        let wanted = [
            &*format!("transport {transport}"),
            "echo hello \u{e4}",
            "large True",
            "many 190",
            "news True ['now']",
            "gone True",
        ];
        for want in wanted {
            assert_eq!(client.line().await, want, "{transport}");
        }
    }
    assert_eq!(client.line().await, "waits 1");
    serving.stop();
    assert_eq!(client.line().await, "told True");
    client.end().await;
    assert_eq!(serving.drained().await.aborted, 0);

    let text = lines.take();
    let count = |start: &str, end: &str| {
        let is_one = |line: &&str| line.starts_with(start) && line.ends_with(end);
        text.lines().filter(is_one).count()
    };
    assert_eq!(count("GET ?transport=websocket", " 101 - +"), 3, "{text}");
    assert!(count("POST ?transport=polling", " 200 - +") > 20, "{text}");
    // The large answers went through the compression, and nothing was cut or refused.
    let compressed = [" 200 br +", " 200 gzip +"].map(|end| count("GET ?transport=polling", end));
    assert!(compressed != [0, 0], "{text}");
    assert_eq!(count("", " +"), text.lines().count(), "{text}");
}
