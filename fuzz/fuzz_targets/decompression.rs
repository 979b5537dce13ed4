#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use vestibule_compression::{Coding, Compression, Decompression};
use vestibule_core::{App, Body, IntoResponse, Request, Response};

// The first byte selects a coding; the rest is decoded, and then encoded. Neither may panic, and
// decoding the encoded bytes gives the input.
fuzz_target!(|input: &[u8]| {
    let Some((&choice, data)) = input.split_first() else {
        return;
    };
    let coding = Coding::ALL[usize::from(choice) % Coding::ALL.len()];
    let app =
        Decompression::new(|request: Request| async { request.into_body().collect(1 << 22).await });
    let post = |body: Vec<u8>| {
        let mut request = Request::new(Body::from(body));
        let headers = request.headers_mut();
        headers.insert("content-encoding", coding.token().parse().unwrap());
        request
    };
    let status = now(app.call(post(data.to_vec()))).status().as_u16();
    assert!(matches!(status, 200 | 400 | 413), "{status}");

    let plain = data.to_vec();
    let page = move |_: Request| {
        let plain = plain.clone();
        async { ([("content-type", "text/plain")], plain).into_response() }
    };
    let page = Compression::new(page)
        .codings(&[coding])
        .level(coding, choice / 16);
    let mut request = Request::default();
    let accept = format!("{coding}, identity;q=0");
    request
        .headers_mut()
        .insert("accept-encoding", accept.parse().unwrap());
    let response: Response = now(page.call(request));
    if !data.is_empty() {
        assert_eq!(response.headers()["content-encoding"], coding.token());
        let coded = now(response.into_body().collect(1 << 22)).unwrap();
        let back = now(app.call(post(coded.to_vec())));
        assert_eq!(now(back.into_body().collect(1 << 22)).unwrap(), data);
    }
});

fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return output;
        }
    }
}
