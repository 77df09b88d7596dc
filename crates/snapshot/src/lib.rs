//! Reads etcd snapshot files: proves that one is sound, and says what it holds.
//!
//! A snapshot, as `etcdctl snapshot save` and etcd's Snapshot RPC give it, is a bbolt database followed by the SHA-256
//! of all before it. [`verify`] proves, cheapest first:
//!
//! 1. the size is that of a snapshot, and both meta pages are valid, say the same, and match the size;
//! 2. the content matches the SHA-256: it is what the member sent;
//! 3. every page that can be reached is sound: inside the file, of the right kind, reached once, not also free, its
//!    elements inside of it and apart, its keys in strict order and in the range that its parent gives;
//! 4. every entry of bucket `key` decodes and their revisions ascend; so do the other buckets' entries that are read
//!    here.
//!
//! So a failure of step 2 says that the file is damaged, and one of 3 or 4 that the member's own database is. For
//! comparison, `etcdutl snapshot status` checks part of 3 and 4 and never the SHA-256; `etcdutl snapshot restore`
//! checks only 2.
//!
//! The file is read with pread, twice and a little: once in order for the SHA-256, once along the tree, and along the
//! tree again if it has more than some 900,000 keys. There is no mmap, so a file that shrinks or cannot be read is an error and
//! not a signal. Memory is at most 16 MiB whatever the file holds: one bit for each page and nine bytes for each key up
//! to a limit.
//!
//! ```no_run
//! let file = std::fs::File::open("snapshot.db")?;
//! match etcd_backup_snapshot::verify(&file) {
//!     Ok(found) => println!("{} keys at revision {}", found.total_keys, found.revision),
//!     Err(error) => eprintln!("snapshot.db: {error} ({})", error.reason()),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod blocks;
mod contents;
mod description;
mod digest;
mod error;
mod freelist;
mod live_keys;
mod meta;
mod page;
mod page_map;
mod protobuf;
mod revision;
mod tree;

use std::fs::File;

pub use crate::description::{Alarm, AlarmKind, Description, Member};
pub use crate::error::SnapshotError;

use crate::blocks::Blocks;
use crate::contents::Contents;
use crate::digest::TRAILER_BYTES;
use crate::meta::Meta;

/// The smallest unit that etcd counts in; all page sizes are multiples.
const SECTOR_BYTES: u64 = 512;

/// Proves that `file` is a sound snapshot, from its beginning to its end, and describes it.
///
/// It is the disk that is proven only if the file is not in the page cache; who has just written it drops it from there
/// first (fsync, then `posix_fadvise` with `POSIX_FADV_DONTNEED`).
///
/// # Errors
/// The first thing found that is wrong; see [`SnapshotError`].
pub fn verify(file: &File) -> Result<Description, SnapshotError> {
    let content_bytes = content_bytes(file)?;
    let mut blocks = Blocks::new(file, content_bytes);
    let meta = Meta::read(&mut blocks)?;
    let digests = digest::check(file, content_bytes)?;

    let mut contents = Contents::default();
    let pages_in_use = tree::walk(&mut blocks, &meta, |blocks, visit| contents.visit(blocks, visit))?;
    contents.check_buckets()?;
    while contents.live_keys.another_pass() {
        tree::walk(&mut blocks, &meta, |blocks, visit| contents.count_keys(blocks, visit))?;
    }

    Ok(Description {
        file_bytes: content_bytes + TRAILER_BYTES,
        content_bytes,
        in_use_bytes: pages_in_use * meta.page_size,
        page_bytes: meta.page_size,
        sha256: digests.file,
        content_sha256: digests.content,
        hash: contents.hash,
        revision: contents.revision.map_or(0, |revision| revision.main),
        scheduled_compact_revision: contents.scheduled_compact.map(|revision| revision.main),
        finished_compact_revision: contents.finished_compact.map(|revision| revision.main),
        total_keys: contents.live_keys.total(),
        total_entries: contents.entries,
        encrypted_values: contents.encrypted_values,
        leases: contents.leases,
        members: contents.members,
        alarms: contents.alarms,
        auth_enabled: contents.auth_enabled,
        storage_version: contents.storage_version,
        consistent_index: contents.consistent_index,
        raft_term: contents.raft_term,
    })
}

/// How much of the file comes before the trailer, if its size is that of a snapshot.
fn content_bytes(file: &File) -> Result<u64, SnapshotError> {
    let bytes = file.metadata().map_err(|source| SnapshotError::Read { offset: 0, source })?.len();
    match bytes {
        0 | TRAILER_BYTES => Err(SnapshotError::Empty),
        _ if bytes % SECTOR_BYTES == TRAILER_BYTES => Ok(bytes - TRAILER_BYTES),
        _ => Err(SnapshotError::SizeInvalid { bytes }),
    }
}
