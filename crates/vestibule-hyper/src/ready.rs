//! What a load balancer asks before it sends more.

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderName};
use vestibule_core::Request;

use crate::Shutdown;

/// An app that says whether the server takes more: 200 and `ready`, or 503 and `draining` once it is
/// about to end. It is for a place of its own, such as `/-/ready`.
///
/// New connections are refused when the drain has begun; [`Server::drain_delay`](crate::Server::drain_delay)
/// leaves time before it in which a load balancer hears of the 503 and sends nothing more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, Request};
///
/// assert_eq!(vestibule_hyper::ready.call(Request::default()).await.status(), 200);
/// # }
/// ```
#[doc(alias("health check", "healthz", "readiness"))]
pub async fn ready(
    request: Request,
) -> (StatusCode, [(HeaderName, &'static str); 1], &'static str) {
    let is_draining = Shutdown::of(&request).is_some_and(|shutdown| shutdown.has_begun());
    let (status, text) = match is_draining {
        true => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        false => (StatusCode::OK, "ready"),
    };
    (status, [(CACHE_CONTROL, "no-store")], text)
}
