//! A body that reads a file as the client consumes it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use crate::buffer::Buffer;
#[cfg(target_os = "linux")]
use crate::cached_bytes::CachedBytes;
use crate::content_check::ContentCheck;
use crate::open_file::{Change, OpenFile};
use crate::source::Wait;

/// A body of parts of one file, with fixed bytes before, between and after them.
///
/// Each piece is read when the body is polled: on the calling thread if it is in the page cache,
/// otherwise by one call to the blocking pool. No bytes are buffered for a client that does not
/// read. The file is checked after each piece: a truncated or overwritten file ends the body with
/// an error, a file that has grown does not.
pub(crate) struct FileBody {
    file: OpenFile,
    check: ContentCheck,
    segments: VecDeque<Segment>,
    /// Number of remaining bytes in all segments.
    remaining: u64,
    /// The current read from the disk.
    reading: Option<Reading>,
    pace: Pace,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<(Bytes, ContentCheck)>> + Send>>;

/// A segment of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// Fixed bytes.
    Bytes(Bytes),
    /// Bytes of the file; never an empty range.
    File { start: u64, length: u64 },
}

impl Segment {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl FileBody {
    pub(crate) fn new(file: OpenFile, segments: impl IntoIterator<Item = Segment>) -> Self {
        let segments: VecDeque<_> = segments
            .into_iter()
            .filter(|segment| segment.length() > 0)
            .collect();
        Self {
            check: ContentCheck::new(&file),
            file,
            remaining: segments.iter().map(Segment::length).sum(),
            segments,
            reading: None,
            pace: Pace::default(),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if let Some(reading) = &mut self.reading {
            let read = ready!(reading.as_mut().poll(cx));
            self.reading = None;
            return Poll::Ready(Some(read.map(|(piece, check)| {
                self.check = check;
                piece
            })));
        }
        let (start, length) = match self.segments.front() {
            None => return Poll::Ready(None),
            Some(Segment::Bytes(bytes)) => return Poll::Ready(Some(Ok(bytes.clone()))),
            Some(Segment::File { start, length }) => (*start, *length),
        };
        let chunk = self.pace.next(Instant::now()).min(Buffer::share());
        let size = usize::try_from(length).map_or(chunk, |length| length.min(chunk));
        match read_now(&self.file, &mut self.check, start, size) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return Poll::Ready(Some(read)),
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            let read = read_and_wait(&self.file, &mut self.check, start, size);
            return Poll::Ready(Some(read));
        };
        let (file, mut check) = (self.file.clone(), self.check.clone());
        let size = size.min(COLD);
        self.reading = Some(Box::pin(async move {
            // The semaphore is never closed; without a permit the read is still correct.
            let permit = READERS.acquire().await.ok();
            let reading = runtime.spawn_blocking(move || {
                let read = read_and_wait(&file, &mut check, start, size);
                drop(permit);
                read.map(|piece| (piece, check))
            });
            // A runtime that shuts down cancels reads.
            reading
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)))
        }));
        self.poll_piece(cx)
    }

    /// Removes `piece` from the remaining segments.
    fn advance(&mut self, piece: &Bytes) {
        let count = piece.len() as u64;
        self.remaining -= count;
        match self.segments.front_mut() {
            Some(Segment::File { start, length }) if *length > count => {
                *start += count;
                *length -= count;
            }
            _ => drop(self.segments.pop_front()),
        }
    }
}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(read) = ready!(self.poll_piece(cx)) else {
            return Poll::Ready(None);
        };
        if let Ok(piece) = &read {
            self.advance(piece);
            self.pace.sent(piece.len());
        } else {
            self.segments.clear();
        }
        Poll::Ready(Some(read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

/// Reads `size` bytes, or fewer if fewer are in memory; `WouldBlock` if none are. An early end of
/// the file is an error.
fn read_now(
    file: &OpenFile,
    check: &mut ContentCheck,
    start: u64,
    size: usize,
) -> io::Result<Bytes> {
    let mut buffer = Buffer::new(size);
    match file.read_now(buffer.as_mut(), start)? {
        0 => Err(file.changed()),
        count => {
            check.accept(file, &buffer.as_mut()[..count], start, Wait::Never)?;
            Ok(buffer.freeze(count))
        }
    }
}

/// Reads `size` bytes and waits for the disk if needed.
fn read_and_wait(
    file: &OpenFile,
    check: &mut ContentCheck,
    start: u64,
    size: usize,
) -> io::Result<Bytes> {
    let mut buffer = Buffer::new(size);
    fill(file, start, buffer.as_mut(), Wait::Allowed)?;
    check.accept(file, buffer.as_mut(), start, Wait::Allowed)?;
    Ok(buffer.freeze(size))
}

/// Reads exactly `size` bytes. Waits for the disk if that is allowed, otherwise fails with
/// `WouldBlock` when a byte is not in memory.
///
/// None of these bytes has been sent yet. When the file has grown or was renamed meanwhile, it reads
/// them a second time: equal bytes were not overwritten.
pub(crate) fn read_whole(
    file: &OpenFile,
    start: u64,
    size: usize,
    wait: Wait,
) -> io::Result<Bytes> {
    let mut buffer = Buffer::new(size);
    fill(file, start, buffer.as_mut(), wait)?;
    match file.stamp().compare(&file.stamp_now()?) {
        Change::Same => Ok(buffer.freeze(size)),
        Change::Grown | Change::Touched => {
            let mut again = Buffer::new(size);
            fill(file, start, again.as_mut(), wait)?;
            if again.as_mut() == buffer.as_mut() {
                Ok(buffer.freeze(size))
            } else {
                Err(file.changed())
            }
        }
        Change::Written | Change::Shrunk => Err(file.changed()),
    }
}

/// Fills `buffer`. Does not check whether the file has changed.
fn fill(file: &OpenFile, start: u64, buffer: &mut [u8], wait: Wait) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        let at = start + filled as u64;
        let read = match wait {
            Wait::Never => file.read_now(rest, at)?,
            Wait::Allowed => file.read(rest, at)?,
        };
        match read {
            0 => return Err(file.changed()),
            count => filled += count,
        }
    }
    Ok(())
}

