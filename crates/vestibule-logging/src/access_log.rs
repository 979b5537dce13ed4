//! One line a request, written when the response's body has ended.
//!
//! ```
//! use vestibule_core::{App, Request};
//! use vestibule_logging::{AccessLog, Sink};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (lines, sink) = Sink::memory();
//! let app = AccessLog::new(|_: Request| async { "hello" }).to(sink);
//! let response = app.call(Request::default()).await;
//! drop(response); // the client went away
//! assert!(lines.take().contains("\"GET / HTTP/1.1\" 499 0"));
//! # }
//! ```

use std::time::Instant;

use http::StatusCode;
use vestibule_core::{App, Failure, Outline, Request, Response, Role};

use crate::{Record, RecordOutcome, Sink};

/// Writes one line a request in the combined format.
///
/// The line is written when the body has ended, so it has the bytes that were really read, and a
/// client that went away is 499. It stands outermost, since what answers outside of it is not
/// logged. When a response carries a [`Failure`] and is a 5xx, its cause is a `tracing` event of
/// level error beside the line.
///
/// Costs two allocations a request, and the time to format a line at its end.
#[derive(Clone, Debug)]
pub struct AccessLog<A> {
    app: A,
    sink: Sink,
}

impl<A: App> AccessLog<A> {
    /// Wraps `app`; lines go to standard output.
    pub fn new(app: A) -> Self {
        Self {
            app,
            sink: Sink::stdout(),
        }
    }

    /// Sends the lines elsewhere.
    #[must_use]
    pub fn to(mut self, sink: Sink) -> Self {
        self.sink = sink;
        self
    }
}

impl<A: App> App for AccessLog<A> {
    async fn call(&self, request: Request) -> Response {
        let mut entry = Entry::new(&request, self.sink.clone());
        let response = self.app.call(request).await;
        entry.answered(&response);
        response.map(|body| body.on_end(move |end| entry.record.body_ended(end.outcome, end.bytes)))
    }

    fn describe(&self, outline: &mut Outline) {
        outline
            .role(Role::ACCESS_LOG)
            .option("format", "combined")
            .option("to", &self.sink)
            .wraps(&self.app);
    }
}

/// A line in the making. It is written when it is dropped, wherever that is: after the body, or with
/// the future of a request whose client went away.
struct Entry {
    record: Record,
    start: Instant,
    sink: Sink,
}

impl Entry {
    fn new(request: &Request, sink: Sink) -> Self {
        Self {
            record: Record::of(request),
            start: Instant::now(),
            sink,
        }
    }

    fn answered(&mut self, response: &Response) {
        let status = response.status();
        self.record.first_byte = Some(self.start.elapsed());
        self.record.status = status;
        self.record.failure = Failure::of(response).cloned();
        if let Some(failure) = &self.record.failure
            && status.is_server_error()
        {
            let Record { method, uri, .. } = &self.record;
            let (status, layer) = (status.as_u16(), failure.failed_layer());
            tracing::error!(%method, path = uri.path(), status, layer, "{failure}");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.record.total = self.start.elapsed();
        if std::thread::panicking() && self.record.first_byte.is_none() {
            self.record.status = StatusCode::INTERNAL_SERVER_ERROR;
            self.record.outcome = RecordOutcome::Panicked;
        }
        self.sink.write(&self.record);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Waker};

    use vestibule_core::{Body, CatchPanic, IntoResponse};

    use super::*;

    /// What is logged when `app` is called and `then` gets the response.
    async fn logged<F: Future>(app: impl App, then: impl FnOnce(Response) -> F) -> Record {
        let records = Arc::new(Mutex::new(Vec::new()));
        let heard = records.clone();
        let sink = Sink::from_fn(move |record| heard.lock().unwrap().push(record.clone()));
        let app = CatchPanic::new(AccessLog::new(app).to(sink));
        then(app.call(Request::default()).await).await;
        let mut records = records.lock().unwrap();
        assert_eq!(records.len(), 1, "one line a request");
        records.remove(0)
    }

    async fn read(response: Response) {
        let _ = response.into_body().collect(1000).await;
    }

    #[tokio::test]
    async fn a_whole_response() {
        let record = logged(|_: Request| async { "hello" }, read).await;
        assert_eq!((record.status.as_u16(), record.bytes), (200, 5));
        assert_eq!(record.outcome, RecordOutcome::Complete);
        assert!(record.first_byte.unwrap() <= record.total);
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_the_head() {
        let records = Arc::new(Mutex::new(Vec::new()));
        let heard = records.clone();
        let sink = Sink::from_fn(move |record| heard.lock().unwrap().push(record.clone()));
        let app = AccessLog::new(|_: Request| std::future::pending::<()>()).to(sink);
        {
            let mut call = pin!(app.call(Request::default()));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(call.as_mut().poll(&mut cx).is_pending());
            assert!(records.lock().unwrap().is_empty());
        }
        let records = records.lock().unwrap();
        assert_eq!(records[0].status.as_u16(), 499);
        assert_eq!(records[0].first_byte, None);
    }

    #[tokio::test]
    async fn a_client_that_leaves_in_the_body() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.send("half").await.unwrap();
            tokio::spawn(async move { sender.closed().await });
            body
        };
        let record = logged(app, |response| async {
            response.into_body().frame().await.unwrap().unwrap();
        });
        let record = record.await;
        assert_eq!((record.status.as_u16(), record.bytes), (499, 4));
        assert_eq!(record.outcome, RecordOutcome::ClientGone);
    }

    #[tokio::test]
    async fn a_body_that_fails() {
        let app = |_: Request| async {
            let (mut sender, body) = Body::channel();
            sender.send("half").await.unwrap();
            sender.abort("the disk is gone");
            body
        };
        let record = logged(app, read).await;
        assert_eq!((record.status.as_u16(), record.bytes), (200, 4));
        let cause = RecordOutcome::BodyFailed("the disk is gone".into());
        assert_eq!(record.outcome, cause);
    }

    #[tokio::test]
    async fn a_failure_and_a_panic() {
        let app = |_: Request| async { Failure::new("no database").into_response() };
        let record = logged(app, read).await;
        assert_eq!(record.failure.unwrap().to_string(), "no database");

        async fn panics(_: Request) {
            panic!("no more paper")
        }
        let record = logged(panics, read).await;
        assert_eq!(record.status, 500);
        assert_eq!(record.outcome, RecordOutcome::Panicked);
    }
}
