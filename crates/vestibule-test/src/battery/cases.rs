//! The cases. Each has a sentence and a test function.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use http_body::{Body as _, Frame};
use vestibule_core::{
    App, Body, BodySender, BoxError, Failure, FilePart, IntoResponse, Request, Response,
};
use vestibule_lint::torture;

use super::bench::Step::{Data, Error, Trailers, Wait};
use super::bench::{Bench, Counts, chunks, ensure, read, settle, steps, text, trailers};

/// A case: its sentence, and its test function.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    pub(super) run: fn(Bench) -> Pin<Box<dyn Future<Output = Tried>>>,
}

type Tried = Result<(), String>;

macro_rules! cases {
    ($($function:ident $name:literal: $says:literal,)+) => {
        /// All cases, in their order.
        pub(super) static CASES: &[Case] = &[$(
            Case { name: $name, says: $says, run: |bench| Box::pin($function(bench)) },
        )+];
    };
}

cases! {
    get "get": "A GET reaches the app, and its complete response is returned.",
    head "head": "A response to HEAD has no body bytes, and the headers of GET.",
    statuses "statuses": "Statuses pass, and 204, 304 and empty answers stay empty.",
    failure "failure": "The cause of a 500 stays in its extensions.",
    repeated_headers "repeated-headers": "Repeated headers stay repeated.",
    streaming "streaming": "A streaming body passes in order, each chunk before the next is created.",
    coded_streaming "coded-streaming": "A body streams also to a client that accepts any coding.",
    large "large": "A large body passes completely, and its Content-Length is right.",
    file "file": "A body with a file keeps the file, or has no file.",
    trailers_kept "trailers": "Trailers pass.",
    body_error "body-error": "An error in a body passes: the body does not look complete.",
    on_end "on-end": "The end callbacks of each body run once.",
    client_gone "client-gone": "The client may close the connection at each await and after each frame.",
    extensions "extensions": "Extensions of requests and responses pass.",
    uri "uri": "The app sees the URI, the method and the version of the request.",
    upload "upload": "A request body streams: the app may respond during the upload.",
    unread_upload "unread-upload": "An app may respond without reading the request body.",
    upload_error "upload-error": "An error in a request body reaches the app.",
    concurrent "concurrent": "A hundred concurrent calls do not mix.",
    panics "panics": "A panic inside has no later effects: the next calls get a response.",
    upgrade "upgrade": "A 101 passes unchanged, with the extensions of the upgrade.",
    tunnel "tunnel": "The body of a CONNECT's 2xx passes unchanged, in both directions.",
    methods "methods": "Every method and every version gets a response.",
    hostile_headers "hostile-headers": "Headers with any bytes get a response.",
}

/// Creates an app that returns the responses of `f`.
fn answers(f: impl Fn() -> Response + Send + Sync + 'static) -> impl App {
    move |_: Request| {
        let response = f();
        async { response }
    }
}

async fn get(bench: Bench) -> Tried {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let app = bench.app(answers(move || {
        count.fetch_add(1, Ordering::SeqCst);
        let mut response = text(200, "hello");
        response
            .headers_mut()
            .insert("x-own", HeaderValue::from_static("1"));
        response
    }));
    let response = app.call(bench.get()).await;
    ensure(calls.load(Ordering::SeqCst) > 0, || {
        let status = response.status().as_u16();
        format!(
            "the app is not called, the response is {status}; set a header that the middleware accepts by `header`"
        )
    })?;
    let status = response.status().as_u16();
    ensure(status == 200, || {
        format!("the app responds with 200, it becomes {status}")
    })?;
    ensure(response.headers().contains_key("x-own"), || {
        "a header of the app is missing".to_owned()
    })?;
    bench.same_bytes(&read(response.into_body()).await.bytes, b"hello")
}

