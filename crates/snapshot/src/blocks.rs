//! Reads at any offset of the content, in bounded memory: a few blocks are kept, the one unused for longest gives way.

use std::io;

use crate::{SnapshotError, Source};

/// Small, because the pages of a database that has been compacted lie scattered over the file.
const BLOCK_BYTES: u64 = 16 * 1024;

/// Enough for a path from the root to a leaf and a value beside it.
const BLOCKS: usize = 8;

/// A range of the file, in bytes from its beginning; `end` is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Span {
    pub(crate) fn len(self) -> u64 {
        self.end - self.start
    }
}

struct Block {
    start: u64,
    bytes: Vec<u8>,
    used_at: u64,
}

/// The content of a snapshot: the file without its trailer.
pub(crate) struct Blocks<'f> {
    source: &'f dyn Source,
    len: u64,
    blocks: Vec<Block>,
    newest: usize,
    clock: u64,
}

impl<'f> Blocks<'f> {
    pub(crate) fn new(source: &'f dyn Source, len: u64) -> Self {
        Self { source, len, blocks: Vec::with_capacity(BLOCKS), newest: 0, clock: 0 }
    }

    /// Bytes of the content.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// As much of a non-empty `span`, from its start, as lies together in memory: at least one byte.
    pub(crate) fn chunk(&mut self, span: Span) -> Result<&[u8], SnapshotError> {
        let start = span.start / BLOCK_BYTES * BLOCK_BYTES;
        let hit = |block: &Block| block.start == start;
        if !self.blocks.get(self.newest).is_some_and(hit) {
            self.newest = match self.blocks.iter().position(hit) {
                Some(found) => found,
                None => self.load(start)?,
            };
            self.clock += 1;
            self.blocks[self.newest].used_at = self.clock;
        }
        let bytes = &self.blocks[self.newest].bytes;
        let from = (span.start - start) as usize;
        let to = bytes.len().min(from.saturating_add(span.len() as usize));
        bytes
            .get(from..to)
            .filter(|chunk| !chunk.is_empty())
            .ok_or_else(|| SnapshotError::Read { offset: span.start, source: io::ErrorKind::UnexpectedEof.into() })
    }

    fn load(&mut self, start: u64) -> Result<usize, SnapshotError> {
        let slot = if self.blocks.len() < BLOCKS {
            self.blocks.push(Block { start, bytes: Vec::new(), used_at: 0 });
            self.blocks.len() - 1
        } else {
            (0..BLOCKS).min_by_key(|&slot| self.blocks[slot].used_at).unwrap_or(0)
        };
        let block = &mut self.blocks[slot];
        // A block that could not be read must never be taken for one that was.
        block.start = u64::MAX;
        block.bytes.resize(self.len.saturating_sub(start).min(BLOCK_BYTES) as usize, 0);
        self.source
            .read_exact_at(&mut block.bytes, start)
            .map_err(|source| SnapshotError::Read { offset: start, source })?;
        block.start = start;
        Ok(slot)
    }

    /// Hands all of `span` to `each`, in order, piece by piece.
    pub(crate) fn for_each_chunk(&mut self, mut span: Span, mut each: impl FnMut(&[u8])) -> Result<(), SnapshotError> {
        while span.start < span.end {
            let chunk = self.chunk(span)?;
            each(chunk);
            span.start += chunk.len() as u64;
        }
        Ok(())
    }

    /// Replaces what is in `into` by the bytes of `span`, whose length the caller has bounded.
    pub(crate) fn copy(&mut self, span: Span, into: &mut Vec<u8>) -> Result<(), SnapshotError> {
        into.clear();
        self.for_each_chunk(span, |chunk| into.extend_from_slice(chunk))
    }

    /// Whether the bytes of two spans are the same.
    pub(crate) fn equal(&mut self, one: Span, other: Span) -> Result<bool, SnapshotError> {
        let (mut one_piece, mut other_piece) = ([0; 256], [0; 256]);
        let mut at = 0;
        while one.len() == other.len() && at < one.len() {
            let bytes = (one.len() - at).min(256);
            let piece = |span: Span| Span { start: span.start + at, end: span.start + at + bytes };
            let (mine, theirs) = (&mut one_piece[..bytes as usize], &mut other_piece[..bytes as usize]);
            self.fill(piece(one), mine)?;
            self.fill(piece(other), theirs)?;
            if mine != theirs {
                return Ok(false);
            }
            at += bytes;
        }
        Ok(one.len() == other.len())
    }

    /// Copies the bytes of `span` into `into`, which is as long.
    fn fill(&mut self, span: Span, into: &mut [u8]) -> Result<(), SnapshotError> {
        let mut at = 0;
        self.for_each_chunk(span, |chunk| {
            into[at..at + chunk.len()].copy_from_slice(chunk);
            at += chunk.len();
        })
    }

    /// The `N` bytes from `offset`.
    pub(crate) fn array<const N: usize>(&mut self, offset: u64) -> Result<[u8; N], SnapshotError> {
        let span = Span { start: offset, end: offset.saturating_add(N as u64) };
        if let Some(whole) = self.chunk(span)?.first_chunk::<N>() {
            return Ok(*whole);
        }
        let mut array = [0; N];
        self.fill(span, &mut array)?;
        Ok(array)
    }
}

/// The little-endian number at `at` of `bytes`: bbolt writes in the byte order of the machine.
///
/// The callers read fixed offsets of arrays of fixed size.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// See [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// See [`u16_at`].
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(len: u64) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn reads_across_blocks_and_after_eviction() {
        let len = BLOCK_BYTES * (BLOCKS as u64 + 3) + 7;
        let bytes = numbered(len);
        let source = bytes.as_slice();
        let mut blocks = Blocks::new(&source, len);
        for start in (0..len - 16).step_by(1021).chain((0..len - 16).rev().step_by(4099)) {
            let expected: Vec<u8> = (start..start + 16).map(|at| (at % 251) as u8).collect();
            assert_eq!(blocks.array::<16>(start).unwrap().as_slice(), expected);
        }
        let mut all = Vec::new();
        blocks.copy(Span { start: 0, end: len }, &mut all).unwrap();
        assert!(all.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8));
    }

    #[test]
    fn a_file_that_has_shrunk_is_an_error_every_time() {
        let bytes = numbered(100);
        let source = bytes.as_slice();
        let mut blocks = Blocks::new(&source, 2 * BLOCK_BYTES);
        for _ in 0..2 {
            let error = blocks.array::<16>(BLOCK_BYTES + 5).unwrap_err();
            assert_eq!(error.reason(), "ReadFailed");
        }
    }

    #[test]
    fn nothing_beyond_the_content_is_read() {
        let bytes = numbered(64);
        let source = bytes.as_slice();
        let mut blocks = Blocks::new(&source, 32);
        assert!(blocks.array::<16>(16).is_ok());
        assert_eq!(blocks.array::<16>(24).unwrap_err().reason(), "ReadFailed");
    }
}
