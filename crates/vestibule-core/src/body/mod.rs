//! One body for requests and responses.

mod adapter;
mod channel;
mod collect;
mod end;
mod error;
mod file;
mod rich;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http_body::{Frame, SizeHint};

use crate::BoxError;
use adapter::{Adapter, FromStream};
use channel::Receiver;
use rich::{Extra, NoFrames, Rich};

pub use channel::{BodySender, Closed};
pub use collect::CollectError;
pub use end::{Abort, End, LengthMismatch, Outcome, Replaced};
pub use error::BodyError;
pub use file::FilePart;

/// The body of a message: its bytes, whole or streaming, and its trailers.
///
/// A body is always `Send + Sync`, so `&Request` may be held across an await. It is fused: after
/// its end or an error, it returns `None`. A panic inside it becomes its error
/// ([`Panicked`](crate::Panicked)). An empty body and a body in memory need no allocation.
///
/// ```
/// use vestibule_core::Body;
/// use http_body::Body as _;
///
/// let body = Body::from("hello");
/// assert_eq!(body.size_hint().exact(), Some(5));
/// assert_eq!(body.as_bytes().unwrap(), "hello");
/// ```
pub struct Body(Kind);

/// Four words, since a body moves with its message through every layer.
enum Kind {
    /// In memory. If it is empty, the body has ended or never had bytes.
    Whole(Bytes),
    /// A stream of frames, or bytes with additional properties.
    Rich(Pin<Box<Rich<dyn Frames>>>),
}

/// The bound of a boxed body: our data and error types, and known sizes.
trait Frames: http_body::Body<Data = Bytes, Error = BodyError> + Send + Sync {
    /// Returns the number of data bytes that are in memory.
    fn at_hand(&self) -> usize {
        0
    }
}

impl<B> Frames for Adapter<B> where
    Self: http_body::Body<Data = Bytes, Error = BodyError> + Send + Sync
{
}

impl Frames for NoFrames {}

impl Frames for Receiver {
    fn at_hand(&self) -> usize {
        Self::at_hand(self)
    }
}