async fn head(bench: Bench) -> Tried {
    for coding in ["", "\naccept-encoding: gzip, br, zstd, deflate"] {
        // Larger than the minimum size of compression.
        let whole: &'static str = "All work and no play makes Jack a dull boy. "
            .repeat(99)
            .leak();
        let app = bench.app(move |request: Request| async move {
            let mut response = text(
                200,
                match request.method().as_str() {
                    "HEAD" => "",
                    _ => whole,
                },
            );
            response
                .headers_mut()
                .insert("content-length", HeaderValue::from(whole.len()));
            response
        });
        let got = app
            .call(bench.request(&format!("GET /a HTTP/1.1\nhost: example.org{coding}")))
            .await;
        let head = app
            .call(bench.request(&format!("HEAD /a HTTP/1.1\nhost: example.org{coding}")))
            .await;
        if !bench.is_from_app(&head, 200)? {
            return Ok(());
        }
        // RFC 9110, section 9.3.2: HEAD may omit fields that are known only after the content is
        // generated.
        let is_optional = |name: &str| {
            matches!(
                name,
                "content-length" | "content-encoding" | "vary" | "etag"
            )
        };
        let names = |headers: &HeaderMap| -> BTreeSet<String> {
            let all = headers.keys().map(|name| name.as_str().to_owned());
            all.filter(|name| !is_optional(name)).collect()
        };
        let (of_get, of_head) = (names(got.headers()), names(head.headers()));
        ensure(of_get == of_head, || {
            format!("GET has {of_get:?}, HEAD has {of_head:?}")
        })?;
        for name in ["content-length", "content-encoding", "etag"] {
            let (of_get, of_head) = (got.headers().get(name), head.headers().get(name));
            ensure(
                of_head.is_none() || of_get.is_none() || of_get == of_head,
                || format!("{name} is {of_get:?} for GET and {of_head:?} for HEAD"),
            )?;
        }
        let bytes = read(head.into_body()).await.bytes.len();
        ensure(bytes == 0, || {
            format!("the response to HEAD has {bytes} bytes")
        })?;
    }
    Ok(())
}

async fn statuses(bench: Bench) -> Tried {
    for status in [200, 201, 204, 304, 400, 404, 500, 503] {
        let app = bench.app(answers(move || {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
            response
        }));
        let response = app
            .call(bench.request("GET /a HTTP/1.1\nhost: example.org\nif-none-match: \"x\""))
            .await;
        if !bench.is_from_app(&response, status)? {
            continue;
        }
        let got = read(response.into_body()).await;
        ensure(got.bytes.is_empty() || bench.options.changes_body, || {
            format!("the empty body of a {status} has {} bytes", got.bytes.len())
        })?;
        ensure(got.error.is_none(), || {
            format!("the body of a {status} ends in an error")
        })?;
    }
    Ok(())
}

async fn failure(bench: Bench) -> Tried {
    let app = bench.app(answers(|| Failure::new("the cause").into_response()));
    let response = app.call(bench.get()).await;
    if !bench.is_from_app(&response, 500)? {
        return Ok(());
    }
    let cause = Failure::of(&response).map(Failure::to_string);
    ensure(cause.as_deref() == Some("the cause"), || {
        format!("the cause is {cause:?}")
    })
}

