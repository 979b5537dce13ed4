//! gRPC as it is used: tonic behind the stack and the server, asked by grpcio, which is Google's C core.

use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Buf, BufMut};
use futures_util::{Stream, StreamExt, stream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::{Code, Status, Streaming};
use vestibule::logging::{Lines, Metrics, Registry, Sink};
use vestibule::prelude::*;
use vestibule::tower::from_service;

use crate::peers::{Peer, Serving, Spans, full_stack};

/// Messages are bytes, so nothing has to be generated.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

type Messages = Pin<Box<dyn Stream<Item = Result<Vec<u8>, Status>> + Send>>;

/// Gives the message back, refuses it, or never answers.
async fn unary(request: tonic::Request<Vec<u8>>) -> Result<tonic::Response<Vec<u8>>, Status> {
    match &request.get_ref()[..] {
        b"refuse" => {
            return Err(Status::permission_denied("\u{e4} \"quoted\" 100 %\nline"));
        }
        b"wait" => std::future::pending().await,
        _ => {}
    }
    let (metadata, _, message) = request.into_parts();
    let mut response = tonic::Response::new(message);
    if let Some(asked) = metadata.get("x-asked") {
        response.metadata_mut().insert("x-told", asked.clone());
    }
    if let Some(bytes) = metadata.get_bin("x-raw-bin") {
        response
            .metadata_mut()
            .insert_bin("x-raw-bin", bytes.clone());
    }
    Ok(response)
}

/// Sends as many messages as it is asked for, and then ends, fails or waits: `2 and fail`.
async fn server_stream(
    request: tonic::Request<Vec<u8>>,
) -> Result<tonic::Response<Messages>, Status> {
    let text = String::from_utf8(request.into_inner()).unwrap();
    let (count, then) = text.split_once(" and ").unwrap_or((&text, "end"));
    let messages = (0..count.parse().unwrap()).map(|index: u32| Ok(index.to_string().into_bytes()));
    let then: Messages = match then {
        "fail" => Box::pin(stream::once(async { Err(Status::aborted("half way")) })),
        "wait" => Box::pin(stream::pending()),
        _ => Box::pin(stream::empty()),
    };
    Ok(tonic::Response::new(Box::pin(
        stream::iter(messages.collect::<Vec<_>>()).chain(then),
    )))
}

/// Counts messages and bytes.
async fn client_stream(
    request: tonic::Request<Streaming<Vec<u8>>>,
) -> Result<tonic::Response<Vec<u8>>, Status> {
    let (mut messages, mut count, mut bytes) = (request.into_inner(), 0, 0);
    while let Some(message) = messages.next().await {
        count += 1;
        bytes += message?.len();
    }
    Ok(tonic::Response::new(
        format!("{count} {bytes}").into_bytes(),
    ))
}

/// Gives each message back when it comes.
async fn both_ways(
    request: tonic::Request<Streaming<Vec<u8>>>,
) -> Result<tonic::Response<Messages>, Status> {
    Ok(tonic::Response::new(Box::pin(request.into_inner())))
}

async fn calls(
    request: Request,
) -> Result<vestibule::http::Response<tonic::body::Body>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.strip_prefix("/test.Calls/") {
        Some("Unary") => {
            Grpc::new(Raw)
                .unary(tower::service_fn(unary), request)
                .await
        }
        Some("Stream") => {
            let service = tower::service_fn(server_stream);
            Grpc::new(Raw).server_streaming(service, request).await
        }
        Some("Collect") => {
            let service = tower::service_fn(client_stream);
            Grpc::new(Raw).client_streaming(service, request).await
        }
        Some("Both") => {
            Grpc::new(Raw)
                .streaming(tower::service_fn(both_ways), request)
                .await
        }
        _ => Status::new(Code::Unimplemented, "no such method").into_http(),
    })
}

