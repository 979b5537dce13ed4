//! Finds the inner service of a layer that was built once, for each request.
//!
//! axum applies a layer to each route, method and connection, each time with another service.
//! Middleware that is built once cannot hold all of them. It holds a placeholder, which finds the
//! service of the request in one of two places:
//!
//! 1. the extension [`InnerService`], which stays with the request across tasks and queues;
//! 2. a thread-local list of the polled middleware, if a middleware has created a new request
//!    without extensions.
//!
//! The extension has precedence. If one request stores a future and another request polls it, the
//! list would return the service of the other request.

use std::cell::RefCell;
use std::future::{Future, ready};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Extensions;
use pin_project_lite::pin_project;
use vestibule_core::{App, BoxApp, Failure, IntoResponse, Outline, Request, Response};

/// Identifies a layer value during its lifetime.
#[derive(Clone)]
pub(crate) struct LayerId(Arc<u8>);

impl LayerId {
    pub(crate) fn new() -> Self {
        Self(Arc::new(0))
    }

    fn key(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

/// Creates the app that a middleware wraps before its layer is applied.
pub(crate) fn placeholder(layer: LayerId) -> BoxApp {
    BoxApp::from_fn("inside", move |mut request| {
        let key = layer.key();
        let found = InnerService::take(request.extensions_mut(), key);
        match found.or_else(|| Polled::find(key)) {
            Some(inner) => inner.call_owned(request),
            None => Box::pin(ready(lost())),
        }
    })
}

/// Middleware that was built once, with one of the services to which its layer is applied.
pub(crate) struct Applied<A> {
    pub(crate) app: Arc<A>,
    pub(crate) layer: LayerId,
    pub(crate) inner: BoxApp,
}

impl<A: App> App for Applied<A> {
    // Not an async function, since its future would reserve space for the request twice.
    fn call(&self, mut request: Request) -> impl Future<Output = Response> + Send {
        let layer = self.layer.key();
        InnerService::put(request.extensions_mut(), layer, self.inner.clone());
        // A middleware may call its app before it is polled.
        let _polled = Polled::enter(layer, &self.inner);
        PolledCall {
            layer,
            inner: &self.inner,
            call: self.app.call(request),
        }
    }

    fn describe(&self, outline: &mut Outline) {
        self.app.describe(outline);
    }

    fn name() -> &'static str {
        A::name()
    }
}

pin_project! {
    /// The call of a middleware. It is in the thread-local list while it is polled.
    struct PolledCall<'a, F> {
        layer: usize,
        inner: &'a BoxApp,
        #[pin]
        call: F,
    }
}

impl<F: Future> Future for PolledCall<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _polled = Polled::enter(*this.layer, this.inner);
        this.call.poll(cx)
    }
}

/// The inner service of the innermost layer that the request has entered; an extension of requests.
#[derive(Clone)]
struct InnerService {
    layer: usize,
    /// `None` after the placeholder has taken it. The next layer then reuses this extension.
    inner: Option<BoxApp>,
    /// The layer outside of this one, if its placeholder has not been reached yet.
    outer: Option<Box<Self>>,
}

impl InnerService {
    fn put(extensions: &mut Extensions, layer: usize, inner: BoxApp) {
        let mut entered = Self {
            layer,
            inner: Some(inner),
            outer: None,
        };
        let Some(current) = extensions.get_mut::<Self>() else {
            extensions.insert(entered);
            return;
        };
        mem::swap(current, &mut entered);
        current.outer = match entered.inner {
            Some(_) => Some(Box::new(entered)),
            None => entered.outer,
        };
    }

    fn take(extensions: &mut Extensions, layer: usize) -> Option<BoxApp> {
        let mut current = extensions.get_mut::<Self>()?;
        loop {
            match current.inner.take_if(|_| current.layer == layer) {
                Some(inner) => return Some(inner),
                None => current = current.outer.as_deref_mut()?,
            }
        }
    }
}