async fn repeated_headers(bench: Bench) -> Tried {
    let app = bench.app(answers(|| {
        let mut response = text(200, "hello");
        for (name, value) in [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("link", "</a>"),
            ("link", "</b>"),
            ("vary", "accept"),
            ("vary", "origin"),
        ] {
            response
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        response
    }));
    let response = app.call(bench.get()).await;
    let all = |name| -> Vec<&str> {
        let values = response.headers().get_all(name).iter();
        values.filter_map(|value| value.to_str().ok()).collect()
    };
    for (name, values) in [
        ("set-cookie", ["a=1", "b=2"]),
        ("link", ["</a>", "</b>"]),
        ("vary", ["accept", "origin"]),
    ] {
        let now = all(name).join(", ");
        let is_kept = values.iter().all(|value| now.contains(value));
        ensure(is_kept, || {
            format!("{name} is {values:?}, it becomes {now:?}")
        })?;
    }
    Ok(())
}

/// Creates each chunk after the previous one has come out.
async fn piece_by_piece(bench: &Bench, request: Request) -> Tried {
    let (mut sender, body) = Body::channel();
    let body = std::sync::Mutex::new(Some(body));
    let app = bench.app(answers(move || {
        let body = body.lock().ok().and_then(|mut body| body.take());
        let mut response = text(200, body.unwrap_or_default());
        response.headers_mut().insert(
            "content-type",
            HeaderValue::from_static("text/event-stream"),
        );
        response
    }));
    let pieces = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];
    if bench.options.buffers {
        let writer = tokio::spawn(async move {
            for piece in pieces {
                let _ = sender.send(piece).await;
            }
            sender.finish();
        });
        let got = read(app.call(request).await.into_body()).await;
        let _ = writer.await;
        return bench.same_bytes(&got.bytes, pieces.concat().as_bytes());
    }
    let response = app.call(request).await;
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    let is_coded = response.headers().contains_key("content-encoding");
    let mut body = response.into_body();
    let mut all = Vec::new();
    for piece in pieces {
        sender
            .send(piece)
            .await
            .map_err(|_| "the body is dropped before its end".to_owned())?;
        let mut now = Vec::new();
        // A chunk may be split.
        while now.is_empty()
            || (!is_coded && !bench.options.changes_body && now.len() < piece.len())
        {
            let frame = body
                .frame()
                .await
                .ok_or_else(|| format!("the body ends before {piece:?}"))?;
            let frame =
                frame.map_err(|error| format!("the body fails before {piece:?}: {error}"))?;
            now.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        all.extend_from_slice(&now);
    }
    sender.finish();
    let rest = read(body).await;
    all.extend_from_slice(&rest.bytes);
    ensure(rest.error.is_none(), || {
        format!("the body ends in {:?}", rest.error)
    })?;
    if is_coded {
        Ok(())
    } else {
        bench.same_bytes(&all, pieces.concat().as_bytes())
    }
}

async fn streaming(bench: Bench) -> Tried {
    let request = bench.get();
    piece_by_piece(&bench, request).await
}

async fn coded_streaming(bench: Bench) -> Tried {
    let request = bench
        .request("GET /a HTTP/1.1\nhost: example.org\naccept-encoding: gzip, br, zstd, deflate");
    piece_by_piece(&bench, request).await
}

async fn large(bench: Bench) -> Tried {
    let bytes: Vec<u8> = (0..LARGE)
        .map(|index: u32| index.to_be_bytes()[3] ^ index.to_be_bytes()[2])
        .collect();
    let whole = Bytes::from(bytes);
    for is_streaming in [false, true] {
        let own = whole.clone();
        let app = bench.app(answers(move || {
            let mut response = text(
                200,
                if is_streaming {
                    chunks(own.clone()).with_length(own.len() as u64)
                } else {
                    Body::from(own.clone())
                },
            );
            response
                .headers_mut()
                .insert("content-length", HeaderValue::from(own.len()));
            response
        }));
        let response = app.call(bench.get()).await;
        if !bench.is_from_app(&response, 200)? {
            continue;
        }
        let length = response
            .headers()
            .get("content-length")
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let got = read(response.into_body()).await;
        ensure(
            length.is_none_or(|length| length == got.bytes.len()),
            || {
                format!(
                    "Content-Length is {length:?}, the body has {} bytes",
                    got.bytes.len()
                )
            },
        )?;
        bench.same_bytes(&got.bytes, &whole)?;
    }
    Ok(())
}

async fn file(bench: Bench) -> Tried {
    let app = bench.app(answers(|| {
        let part = FilePart::new(std::path::Path::new("/srv/a.txt"), 0, 5);
        text(200, Body::from("hello").with_file(part))
    }));
    let response = app.call(bench.get()).await;
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    let part = response.body().as_file().cloned();
    let got = read(response.into_body()).await;
    let is_file = part.is_none() || got.bytes == b"hello";
    ensure(is_file, || {
        "the body has the file, but other bytes".to_owned()
    })
}

async fn trailers_kept(bench: Bench) -> Tried {
    let app = bench.app(answers(|| {
        text(200, steps([Data("a"), Wait, Data("b"), Trailers]))
    }));
    let response = app.call(bench.get()).await;
    if !bench.is_from_app(&response, 200)? || bench.options.buffers {
        return Ok(());
    }
    let got = read(response.into_body()).await;
    ensure(got.trailers == Some(trailers()), || {
        format!("the trailers are {:?}", got.trailers)
    })?;
    bench.same_bytes(&got.bytes, b"ab")
}

async fn body_error(bench: Bench) -> Tried {
    let app = bench.app(answers(|| text(200, steps([Data("a"), Wait, Error]))));
    let response = app.call(bench.get()).await;
    if response.status().is_server_error() && bench.options.buffers {
        return Ok(());
    }
    let got = read(response.into_body()).await;
    ensure(got.error.is_some(), || {
        format!(
            "the body ends without an error, after {} bytes",
            got.bytes.len()
        )
    })
}

async fn on_end(bench: Bench) -> Tried {
    let bodies: [fn() -> Body; 4] = [
        || Body::from("hello"),
        Body::empty,
        || steps([Data("a"), Wait, Data("b")]),
        || steps([Data("a"), Trailers]),
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let counts = Counts::default();
        let own = counts.clone();
        let app = bench.app(answers(move || text(200, own.body(body()))));
        let mut body = app.call(bench.get()).await.into_body();
        while body.frame().await.is_some() {}
        for _ in 0..3 {
            ensure(body.frame().await.is_none(), || {
                "the body goes on after its end".to_owned()
            })?;
        }
        ensure(body.is_end_stream(), || {
            "the body has ended, but `is_end_stream` is false".to_owned()
        })?;
        drop(body);
        counts
            .all_over()
            .await
            .map_err(|wrong| format!("body {index}: {wrong}"))?;
        let [complete, aborted, failed] = counts.ends();
        ensure(
            (aborted, failed) == (0, 0) || bench.options.changes_body,
            || {
                format!(
                    "body {index} was read to its end, and {complete} are complete, {aborted} aborted, {failed} failed"
                )
            },
        )?;
    }
    let counts = Counts::default();
    let own = counts.clone();
    let app = bench.app(answers(move || text(200, own.body(Body::from("hello")))));
    drop(app.call(bench.get()).await);
    counts
        .all_over()
        .await
        .map_err(|wrong| format!("a dropped response: {wrong}"))
}

async fn client_gone(bench: Bench) -> Tried {
    let counts = Counts::default();
    let own = counts.clone();
    let app = bench.app(move |request: Request| {
        let counts = own.clone();
        async move {
            let live = counts.call();
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            drop(request);
            drop(live);
            text(
                200,
                counts.body(steps([Data("a"), Wait, Data("b"), Data("c")])),
            )
        }
    });
    let torture = torture(&app, || bench.get()).await;
    if let Some(violation) = torture.violations.first() {
        return Err(violation.detail.clone());
    }
    counts.all_over().await?;
    // Tests uploads as well: the app waits for more data when the call is dropped.
    let app = bench.app(|request: Request| async move {
        let got = read(request.into_body()).await;
        text(200, got.bytes)
    });
    let counts = Counts::default();
    let (sender, body) = Body::channel();
    let mut request = bench.request("POST /a HTTP/1.1\nhost: example.org");
    *request.body_mut() = counts.body(body);
    let gone = tokio::time::timeout(std::time::Duration::from_millis(5), app.call(request)).await;
    if gone.is_err() {
        drop(sender);
        counts
            .all_over()
            .await
            .map_err(|wrong| format!("a dropped call that waited for its request body: {wrong}"))?;
    }
    Ok(())
}

/// An extension of the test.
#[derive(Clone, Debug, PartialEq)]
struct Note(&'static str);

async fn extensions(bench: Bench) -> Tried {
    let app = bench.app(|request: Request| async move {
        let note = request.extensions().get::<Note>();
        let seen = if note == Some(&Note("in")) {
            "kept"
        } else {
            "gone"
        };
        let mut response = text(200, seen);
        let seen = HeaderValue::from_static(seen);
        response.headers_mut().insert("x-note", seen);
        response.extensions_mut().insert(Note("out"));
        response
    });
    let mut request = bench.get();
    request.extensions_mut().insert(Note("in"));
    let response = app.call(request).await;
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    let note = response.headers().get("x-note");
    ensure(note.is_none_or(|note| note == "kept"), || {
        "an extension of the request is missing".to_owned()
    })?;
    let note = response.extensions().get::<Note>();
    ensure(note == Some(&Note("out")), || {
        "an extension of the response is missing".to_owned()
    })
}

async fn uri(bench: Bench) -> Tried {
    let wants = [
        "/a/b?c=d&e",
        "/a%2Fb/%C3%A9?x=%20",
        "/?",
        "http://example.org/a?b",
    ];
    for want in wants {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let app = bench.app(|request: Request| async move {
                let seen = format!(
                    "{} {:?} {}",
                    request.method(),
                    request.version(),
                    request.uri()
                );
                let mut response = text(200, "hello");
                if let Ok(seen) = HeaderValue::from_str(&seen) {
                    response.headers_mut().insert("x-seen", seen);
                }
                response
            });
            let mut request = bench.request(&format!("GET {want} HTTP/1.1\nhost: example.org"));
            *request.version_mut() = version;
            let want = format!("GET {version:?} {}", request.uri());
            let response = app.call(request).await;
            if !bench.is_from_app(&response, 200)? {
                continue;
            }
            let seen = response
                .headers()
                .get("x-seen")
                .and_then(|seen| seen.to_str().ok());
            ensure(seen.is_none_or(|seen| seen == want), || {
                format!("{want:?} came, the app sees {seen:?}")
            })?;
        }
    }
    Ok(())
}

/// Creates a request whose body is written during the call.
fn uploading(bench: &Bench) -> (BodySender, Request) {
    let (sender, body) = Body::channel();
    let mut request =
        bench.request("POST /a HTTP/1.1\nhost: example.org\ncontent-type: text/plain");
    *request.body_mut() = body;
    (sender, request)
}

async fn upload(bench: Bench) -> Tried {
    // The app returns the request body while it arrives.
    let app = bench.app(|request: Request| async move { text(200, request.into_body()) });
    let (mut sender, request) = uploading(&bench);
    if bench.options.buffers {
        let writer = tokio::spawn(async move {
            for piece in ["one", "two"] {
                let _ = sender.send(piece).await;
            }
            sender.finish();
        });
        let response = app.call(request).await;
        if !bench.is_from_app(&response, 200)? {
            return Ok(());
        }
        let got = read(response.into_body()).await;
        let _ = writer.await;
        return bench.same_bytes(&got.bytes, b"onetwo");
    }
    let response = app.call(request).await;
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    let mut body = response.into_body();
    for piece in ["one", "two", "three"] {
        sender
            .send(piece)
            .await
            .map_err(|_| "the request body is dropped before its end".to_owned())?;
        let mut now = Vec::new();
        while now.is_empty() {
            let frame = body
                .frame()
                .await
                .ok_or("the body ends before the request body")?;
            let frame = frame.map_err(|error| format!("the body fails: {error}"))?;
            now.extend_from_slice(&frame.into_data().unwrap_or_default());
        }
        bench.same_bytes(&now, piece.as_bytes())?;
    }
    sender.finish_with(trailers());
    let got = read(body).await;
    ensure(got.trailers == Some(trailers()), || {
        format!("the trailers are {:?}", got.trailers)
    })
}

async fn unread_upload(bench: Bench) -> Tried {
    if bench.options.buffers {
        return Ok(());
    }
    let app = bench.app(answers(|| text(200, "hello")));
    let (sender, request) = uploading(&bench);
    let response = app.call(request).await;
    drop(sender);
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    bench.same_bytes(&read(response.into_body()).await.bytes, b"hello")
}

async fn upload_error(bench: Bench) -> Tried {
    let app = bench.app(|request: Request| async move {
        let got = read(request.into_body()).await;
        let status = if got.error.is_some() { 400 } else { 200 };
        text(status, "read")
    });
    let mut request = bench.request("POST /a HTTP/1.1\nhost: example.org");
    *request.body_mut() = steps([Data("a"), Wait, Error]);
    let status = app.call(request).await.status();
    ensure(!status.is_success(), || {
        "the app reads a complete body, but the request had none".to_owned()
    })
}

async fn concurrent(bench: Bench) -> Tried {
    let app = bench.app(|request: Request| async move {
        let id = request.headers().get("x-call").cloned();
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        let body = read(request.into_body()).await.bytes;
        let mut response = text(200, body);
        if let Some(id) = id {
            response.headers_mut().insert("x-call", id);
        }
        response
    });
    let mut calls = Vec::new();
    for index in 0..CALLS {
        let request = bench.request(&format!(
            "POST /a HTTP/1.1\nhost: example.org\nx-call: {index}\n\nbody of {index}"
        ));
        let app = app.clone();
        calls.push(tokio::spawn(async move {
            let response = app.call(request).await;
            let (head, body) = response.into_parts();
            (head, read(body).await)
        }));
    }
    for (index, call) in calls.into_iter().enumerate() {
        let (head, got) = call
            .await
            .map_err(|error| format!("call {index}: {error}"))?;
        let response = Response::from_parts(head, Body::empty());
        if !bench.is_from_app(&response, 200)? {
            continue;
        }
        let id = response
            .headers()
            .get("x-call")
            .and_then(|id| id.to_str().ok());
        ensure(id == Some(&index.to_string()), || {
            format!("call {index} has the response of {id:?}")
        })?;
        bench.same_bytes(&got.bytes, format!("body of {index}").as_bytes())?;
    }
    Ok(())
}

async fn panics(bench: Bench) -> Tried {
    let counts = Counts::default();
    let own = counts.clone();
    let app = bench.app(move |request: Request| {
        let counts = own.clone();
        async move {
            let _live = counts.call();
            let kind = request.headers().get("x-panic").cloned();
            match kind.as_ref().map(HeaderValue::as_bytes) {
                Some(b"early") => panic!("the app panics, as this case requires"),
                Some(b"late") => {
                    tokio::task::yield_now().await;
                    panic!("the app panics, as this case requires")
                }
                Some(_) => text(200, Body::new(Panics)),
                None => text(200, "hello"),
            }
        }
    });
    for kind in ["early", "late", "body"].repeat(4) {
        let request = bench.request(&format!(
            "GET /a HTTP/1.1\nhost: example.org\nx-panic: {kind}"
        ));
        let panicking = app.clone();
        let call = tokio::spawn(async move {
            let response = panicking.call(request).await;
            (response.status(), read(response.into_body()).await)
        });
        // A panic may pass, or become a response, but not a successful response with a complete
        // body.
        if let Ok((status, got)) = call.await {
            ensure(status.is_server_error() || got.error.is_some(), || {
                format!(
                    "the app panicked ({kind}), the response is {} and complete",
                    status.as_u16()
                )
            })?;
        }
        let response = app.call(bench.get()).await;
        let status = response.status().as_u16();
        ensure(status == 200, || {
            format!("after a panic ({kind}) the response is {status}")
        })?;
        bench.same_bytes(&read(response.into_body()).await.bytes, b"hello")?;
    }
    counts.all_over().await
}

/// The body of the `panics` case.
struct Panics;

impl http_body::Body for Panics {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        panic!("the body panics, as this case requires")
    }
}

