//! The middleware under the common battery.

use vestibule_security::ProxyHeaders;

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
