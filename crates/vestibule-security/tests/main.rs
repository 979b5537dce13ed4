//! The middleware under the common battery.

use vestibule_core::{MapRequest, Request, Scheme};
use vestibule_security::{ProxyHeaders, RedirectHttps};

#[tokio::test]
async fn proxy_headers() {
    vestibule_test::battery(ProxyHeaders::new).await;
}

#[tokio::test]
async fn proxy_headers_that_trust() {
    let trusting = |app| {
        ProxyHeaders::new(app)
            .trust_count(1)
            .host(true)
            .prefix(true)
    };
    vestibule_test::battery(trusting).await;
}

#[tokio::test]
async fn redirect_https() {
    let by_https = |mut request: Request| {
        request.extensions_mut().insert(Scheme::Https);
        request
    };
    vestibule_test::battery(move |app| MapRequest::new(RedirectHttps::new(app), by_https)).await;
}
