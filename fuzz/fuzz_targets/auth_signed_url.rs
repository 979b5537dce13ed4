#![no_main]

use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::Uri;
use libfuzzer_sys::fuzz_target;
use vestibule_auth::{Scheme, SignedUrl, Verdict};
use vestibule_core::Request;

static LINKS: LazyLock<SignedUrl> = LazyLock::new(|| SignedUrl::new([7; 32]).clock(|| 1000));

fn is_known(target: &str) -> Option<bool> {
    let mut request = Request::default();
    *request.uri_mut() = target.parse::<Uri>().ok()?;
    let verdict = {
        let mut identify = pin!(LINKS.identify(&request));
        match identify
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(verdict) => verdict,
            Poll::Pending => panic!("nothing to wait for"),
        }
    };
    LINKS.strip(&mut request);
    Some(matches!(verdict, Verdict::Known(_)))
}

// A text is not a valid link, unless it was signed.
fuzz_target!(|target: &str| {
    assert_ne!(is_known(target), Some(true));
    if target.starts_with('/') && !target.contains('#') {
        assert_ne!(
            is_known(&LINKS.sign(target, Duration::from_secs(60))),
            Some(false)
        );
    }
});