thread_local! {
    /// The layers whose middleware this thread polls now, outermost first, with the inner service
    /// of each.
    static POLLED: RefCell<Vec<(usize, BoxApp)>> = const { RefCell::new(Vec::new()) };
}

/// An entry in the thread-local list. The drop removes it, also after a panic.
struct Polled;

impl Polled {
    fn enter(layer: usize, inner: &BoxApp) -> Self {
        POLLED.with_borrow_mut(|polled| polled.push((layer, inner.clone())));
        Self
    }

    fn find(layer: usize) -> Option<BoxApp> {
        POLLED.with_borrow(|polled| {
            let mut polled = polled.iter().rev();
            polled
                .find(|entry| entry.0 == layer)
                .map(|entry| entry.1.clone())
        })
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        // Drop the app after the list is unlocked, since the drop may run foreign code.
        let _left = POLLED.with_borrow_mut(Vec::pop);
    }
}

/// Returns the response to a request that has lost its extensions in another task.
fn lost() -> Response {
    Failure::new(LOST).layer("inside").into_response()
}

const LOST: &str = "the service inside of this layer is unknown, since the request is a new one and was sent from \
    another task; give it the extensions of the first request, or make the layer by `layer_each`";

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> BoxApp {
        (async |_: Request| "inner").boxed()
    }

    /// Returns the depth of the list of extensions, and whether each entry still holds a service.
    fn entries(extensions: &Extensions) -> Vec<(usize, bool)> {
        let first = extensions.get::<InnerService>();
        let all = std::iter::successors(first, |entry| entry.outer.as_deref());
        all.map(|entry| (entry.layer, entry.inner.is_some()))
            .collect()
    }

    #[test]
    fn an_empty_extension_is_reused() {
        let mut extensions = Extensions::new();
        assert!(InnerService::take(&mut extensions, 1).is_none());
        for layer in 1..4 {
            InnerService::put(&mut extensions, layer, app());
            assert_eq!(entries(&extensions), [(layer, true)]);
            assert!(InnerService::take(&mut extensions, 9).is_none());
            assert!(InnerService::take(&mut extensions, layer).is_some());
            assert!(InnerService::take(&mut extensions, layer).is_none());
        }
    }

    #[test]
    fn a_layer_before_the_placeholder_of_another_keeps_both() {
        let mut extensions = Extensions::new();
        InnerService::put(&mut extensions, 1, app());
        InnerService::put(&mut extensions, 2, app());
        assert_eq!(entries(&extensions), [(2, true), (1, true)]);
        assert!(InnerService::take(&mut extensions, 2).is_some());
        InnerService::put(&mut extensions, 3, app());
        assert_eq!(entries(&extensions), [(3, true), (1, true)]);
        assert!(InnerService::take(&mut extensions, 1).is_some());
        assert!(InnerService::take(&mut extensions, 3).is_some());
    }

    #[test]
    fn a_layer_inside_of_itself_takes_the_inner_service_first() {
        let mut extensions = Extensions::new();
        let named = |name| BoxApp::from_fn(name, |_| Box::pin(ready(Response::default())));
        InnerService::put(&mut extensions, 1, named("outer"));
        InnerService::put(&mut extensions, 1, named("inner"));
        for name in ["inner", "outer"] {
            let taken = InnerService::take(&mut extensions, 1).unwrap();
            assert_eq!(taken.outline().name(), name);
        }
    }

    #[test]
    fn the_list_of_the_thread_is_empty_after_a_panic() {
        let caught = std::panic::catch_unwind(|| {
            let _outer = Polled::enter(1, &app());
            let _inner = Polled::enter(2, &app());
            assert!(
                Polled::find(1).is_some() && Polled::find(2).is_some() && Polled::find(3).is_none()
            );
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(caught.is_err());
        assert!(POLLED.with_borrow(Vec::is_empty));
    }
}
