//! Turns a panic into a response, or into the error of a body.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::{App, Failure, FailureKind, IntoResponse, Outline, Request, Response, Role};

/// Turns a panic of the wrapped app into a 500 response with the panic as its cause.
///
/// Servers wrap their app in this layer. Add another one further inside, so that the outer layers
/// see a response. A panic in a body needs no layer: it becomes the error of the body.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use vestibule_core::{App, CatchPanic, Failure, Request};
///
/// async fn shaky(_: Request) -> &'static str { panic!("no more paper") }
///
/// let response = CatchPanic::new(shaky).call(Request::default()).await;
/// assert_eq!(response.status(), 500);
/// assert_eq!(Failure::of(&response).unwrap().to_string(), "panicked: no more paper");
/// # }
/// ```
#[doc(alias("catch_unwind"))]
#[derive(Clone, Debug)]
pub struct CatchPanic<A> {
    app: A,
}

impl<A: App> CatchPanic<A> {
    /// Wraps `app`.
    pub const fn new(app: A) -> Self {
        Self { app }
    }
}

impl<A: App> App for CatchPanic<A> {
    // Not `async`: every server adds this layer, and this future is no larger than the future of
    // its app.
    fn call(&self, request: Request) -> impl Future<Output = Response> + Send {
        match Panicked::catch(|| self.app.call(request)) {
            Ok(answer) => CatchPanicFuture::Coming { answer },
            // The app panicked before it returned a future.
            Err(panicked) => CatchPanicFuture::Panicked {
                panicked: Some(panicked),
            },
        }
    }

    fn describe(&self, outline: &mut Outline) {
        outline.role(Role::CATCH_PANIC).wraps(&self.app);
    }
}

pin_project! {
    /// The future of a [`CatchPanic`].
    #[project = Project]
    enum CatchPanicFuture<F> {
        Coming { #[pin] answer: F },
        Panicked { panicked: Option<Panicked> },
    }
}

impl<F: Future<Output = Response>> Future for CatchPanicFuture<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        let polled = match self.project() {
            Project::Coming { answer } => Panicked::catch(|| answer.poll(cx)),
            Project::Panicked { panicked } => match panicked.take() {
                Some(panicked) => Err(panicked),
                None => unreachable!("a future is not polled after its end"),
            },
        };
        polled.unwrap_or_else(|panicked| Poll::Ready(panicked.into_response()))
    }
}

/// A caught panic, as an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked {
    message: String,
}

impl Panicked {
    /// Runs `f` and turns a panic into an error that carries its message.
    ///
    /// The caller must not use values that `f` may have left half changed.
    pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Self> {
        catch_unwind(AssertUnwindSafe(f)).map_err(Self::from_payload)
    }

    fn into_response(self) -> Response {
        Failure::new(self)
            .kind(FailureKind::Panic)
            .layer("CatchPanic")
            .into_response()
    }

    fn from_payload(payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast::<String>() {
            Ok(text) => *text,
            Err(payload) => match payload.downcast::<&'static str>() {
                Ok(text) => (*text).to_owned(),
                Err(payload) => {
                    // The drop of a payload may panic too, and would end the server.
                    std::mem::forget(payload);
                    "with a payload that is not text".to_owned()
                }
            },
        };
        Self { message }
    }

    /// Returns the message of the panic.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.message)
    }
}

impl Error for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    struct AtOnce;

    impl App for AtOnce {
        #[allow(clippy::manual_async_fn)] // the panic has to come before there is a future
        fn call(&self, _: Request) -> impl Future<Output = Response> + Send {
            if true {
                std::panic::panic_any(7_u8);
            }
            async { Response::default() }
        }
    }

    #[tokio::test]
    async fn a_panic_before_the_future_without_a_text_is_a_500() {
        let response = CatchPanic::new(AtOnce).call(Request::default()).await;
        assert_eq!(response.status(), 500);
        let cause = Failure::of(&response).unwrap();
        assert_eq!(
            cause.to_string(),
            "panicked: with a payload that is not text"
        );
        assert_eq!(cause.failure_kind(), FailureKind::Panic);
    }

    #[tokio::test]
    async fn a_panic_after_an_await_is_a_500() {
        let app = |_: Request| async {
            tokio::task::yield_now().await;
            let n: usize = "x".parse().expect("a number");
            n.to_string()
        };
        let response = CatchPanic::new(app).call(Request::default()).await;
        assert_eq!(response.status(), 500);
    }
}