async fn upgrade(bench: Bench) -> Tried {
    let counts = Counts::default();
    let own = counts.clone();
    let app = bench.app(move |request: Request| {
        let has_note = request.extensions().get::<Note>().is_some();
        let body = own.body(Body::empty());
        async move {
            let mut response = Response::new(body);
            *response.status_mut() = if has_note {
                StatusCode::SWITCHING_PROTOCOLS
            } else {
                StatusCode::BAD_REQUEST
            };
            for (name, value) in [("upgrade", "websocket"), ("connection", "upgrade")] {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            response.extensions_mut().insert(Note("switched"));
            response
        }
    });
    let mut request = bench.request(
        "GET /a HTTP/1.1\nhost: example.org\nconnection: upgrade\nupgrade: websocket\naccept-encoding: gzip",
    );
    // Adapters store the upgrade in the extensions.
    request.extensions_mut().insert(Note("upgrade"));
    let response = app.call(request).await;
    if !bench.is_from_app(&response, 101)? {
        return Ok(());
    }
    for (name, want) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        let value = response.headers().get(name);
        ensure(value.is_some_and(|value| value == want), || {
            format!("{name} is {value:?}")
        })?;
    }
    for name in [
        "content-encoding",
        "transfer-encoding",
        "content-length",
        "content-type",
    ] {
        ensure(!response.headers().contains_key(name), || {
            format!("a 101 has {name}")
        })?;
    }
    let note = response.extensions().get::<Note>();
    ensure(note == Some(&Note("switched")), || {
        "an extension of the response is missing".to_owned()
    })?;
    drop(response);
    counts.all_over().await
}

