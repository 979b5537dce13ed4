//! A connection that becomes a WebSocket, through layers of Vestibule and of tower-http, over a
//! socket.

use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use vestibule::CatchPanic;
use vestibule::compression::Compression;
use vestibule::http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use vestibule::http::{HeaderName, HeaderValue, StatusCode};
use vestibule::hyper::{Server, Shutdown};
use vestibule::logging::{AccessLog, ServerTiming, SetRequestId, Sink};
use vestibule::prelude::*;
use vestibule::tower::from_layer;

use crate::peers::{Peer, Serving};

/// Responds to a WebSocket handshake (RFC 6455, section 4.2.2) and returns every message.
pub(crate) async fn echo(mut request: Request) -> Response {
    let mut response = Response::default();
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() {
                socket.send(message).await.unwrap();
            }
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accept).unwrap(),
    );
    response
}

#[tokio::test]
async fn a_websocket_echoes_through_seven_layers() {
    let (lines, log) = Sink::memory();
    let theirs = SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-theirs"),
        HeaderValue::from_static("1"),
    );
    let app = Stack::new()
        .with(SetRequestId::new)
        .with(move |app| AccessLog::new(app).to(log.clone()))
        .with(CatchPanic::new)
        .with(from_layer(TraceLayer::new_for_http()))
        .with(ServerTiming::new)
        .with(from_layer(theirs))
        .with(Compression::new)
        .app(echo);
    assert_eq!(app.outline().layers().count(), 8);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::new(app).bind(listener).await.unwrap();
    let serving = tokio::spawn(server.run_until(async { drop(stopped.await) }));

    let client = TcpStream::connect(address).await.unwrap();
    let (mut socket, response) = tokio_tungstenite::client_async("ws://example.com/chat", client)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    for name in ["x-theirs", "x-request-id", "server-timing"] {
        assert!(response.headers().contains_key(name), "{name}");
    }
    for text in ["one", "two", &"long ".repeat(100_000)] {
        socket.send(Message::text(text)).await.unwrap();
        let back = socket.next().await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    drop(socket);
    stop.send(()).unwrap();
    assert_eq!(serving.await.unwrap().aborted, 0);
    assert!(lines.take().contains("\"GET /chat HTTP/1.1\" 101 "));
}

/// Does the same as [`echo`], and sends a close frame when the server is about to stop (RFC 6455,
/// section 7.4.1: 1001).
async fn echo_until_shutdown(mut request: Request) -> Response {
    let shutdown = Shutdown::of(&request).unwrap();
    let key = request.headers()[SEC_WEBSOCKET_KEY].as_bytes();
    let accept = derive_accept_key(key);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        shutdown.begun().await;
        let away = CloseFrame {
            code: CloseCode::Away,
            reason: "restart".into(),
        };
        socket.close(Some(away)).await.unwrap();
        // Until the client has closed as well.
        while let Some(Ok(_)) = socket.next().await {}
    });
    let fields = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_ACCEPT, &accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, fields).into_response()
}

/// Gives every message back until the server ends, and says goodbye then.
async fn echo_and_goodbye(mut request: Request) -> Response {
    let fields = request.headers();
    let Some(key) = fields.get(SEC_WEBSOCKET_KEY) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    if request.uri().path() != "/chat" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let shutdown = Shutdown::of(&request).unwrap();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let upgraded = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, None).await;
        loop {
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(text)) if text.is_text() => socket.send(text).await.unwrap(),
                    Some(Ok(_)) => {}
                    _ => break,
                },
                () = shutdown.begun() => {
                    let away = CloseFrame {
                        code: CloseCode::Away,
                        reason: "restart".into(),
                    };
                    socket.close(Some(away)).await.unwrap();
                    while let Some(Ok(_)) = socket.next().await {}
                    break;
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

/// The client that most programs in Python use, through all layers that a server may have around it.
#[tokio::test]
async fn the_python_library_websockets_through_a_full_stack() {
    let (lines, log) = Sink::memory();
    let app = crate::peers::full_stack(log, "%m %U %>s %X").app(echo_and_goodbye);
    let serving = Serving::start(app).await;
    let address = serving.address.to_string();
    let mut client = Peer::python("websockets_client.py", &address, "websockets (pip)");
    let mut wanted = vec!["open []"];
    wanted.extend(["echo True"; 4]);
    wanted.extend(["pieces in three pieces", "pong", "many True", "refused 404"]);
    wanted.push("still here");
    for want in wanted {
        assert_eq!(client.line().await, want);
    }
    serving.stop();
    assert_eq!(client.line().await, "closed 1001 restart");
    client.end().await;
    assert_eq!(serving.drained().await.aborted, 0);
    let text = lines.take();
    assert_eq!(text.matches("GET /chat 101 +").count(), 52, "{text}");
    assert_eq!(text.matches("GET /no 404 +").count(), 1, "{text}");
}

#[tokio::test]
async fn a_websocket_says_goodbye_before_the_server_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = Server::new(echo_until_shutdown)
        .bind(listener)
        .await
        .unwrap();
    let serving = tokio::spawn(server.run_until(async { drop(stopped.await) }));

    let client = TcpStream::connect(address).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("ws://example.com/chat", client)
        .await
        .unwrap();
    stop.send(()).unwrap();
    let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else {
        panic!("no close frame")
    };
    assert_eq!((frame.code, &*frame.reason), (CloseCode::Away, "restart"));
    while let Some(Ok(_)) = socket.next().await {}
    assert_eq!(serving.await.unwrap().aborted, 0);
}

#[tokio::test]
async fn without_a_server_there_is_nothing_to_upgrade() {
    assert_eq!(echo(Request::default()).await.status(), 400);
}
