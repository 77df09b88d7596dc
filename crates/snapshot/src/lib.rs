//! Reads etcd snapshot files: proves that one is sound, and says what it holds.
//!
//! A snapshot, as `etcdctl snapshot save` and etcd's Snapshot RPC give it, is a bbolt database followed by the SHA-256
//! of all before it. [`verify`] proves, cheapest first:
//!
//! 1. the size is that of a snapshot, and both meta pages are valid, say the same, and match the size;
//! 2. the content matches the SHA-256: it is what the member sent;
//! 3. every page that can be reached is sound: inside the file, of the right kind, reached once, not also free, its
//!    elements inside of it and apart, its keys in strict order and in the range that its parent gives;
//! 4. every entry decodes that etcd decodes when it starts: of bucket `key`, where revisions must ascend, and of those
//!    for leases, members, users, roles, alarms and versions.
//!
//! So a failure of step 2 says that the file is damaged, and one of 3 or 4 that the member's own database is. Where both
//! are wrong, it is said that the file is. For comparison, `etcdutl snapshot status` checks part of 3 and 4 and never the
//! SHA-256; `etcdutl snapshot restore` checks only 2.
//!
//! It reads what etcd 3.4 to 3.7 write on little-endian machines, with pages of any size and with or without the list of
//! free pages in the file.
//!
//! The file is read with pread, along the tree and in order for the SHA-256, once for both where the two are near each
//! other; and along the tree again if it has more than some 900,000 keys. There is no mmap, so a file that shrinks or cannot be read is an error
//! and not a signal. Memory is at most 16 MiB whatever the file holds: one bit for each page and nine bytes for each key
//! up to a limit.
//!
//! ```no_run
//! let file = std::fs::File::open("snapshot.db")?;
//! match etcd_backup_snapshot::verify(&file) {
//!     Ok(found) => println!("{} keys at revision {}", found.total_keys, found.revision),
//!     Err(error) => eprintln!("snapshot.db: {error} ({})", error.reason()),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`verify_with`] does the same where progress is to be shown, or where it must end at a deadline:
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::time::{Duration, Instant};
//!
//! use etcd_backup_snapshot::{Options, verify_with};
//!
//! let file = std::fs::File::open("snapshot.db")?;
//! let deadline = Instant::now() + Duration::from_secs(600);
//! let found = verify_with(&file, &Options::default(), |bytes| {
//!     eprint!("\r{bytes} bytes proven");
//!     if Instant::now() < deadline { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
//! });
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod ahead;
mod blocks;
mod contents;
mod description;
mod digest;
mod encryption;
mod error;
mod freelist;
#[doc(hidden)]
pub mod fuzzing;
mod key_value;
mod live_keys;
mod meta;
mod page;
mod page_map;
mod protobuf;
mod revision;
mod schema;
mod source;
mod tree;
mod verification;

pub use crate::description::{Alarm, AlarmKind, Description, Encryption, Member};
pub use crate::error::SnapshotError;
pub use crate::source::Source;
pub use crate::verification::{Options, verify, verify_with};