async fn tunnel(bench: Bench) -> Tried {
    let app = bench.app(|request: Request| async move { Response::new(request.into_body()) });
    let (mut sender, body) = Body::channel();
    let mut request = bench
        .request("CONNECT example.org:443 HTTP/1.1\nhost: example.org:443\naccept-encoding: gzip");
    *request.body_mut() = body;
    let response = app.call(request).await;
    if !bench.is_from_app(&response, 200)? {
        return Ok(());
    }
    for name in ["content-encoding", "content-length"] {
        ensure(!response.headers().contains_key(name), || {
            format!("a tunnel has {name}")
        })?;
    }
    let mut body = response.into_body();
    for piece in ["ping", "pong"] {
        sender
            .send(piece)
            .await
            .map_err(|_| "the tunnel is closed".to_owned())?;
        let frame = body.frame().await.ok_or("the tunnel ends")?;
        let data = frame
            .map_err(|error| error.to_string())?
            .into_data()
            .unwrap_or_default();
        ensure(data == piece, || format!("{piece:?} becomes {data:?}"))?;
    }
    sender.finish();
    ensure(body.frame().await.is_none(), || {
        "the tunnel goes on".to_owned()
    })
}

async fn methods(bench: Bench) -> Tried {
    let lines = [
        "GET /",
        "HEAD /",
        "POST /",
        "PUT /a",
        "DELETE /a",
        "PATCH /a",
        "OPTIONS /a",
        "OPTIONS *",
        "TRACE /",
        "PROPFIND /a",
        "QUERY /a",
    ];
    for line in lines {
        for version in ["HTTP/1.0", "HTTP/1.1", "HTTP/2"] {
            let app = bench.app(answers(|| Response::new(Body::empty())));
            let response = app
                .call(bench.request(&format!("{line} {version}\nhost: example.org")))
                .await;
            bench
                .is_from_app(&response, 200)
                .map_err(|wrong| format!("{line} {version}: {wrong}"))?;
            read(response.into_body()).await;
        }
    }
    Ok(())
}

