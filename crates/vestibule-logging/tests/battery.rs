//! Each middleware through the cases that all have to pass.

use vestibule_core::{BoxApp, Stack};
use vestibule_logging::{AccessLog, Format, Metrics, ServerTiming, SetRequestId, Sink, Trace};
use vestibule_test::battery;

fn logged(app: BoxApp) -> AccessLog<BoxApp> {
    let (_, sink) = Sink::memory();
    AccessLog::new(app).to(sink).format(Format::json())
}

#[tokio::test]
async fn the_access_log() {
    battery(logged).await;
}

#[tokio::test]
async fn request_ids() {
    battery(SetRequestId::new).await;
    battery(|app| SetRequestId::new(app).trust_everyone()).await;
}

#[tokio::test]
async fn spans() {
    battery(Trace::new).await;
}

#[tokio::test]
async fn metrics() {
    battery(|app| Metrics::new(app).at("/-/metrics")).await;
}

#[tokio::test]
async fn server_timing() {
    battery(ServerTiming::new).await;
}

#[tokio::test]
async fn all_of_them_timed() {
    let stack = Stack::new()
        .with(SetRequestId::new)
        .with(logged)
        .with(Trace::new)
        .with(Metrics::new)
        .with(ServerTiming::new)
        .timed();
    assert!(stack.check().is_empty(), "{:?}", stack.check());
    battery(move |app| stack.app(app)).await;
}
