//! The bridge passes bodies and extensions unchanged, in both directions.

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue};
use http_body::{Body as _, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use vestibule_core::{App, Body, FilePart, LengthMismatch, Request, Response, Stack};
use vestibule_tower::{from_layer, from_service, layer, service};

use crate::common::{echo, get, mark, streams};

/// A body of another library with trailers. It is `Send` but not `Sync`, and its data is not
/// `Bytes`.
fn foreign() -> UnsyncBoxBody<std::io::Cursor<Vec<u8>>, std::io::Error> {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("6"));
    let cell = std::cell::Cell::new(0);
    let frames = [
        Frame::data(std::io::Cursor::new(b"one".to_vec())),
        Frame::data(std::io::Cursor::new(b"two".to_vec())),
        Frame::trailers(trailers),
    ];
    let frames = stream::iter(frames.map(Ok));
    let counted = futures_util::StreamExt::inspect(frames, move |_| cell.set(cell.get() + 1));
    UnsyncBoxBody::new(StreamBody::new(counted))
}

/// Returns the frames of a body as text.
async fn frames(mut body: Body) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        all.push(match frame.unwrap().into_data() {
            Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
            Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
        });
    }
    all
}

#[tokio::test]
async fn foreign_bodies_keep_frames_and_trailers() {
    let all = ["one", "two", r#"{"x-sum": "6"}"#];
    let response = service(echo)
        .oneshot(http::Request::new(foreign()))
        .await
        .unwrap();
    assert_eq!(frames(response.into_body()).await, all);

    let app = from_service(service_fn(|_: Request| async {
        Ok::<_, Infallible>(http::Response::new(foreign()))
    }));
    assert_eq!(frames(app.call(get("/")).await.into_body()).await, all);

    let layered = ServiceBuilder::new()
        .layer(layer(mark()))
        .service_fn(|_: Request| async { Ok::<_, Infallible>(http::Response::new(foreign())) });
    let response = layered
        .oneshot(http::Request::new(foreign()))
        .await
        .unwrap();
    assert_eq!(frames(response.into_body()).await, all);
}

#[tokio::test]
async fn sizes_and_end_flags_are_kept() {
    let app = service(|request: Request| async move {
        let hint = request.body().size_hint().exact();
        format!("{hint:?} {}", request.body().is_end_stream())
    });
    let empty = http::Request::new(Empty::<Bytes>::new());
    let response = app.clone().oneshot(empty).await.unwrap();
    assert_eq!(frames(response.into_body()).await, ["Some(0) true"]);
    let full = http::Request::new(Full::new(Bytes::from("four")));
    let response = app.clone().oneshot(full).await.unwrap();
    assert_eq!(frames(response.into_body()).await, ["Some(4) false"]);
    let unknown = http::Request::new(foreign());
    let response = app.oneshot(unknown).await.unwrap();
    assert_eq!(frames(response.into_body()).await, ["None false"]);

    let full = from_service(service_fn(|_: Request| async {
        Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from("four"))))
    }));
    let body = full.call(get("/")).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(4));
    let empty = from_service(service_fn(|_: Request| async {
        Ok::<_, Infallible>(http::Response::new(Empty::<Bytes>::new()))
    }));
    let body = empty.call(get("/")).await.into_body();
    assert!(body.is_end_stream() && body.is_buffered());
}

/// Our own body is not wrapped: it stays in memory, and keeps its file.
#[tokio::test]
async fn our_own_body_is_unchanged() {
    let part = FilePart::new(std::path::Path::new("/a"), 0, 3);
    let file = {
        let part = part.clone();
        move |_: Request| {
            let body = Body::from("abc").with_file(part.clone());
            async { body }
        }
    };
    let tower = ServiceBuilder::new()
        .layer(layer(mark()))
        .service(service(file));
    let app = Stack::new()
        .with(from_layer(tower::layer::util::Identity::new()))
        .app(from_service(tower));
    let response = app.call(get("/")).await;
    assert!(response.body().is_buffered());
    assert_eq!(response.body().as_file(), Some(&part));
}

#[tokio::test]
async fn end_callbacks_run_across_the_bridge() {
    let heard: Arc<Mutex<Vec<u64>>> = Arc::default();
    let app = {
        let heard = heard.clone();
        move |request: Request| {
            let heard = heard.clone();
            async move {
                request
                    .into_body()
                    .on_end(move |end| heard.lock().unwrap().push(end.bytes))
            }
        }
    };
    let wrapped = Stack::new()
        .with(from_layer(
            tower_http::map_response_body::MapResponseBodyLayer::new(UnsyncBoxBody::new),
        ))
        .app(app);
    streams(&wrapped).await;
    assert_eq!(*heard.lock().unwrap(), [11]);
    // The body is dropped before it is read.
    let request = Request::new(Body::from("four"));
    drop(wrapped.call(request).await);
    assert_eq!(*heard.lock().unwrap(), [11, 0]);
}

#[derive(Clone, Debug, PartialEq)]
struct Marker(&'static str);

#[tokio::test]
async fn extensions_survive_both_ways() {
    async fn app(mut request: Request) -> Response {
        let mut response = Response::default();
        if let Some(Marker("in")) = request.extensions_mut().remove() {
            response.extensions_mut().insert(Marker("out"));
        }
        response
    }
    let stack = Stack::new()
        .with(from_layer(tower::layer::util::Identity::new()))
        .app(app);
    let service = ServiceBuilder::new()
        .layer(layer(mark()))
        .service(service(stack));
    let mut request = http::Request::new(foreign());
    request.extensions_mut().insert(Marker("in"));
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Marker("out")));
}

#[tokio::test]
async fn an_error_of_a_body_is_an_error_on_the_other_side() {
    let app = from_service(service_fn(|_: Request| async {
        let frames = [
            Ok(Frame::data(Bytes::from("half"))),
            Err(std::io::Error::other("disk")),
        ];
        let body = StreamBody::new(stream::iter(frames));
        Ok::<_, Infallible>(http::Response::new(body))
    }));
    let mut body = app.call(get("/")).await.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "disk");
    let rest = BodyExt::collect(body).await.unwrap();
    assert!(rest.to_bytes().is_empty());
}

/// A service with a common bound on both bodies: their error implements `Error`.
#[derive(Clone)]
struct Demanding<S>(S);

impl<S, Q, R> Service<http::Request<Q>> for Demanding<S>
where
    S: Service<http::Request<Q>, Response = http::Response<R>>,
    Q: http_body::Body<Error: Error + Send + Sync + 'static>,
    R: http_body::Body<Error: Error + Send + Sync + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Q>) -> S::Future {
        self.0.call(request)
    }
}

#[tokio::test]
async fn a_layer_may_demand_that_errors_of_bodies_are_errors() {
    let app = Stack::new().with(from_layer(layer_fn(Demanding))).app(echo);
    streams(&app).await;

    // The error comes out unchanged, and is in the chain of sources.
    let request = Request::new(Body::from("four").with_length(3));
    let mut body = app.call(request).await.into_body();
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.is::<LengthMismatch>());
    assert!(error.source().unwrap().is::<LengthMismatch>());

    // The same around a service of ours.
    let service = ServiceBuilder::new()
        .layer_fn(Demanding)
        .layer(layer(mark()))
        .service(service(echo));
    let response = service.oneshot(get("/")).await.unwrap();
    assert_eq!(response.headers()["x-mark"], "1");
}
