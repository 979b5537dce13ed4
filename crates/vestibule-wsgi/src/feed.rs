//! A request's body on its way from the server to the thread of Python's that reads it.
//!
//! Each time that one wakes the other costs more than the bytes of a piece. So the server reads ahead of
//! the app, up to [`ROOM`], and the app is woken when all that it asked for is there, and the server
//! has nothing more at hand. Nothing is read before the app reads for the first time, since to read is
//! what tells a client to send (RFC 9110, section 10.1.1).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::Body as _;
use vestibule_core::{Body, BodyError};

/// What was received and not read yet.
#[derive(Debug, Default)]
pub(crate) struct Feed {
    state: Mutex<State>,
    /// By which the thread that reads is woken.
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// How many bytes they have.
    bytes: usize,
    /// The body has ended, or why it has broken off.
    end: Option<Result<(), Cause>>,
    /// What a thread sleeps for: so many bytes. 0 when none does.
    wanted: usize,
    /// By which the server is woken.
    server: Option<Waker>,
    /// The server waits for room.
    is_full: bool,
    is_closed: bool,
}

impl State {
    const fn has(&self, bytes: usize) -> bool {
        self.bytes >= bytes || self.end.is_some() || self.is_closed
    }
}

/// What there is for whoever reads.
pub(crate) enum Taken {
    Piece(Bytes),
    /// Nothing yet.
    Later,
    End,
    /// The body has broken off, and why.
    Broken(Cause),
    /// The feed was closed.
    Closed,
}

/// Why a body has broken off.
pub(crate) type Cause = Arc<BodyError>;

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills the feed from a body, until that ends or nobody reads any more.
    pub(crate) fn fill(self: Arc<Self>, mut body: Body) -> impl Future<Output = ()> + Send {
        let mut has_asked_again = false;
        let filler = Filler(self);
        poll_fn(move |cx| {
            let feed = &filler.0;
            while ready!(feed.poll_room(cx)) {
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        has_asked_again = false;
                        // Trailers have no place in PEP 3333.
                        feed.push(frame.into_data().unwrap_or_default());
                    }
                    Poll::Ready(Some(Err(error))) => {
                        feed.end(Err(error));
                        break;
                    }
                    Poll::Ready(None) => {
                        feed.end(Ok(()));
                        break;
                    }
                    // The connection gets its turn, and may have the next piece then.
                    Poll::Pending if !std::mem::replace(&mut has_asked_again, true) => {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    Poll::Pending => {
                        feed.tell();
                        return Poll::Pending;
                    }
                }
            }
            Poll::Ready(())
        })
    }

    /// Ready when there is room: with false when nobody reads any more.
    fn poll_room(&self, cx: &Context<'_>) -> Poll<bool> {
        let mut state = self.lock();
        if state.is_closed {
            return Poll::Ready(false);
        }
        state.server = Some(cx.waker().clone());
        state.is_full = state.bytes >= ROOM;
        if !state.is_full {
            return Poll::Ready(true);
        }
        drop(state);
        self.tell();
        Poll::Pending
    }

    fn push(&self, piece: Bytes) {
        let mut state = self.lock();
        state.bytes += piece.len();
        if !piece.is_empty() {
            state.pieces.push_back(piece);
        }
    }

    fn end(&self, end: Result<(), BodyError>) {
        self.lock().end = Some(end.map_err(Arc::new));
        self.tell();
    }

    /// Wakes the thread that reads, if what it wants is there.
    fn tell(&self) {
        let mut state = self.lock();
        if state.wanted > 0 && state.has(state.wanted) {
            state.wanted = 0;
            drop(state);
            self.bell.notify_one();
        }
    }

    /// Takes the next piece.
    pub(crate) fn take(&self) -> Taken {
        let mut state = self.lock();
        if state.is_closed {
            return Taken::Closed;
        }
        let Some(piece) = state.pieces.pop_front() else {
            return match &state.end {
                Some(Ok(())) => Taken::End,
                Some(Err(why)) => Taken::Broken(why.clone()),
                None => Taken::Later,
            };
        };
        state.bytes -= piece.len();
        // The server has a good piece of work then.
        let is_roomy = state.is_full && state.bytes <= ROOM / 2;
        let waker = match is_roomy {
            true => state.server.take(),
            false => None,
        };
        state.is_full &= !is_roomy;
        drop(state);
        waker.inspect(Waker::wake_by_ref);
        Taken::Piece(piece)
    }

    /// Fills the feed on the thread that reads, where there is no server to do it, until there are so
    /// many bytes.
    pub(crate) fn poll(
        &self,
        cx: &mut Context<'_>,
        filling: &mut Pin<Box<dyn Future<Output = ()> + Send>>,
        bytes: usize,
    ) -> Poll<()> {
        match filling.as_mut().poll(cx) {
            Poll::Pending if !self.lock().has(bytes.min(ROOM)) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }

    /// Waits until there are so many bytes, or the feed is full, or at its end.
    pub(crate) fn wait(&self, bytes: usize) {
        let bytes = bytes.min(ROOM);
        let mut state = self.lock();
        while !state.has(bytes) {
            state.wanted = bytes;
            state = self
                .bell
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.wanted = 0;
    }

    /// Ends reading: the server gets the body back, and a thread that still reads is woken.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.pieces.clear();
        state.bytes = 0;
        let waker = state.server.take();
        drop(state);
        self.bell.notify_all();
        waker.inspect(Waker::wake_by_ref);
    }
}

