//! How much of an HTTP/2 connection is read before others have a turn.
//!
//! A frame may be nine bytes, and each is work, or memory until an app has seen it: a request, a reset,
//! a byte of a body. What is below handles all that it is given at once; so it is not given more than
//! a few frames.
//!
//! Source: RFC 9113, sections 3.4 (the preface) and 4.1 (the frame).

/// What was read since others had a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    max_streams: usize,
    frames: u32,
    bytes: usize,
    /// How many bytes there are until the next frame begins.
    rest: usize,
    /// The length of that frame, as far as its three bytes have come.
    length: usize,
    digits: u32,
}

impl Turn {
    /// The first of a connection.
    pub(crate) const fn first(max_streams: usize) -> Self {
        Self {
            max_streams,
            frames: 0,
            bytes: 0,
            rest: PREFACE,
            length: 0,
            digits: 0,
        }
    }

    /// `tasks` answer requests. If they are more than there may be streams, some of these were reset, and
    /// wait to hear of it: until then nothing bounds their number, and nothing that is read helps them.
    pub(crate) const fn is_over(&self, tasks: usize) -> bool {
        self.frames >= MAX_FRAMES || self.bytes >= MAX_BYTES || tasks > self.max_streams
    }

    /// Others have had theirs.
    pub(crate) const fn begin(&mut self) {
        self.frames = 0;
        self.bytes = 0;
    }

    /// How many of the bytes that were read fit in: up to the frame that is one too many.
    pub(crate) fn take(&mut self, read: &[u8]) -> usize {
        let mut taken = 0;
        while let Some(byte) = read.get(taken) {
            if self.rest > 0 {
                let count = self.rest.min(read.len() - taken);
                self.rest -= count;
                taken += count;
                continue;
            }
            if self.digits == 0 && self.frames >= MAX_FRAMES {
                break;
            }
            taken += 1;
            self.length = self.length << 8 | usize::from(*byte);
            self.digits += 1;
            if self.digits == LENGTH {
                self.rest = HEAD - LENGTH as usize + self.length;
                (self.length, self.digits) = (0, 0);
                self.frames += 1;
            }
        }
        self.bytes += taken;
        taken
    }
}

/// A client with a hundred requests has two turns for them.
const MAX_FRAMES: u32 = 64;

/// Four frames of DATA, as most clients send them.
const MAX_BYTES: usize = 64 * 1024;

const PREFACE: usize = 24;
const HEAD: usize = 9;
/// The first part of a head.
const LENGTH: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
        bytes.resize(HEAD + length, 0xff);
        bytes
    }

    /// What is read in each turn, when `piece` bytes come at a time.
    fn turns(stream: &[u8], piece: usize) -> Vec<usize> {
        let (mut turn, mut read, mut at) = (Turn::first(100), vec![0], 0);
        while at < stream.len() {
            if turn.is_over(100) {
                turn.begin();
                read.push(0);
            }
            let end = stream.len().min(at + piece);
            let taken = turn.take(&stream[at..end]);
            assert!(taken > 0, "it goes on");
            at += taken;
            *read.last_mut().unwrap() += taken;
        }
        read
    }

    #[test]
    fn a_turn_is_so_many_frames() {
        let preface = vec![b'p'; PREFACE];
        let small = [preface.clone(), frame(0).repeat(150)].concat();
        assert_eq!(turns(&small, 100_000), [600, 576, 198]);
        let mixed = [preface, frame(1), frame(300), frame(0).repeat(62), frame(5)];
        assert_eq!(
            turns(&mixed.concat(), 100_000),
            [24 + 10 + 309 + 62 * 9, 14]
        );
        // However it is cut, a frame counts once.
        for piece in 1..50 {
            assert_eq!(turns(&small, piece).len(), 3, "{piece}");
            assert_eq!(turns(&mixed.concat(), piece).len(), 2, "{piece}");
        }
    }

    #[test]
    fn a_turn_is_so_many_bytes() {
        let large = [vec![b'p'; PREFACE], frame(16_384).repeat(10)].concat();
        let read = turns(&large, 1000);
        assert_eq!(read.iter().sum::<usize>(), large.len());
        assert!(
            read.iter().all(|bytes| *bytes < MAX_BYTES + 1000),
            "{read:?}"
        );
        assert_eq!(read.len(), 3);
    }
}