/// Waits until the log has `count` lines, and returns them.
async fn wait_for(lines: &Lines, count: usize) -> String {
    let mut text = lines.take();
    for _ in 0..400 {
        if text.lines().count() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        text += &lines.take();
    }
    text
}

/// Every kind of call, through all layers that a server may have around it.
#[tokio::test]
async fn grpcio_calls_tonic_through_a_full_stack() {
    let spans = Spans::collect();
    let (lines, log) = Sink::memory();
    let registry = Registry::new();
    let counted = registry.clone();
    let format = "%m %U %>s %{grpc-status}^to %{grpc-status}o %X";
    let app = full_stack(log, format)
        .with(move |app| Metrics::new(app).to(counted.clone()))
        .app(from_service(tower::service_fn(calls)));
    let serving = Serving::start(app).await;
    let mut client = Peer::python(
        "grpc_client.py",
        &serving.address.to_string(),
        "grpcio (pip)",
    );

    let large_collect = "b'3 100003'";
    let cases = [
        ("unary", "b'hello'"),
        ("empty", "b''"),
        ("large", "True"),
        ("metadata", r"(b'hello', '1', b'\x00\xff', None)"),
        ("refused", "PERMISSION_DENIED 'ä \"quoted\" 100 %\\nline'"),
        ("stream", "['0', '1', '2']"),
        ("stream fails", "(['0', '1'], 'ABORTED', 'half way')"),
        ("nothing", "[]"),
        ("collect", large_collect),
        ("collect nothing", "b'0 0'"),
        ("both", "[b'a', b'b', b'c']"),
        ("deadline", "DEADLINE_EXCEEDED"),
        ("deadline of a stream", "DEADLINE_EXCEEDED"),
        ("unknown", "UNIMPLEMENTED 'no such method'"),
        ("cancelled", "CANCELLED"),
        ("many", "19900"),
        ("again", "b'still here'"),
        ("open", "b'before'"),
    ];
    for (name, want) in cases {
        assert_eq!(client.line().await, format!("{name} {want}"));
    }
    // The call that is open ends by itself while the server drains.
    serving.stop();
    serving.draining().await;
    client.tell("go on");
    assert_eq!(client.line().await, "to its end [b'after']");
    client.end().await;
    assert_eq!(serving.drained().await.aborted, 0);

    // The kind of call, the status of HTTP, gRPC's in the trailers and in the head, and how often.
    let text = wait_for(&lines, 217).await;
    let counts = [
        ("Unary 200 0 - +", 205),
        ("Unary 200 - 7 +", 1),
        ("Stream 200 0 - +", 2),
        ("Stream 200 10 - +", 1),
        ("Collect 200 0 - +", 2),
        ("Both 200 0 - +", 2),
        ("Unary 499 - - X", 1),
        ("Stream 499 - - X", 2),
        ("Unknown 200 - 12 +", 1),
    ];
    for (line, count) in counts {
        let line = format!("POST /test.Calls/{line}");
        let found = text.lines().filter(|it| **it == line).count();
        assert_eq!(found, count, "{line}\n{text}");
    }
    assert_eq!(text.lines().count(), 217, "{text}");

    let page = registry.prometheus();
    for (status, count) in [("0", 211), ("7", 1), ("10", 1), ("12", 1)] {
        let labels = format!("rpc_grpc_status_code=\"{status}\",route=\"\"");
        let line = format!("rpc_server_requests_total{{{labels}}} {count}");
        assert!(page.lines().any(|it| it == line), "{line}\n{page}");
    }
    let calls = page
        .lines()
        .filter(|it| it.starts_with("rpc_server_requests_total{"));
    assert_eq!(calls.count(), 4, "{page}");

    let spans = spans.text();
    for (status, count) in [(0, 211), (7, 1), (10, 1), (12, 1)] {
        // It is the last field of the span.
        let field = format!(" rpc.grpc.status_code={status}}}: ");
        assert_eq!(spans.matches(&field).count(), count, "{field}");
    }
}