/// Who fills a feed. When the server ends before the body does, whoever reads hears of it.
struct Filler(Arc<Feed>);

impl Drop for Filler {
    fn drop(&mut self) {
        if self.0.lock().end.is_none() {
            self.0.end(Err("the server has ended".into()));
        }
    }
}

/// How many bytes the server reads ahead of the app.
const ROOM: usize = 512 * 1024;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A feed, what fills it, and whoever sends.
    fn feed() -> (Arc<Feed>, impl FnMut() -> bool, vestibule_core::BodySender) {
        let (sender, body) = Body::channel();
        let feed = Arc::new(Feed::default());
        let mut filling = Box::pin(feed.clone().fill(body));
        let poll = move || {
            let mut cx = Context::from_waker(Waker::noop());
            filling.as_mut().poll(&mut cx).is_ready()
        };
        (feed, poll, sender.with_room(10 * ROOM))
    }

    fn send(sender: &mut vestibule_core::BodySender, bytes: usize) {
        let mut sending = std::pin::pin!(sender.send(vec![b'x'; bytes]));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(sending.as_mut().poll(&mut cx).is_ready());
    }

    fn taken(feed: &Feed) -> Result<usize, &'static str> {
        match feed.take() {
            Taken::Piece(piece) => Ok(piece.len()),
            Taken::Later => Err("later"),
            Taken::End => Err("end"),
            Taken::Broken(_) => Err("broken"),
            Taken::Closed => Err("closed"),
        }
    }

    #[test]
    fn it_is_full_at_some_point_and_has_room_at_half() {
        let (feed, mut fill, mut sender) = feed();
        for _ in 0..6 {
            send(&mut sender, ROOM / 4);
        }
        assert!(!fill());
        assert!(feed.lock().is_full && feed.lock().bytes == ROOM);
        assert_eq!(taken(&feed), Ok(ROOM / 4));
        assert!(feed.lock().is_full, "not worth it yet");
        assert_eq!(taken(&feed), Ok(ROOM / 4));
        assert!(!feed.lock().is_full);
        assert!(!fill());
        sender.finish();
        (0..4).for_each(|_| assert_eq!(taken(&feed), Ok(ROOM / 4)));
        assert_eq!(taken(&feed), Err("later"));
        assert!(fill());
        assert_eq!([taken(&feed), taken(&feed)], [Err("end"); 2]);
    }

    #[test]
    fn a_server_that_ends_leaves_nobody_asleep() {
        let (feed, fill, _sender) = feed();
        let reader = {
            let feed = feed.clone();
            thread::spawn(move || feed.wait(1))
        };
        drop(fill);
        reader.join().unwrap();
        assert_eq!(taken(&feed), Err("broken"));
    }

    #[test]
    fn a_body_that_breaks_off_never_looks_like_the_end() {
        let (feed, mut fill, mut sender) = feed();
        send(&mut sender, 3);
        drop(sender);
        assert!(fill());
        assert_eq!(taken(&feed), Ok(3));
        assert_eq!([taken(&feed), taken(&feed)], [Err("broken"); 2]);
    }

    #[test]
    fn a_thread_is_woken_for_what_it_asked_for() {
        let (feed, mut fill, mut sender) = feed();
        let waiting = thread::spawn({
            let feed = feed.clone();
            move || feed.wait(5)
        });
        while feed.lock().wanted == 0 {
            thread::yield_now();
        }
        send(&mut sender, 4);
        assert!(
            !fill() && !fill(),
            "the second time nothing more is at hand"
        );
        assert_eq!(feed.lock().wanted, 5);
        send(&mut sender, 4);
        assert!(!fill() && !fill());
        waiting.join().unwrap();
        assert_eq!(feed.lock().bytes, 8);
    }

    #[test]
    fn the_body_is_let_go_of_when_nobody_reads() {
        let (feed, mut fill, mut sender) = feed();
        send(&mut sender, 3);
        assert!(!fill());
        feed.close();
        assert!(fill());
        assert_eq!(taken(&feed), Err("closed"));
    }

    #[test]
    fn a_thread_that_reads_when_the_feed_is_closed_is_woken() {
        let (feed, _fill, _sender) = feed();
        let reader = {
            let feed = feed.clone();
            thread::spawn(move || feed.wait(1))
        };
        while feed.lock().wanted == 0 {
            thread::yield_now();
        }
        feed.close();
        reader.join().unwrap();
        assert_eq!(taken(&feed), Err("closed"));
    }
}
