//! Limits the memory of the encoders of streams: [`EncoderBudget`].
//!
//! A client decides how long the encoder of a stream lives, and may start many streams. So each encoder
//! gets a grant of memory before it is created. When no memory is left, the budget takes an encoder that
//! waits for its client; its stream continues in uncompressed blocks.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::codec::{CodecError, Encoder, Spec};

/// Limits the memory of the encoders of streams: bodies of unknown or large size.
///
/// A clone is the same budget. Each [`Compression`](crate::Compression) has its own, and shares it with
/// its clones. Give several of them the same budget to limit them together. Do the same where a middleware
/// is built for each request or connection.
///
/// ```
/// use vestibule_compression::{Compression, EncoderBudget};
/// use vestibule_core::{App, IntoResponse, Request, Response};
///
/// async fn page(_: Request) -> Response {
///     ([("content-type", "text/html")], "<p>hello</p>".repeat(100_000)).into_response()
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let budget = EncoderBudget::new(1024 * 1024);
/// let app = Compression::new(page).budget(budget.clone());
/// let mut request = Request::default();
/// request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
///
/// let response = app.call(request).await;
/// assert!((1..=1024 * 1024).contains(&budget.used()));
/// drop(response);
/// assert_eq!(budget.used(), 0);
/// # }
/// ```
#[derive(Clone)]
pub struct EncoderBudget(Arc<Ledger>);

struct Ledger {
    max_bytes: u64,
    used: AtomicU64,
    /// The encoders that have a grant, or had one.
    seats: Mutex<Vec<Weak<Seat>>>,
    started: Instant,
    /// Permits for whole bodies at costly levels: one for each core.
    costly: Semaphore,
}

impl EncoderBudget {
    /// Creates a budget of `max_bytes`. An encoder takes 0.5 MiB for gzip, 0.7 MiB for zstd and 2 MiB for
    /// brotli, and less when half of the budget is used.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Ledger {
            max_bytes,
            used: AtomicU64::new(0),
            seats: Mutex::new(Vec::new()),
            started: Instant::now(),
            costly: Semaphore::new(cores),
        }))
    }

    /// Returns the limit, in bytes.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.0.max_bytes
    }

    /// Returns the bytes that are granted to encoders at work.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Waits for a permit to encode a whole body at a costly level.
    pub(crate) async fn core(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.costly.acquire().await.ok()
    }

    /// Creates an encoder for a stream, or returns `None` when no memory is left.
    pub(crate) fn encoder(&self, spec: Spec) -> Result<Option<Arc<Seat>>, CodecError> {
        self.encoder_at(spec, self.now())
    }

    fn encoder_at(&self, spec: Spec, now: u64) -> Result<Option<Arc<Seat>>, CodecError> {
        let half = self.0.max_bytes / 2;
        // If the state of a level takes more than half, the highest level that takes less is used.
        let levels = (*spec.coding.levels().start()..=spec.level).rev();
        let mut specs = levels.map(|level| Spec { level, ..spec });
        let comfortable = specs.find(|spec| spec.stream_cost() <= half);
        let lean = spec.lean();
        let granted =
            comfortable.and_then(|spec| Some((spec, self.grant(spec.stream_cost(), half)?)));
        let granted = granted.or_else(|| self.grant_lean(lean, now).map(|grant| (lean, grant)));
        let Some((spec, grant)) = granted else {
            return Ok(None);
        };
        let seat = Seat::new(spec, Encoder::granted(spec, grant)?, now);
        self.seats().push(Arc::downgrade(&seat));
        Ok(Some(seat))
    }

    /// Grants memory of the whole budget, and takes idle encoders first where necessary.
    fn grant_lean(&self, lean: Spec, now: u64) -> Option<Grant> {
        let cost = lean.stream_cost();
        if cost > self.0.max_bytes {
            return None;
        }
        loop {
            if let Some(grant) = self.grant(cost, self.0.max_bytes) {
                return Some(grant);
            }
            let idlest = self.idlest(now)?;
            // If this fails, the stream of the encoder ends in an error.
            let _ = idlest.give_up();
        }
    }

    fn grant(&self, bytes: u64, most: u64) -> Option<Grant> {
        let add = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= most);
        self.0.used.fetch_update(Relaxed, Relaxed, add).ok()?;
        Some(Grant {
            ledger: self.0.clone(),
            bytes,
        })
    }

    /// Returns the encoder that has waited longest for its client, or `None` when none has waited for
    /// [`IDLE`].
    fn idlest(&self, now: u64) -> Option<Arc<Seat>> {
        let mut seats = self.seats();
        let mut idlest: Option<Arc<Seat>> = None;
        seats.retain(|seat| {
            let Some(seat) = seat.upgrade() else {
                return false;
            };
            let Some(has_grant) = seat.has_grant() else {
                // Its stream is at work.
                return true;
            };
            let asked = seat.asked.load(Relaxed);
            let is_idler = idlest
                .as_ref()
                .is_none_or(|other| asked < other.asked.load(Relaxed));
            if has_grant && asked.saturating_add(IDLE) <= now && is_idler {
                idlest = Some(seat);
            }
            has_grant
        });
        idlest
    }

    /// Returns the milliseconds since the budget was created.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Weak<Seat>>> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EncoderBudget {
    /// Creates a budget of 16 MiB.
    fn default() -> Self {
        Self::new(MAX_BYTES)
    }
}

