//! Runs each middleware through the common battery.

use vestibule_core::{MapRequest, Request, Scheme};
use vestibule_security::{ProxyHeaders, RedirectHttps};

#[tokio::test]
async fn proxy_headers_pass_the_battery() {
    vestibule_test::battery(ProxyHeaders::new).await;
}

#[tokio::test]
async fn trusting_proxy_headers_pass_the_battery() {
    let trusting = |app| {
        ProxyHeaders::new(app)
            .trust_count(1)
            .host(true)
            .prefix(true)
    };
    vestibule_test::battery(trusting).await;
}

#[tokio::test]
async fn redirect_https_passes_the_battery() {
    let by_https = |mut request: Request| {
        request.extensions_mut().insert(Scheme::Https);
        request
    };
    vestibule_test::battery(move |app| MapRequest::new(RedirectHttps::new(app), by_https)).await;
}
