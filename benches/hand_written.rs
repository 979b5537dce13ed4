//! A server on hyper, as hyper's own guide writes it.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};

/// Answers every request with `text`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, text: &'static str) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(async move {
            let service = hyper::service::service_fn(|_| async {
                let mut response =
                    http::Response::new(Full::new(bytes::Bytes::from_static(text.as_bytes())));
                let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
                response
                    .headers_mut()
                    .insert(http::header::CONTENT_TYPE, kind);
                Ok::<_, Infallible>(response)
            });
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
