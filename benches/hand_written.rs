//! Servers on hyper, as hyper's own guide writes them.

#![allow(dead_code, reason = "a benchmark takes what it needs")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;

/// Answers every request with `text`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, text: &'static str) {
    serve_with(listener, move |_| async move {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        let kind = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    })
    .await;
}

/// Answers as an app of ours does that says a status and a text.
pub(crate) async fn serve_app<R>(
    listener: tokio::net::TcpListener,
    app: impl Fn(vestibule::Request) -> R + Copy + Send + 'static,
) where
    R: Future<Output = (StatusCode, String)> + Send,
{
    serve_with(listener, move |request| async move {
        let (status, text) = app(request.map(vestibule::Body::new)).await;
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        response
    })
    .await;
}

async fn serve_with<R>(
    listener: tokio::net::TcpListener,
    answer: impl Fn(http::Request<Incoming>) -> R + Copy + Send + 'static,
) where
    R: Future<Output = Response<Full<Bytes>>> + Send,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let service =
                service_fn(
                    move |request| async move { Ok::<_, Infallible>(answer(request).await) },
                );
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Answers by HTTP/1 and HTTP/2: with `large` where the path is `/large`, with how long the body was at
/// `/upload`, else with `text`.
pub(crate) async fn serve_both(
    listener: tokio::net::TcpListener,
    text: &'static str,
    large: &'static [u8],
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // Without it, what Nagle's algorithm holds back costs less, and the client waits for it.
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(move |mut request: http::Request<Incoming>| async move {
                let answer = match request.uri().path() {
                    "/large" => Bytes::from_static(large),
                    "/upload" => {
                        let mut count = 0;
                        while let Some(Ok(frame)) = request.body_mut().frame().await {
                            count += frame.data_ref().map_or(0, Bytes::len);
                        }
                        format!("{count} bytes").into()
                    }
                    _ => Bytes::from_static(text.as_bytes()),
                };
                let mut response = http::Response::new(Full::new(answer));
                let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, kind);
                Ok::<_, Infallible>(response)
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new());
            builder.http2().timer(TokioTimer::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
