//! All middleware of vestibule-core passes the battery.

use std::time::Duration;

use http::HeaderValue;
use vestibule_core::{
    CatchPanic, Failure, FailureKind, IntoResponse, Mounts, Next, Only, Request, Response, Stack,
    around, map_request, map_response,
};
use vestibule_lint::Lint;
use vestibule_test::{Battery, battery};

#[tokio::test]
async fn around_passes() {
    battery(around(|request, next: Next| async move {
        next.call(request).await
    }))
    .await;
}

#[tokio::test]
async fn map_request_passes() {
    battery(map_request(|mut request: Request| {
        request
            .headers_mut()
            .insert("x-a", HeaderValue::from_static("b"));
        request
    }))
    .await;
}

#[tokio::test]
async fn map_response_passes() {
    battery(map_response(|mut response: Response| {
        response
            .headers_mut()
            .insert("x-a", HeaderValue::from_static("b"));
        response
    }))
    .await;
}

#[tokio::test]
async fn only_passes() {
    battery(|app| {
        Only::new(
            app,
            |request: &Request| request.method() == "GET",
            CatchPanic::new,
        )
    })
    .await;
}

#[tokio::test]
async fn catch_panic_passes() {
    battery(CatchPanic::new).await;
}

#[tokio::test]
async fn lint_passes() {
    battery(|app| Lint::both(app, CatchPanic::new).sink(|_| ())).await;
}

#[tokio::test]
async fn a_stack_passes() {
    let stack = Stack::new()
        .with(CatchPanic::new)
        .around(|request, next| async move { next.call(request).await })
        .map_response(|response| response);
    battery(move |app| stack.app(app)).await;
}

#[tokio::test]
async fn mounts_pass() {
    Battery::new(|app| Mounts::new().at("/", app))
        // `Mounts` answers `OPTIONS *` itself, since its path belongs to no mount.
        .allows_status(204)
        .run()
        .await;
}

#[tokio::test]
async fn a_time_limit_passes() {
    // Timers fire when the runtime is idle. A long timer does not fire in any case.
    battery(around(|request, next: Next| async move {
        let answer = tokio::time::timeout(Duration::from_secs(30), next.call(request));
        match answer.await {
            Ok(response) => response,
            Err(late) => Failure::from(late)
                .kind(FailureKind::Timeout)
                .into_response(),
        }
    }))
    .await;
}

#[tokio::test]
async fn a_declared_buffer_passes() {
    let buffers = around(|request: Request, next: Next| async move {
        if request.method() == "CONNECT" {
            return Ok(next.call(request).await);
        }
        let (head, body) = next.call(request).await.into_parts();
        if head.status == 101 {
            return Ok(Response::from_parts(head, body));
        }
        match body.is_buffered() {
            true => Ok(Response::from_parts(head, body)),
            false => match body.collect(8 << 20).await {
                Ok(bytes) => Ok(Response::from_parts(head, bytes.into())),
                Err(error) => {
                    let failure = Failure::new(error).kind(FailureKind::Upstream);
                    let mut response = failure.clone().into_response();
                    *response.extensions_mut() = head.extensions;
                    failure.attach(&mut response);
                    Err(response)
                }
            },
        }
    });
    Battery::new(buffers).buffers().run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_battery_runs_on_any_runtime() {
    battery(CatchPanic::new).await;
}
