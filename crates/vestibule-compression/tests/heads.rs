//! The head of an encoded response, and revalidation.

use http_body::Body as _;
use vestibule_compression::{Coding, Compression, EncoderBudget, Types, Uncompressed};
use vestibule_core::{App, Body, IntoResponse, Request, Response};

use crate::support::*;

const GZIP: &[(&str, &str)] = &[("accept-encoding", "gzip")];

/// A HEAD is true of its GET, whatever the body of the GET is (RFC 9110, section 9.3.2).
#[tokio::test]
async fn head_says_of_its_coding_what_is_known() {
    /// Answers as a good app does: the same head, no body for HEAD.
    async fn page(request: Request) -> Response {
        let size: usize = request.uri().path()[1..].parse().unwrap();
        let body = match *request.method() {
            http::Method::HEAD => Body::empty(),
            _ => Body::from(words(size)),
        };
        let lines = [
            ("content-type", "text/html".to_owned()),
            ("content-length", size.to_string()),
            ("etag", "\"v\"".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("content-digest", "sha-256=:AAAA:".to_owned()),
        ];
        (lines, Response::new(body)).into_response()
    }
    let app = Compression::new(page).max_size(300_000);
    let plain = ("", "\"v\"", "bytes", true);
    let open = ("", "W/\"v\"", "", false);
    let coded = ("gzip", "\"v+gzip\"", "", false);
    let cases = [
        // size, Accept-Encoding, Content-Encoding, ETag, Accept-Ranges, whether the length is there
        (16, "gzip", plain),
        (859, "gzip", plain),
        (860, "gzip", open),
        (10_000, "gzip", open),
        (300_000, "gzip", open),
        (300_001, "gzip", plain),
        (10_000, "identity", plain),
        (10_000, "br;q=0, snappy", plain),
        // A client that refuses plain bytes gets its coding for sure.
        (16, "gzip, identity;q=0", coded),
        (10_000, "gzip, *;q=0", coded),
        (300_001, "gzip, identity;q=0", coded),
    ];
    for (size, accept, (coding, tag, ranges, has_length)) in cases {
        let mut head = get(&[("accept-encoding", accept)]);
        *head.method_mut() = http::Method::HEAD;
        *head.uri_mut() = format!("/{size}").parse().unwrap();
        let (head, bytes) = ask(&app, head).await;
        assert!(bytes.is_empty());
        let name = format!("{size}, {accept}: {:?}", head.headers());
        assert_eq!(header(&head, "content-encoding"), coding, "{name}");
        assert_eq!(header(&head, "etag"), tag, "{name}");
        assert_eq!(header(&head, "accept-ranges"), ranges, "{name}");
        let digest = head.headers().contains_key("content-digest");
        let length = head.headers().contains_key("content-length");
        assert_eq!((length, digest), (has_length, has_length), "{name}");
        let vary = if size < 860 && coding.is_empty() {
            ""
        } else {
            "accept-encoding"
        };
        assert_eq!(header(&head, "vary"), vary, "{name}");

        // Nothing in it is false of the GET.
        let mut request = get(&[("accept-encoding", accept)]);
        *request.uri_mut() = format!("/{size}").parse().unwrap();
        let (got, bytes) = ask(&app, request).await;
        for name in ["content-encoding", "content-length", "accept-ranges"] {
            let said = header(&head, name);
            assert!(
                said.is_empty() || said == header(&got, name),
                "{size}, {accept}: {name}"
            );
        }
        if length {
            assert_eq!(header(&head, "content-length"), bytes.len().to_string());
        }
    }

    // An app that leaves the body to the server has it to the byte.
    let app = Compression::new(text(10_000));
    let mut head = get(GZIP);
    *head.method_mut() = http::Method::HEAD;
    let (head, _) = ask(&app, head).await;
    let (got, _) = ask(&app, get(GZIP)).await;
    assert_eq!(head.headers(), got.headers());

    // Of a stream it is not known, and its length is not that of the plain bytes.
    let app = Compression::new(text(1_000_000));
    let mut head = get(GZIP);
    *head.method_mut() = http::Method::HEAD;
    let head = app.call(head).await;
    assert_eq!(header(&head, "content-encoding"), "");
    assert_eq!(header(&head, "vary"), "accept-encoding");
    assert_eq!(head.body().size_hint().exact(), None);
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
    let app = Compression::new(text(5_000))
        .max_size(7)
        .budget(EncoderBudget::new(9));
    let outline = app.boxed().outline().to_string();
    assert!(outline.contains("max_size: 7, budget: 9"), "{outline}");

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
