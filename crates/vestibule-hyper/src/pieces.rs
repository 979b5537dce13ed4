//! Bytes that are sent in one go: a piece, or several in a row.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// Pieces of a body, none of them copied. There is nothing empty among several.
#[derive(Debug)]
pub(crate) enum Pieces {
    One(Bytes),
    Many { list: VecDeque<Bytes>, bytes: usize },
}

impl Pieces {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many { list, .. } => list.len(),
        }
    }

    /// Adds a piece behind the others.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if let Self::One(first) = self {
            let bytes = first.len();
            let list = VecDeque::from([std::mem::take(first)]);
            *self = Self::Many { list, bytes };
        }
        if let Self::Many { list, bytes } = self {
            *bytes += piece.len();
            list.push_back(piece);
        }
    }
}

impl From<Bytes> for Pieces {
    fn from(piece: Bytes) -> Self {
        Self::One(piece)
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        match self {
            Self::One(piece) => piece.len(),
            Self::Many { bytes, .. } => *bytes,
        }
    }

    fn chunk(&self) -> &[u8] {
        match self {
            Self::One(piece) => piece,
            Self::Many { list, .. } => list.front().map_or(&[], |piece| piece),
        }
    }

    fn advance(&mut self, mut count: usize) {
        let (list, bytes) = match self {
            Self::One(piece) => return piece.advance(count),
            Self::Many { list, bytes } => (list, bytes),
        };
        *bytes -= count;
        while let Some(first) = list.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            list.pop_front();
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let list = match self {
            Self::One(piece) => return piece.chunks_vectored(slices),
            Self::Many { list, .. } => list,
        };
        for (slice, piece) in slices.iter_mut().zip(list) {
            *slice = IoSlice::new(piece);
        }
        list.len().min(slices.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_are_read_like_one() {
        let mut pieces = Pieces::from(Bytes::from("ab"));
        pieces.push("cde".into());
        pieces.push("f".into());
        assert_eq!((pieces.count(), pieces.remaining()), (3, 6));
        let mut slices = [IoSlice::new(&[]); 2];
        assert_eq!(pieces.chunks_vectored(&mut slices), 2);
        assert_eq!([&*slices[0], &*slices[1]], [&b"ab"[..], b"cde"]);
        pieces.advance(1);
        assert_eq!(pieces.chunk(), b"b");
        pieces.advance(3);
        assert_eq!((pieces.chunk(), pieces.remaining()), (&b"e"[..], 2));
        pieces.advance(2);
        assert_eq!((pieces.chunk(), pieces.has_remaining()), (&b""[..], false));
    }
}
