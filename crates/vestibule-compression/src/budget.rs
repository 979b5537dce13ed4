//! The memory that the encoders of streams hold at a time: [`EncoderBudget`].
//!
//! A client says how long a stream's encoder lives, and may ask for many. So each encoder is granted its memory
//! before it is made. When there is none left, one that waits for its client is taken away; its stream goes on in
//! blocks that are not compressed.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::codec::{CodecError, Encoder, Spec};

/// Limits the memory of the encoders that are at work on bodies whose end is not known, or far away.
///
/// A clone is the same budget. Each [`Compression`](crate::Compression) has one of its own, and shares it with its
/// clones. Give several the same one to limit them together, and where a middleware is built again for each
/// request or connection.
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
    /// Whole bodies at costly levels: as many at a time as there are cores.
    costly: Semaphore,
}

impl EncoderBudget {
    /// Creates a budget of `max_bytes`. An encoder takes 0.5 MiB of it for gzip, 0.7 MiB for zstd and 2 MiB for
    /// brotli, and less when half of it is used.
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

    /// Returns how many bytes the encoders at work were granted.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// Waits for a core that works on no other whole body at a costly level.
    pub(crate) async fn core(&self) -> Option<tokio::sync::SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.0.costly.acquire().await.ok()
    }

    /// An encoder for a stream; `None` when there is no memory for one.
    pub(crate) fn encoder(&self, spec: Spec) -> Result<Option<Arc<Seat>>, CodecError> {
        self.encoder_at(spec, self.now())
    }

    fn encoder_at(&self, spec: Spec, now: u64) -> Result<Option<Arc<Seat>>, CodecError> {
        let half = self.0.max_bytes / 2;
        // A level whose state alone takes more than half works as the highest one that does not.
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

    /// A grant out of the whole budget, after others were taken away if that has to be.
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
            // Where it fails, the stream that it was of breaks, and says so.
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

    /// The encoder that has waited longest for its client; `None` when none has waited for [`IDLE`].
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

    /// Milliseconds since the budget was made.
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

/// The encoder of a stream, where the budget can take it away while the stream is not at work.
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

    /// One without compression, and so without memory.
    pub(crate) fn stored(spec: Spec) -> Result<Arc<Self>, CodecError> {
        Ok(Self::new(spec, Encoder::stored(spec)?, 0))
    }

    /// Returns the parameters of the encoder; its level may be lower than the level asked for.
    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn asked(&self, now: u64) {
        self.asked.store(now, Relaxed);
    }

    /// Takes the encoder to work with it.
    pub(crate) fn take(&self) -> Option<Encoder> {
        self.lock().take()
    }

    pub(crate) fn put(&self, encoder: Encoder) {
        *self.lock() = Some(encoder);
    }

    /// Takes what was made, if there are at least `least` bytes of it.
    pub(crate) fn take_made(&self, least: usize) -> Option<Bytes> {
        let mut encoder = self.lock();
        let encoder = encoder.as_mut()?;
        (encoder.len() >= least).then(|| encoder.take())
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.lock().as_ref().is_some_and(Encoder::is_stored)
    }

    /// Whether the encoder holds memory; `None` while its stream works with it.
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

/// 16 MiB: 32 streams of gzip at a time, beside what 2,000 connections take.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// A stream waits for its client when it was not polled for this time, in milliseconds.
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