async fn hostile_headers(bench: Bench) -> Tried {
    let names = [
        "accept",
        "accept-encoding",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "origin",
        "range",
        "referer",
        "sec-fetch-site",
        "access-control-request-method",
        "traceparent",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-request-id",
        "x-http-method-override",
    ];
    let mut values: Vec<Vec<u8>> = [
        "",
        ",",
        ";;;,,,q=",
        "a=b; c",
        "\"",
        "\"\\",
        "\"unended",
        "W/",
        "*",
        "*;q=1.5",
        "gzip;q=abc, *;q=0",
        "bytes=5-2,-0,18446744073709551616-",
        "Basic",
        "Basic ====",
        "Bearer a.b.c.d",
        "for=\"a;host=evil\"",
        "Sun, 31 Feb 99999 25:61:61 GMT",
        "null",
        "https://",
        "[::1",
        "a@b:c",
        "-1",
        "18446744073709551616",
        "%",
        "%zz",
        "../../..",
        "\t \t",
    ]
    .iter()
    .map(|value| value.as_bytes().to_vec())
    .collect();
    values.push(vec![0xff; 300]);
    values.push(vec![0xc3, 0x28, 0xe2, 0x82]);
    values.push(b",".repeat(8192));
    values.push(b"a=b; ".repeat(1600));
    values.push(b"gzip;q=0.1,".repeat(700));
    let app = bench.app(answers(|| text(200, "hello")));
    for name in names {
        for value in &values {
            let mut request = bench.get();
            let (Ok(name), Ok(own)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value),
            ) else {
                continue;
            };
            for times in 1..=2 {
                request.headers_mut().append(name.clone(), own.clone());
                let mut again = bench.get();
                *again.headers_mut() = request.headers().clone();
                let shown = String::from_utf8_lossy(value.get(..40).unwrap_or(value)).into_owned();
                let app = app.clone();
                let call =
                    tokio::spawn(async move { read(app.call(again).await.into_body()).await });
                let got = call.await;
                let got =
                    got.map_err(|error| format!("{name}: {shown:?}, {times} times: {error}"))?;
                ensure(got.error.is_none(), || {
                    format!("{name}: {shown:?}: the body ends in {:?}", got.error)
                })?;
            }
        }
    }
    settle().await;
    Ok(())
}

const LARGE: u32 = 4 << 20;
const CALLS: usize = 100;
