//! A connection that is upgraded through both kinds of layers.

use futures_util::{SinkExt, StreamExt};
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use vestibule_core::{App, CatchPanic, MapResponse, Request, Response, Stack};
use vestibule_tower::{from_layer, hyper_service};

/// Answers a WebSocket handshake (RFC 6455, section 4.2.2) and gives every message back.
async fn echo(mut request: Request) -> Response {
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

fn header(name: &'static str) -> impl Fn(Response) -> Response + Clone {
    move |mut response| {
        let one = HeaderValue::from_static("1");
        response.headers_mut().insert(name, one);
        response
    }
}

#[tokio::test]
async fn a_websocket_echoes_through_seven_layers() {
    let app = Stack::new()
        .with(CatchPanic::new)
        .around(|request, next| async move { next.call(request).await })
        .with(from_layer(TraceLayer::new_for_http()))
        .map_request(|mut request| {
            request.extensions_mut().insert("seen");
            request
        })
        .with(from_layer(SetResponseHeaderLayer::overriding(
            http::HeaderName::from_static("x-theirs"),
            HeaderValue::from_static("1"),
        )))
        .map_response(header("x-ours"))
        .only(
            |request| request.extensions().get::<&str>() == Some(&"seen"),
            |app| MapResponse::new(app, header("x-only")),
        )
        .app(echo);
    assert_eq!(app.outline().layers().count(), 8);

    let (client, server) = tokio::io::duplex(1024);
    let serving = tokio::spawn(
        http1::Builder::new()
            .serve_connection(TokioIo::new(server), hyper_service(app.clone()))
            .with_upgrades(),
    );
    let (mut socket, response) = tokio_tungstenite::client_async("ws://example.com/chat", client)
        .await
        .unwrap();
    assert_eq!(response.status(), 101);
    for name in ["x-theirs", "x-ours", "x-only"] {
        assert_eq!(response.headers()[name], "1", "{name}");
    }
    for text in ["one", "two", &"long ".repeat(10_000)] {
        socket.send(Message::text(text)).await.unwrap();
        let back = socket.next().await.unwrap().unwrap();
        assert_eq!(back.into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
    serving.await.unwrap().unwrap();

    // Without a server there is nothing to upgrade, and the app can tell.
    let response = app.call(Request::default()).await;
    assert_eq!(response.status(), 400);
}
