//! One verification: the hash of the content in one thread, the way through the tree in another.

use std::hash::RandomState;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::blocks::Blocks;
use crate::contents::Contents;
use crate::digest::{self, Digests, TRAILER_BYTES};
use crate::key_value::Event;
use crate::live_keys::{self, LiveKeys, OnEvent};
use crate::meta::Meta;
use crate::tree::{self, Visit};
use crate::{Description, SnapshotError, Source};

/// The smallest unit that etcd counts in; all page sizes are multiples.
const SECTOR_BYTES: u64 = 512;

/// A snapshot this small is hashed before a second thread would have begun.
const ONE_THREAD_BYTES: u64 = 1024 * 1024;

/// How often whoever watches is asked whether to go on: after so many bytes, or so much time where only the hash is
/// waited for.
const ASK_EVERY_BYTES: u64 = 256 * 1024;
const ASK_EVERY: Duration = Duration::from_millis(50);

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
    let mut blocks = Blocks::new(source, content_bytes);
    let meta = Meta::read(&mut blocks)?;
    let shared = &Shared::default();
    let mut watch = Watch { each: &mut watch, shared, content_bytes, walked: 0, unasked: 0 };
    let (digests, examined) = thread::scope(|scope| {
        let (done, digests) = mpsc::channel();
        let beside = done.clone();
        // Whoever does not wait for the answer has been stopped.
        let hash = move || drop(beside.send(shared.hash(source, content_bytes, |hashed| shared.has_hashed(hashed))));
        let second = thread::Builder::new().name("sha256".to_owned());
        if content_bytes < ONE_THREAD_BYTES || second.spawn_scoped(scope, hash).is_err() {
            drop(done.send(shared.hash(source, content_bytes, |hashed| watch.has_hashed(hashed))));
        }
        drop(done);
        let examined = examine(&mut blocks, &meta, options, &mut watch);
        (watch.wait(&digests), examined)
    });
    // That the file is not what the member sent outranks whatever its tree looks like.
    let digests = digests?;
    let Examined { contents, in_use_bytes, live_keys } = examined?;
    // There is nothing left to end.
    let _ = (watch.each)(content_bytes);
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
        Visit::Page(walked) => watch.has_walked(walked),
        visit => contents.visit(blocks, visit),
    })?;
    let mut each_event = |blocks: &mut Blocks<'_>, on_event: &mut OnEvent<'_>| {
        tree::walk(blocks, meta, |blocks, visit| match visit {
            Visit::Page(walked) => watch.has_walked(walked),
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

/// What the thread that hashes and the one that walks know of each other.
#[derive(Default)]
struct Shared {
    /// Bytes.
    hashed: AtomicU64,
    /// Both are to end: one of them has failed, or whoever watches has had enough.
    stop: AtomicBool,
}

impl Shared {
    fn hash(
        &self,
        source: &dyn Source,
        content_bytes: u64,
        each: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Digests, SnapshotError> {
        let digests = digest::check(source, content_bytes, each);
        // The tree of a file that is damaged or cannot be read tells nothing more.
        self.stop.fetch_or(digests.is_err(), Ordering::Relaxed);
        digests
    }

    fn has_hashed(&self, bytes: u64) -> ControlFlow<()> {
        self.hashed.store(bytes, Ordering::Relaxed);
        match self.stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// Whoever watches, seen from the thread that walks.
struct Watch<'w> {
    each: &'w mut dyn FnMut(u64) -> ControlFlow<()>,
    shared: &'w Shared,
    content_bytes: u64,
    /// Bytes that have been walked through, in all walks.
    walked: u64,
    /// Bytes walked through since it was last asked.
    unasked: u64,
}

impl Watch<'_> {
    fn has_walked(&mut self, bytes: u64) -> Result<(), SnapshotError> {
        self.unasked += bytes;
        if self.unasked < ASK_EVERY_BYTES {
            return Ok(());
        }
        self.walked += std::mem::take(&mut self.unasked);
        self.ask()
    }

    fn has_hashed(&mut self, bytes: u64) -> ControlFlow<()> {
        self.shared.hashed.store(bytes, Ordering::Relaxed);
        match self.ask() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn ask(&mut self) -> Result<(), SnapshotError> {
        let proven = (self.shared.hashed.load(Ordering::Relaxed) + self.walked.min(self.content_bytes)) / 2;
        if !self.shared.stop.load(Ordering::Relaxed) && (self.each)(proven).is_continue() {
            return Ok(());
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        Err(SnapshotError::Stopped)
    }

    /// The digests, once they are there.
    fn wait(&mut self, digests: &Receiver<Result<Digests, SnapshotError>>) -> Result<Digests, SnapshotError> {
        loop {
            match digests.recv_timeout(ASK_EVERY) {
                Ok(digests) => return digests,
                // After a request to stop, the answer is that of the thread that hashes: it may have found something.
                Err(RecvTimeoutError::Timeout) => drop(self.ask()),
                // It panicked, and so will the scope.
                Err(RecvTimeoutError::Disconnected) => return Err(SnapshotError::Stopped),
            }
        }
    }
}