impl fmt::Debug for EncoderBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncoderBudget")
            .field("max_bytes", &self.max_bytes())
            .field("used", &self.used())
            .finish()
    }
}

/// Memory for one encoder, until it is dropped.
pub(crate) struct Grant {
    ledger: Arc<Ledger>,
    bytes: u64,
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// Holds the encoder of a stream, so that the budget can take it while the stream is idle.
pub(crate) struct Seat {
    spec: Spec,
    /// `None` while the stream works with it, and after its end.
    encoder: Mutex<Option<Encoder>>,
    /// When the stream was last asked for bytes, in milliseconds of the budget.
    asked: AtomicU64,
}

impl Seat {
    fn new(spec: Spec, encoder: Encoder, now: u64) -> Arc<Self> {
        Arc::new(Self {
            spec,
            encoder: Mutex::new(Some(encoder)),
            asked: AtomicU64::new(now),
        })
    }

    /// Creates a seat for uncompressed blocks, which need no memory.
    pub(crate) fn stored(spec: Spec) -> Result<Arc<Self>, CodecError> {
        Ok(Self::new(spec, Encoder::stored(spec)?, 0))
    }

    /// Returns the parameters of the encoder. Its level may be lower than the requested level.
    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn asked(&self, now: u64) {
        self.asked.store(now, Relaxed);
    }

    /// Takes the encoder out, to work with it.
    pub(crate) fn take(&self) -> Option<Encoder> {
        self.lock().take()
    }

    pub(crate) fn put(&self, encoder: Encoder) {
        *self.lock() = Some(encoder);
    }

    /// Takes the output if it has at least `least` bytes.
    pub(crate) fn take_made(&self, least: usize) -> Option<Bytes> {
        let mut encoder = self.lock();
        let encoder = encoder.as_mut()?;
        (encoder.len() >= least).then(|| encoder.take())
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.lock().as_ref().is_some_and(Encoder::is_stored)
    }

    /// Returns whether the encoder holds memory, or `None` while its stream works with it.
    fn has_grant(&self) -> Option<bool> {
        let encoder = self.encoder.try_lock().ok()?;
        encoder.as_ref().map(Encoder::has_grant)
    }

    fn give_up(&self) -> Result<(), CodecError> {
        self.lock().as_mut().map_or(Ok(()), Encoder::give_up)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Encoder>> {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 16 MiB: 32 streams of gzip at a time, beside the memory of 2,000 connections.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A stream that was not polled for this many milliseconds waits for its client.
const IDLE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Coding;
    use crate::codec::Size;

    fn spec(coding: Coding, level: u8) -> Spec {
        Spec {
            coding,
            level,
            size: Size::Stream,
            padding: 0,
        }
    }

    #[test]
    fn encoders_never_hold_more_than_the_budget() {
        for &coding in Coding::ALL {
            for max_bytes in [0, 1, 300_000, 1 << 20, 5 << 20, 16 << 20] {
                let budget = EncoderBudget::new(max_bytes);
                for level in coding.levels() {
                    let mut seats = Vec::new();
                    while let Some(seat) = budget.encoder_at(spec(coding, level), 0).unwrap() {
                        assert!(seat.spec().level <= level);
                        seats.push(seat);
                        assert!(budget.used() <= max_bytes);
                        assert!(seats.len() < 100);
                    }
                    if max_bytes >= 16 << 20 {
                        assert!(seats.len() >= 12, "{coding}:{level}: {}", seats.len());
                    }
                    drop(seats);
                    assert_eq!(budget.used(), 0);
                }
            }
        }
    }

    #[test]
    fn the_one_that_waits_longest_makes_room() {
        for &coding in Coding::ALL {
            let budget = EncoderBudget::new(8 << 20);
            let spec = spec(coding, coding.default_level());
            let mut seats = Vec::new();
            while let Some(seat) = budget.encoder_at(spec, 0).unwrap() {
                seats.push(seat);
            }
            let at_work = seats[0].take().unwrap();
            for (at, seat) in seats.iter().enumerate() {
                seat.asked(100 + (at as u64).abs_diff(3));
            }
            assert!(budget.encoder_at(spec, IDLE + 99).unwrap().is_none());
            let new = budget.encoder_at(spec, IDLE + 100).unwrap().unwrap();
            let stored: Vec<_> = seats.iter().map(|seat| seat.is_stored()).collect();
            assert!(stored[3] && !new.is_stored(), "{coding}: {stored:?}");
            assert_eq!(stored.iter().filter(|is_stored| **is_stored).count(), 1);
            assert!(at_work.has_grant());
            assert!(budget.used() <= budget.max_bytes());
        }
    }
}
