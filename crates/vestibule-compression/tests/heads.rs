//! The head of an encoded response, and revalidation.

use vestibule_compression::{Coding, Compression, Types, Uncompressed};
use vestibule_core::{App, Body, IntoResponse, Request, Response};

use crate::support::*;

const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];

#[tokio::test]
async fn head_has_the_head_of_get() {
    /// Answers as a good app does: the same head, no body for HEAD.
    async fn page(request: Request) -> Response {
        let body = match *request.method() {
            http::Method::HEAD => Body::empty(),
            _ => Body::from(words(10_000)),
        };
        let lines = [
            ("content-type", "text/html"),
            ("content-length", "10000"),
            ("etag", "\"v\""),
            ("accept-ranges", "bytes"),
        ];
        (lines, Response::new(body)).into_response()
    }
    let app = Compression::new(page);
    let (got, _) = ask(&app, get(GZIP)).await;
    let mut head = get(GZIP);
    *head.method_mut() = http::Method::HEAD;
    let (head, bytes) = ask(&app, head).await;
    assert!(bytes.is_empty());
    // The length of what a GET sends is not known without making it (RFC 9110, section 9.3.2).
    let mut want = got.headers().clone();
    assert!(want.remove("content-length").is_some());
    assert_eq!(*head.headers(), want);

    // An app that leaves the body to the server has it to the byte.
    let app = Compression::new(text(10_000));
    let mut head = get(GZIP);
    *head.method_mut() = http::Method::HEAD;
    let (head, _) = ask(&app, head).await;
    let (got, _) = ask(&app, get(GZIP)).await;
    assert_eq!(head.headers(), got.headers());
}

#[tokio::test]
async fn revalidation_works_end_to_end() {
    /// Compares tags as naive apps do: by the text of the field.
    async fn page(request: Request) -> Response {
        let is_same = |name| {
            request
                .headers()
                .get(name)
                .is_some_and(|tag| tag == "\"v1\"")
        };
        if is_same("if-none-match") {
            return (http::StatusCode::NOT_MODIFIED, [("etag", "\"v1\"")], ()).into_response();
        }
        let lines = [("content-type", "text/html"), ("etag", "\"v1\"")];
        (lines, words(5_000)).into_response()
    }
    let app = Compression::new(page);
    for &coding in Coding::ALL {
        let (first, _) = ask(&app, get(&[("accept-encoding", coding.token())])).await;
        let tag = header(&first, "etag").to_owned();
        assert_eq!(tag, format!("\"v1+{coding}\""));
        let again = get(&[("accept-encoding", coding.token()), ("if-none-match", &tag)]);
        let (again, _) = ask(&app, again).await;
        assert_eq!(again.status(), 304);
        assert_eq!(header(&again, "etag"), tag);
        assert_eq!(header(&again, "vary"), "accept-encoding");
        assert_eq!(header(&again, "content-encoding"), "");
    }
    let (plain, _) = ask(&app, get(&[("if-none-match", "\"v1\"")])).await;
    assert_eq!(
        (plain.status().as_u16(), header(&plain, "etag")),
        (304, "\"v1\"")
    );
}

#[tokio::test]
async fn vary_is_on_what_might_have_been_encoded() {
    let cases: &[(&str, &str, usize, &str)] = &[
        // Accept-Encoding, type, size, Vary
        ("gzip", "text/html", 5_000, "accept-encoding"),
        ("identity", "text/html", 5_000, "accept-encoding"),
        ("", "text/html", 5_000, "accept-encoding"),
        ("gzip", "image/png", 5_000, ""),
        ("gzip", "text/html", 10, ""),
    ];
    for &(accept, kind, size, vary) in cases {
        let app = Compression::new(answers(move || {
            ([("content-type", kind)], words(size)).into_response()
        }));
        let (response, _) = ask(&app, get(&[("accept-encoding", accept)])).await;
        assert_eq!(header(&response, "vary"), vary, "{accept} {kind} {size}");
    }
}

#[tokio::test]
async fn a_406_comes_before_the_app_and_only_when_asked_for() {
    let refusing = &[("accept-encoding", "identity;q=0, snappy")];
    let (response, bytes) = ask(&Compression::new(text(5_000)), get(refusing)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(bytes, words(5_000));
    let app = answers(|| panic!("the app was called"));
    let app = Compression::new(app).strict(true);
    let (response, _) = ask(&app, get(refusing)).await;
    assert_eq!(response.status(), 406);
    assert_eq!(header(&response, "vary"), "accept-encoding");
}

#[tokio::test]
async fn options_are_kept() {
    let app = Compression::new(text(5_000))
        .level(Coding::Gzip, 1)
        .codings(&[Coding::Gzip, Coding::Zstd])
        .level(Coding::Zstd, 200);
    let outline = app.boxed().outline().to_string();
    assert!(outline.contains("gzip:1 zstd:19"), "{outline}");

    let app = Compression::new(text(5_000)).only(|_: &Response| false);
    assert_eq!(
        header(&ask(&app, get(GZIP)).await.0, "content-encoding"),
        ""
    );
    let app = Compression::new(text(5_000)).only(Types);
    assert_eq!(
        header(&ask(&app, get(GZIP)).await.0, "content-encoding"),
        "gzip"
    );
    let app = Compression::new(text(5_000)).codings(&[]);
    assert_eq!(
        header(&ask(&app, get(GZIP)).await.0, "content-encoding"),
        ""
    );
    let app = Compression::new(answers(|| {
        let mut response = ([("content-type", "text/plain")], words(5_000)).into_response();
        response.extensions_mut().insert(Uncompressed);
        response
    }));
    let (response, _) = ask(&app, get(GZIP)).await;
    assert_eq!(header(&response, "content-encoding"), "");
    assert_eq!(header(&response, "vary"), "");
}

#[tokio::test]
async fn padded_bodies_differ_in_size_and_have_weak_tags() {
    for &coding in Coding::ALL {
        let app = Compression::new(answers(|| {
            (
                [("content-type", "text/html"), ("etag", "\"v\"")],
                words(5_000),
            )
                .into_response()
        }));
        let app = app.codings(&[coding]).padding(300);
        let mut sizes = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let (response, bytes) = ask(&app, get(&[("accept-encoding", coding.token())])).await;
            assert_eq!(header(&response, "etag"), "W/\"v\"");
            sizes.insert(bytes.len());
            assert_eq!(decode(coding, &bytes), words(5_000));
        }
        assert!(sizes.len() >= 8, "{coding}: {sizes:?}");
        let spread = sizes.last().unwrap() - sizes.first().unwrap();
        assert!((50..=330).contains(&spread), "{coding}: {spread}");
    }
}