/// Reads the whole file for the cache; `None` when it is not in memory, or when the cache is full.
#[cfg(target_os = "linux")]
pub(crate) fn read_to_keep(file: &OpenFile) -> Option<Bytes> {
    let mut kept = CachedBytes::new(usize::try_from(file.length()).ok()?)?;
    fill(file, 0, kept.as_mut(), Wait::Never).ok()?;
    file.check().ok()?;
    Some(kept.freeze())
}

/// Maximum size in bytes of a file that is read whole before the response, so that outer layers can
/// use its bytes. It is also the maximum that may be buffered for a client that does not read.
pub(crate) const SMALL: u64 = 128 * 1024;

/// The size of the next piece: larger for a client that keeps up, smaller for one that does not.
#[derive(Debug, Default)]
struct Pace {
    /// Number of bytes since the client was last slow.
    sent: usize,
    last: Option<Instant>,
}

impl Pace {
    fn next(&mut self, now: Instant) -> usize {
        let is_slow = self
            .last
            .is_some_and(|last| now.duration_since(last) > SLOW);
        if is_slow {
            self.sent = 0;
        }
        self.last = Some(now);
        match (is_slow, self.sent) {
            (true, _) => 64 * 1024,
            (false, 0..FAST) => 128 * 1024,
            (false, FAST..) => 256 * 1024,
        }
    }

    const fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.saturating_add(bytes);
    }
}

/// Number of bytes without a pause after which pieces are 256 KiB. A client that stops earlier
/// holds at most half of that.
const FAST: usize = 512 * 1024;

/// The time before the next poll from which a client counts as slow.
const SLOW: Duration = Duration::from_millis(200);

/// Maximum number of bodies that read from disks at a time, so that slow disks leave threads of the
/// pool for look-ups.
static READERS: Semaphore = Semaphore::const_new(64);

/// Size of a piece from the disk in bytes. The system reads ahead by itself. Larger reads, or hints
/// to read ahead, keep a core busy in the kernel and delay small files that are in memory.
const COLD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_grow_for_fast_clients_and_shrink_for_slow_ones() {
        let mut now = Instant::now();
        let mut pace = Pace::default();
        let mut pieces = Vec::new();
        for _ in 0..24 {
            let piece = pace.next(now);
            pace.sent(piece);
            pieces.push(piece / 1024);
            now += Duration::from_millis(1);
        }
        assert_eq!(pieces[..5], [128, 128, 128, 128, 256]);
        assert_eq!(pieces[22..], [256, 256]);
        now += SLOW * 2;
        assert_eq!(pace.next(now), 64 * 1024);
    }
}
