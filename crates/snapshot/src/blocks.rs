//! Reads at any offset of the content, in bounded memory, and hashes it in order on the way.
//!
//! The pages of an etcd database lie mostly, not always, in the order of their keys. So what is asked for is mostly what
//! is to be hashed next, or has just been: then it is read once for both. What lies elsewhere is read by itself, into one
//! of a few blocks, of which the one unused for longest gives way.

use std::io;

use crate::ahead::ReadAhead;
use crate::digest::{Digests, Hashing};
use crate::{SnapshotError, Source};

/// Small, because the pages of a database that has been compacted lie scattered over the file.
const BLOCK_BYTES: u64 = 16 * 1024;

/// Enough for a path from the root to a leaf and a value beside it.
const BLOCKS: usize = 8;

/// What is hashed at once: it stays in the processor's cache until its pages are looked at.
const PIECE_BYTES: u64 = 64 * 1024;

/// How many pieces are kept, the last ones that were hashed.
const PIECES: usize = 16;

/// What lies less far ahead of the hash is waited for, so to say: all up to it is hashed first.
const NEAR_BYTES: u64 = 8 * PIECE_BYTES;

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

#[derive(Default)]
struct Block {
    start: u64,
    bytes: Vec<u8>,
    used_at: u64,
}

impl Block {
    fn contains(&self, offset: u64) -> bool {
        (self.start..self.start + self.bytes.len() as u64).contains(&offset)
    }

    /// Reads `bytes` bytes from `start`. A block that could not be read is empty: it must never be taken for one that was.
    fn read(&mut self, source: &dyn Source, start: u64, bytes: u64) -> Result<(), SnapshotError> {
        let mut buffer = std::mem::take(&mut self.bytes);
        buffer.resize(bytes as usize, 0);
        source.read_exact_at(&mut buffer, start).map_err(|source| SnapshotError::Read { offset: start, source })?;
        (self.start, self.bytes) = (start, buffer);
        Ok(())
    }
}

/// The content of a snapshot: the file without its trailer.
pub(crate) struct Blocks<'f> {
    source: &'f dyn Source,
    len: u64,
    hashing: Hashing,
    ahead: ReadAhead,
    /// First the pieces, each where its number has it, then the blocks.
    blocks: Vec<Block>,
    newest: usize,
    clock: u64,
}

impl<'f> Blocks<'f> {
    pub(crate) fn new(source: &'f dyn Source, len: u64) -> Self {
        let blocks = std::iter::repeat_with(Block::default).take(PIECES + BLOCKS).collect();
        Self { source, len, hashing: Hashing::default(), ahead: ReadAhead::default(), blocks, newest: 0, clock: 0 }
    }

    /// The same, with the system reading ahead of the hash.
    pub(crate) fn reading_ahead(self, ahead: ReadAhead) -> Self {
        Self { ahead, ..self }
    }

    /// Bytes of the content.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the content that have been hashed.
    pub(crate) fn hashed(&self) -> u64 {
        self.hashing.bytes()
    }

    /// Hashes the next piece; false if there is none.
    pub(crate) fn hash_on(&mut self) -> Result<bool, SnapshotError> {
        let start = self.hashed();
        if start == self.len {
            return Ok(false);
        }
        let piece = &mut self.blocks[piece_of(start)];
        piece.read(self.source, start, (self.len - start).min(PIECE_BYTES))?;
        self.hashing.update(&piece.bytes);
        self.ahead.hashed(self.hashing.bytes());
        Ok(true)
    }

    /// The hashes, once all has been hashed; compared with the trailer.
    pub(crate) fn digests(self) -> Result<Digests, SnapshotError> {
        self.hashing.end(self.source)
    }

    /// As much of a non-empty `span`, from its start, as lies together in memory: at least one byte.
    pub(crate) fn chunk(&mut self, span: Span) -> Result<&[u8], SnapshotError> {
        if !self.blocks[self.newest].contains(span.start) {
            self.newest = self.find(span.start)?;
        }
        let Block { start, bytes, .. } = &self.blocks[self.newest];
        let from = (span.start - start) as usize;
        let to = bytes.len().min(from.saturating_add(span.len() as usize));
        bytes.get(from..to).filter(|chunk| !chunk.is_empty()).ok_or_else(|| beyond_the_end(span.start))
    }

    /// The block, or piece, with the byte at `offset`.
    fn find(&mut self, offset: u64) -> Result<usize, SnapshotError> {
        if offset >= self.len {
            return Err(beyond_the_end(offset));
        }
        let piece = piece_of(offset);
        while (self.hashed()..self.hashed() + NEAR_BYTES).contains(&offset) {
            self.hash_on()?;
        }
        if self.blocks[piece].contains(offset) {
            return Ok(piece);
        }
        let found = (PIECES..PIECES + BLOCKS).find(|&slot| self.blocks[slot].contains(offset));
        let slot = match found {
            Some(found) => found,
            None => self.load(offset)?,
        };
        self.clock += 1;
        self.blocks[slot].used_at = self.clock;
        Ok(slot)
    }

    /// Reads the block with the byte at `offset`.
    fn load(&mut self, offset: u64) -> Result<usize, SnapshotError> {
        let slot = (PIECES..PIECES + BLOCKS).min_by_key(|&slot| self.blocks[slot].used_at).unwrap_or(PIECES);
        let start = offset / BLOCK_BYTES * BLOCK_BYTES;
        self.blocks[slot].read(self.source, start, (self.len - start).min(BLOCK_BYTES))?;
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

/// Where the piece with the byte at `offset` is kept.
fn piece_of(offset: u64) -> usize {
    (offset / PIECE_BYTES) as usize % PIECES
}

fn beyond_the_end(offset: u64) -> SnapshotError {
    SnapshotError::Read { offset, source: io::ErrorKind::UnexpectedEof.into() }
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn numbered(len: u64) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn reads_across_blocks_and_after_eviction() {
        let len = 3 * PIECE_BYTES * PIECES as u64 + 7;
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

    /// Counts what is read of it.
    struct Counted {
        bytes: Vec<u8>,
        read: AtomicU64,
    }

    impl Source for Counted {
        fn bytes(&self) -> io::Result<u64> {
            self.bytes.as_slice().bytes()
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            self.bytes.as_slice().read_exact_at(buffer, offset)
        }
    }

    #[test]
    fn what_is_read_in_order_is_read_once_for_the_hash_too() {
        let len = 3 * PIECE_BYTES * PIECES as u64;
        let content = numbered(len);
        let trailer = <sha2::Sha256 as sha2::Digest>::digest(&content);
        let source = Counted { bytes: [content, trailer.to_vec()].concat(), read: Default::default() };
        let mut blocks = Blocks::new(&source, len);
        // Far ahead, then in order with steps back.
        blocks.array::<16>(len - 16).unwrap();
        assert_eq!(blocks.hashed(), 0);
        for start in (0..len - PIECE_BYTES).step_by(1 << 12) {
            let there = start.saturating_sub(start % 3 * PIECE_BYTES);
            assert_eq!(blocks.array::<1>(there).unwrap()[0], (there % 251) as u8);
        }
        while blocks.hash_on().unwrap() {}
        blocks.digests().unwrap();
        assert_eq!(source.read.into_inner(), BLOCK_BYTES + len + 32);
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