impl Body {
    /// Creates an empty body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Kind::Whole(Bytes::new()))
    }

    /// Converts any body. A `Body` is returned unchanged and is not boxed again.
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body<Data: Buf, Error: Into<BoxError>> + Send + 'static,
    {
        let mut slot = Some(body);
        if let Some(own) = (&mut slot as &mut dyn Any).downcast_mut::<Option<Self>>() {
            return own.take().unwrap_or_default();
        }
        match slot {
            Some(body) if !body.is_end_stream() => {
                Self(Kind::Rich(Rich::new(Extra::default(), Adapter::new(body))))
            }
            _ => Self::empty(),
        }
    }

    /// Creates a body from a stream of chunks. The stream is not polled after its end.
    pub fn from_stream<S, T, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<T, E>> + Send + 'static,
        T: Into<Bytes>,
        E: Into<BoxError>,
    {
        Self::new(FromStream::new(stream))
    }

    /// Creates a body with a separate writer, which waits while the reader is behind.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::Body;
    ///
    /// let (mut sender, body) = Body::channel();
    /// let writer = tokio::spawn(async move {
    ///     sender.send("hello, ").await?;
    ///     sender.send("world").await?;
    ///     sender.finish();
    ///     Ok::<_, vestibule_core::Closed>(())
    /// });
    /// assert_eq!(body.collect(1024).await.unwrap(), "hello, world");
    /// writer.await.unwrap().unwrap();
    /// # }
    /// ```
    #[must_use]
    pub fn channel() -> (BodySender, Self) {
        let (sender, receiver) = channel::channel();
        let body = Rich::new(Extra::default(), receiver);
        (sender, Self(Kind::Rich(body)))
    }

    /// Returns the number of data bytes that are available without a wait: those of a body in
    /// memory, or those that wait in a [`channel`](Self::channel). A server may send them in one
    /// write.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use vestibule_core::Body;
    ///
    /// let (mut sender, body) = Body::channel();
    /// sender.send("hello, ").await.unwrap();
    /// sender.send("world").await.unwrap();
    /// assert_eq!(body.at_hand(), 12);
    /// # }
    /// ```
    #[must_use]
    pub fn at_hand(&self) -> usize {
        match &self.0 {
            Kind::Whole(bytes) => bytes.len(),
            Kind::Rich(rich) => rich.at_hand(),
        }
    }

    /// Returns whether the whole body is in memory, so that middleware may read it inside `call`.
    #[must_use]
    pub fn is_buffered(&self) -> bool {
        self.as_bytes().is_some()
    }

    /// Returns the bytes of a body in memory, without consuming them.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Kind::Whole(bytes) => Some(bytes),
            Kind::Rich(rich) => rich.extra.whole(),
        }
    }

    /// Returns the file that has the same bytes, until a byte of the body is read.
    ///
    /// A gateway may send the file instead of the body. A layer that changes the bytes wraps the
    /// body in a new one, which has no file.
    #[must_use]
    pub fn as_file(&self) -> Option<&FilePart> {
        match &self.0 {
            Kind::Whole(_) => None,
            Kind::Rich(rich) => rich.extra.file(),
        }
    }

    /// Declares that the bytes of this body are exactly those of a part of a file.
    #[must_use]
    pub fn with_file(mut self, part: FilePart) -> Self {
        self.extra().set_file(part);
        self
    }

    /// Calls `f` once when the body has ended: complete, failed, or dropped before its end.
    ///
    /// It corresponds to WSGI's `close()`. Access logs use it. Callbacks run in the order in which
    /// they were added, so that of the outermost layer runs last. They must not panic and should
    /// not block.
    ///
    /// ```
    /// use vestibule_core::{Body, Outcome};
    /// use std::sync::mpsc;
    ///
    /// let (tell, told) = mpsc::channel();
    /// let body = Body::from("four").on_end(move |end| {
    ///     tell.send((matches!(end.outcome, Outcome::Aborted), end.bytes)).unwrap();
    /// });
    /// drop(body);
    /// assert_eq!(told.recv(), Ok((true, 0)));
    /// ```
    #[must_use]
    pub fn on_end(mut self, f: impl FnOnce(&End<'_>) + Send + 'static) -> Self {
        self.extra().push(f);
        self
    }

    /// Returns whether the body has [`on_end`](Self::on_end) callbacks. A body that replaces this
    /// one must then keep it until its own end.
    ///
    /// ```
    /// use vestibule_core::Body;
    ///
    /// assert!(!Body::from("a").is_watched());
    /// assert!(Body::from("a").on_end(|_| ()).is_watched());
    /// ```
    #[must_use]
    pub fn is_watched(&self) -> bool {
        match &self.0 {
            Kind::Whole(_) => false,
            Kind::Rich(rich) => rich.extra.is_watched(),
        }
    }

    /// Sets the exact length in bytes, as a `Content-Length` does. Fewer or more bytes are an error
    /// ([`LengthMismatch`]). The body counts as complete when that number of bytes was read.
    #[must_use]
    pub fn with_length(mut self, length: u64) -> Self {
        if self
            .as_bytes()
            .is_none_or(|bytes| bytes.len() as u64 != length)
        {
            self.extra().expect(length);
        }
        self
    }

    /// Drops the bytes and keeps the callbacks, which then see a complete body without bytes. Use
    /// it for responses without body bytes: to HEAD, and 1xx, 204 and 304.
    #[must_use]
    pub fn without_bytes(self) -> Self {
        match self.0 {
            Kind::Whole(_) => Self::empty(),
            Kind::Rich(mut rich) => match rich.as_mut().project().extra.stripped() {
                Some(extra) => Self(Kind::Rich(Rich::new(extra, NoFrames))),
                None => Self::empty(),
            },
        }
    }

    /// Drops the body because of `error`; its `on_end` callbacks get [`Outcome::Failed`]. A server
    /// calls it if it cannot send a response and sends [another](Replaced).
    ///
    /// ```
    /// use vestibule_core::{Body, Outcome};
    ///
    /// let body = Body::from("four").on_end(|end| assert!(matches!(end.outcome, Outcome::Failed(_))));
    /// body.abandon("there are two lengths");
    /// ```
    pub fn abandon(self, error: impl Into<BoxError>) {
        if let Kind::Rich(mut rich) = self.0 {
            let error = error.into();
            rich.as_mut().project().extra.end(Outcome::Failed(&*error));
        }
    }

    /// Reads the next frame. Returns `None` at the end.
    pub async fn frame(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(self), cx)).await
    }

    /// Reads the whole body into memory, at most `limit` bytes. Trailers are dropped.
    ///
    /// A body that is in memory is not copied.
    ///
    /// # Errors
    ///
    /// Returns [`CollectError::TooLarge`] as soon as the body is known to be larger than `limit`,
    /// and [`CollectError::Body`] if the body ends with an error. An app may return both: they are
    /// 413 and 400.
    pub async fn collect(self, limit: u64) -> Result<Bytes, CollectError> {
        collect::collect(self, limit).await
    }

    /// Returns the additional properties, after a conversion to [`Kind::Rich`] if necessary.
    fn extra(&mut self) -> &mut Extra {
        if let Kind::Whole(bytes) = &mut self.0 {
            let extra = Extra::of(std::mem::take(bytes));
            self.0 = Kind::Rich(Rich::new(extra, NoFrames));
        }
        match &mut self.0 {
            Kind::Rich(rich) => rich.as_mut().project().extra,
            Kind::Whole(_) => unreachable!("it was made rich above"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Kind::Whole(bytes) => {
                let data = std::mem::take(bytes);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Kind::Rich(rich) => ready!(rich.as_mut().poll_frame(cx)),
        };
        if matches!(polled, None | Some(Err(_))) {
            // Drops the ended body now, so that it is never polled again.
            *self = Self::empty();
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Rich(rich) => rich.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Rich(rich) => rich.size_hint(),
        }
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Whole(bytes))
    }
}

