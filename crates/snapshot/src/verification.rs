//! One verification: the way through the tree, and the hash of the content beside it.

use std::hash::RandomState;
use std::ops::ControlFlow;

use crate::ahead::ReadAhead;
use crate::blocks::Blocks;
use crate::contents::Contents;
use crate::digest::TRAILER_BYTES;
use crate::key_value::Event;
use crate::live_keys::{self, LiveKeys, OnEvent};
use crate::meta::Meta;
use crate::tree::{self, Visit};
use crate::{Description, SnapshotError, Source};

/// The smallest unit that etcd counts in; all page sizes are multiples.
const SECTOR_BYTES: u64 = 512;

/// After so many bytes whoever watches is asked whether to go on.
const ASK_EVERY_BYTES: u64 = 256 * 1024;

/// What a verification may do beyond what it always does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Count the live keys exactly, by comparing keys and not only their hashes; see
    /// [`Description::total_keys`]. It reads the tree once more, or several times if there are many keys.
    pub exact_keys: bool,
}

/// Proves that `source` is a sound snapshot, from its beginning to its end, and describes it.
///
/// It is the disk that is proven only if a file is not in the page cache; who has just written it drops it from there
/// first (fsync, then `posix_fadvise` with `POSIX_FADV_DONTNEED`).
///
/// # Errors
/// The first thing found that is wrong; see [`SnapshotError`].
pub fn verify<S: Source + ?Sized>(source: &S) -> Result<Description, SnapshotError> {
    verify_with(source, &Options::default(), |_| ControlFlow::Continue(()))
}

/// The same as [`verify`], watched and with options.
///
/// `watch` is told now and then how many bytes have been proven, in the end all of the database, and ends the
/// verification by [`ControlFlow::Break`]. A byte counts half when it has been hashed and half when the tree has been
/// followed through it; further readings for counting keys add nothing. It is called in the calling thread.
///
/// # Errors
/// As [`verify`]; [`SnapshotError::Stopped`] if `watch` ended it.
pub fn verify_with<S: Source + ?Sized>(
    source: &S,
    options: &Options,
    mut watch: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Description, SnapshotError> {
    let source: &dyn Source = &source;
    let content_bytes = content_bytes(source)?;
    let mut watch = Watch { each: &mut watch, content_bytes, walked: 0, asked_at: 0 };
    std::thread::scope(|scope| {
        let ahead = ReadAhead::start(scope, source, content_bytes);
        prove(Blocks::new(source, content_bytes).reading_ahead(ahead), options, &mut watch)
    })
}

fn prove(mut blocks: Blocks<'_>, options: &Options, watch: &mut Watch<'_>) -> Result<Description, SnapshotError> {
    let meta = Meta::read(&mut blocks)?;
    let examined = examine(&mut blocks, &meta, options, watch);
    if matches!(examined, Err(SnapshotError::Stopped)) {
        return Err(SnapshotError::Stopped);
    }
    while blocks.hash_on()? {
        watch.ask(&blocks)?;
    }
    // That the file is not what the member sent outranks whatever its tree looks like.
    let digests = blocks.digests()?;
    let Examined { contents, in_use_bytes, live_keys } = examined?;
    // There is nothing left to end.
    let _ = (watch.each)(watch.content_bytes);
    Ok(contents.describe(digests, &meta, in_use_bytes, live_keys))
}

/// How much of the source comes before the trailer, if its size is that of a snapshot.
fn content_bytes(source: &dyn Source) -> Result<u64, SnapshotError> {
    let bytes = source.bytes().map_err(|source| SnapshotError::Read { offset: 0, source })?;
    match bytes {
        0 | TRAILER_BYTES => Err(SnapshotError::Empty),
        _ if bytes % SECTOR_BYTES == TRAILER_BYTES => Ok(bytes - TRAILER_BYTES),
        _ => Err(SnapshotError::SizeInvalid { bytes }),
    }
}

/// What following the tree has found.
struct Examined {
    contents: Contents,
    in_use_bytes: u64,
    live_keys: u64,
}

fn examine(
    blocks: &mut Blocks<'_>,
    meta: &Meta,
    options: &Options,
    watch: &mut Watch<'_>,
) -> Result<Examined, SnapshotError> {
    let mut contents = Contents::new((!options.exact_keys).then(|| LiveKeys::of(meta)));
    let pages = tree::walk(blocks, meta, |blocks, visit| match visit {
        Visit::Page(bytes) => watch.has_walked(bytes, blocks),
        visit => contents.visit(blocks, visit),
    })?;
    let mut each_event = |blocks: &mut Blocks<'_>, on_event: &mut OnEvent<'_>| {
        tree::walk(blocks, meta, |blocks, visit| match visit {
            Visit::Page(bytes) => watch.has_walked(bytes, blocks),
            Visit::Entry(entry) if entry.bucket == b"key" => {
                let event = Event::read(blocks, entry)?;
                on_event(blocks, &event)
            }
            Visit::Entry(_) | Visit::Bucket(_) => Ok(()),
        })
        .map(drop)
    };
    let live_keys = match contents.end()? {
        None => live_keys::count_exactly(blocks, meta, RandomState::new, each_event)?,
        Some((mut keys, hashes)) => {
            while keys.another_pass() {
                each_event(blocks, &mut |blocks, event| {
                    keys.record(event.key_hash(blocks, &hashes)?, (), !event.tombstone);
                    Ok(())
                })?;
            }
            keys.total()
        }
    };
    Ok(Examined { contents, in_use_bytes: pages * meta.page_size, live_keys })
}

/// Whoever watches.
struct Watch<'w> {
    each: &'w mut dyn FnMut(u64) -> ControlFlow<()>,
    content_bytes: u64,
    /// Bytes that have been walked through, in all walks.
    walked: u64,
    /// Bytes that had been hashed and walked through when it was last asked.
    asked_at: u64,
}

impl Watch<'_> {
    fn has_walked(&mut self, bytes: u64, blocks: &Blocks<'_>) -> Result<(), SnapshotError> {
        self.walked += bytes;
        self.ask(blocks)
    }

    fn ask(&mut self, blocks: &Blocks<'_>) -> Result<(), SnapshotError> {
        let done = blocks.hashed() + self.walked;
        if done < self.asked_at + ASK_EVERY_BYTES {
            return Ok(());
        }
        self.asked_at = done;
        match (self.each)((blocks.hashed() + self.walked.min(self.content_bytes)) / 2) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SnapshotError::Stopped),
        }
    }
}
