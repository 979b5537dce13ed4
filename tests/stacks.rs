//! Stacks in the form that users write.

use insta::assert_snapshot;
use vestibule::files::StaticFiles;
use vestibule::http::{HeaderValue, StatusCode};
use vestibule::logging::{AccessLog, ServerTiming, Sink};
use vestibule::prelude::*;
use vestibule::{Mount, PathView};
use vestibule_test::ask;

const SITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/site");

async fn greet(request: Request) -> Result<String, Failure> {
    let path = PathView::of(&request)?;
    match path.segments().next() {
        Some(name) => Ok(format!("Hello, {}!", String::from_utf8(name.into_owned())?)),
        None => Err(Failure::new("nobody to greet").status(StatusCode::BAD_REQUEST)),
    }
}

fn house() -> (vestibule::logging::Lines, BoxApp) {
    let (lines, log) = Sink::memory();
    let stack = Stack::new()
        .with(move |app| AccessLog::new(app).to(log.clone()))
        .around(|request, next| async move {
            let mut response = next.call(request).await;
            response
                .headers_mut()
                .insert("x-door", HeaderValue::from_static("open"));
            response
        });
    let mounts = Mounts::new()
        .at(
            "/greet",
            Stack::new().only(|_| false, ServerTiming::new).app(greet),
        )
        .at("/", StaticFiles::new(SITE));
    (lines, stack.app(mounts))
}

#[tokio::test]
async fn a_mounted_app_answers_through_the_stack() {
    let (lines, app) = house();
    assert_snapshot!(ask(&app, "GET /greet/ada HTTP/1.1\nhost: a").await, @r"
    HTTP/1.1 200 OK
    content-type: text/plain; charset=utf-8
    x-door: open

    Hello, ada!
    ");
    assert!(
        lines
            .take()
            .ends_with("\"GET /greet/ada HTTP/1.1\" 200 11 \"-\" \"-\"\n")
    );
}

#[tokio::test]
async fn a_failure_keeps_its_cause_from_the_client() {
    let (lines, app) = house();
    assert_snapshot!(ask(&app, "GET /greet/%ff HTTP/1.1\nhost: a").await, @r"
    HTTP/1.1 500 Internal Server Error
    content-type: text/plain; charset=utf-8
    x-door: open

    500 Internal Server Error
    ");
    assert_snapshot!(ask(&app, "GET /greet HTTP/1.1\nhost: a").await, @r"
    HTTP/1.1 400 Bad Request
    content-type: text/plain; charset=utf-8
    x-door: open

    400 Bad Request
    ");
    assert_eq!(lines.take().lines().count(), 2);
}

#[tokio::test]
async fn a_path_with_two_meanings_has_none() {
    let (_, app) = house();
    for path in [
        "//greet/ada",
        "/greet/../greet",
        "/greet/%2e%2e/x",
        "/%00",
        "/%zz",
    ] {
        let answer = ask(&app, &format!("GET {path} HTTP/1.1\nhost: a")).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\n"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn one_stack_wraps_several_apps() {
    let stack = Stack::new().map_request(|mut request| {
        request.extensions_mut().insert(StatusCode::IM_A_TEAPOT);
        request
    });
    let status =
        |request: Request| async move { *request.extensions().get::<StatusCode>().unwrap() };
    let prefix = |request: Request| async move { Mount::of(&request).unwrap().prefix().to_owned() };
    let app = Mounts::new()
        .at("/a", stack.app(status))
        .at("/b", stack.app(prefix));
    assert!(
        ask(&app, "GET /a HTTP/1.1\nhost: a")
            .await
            .starts_with("HTTP/1.1 418 ")
    );
    assert!(
        ask(&app, "GET /b/c HTTP/1.1\nhost: a")
            .await
            .ends_with("\n/b")
    );
}

#[test]
fn the_house_prints_itself() {
    let (_, app) = house();
    let outline = app.outline().to_string().replace(SITE, "SITE");
    assert_snapshot!(outline, @r"
    AccessLog  format: combined, to: memory
    Around
    Mounts
    ├─ /greet
    │  ServerTiming  metric: app, only: some requests
    │  greet
    └─ /
       StaticFiles  root: SITE, index: index.html
    ");
    assert_eq!(app.outline().check(), []);
}
