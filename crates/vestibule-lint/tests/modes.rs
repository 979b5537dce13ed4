//! The ways in which violations are reported.

use http::StatusCode;
use vestibule_core::{App, Body, CatchPanic, Failure, FilePart, Next, Request, Response, around};
use vestibule_lint::Lint;

use crate::support::Step::Data;
use crate::support::{Violations, app, body, response};

async fn empty(_: Request) -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

#[tokio::test]
async fn the_header_names_each_broken_rule() {
    let lint = Lint::new(app(|| response("405\netag: a", Body::empty()))).header();
    let response = lint.call(Request::default()).await;
    let told: Vec<_> = response
        .headers()
        .get_all("vestibule-lint")
        .iter()
        .collect();
    assert_eq!(told, ["allow-with-405", "etag-syntax"]);
}

#[tokio::test]
async fn a_panic_has_the_sentence() {
    let response = CatchPanic::new(Lint::new(empty).panics())
        .call(Request::default())
        .await;
    let cause = Failure::of(&response).unwrap().to_string();
    assert!(cause.contains("A 405 has an Allow field."), "{cause}");
}

#[tokio::test]
async fn a_panic_in_a_body_becomes_its_error() {
    let lint = Lint::new(app(|| response("204", body([Data("a")])))).panics();
    let error = lint
        .call(Request::default())
        .await
        .into_body()
        .collect(9)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("1xx, 204 and 304 have no bytes."),
        "{error}"
    );
}

#[tokio::test]
async fn each_rule_is_reported_once_per_call() {
    let told = Violations::default();
    let lint = told.on(Lint::new(empty));
    lint.call(Request::default()).await;
    assert_eq!(told.all().len(), 1);
    lint.call(Request::default()).await;
    assert_eq!(told.all().len(), 2);
}

#[tokio::test]
async fn a_rule_may_be_allowed() {
    let told = Violations::default();
    told.on(Lint::new(empty))
        .allow("allow-with-405")
        .call(Request::default())
        .await;
    assert_eq!(told.all(), []);
}

#[test]
#[should_panic(expected = "no rule is called \"alow\"")]
fn an_unknown_rule_cannot_be_allowed() {
    let _ = Lint::new(empty).allow("alow");
}

#[tokio::test]
async fn bodies_in_memory_and_files_are_kept() {
    let pass = || around(|request, next: Next| async move { next.call(request).await });
    let whole = Lint::both(app(|| Response::new(Body::from("abc"))), pass());
    let response = whole.call(Request::default()).await;
    assert_eq!(response.body().as_bytes().unwrap(), "abc");

    let file = Lint::both(
        app(|| {
            let part = FilePart::new(std::path::Path::new("/a"), 0, 1);
            Response::new(body([Data("a")]).with_file(part))
        }),
        pass(),
    );
    let response = file.call(Request::default()).await;
    assert_eq!(response.body().as_file().unwrap().length(), 1);
    assert_eq!(response.into_body().collect(9).await.unwrap(), "a");
}

#[tokio::test]
async fn the_outline_shows_both_halves() {
    let lint = Lint::both(empty, CatchPanic::new);
    assert_eq!(
        lint.boxed().outline().to_string(),
        "Lint\nCatchPanic\nLint\nempty\n"
    );
}
