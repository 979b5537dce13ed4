//! Tells a file that was appended to from one that was overwritten, while it is sent.
//!
//! A response promises the bytes of the moment when its file was opened. Files that only grow (logs, recordings) keep
//! them, and are sent to the promised length. A file that was truncated or rewritten does not.
//!
//! | the file is | its time | the response |
//! |---|---|---|
//! | shorter than at any earlier look | any | ends in an error |
//! | as long | the same | goes on |
//! | as long | another | ends in an error: it was overwritten |
//! | as long, and its metadata changed | the same | goes on if it was renamed, else ends in an error |
//! | longer | the same or later | goes on if the samples are the same, else ends in an error |
//! | longer | earlier | ends in an error: an append does not set the time back |
//!
//! The metadata cannot tell an append from a file that was truncated and grew beyond its old length between two looks.
//! So the body keeps samples, and reads them again when the file has grown: the first bytes, the last promised ones, and
//! the last ones sent. A log that was started again begins with another time, and the writers of media files and of
//! databases keep lengths or counters in the first bytes. A file that is overwritten in its middle and grows between the
//! same two looks is not noticed.

use std::io;
use std::time::Duration;

use crate::open_file::{Change, OpenFile, Stamp};
use crate::source::Wait;

/// The last accepted state of a file, with samples of its bytes.
#[derive(Clone, Debug)]
pub(crate) struct ContentCheck {
    seen: Stamp,
    first: Sample,
    promised: Sample,
    sent: Sample,
}

/// A few bytes of a file.
#[derive(Clone, Copy, Debug)]
struct Sample {
    start: u64,
    length: usize,
    bytes: [u8; SAMPLE],
}

impl ContentCheck {
    /// Takes samples of what is in memory; others are taken from what is sent.
    pub(crate) fn new(file: &OpenFile) -> Self {
        let seen = file.stamp();
        let end = seen.length.saturating_sub(SAMPLE as u64);
        Self {
            seen,
            first: Sample::read(file, 0),
            promised: Sample::read(file, end),
            sent: Sample::EMPTY,
        }
    }

    /// Checks the file after `piece` was read at `start`.
    ///
    /// # Errors
    ///
    /// [`FileChanged`](crate::FileChanged) when the piece may not be what was promised; `WouldBlock` when that takes a
    /// thread that may wait.
    pub(crate) fn accept(
        &mut self,
        file: &OpenFile,
        piece: &[u8],
        start: u64,
        wait: Wait,
    ) -> io::Result<()> {
        let mut now = file.stamp_now()?;
        for look in 0.. {
            match self.seen.compare(&now) {
                Change::Same => break,
                Change::Shrunk => return Err(file.changed()),
                _ if !self.has_samples(file, wait)? => return Err(file.changed()),
                Change::Grown => break,
                Change::Written | Change::Touched if wait == Wait::Never => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                // A log that was rotated. To set a time back is what a writer does who keeps the name.
                Change::Touched if !file.has_its_name() => break,
                Change::Written | Change::Touched if look >= LOOKS => return Err(file.changed()),
                Change::Written | Change::Touched => {
                    std::thread::sleep(Duration::from_millis(1));
                    now = file.stamp_now()?;
                }
            }
        }
        self.seen = now;
        if self.first.length == 0 {
            self.first = Sample::new(piece, start);
        }
        let end = piece.len().saturating_sub(SAMPLE);
        self.sent = Sample::new(&piece[end..], start + end as u64);
        Ok(())
    }

    /// Whether the file still has the bytes of all samples.
    fn has_samples(&self, file: &OpenFile, wait: Wait) -> io::Result<bool> {
        for sample in [&self.first, &self.promised, &self.sent] {
            if !sample.is_in(file, wait)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Sample {
    const EMPTY: Self = Self {
        start: 0,
        length: 0,
        bytes: [0; SAMPLE],
    };

    /// The first of `bytes`, which are at `start` in the file.
    fn new(bytes: &[u8], start: u64) -> Self {
        let length = bytes.len().min(SAMPLE);
        let mut sample = Self {
            start,
            length,
            ..Self::EMPTY
        };
        sample.bytes[..length].copy_from_slice(&bytes[..length]);
        sample
    }

    /// The promised bytes at `start`; none when they are not in memory.
    fn read(file: &OpenFile, start: u64) -> Self {
        let mut bytes = [0; SAMPLE];
        let most = usize::try_from(file.length() - start).map_or(SAMPLE, |most| most.min(SAMPLE));
        let length = file.read_now(&mut bytes[..most], start).unwrap_or(0);
        Self {
            start,
            length,
            bytes,
        }
    }

    fn is_in(&self, file: &OpenFile, wait: Wait) -> io::Result<bool> {
        let mut bytes = [0; SAMPLE];
        let mut filled = 0;
        while filled < self.length {
            let rest = &mut bytes[filled..self.length];
            let at = self.start + filled as u64;
            let read = match wait {
                Wait::Never => file.read_now(rest, at)?,
                Wait::Allowed => file.read(rest, at)?,
            };
            if read == 0 {
                return Ok(false);
            }
            filled += read;
        }
        Ok(bytes[..self.length] == self.bytes[..self.length])
    }
}

/// The size of a sample in bytes: the heads of WAV and MP4 files, with the lengths in them, are within it.
const SAMPLE: usize = 64;

/// How often a file is looked at that was written to and is not longer yet, with 1 ms between.
const LOOKS: u32 = 20;
