//! A server on hyper, as hyper's own guide writes it.

#![allow(dead_code, reason = "a benchmark takes what it needs")]

use std::convert::Infallible;

use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};

/// Answers every request with `text`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, text: &'static str) {
    serve_with(listener, move |_| async move {
        let mut response = Response::new(Full::new(bytes::Bytes::from_static(text.as_bytes())));
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
    R: Future<Output = Response<Full<bytes::Bytes>>> + Send,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| async move {
                Ok::<_, Infallible>(answer(request).await)
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