macro_rules! from_bytes_like {
    ($($t:ty => $convert:expr),+ $(,)?) => {$(
        impl From<$t> for Body {
            fn from(value: $t) -> Self {
                Self::from($convert(value))
            }
        }
    )+};
}

from_bytes_like! {
    &'static str => Bytes::from,
    &'static [u8] => Bytes::from,
    String => Bytes::from,
    Vec<u8> => Bytes::from,
    Box<[u8]> => Bytes::from,
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = http_body::Body::size_hint(self);
        f.debug_struct("Body")
            .field("is_buffered", &self.is_buffered())
            .field("at_least", &hint.lower())
            .field("at_most", &hint.upper())
            .field("file", &self.as_file())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderMap;
    use http_body::Body as _;

    use super::*;
    use crate::Panicked;

    /// Records the calls of `on_end` callbacks, in order.
    #[derive(Clone, Default)]
    struct EndLog(Arc<Mutex<Vec<String>>>);

    impl EndLog {
        fn listen(&self, name: &'static str, body: Body) -> Body {
            let log = self.0.clone();
            body.on_end(move |end| {
                log.lock()
                    .unwrap()
                    .push(format!("{name}: {:?} {}", end.outcome, end.bytes));
            })
        }

        fn all(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    /// Plays a list of steps; `None` is a pause. It panics if it is polled after its end.
    struct Script(
        std::vec::IntoIter<Option<Result<Frame<Bytes>, BoxError>>>,
        bool,
    );

    fn script(steps: Vec<Option<Result<Frame<Bytes>, BoxError>>>) -> Body {
        Body::new(Script(steps.into_iter(), false))
    }

    fn data(text: &'static str) -> Option<Result<Frame<Bytes>, BoxError>> {
        Some(Ok(Frame::data(Bytes::from(text))))
    }

    impl http_body::Body for Script {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            assert!(!self.1, "polled after the end");
            match self.0.next() {
                Some(Some(step)) => Poll::Ready(Some(step)),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                None => {
                    self.1 = true;
                    Poll::Ready(None)
                }
            }
        }
    }

    #[test]
    fn is_small_and_thread_safe() {
        fn check<T: Send + Sync + Unpin + 'static>() {}
        check::<Body>();
        assert!(size_of::<Body>() <= 32, "{}", size_of::<Body>());
    }

    #[test]
    fn a_body_is_never_boxed_twice() {
        let body = Body::new(Body::new(Body::from("x")));
        assert!(body.is_buffered());
    }

    #[tokio::test]
    async fn is_fused() {
        let mut body = script(vec![data("a"), None, data("b")]);
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "a"
        );
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "b"
        );
        for _ in 0..3 {
            assert!(body.frame().await.is_none());
            assert!(body.is_end_stream());
        }
    }

    #[tokio::test]
    async fn ends_after_an_error() {
        let log = EndLog::default();
        let steps = vec![data("ab"), Some(Err("disk".into())), data("never")];
        let mut body = log.listen("log", script(steps));
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(body.frame().await.unwrap().unwrap_err().to_string(), "disk");
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(log.all(), ["log: Failed(\"disk\") 2"]);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let log = EndLog::default();
        let stream = Body::from_stream(futures_iter(|| -> Option<Result<Bytes, BoxError>> {
            panic!("no more paper")
        }));
        let mut body = log.listen("log", stream);
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "panicked: no more paper");
        assert!(error.is::<Panicked>());
        assert!(body.frame().await.is_none());
        assert_eq!(log.all().len(), 1);
    }

    #[tokio::test]
    async fn callbacks_run_once_and_the_outer_one_last() {
        let log = EndLog::default();
        let body = log.listen("inner", script(vec![data("abc")]));
        let mut body = log.listen("outer", body);
        while body.frame().await.is_some() {}
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(log.all(), ["inner: Complete 3", "outer: Complete 3"]);
    }

    #[tokio::test]
    async fn a_whole_body_is_complete_without_a_last_poll() {
        let log = EndLog::default();
        let mut body = log.listen("full", Body::from("abc"));
        body.frame().await;
        assert!(body.is_end_stream());
        drop(body);
        drop(log.listen("empty", Body::empty()));
        drop(log.listen("head", Body::from("abc")).without_bytes());
        drop(log.listen("unread", Body::from("abc")));
        let all = [
            "full: Complete 3",
            "empty: Complete 0",
            "head: Complete 0",
            "unread: Aborted 0",
        ];
        assert_eq!(log.all(), all);
    }

    #[tokio::test]
    async fn trailers_pass() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let mut body = script(vec![data("a"), Some(Ok(Frame::trailers(trailers.clone())))]);
        body.frame().await;
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_trailers().unwrap(), trailers);
    }

    #[tokio::test]
    async fn a_declared_length_is_enforced() {
        // Each row: the frames, the declared length, the result, the outcome.
        let cases = [
            (vec![data("abc")], 3, Ok("abc"), "Complete 3"),
            (
                vec![data("abc")],
                4,
                Err("the body has 3 bytes, its length says 4"),
                "Failed",
            ),
            (
                vec![data("ab"), data("cd")],
                3,
                Err("the body has at least 4 bytes, its length says 3"),
                "Failed",
            ),
            (
                vec![],
                1,
                Err("the body has 0 bytes, its length says 1"),
                "Failed",
            ),
        ];
        for (steps, length, want, end) in cases {
            let log = EndLog::default();
            let body = log.listen("log", script(steps).with_length(length));
            assert_eq!(body.size_hint().exact(), Some(length));
            let got = body.collect(100).await.map_err(|error| error.to_string());
            match want {
                Ok(text) => assert_eq!(got.unwrap(), text),
                Err(text) => assert_eq!(got.unwrap_err(), format!("the body broke off: {text}")),
            }
            let all = log.all();
            assert!(all.len() == 1 && all[0].contains(end), "{all:?}");
        }
        let short = Body::empty().with_length(2).collect(10).await;
        assert!(short.is_err());
        assert_eq!(
            Body::from("ab").with_length(2).collect(10).await.unwrap(),
            "ab"
        );
    }

    #[tokio::test]
    async fn a_body_that_may_exceed_its_length_is_not_at_its_end() {
        let mut body = script(vec![data("abc"), data("d")]).with_length(3);
        body.frame().await;
        assert!(!body.is_end_stream());
        assert!(
            body.frame()
                .await
                .unwrap()
                .unwrap_err()
                .is::<LengthMismatch>()
        );
    }

    #[tokio::test]
    async fn a_body_is_complete_at_its_declared_length() {
        // A server stops reading after the number of bytes that it announced.
        let log = EndLog::default();
        let mut body = log.listen("log", script(vec![data("abc")]).with_length(3));
        body.frame().await;
        drop(body);
        assert_eq!(log.all(), ["log: Complete 3"]);
    }

    #[test]
    fn a_file_is_known_until_it_is_read_or_wrapped() {
        let part = FilePart::new(std::path::Path::new("/a"), 0, 3);
        let body = Body::from("abc").with_file(part.clone());
        assert_eq!(body.as_file(), Some(&part));
        let logged = body.on_end(|_| ());
        assert_eq!(logged.as_file(), Some(&part));
        assert_eq!(logged.without_bytes().as_file(), None);
    }

    #[tokio::test]
    async fn sizes_are_remembered_for_bodies_that_are_not_sync() {
        let cell = std::cell::Cell::new(0); // Send, not Sync
        let body = Body::from_stream(futures_iter(move || {
            cell.set(cell.get() + 1);
            (cell.get() < 3).then(|| Ok::<_, BoxError>("x"))
        }));
        assert_eq!(body.size_hint().upper(), None);
        assert_eq!(body.collect(10).await.unwrap(), "xx");
    }

    /// A stream from a closure.
    fn futures_iter<T, E>(
        f: impl FnMut() -> Option<Result<T, E>> + Send + 'static,
    ) -> impl Stream<Item = Result<T, E>> + Send + 'static {
        struct Iter<F>(F);
        impl<F: FnMut() -> Option<I> + Unpin, I> Stream for Iter<F> {
            type Item = I;
            fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<I>> {
                Poll::Ready((self.0)())
            }
        }
        Iter(Box::new(f))
    }
}
