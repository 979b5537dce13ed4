//! Runs every middleware through the battery. Deliberate deviations are listed here.

use vestibule::http::HeaderValue;
use vestibule::logging::{AccessLog, ServerTiming, Sink};
use vestibule::{CatchPanic, MapRequest, MapResponse, Mounts, Only, around};
use vestibule_test::{Battery, battery};

#[tokio::test(start_paused = true)]
async fn catch_panic() {
    battery(CatchPanic::new).await;
}

#[tokio::test(start_paused = true)]
async fn around_a_closure() {
    battery(around(
        |request, next| async move { next.call(request).await },
    ))
    .await;
}

#[tokio::test(start_paused = true)]
async fn maps() {
    battery(|app| MapRequest::new(app, |request| request)).await;
    battery(|app| {
        MapResponse::new(app, |mut response| {
            response
                .headers_mut()
                .insert("x-a", HeaderValue::from_static("1"));
            response
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn only() {
    battery(|app| Only::new(app, |_: &_| true, CatchPanic::new)).await;
}

#[tokio::test(start_paused = true)]
async fn mounts() {
    // `OPTIONS *` belongs to no mount.
    Battery::new(|app| Mounts::new().at("/", app))
        .allows_status(204)
        .run()
        .await;
}

#[tokio::test(start_paused = true)]
async fn access_log() {
    Battery::new(|app| AccessLog::new(app).to(Sink::memory().1))
        .run()
        .await;
}

#[tokio::test(start_paused = true)]
async fn server_timing() {
    battery(ServerTiming::new).await;
}
