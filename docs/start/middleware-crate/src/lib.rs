//! Keeps pages out of search engines.

use vestibule_core::http::{HeaderName, HeaderValue};
use vestibule_core::{App, PathView, Request, Response};

/// Sets `X-Robots-Tag: noindex` on responses, for the whole site or for the paths below a prefix.
///
/// A value that the app sets itself is kept.
///
/// ```
/// use middleware_crate::RobotsTag;
/// use vestibule_core::{App, Request, Stack};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let app = Stack::new()
///     .with(RobotsTag::new)
///     .app(|_: Request| async { "a draft" });
/// let response = app.call(Request::default()).await;
/// assert_eq!(response.headers()["x-robots-tag"], "noindex");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RobotsTag<A> {
    app: A,
    prefix: &'static str,
    value: HeaderValue,
}

impl<A: App> RobotsTag<A> {
    /// Wraps `app`.
    pub fn new(app: A) -> Self {
        Self {
            app,
            prefix: "/",
            value: HeaderValue::from_static("noindex"),
        }
    }

    /// Sets the path prefix whose responses get the header, as in `/drafts`. Defaults to `/`.
    #[must_use]
    pub fn under(mut self, prefix: &'static str) -> Self {
        self.prefix = prefix;
        self
    }

    /// Sets the value of the header. Defaults to `noindex`.
    #[must_use]
    pub fn value(mut self, value: HeaderValue) -> Self {
        self.value = value;
        self
    }
}

impl<A: App> App for RobotsTag<A> {
    async fn call(&self, request: Request) -> Response {
        // Before the app: a path that cannot be read gets the header, which is the safe side.
        let applies = PathView::of(&request).map_or(true, |path| path.starts_with(self.prefix));
        let mut response = self.app.call(request).await;
        // After the app.
        if applies {
            let entry = response.headers_mut().entry(X_ROBOTS_TAG);
            entry.or_insert_with(|| self.value.clone());
        }
        response
    }
}

const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");
