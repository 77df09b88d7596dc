use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use etcd_backup_snapshot::{Description, Options, SnapshotError, Source, verify, verify_with};

use crate::surgery::Snapshot;

/// Verifies, and gives what whoever watched was told.
fn watched(
    source: &(impl Source + ?Sized),
    mut go_on: impl FnMut(u64) -> bool,
) -> (Result<Description, SnapshotError>, Vec<u64>) {
    let mut told = Vec::new();
    let found = verify_with(source, &Options::default(), |bytes| {
        told.push(bytes);
        if go_on(bytes) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    (found, told)
}

/// Of many pieces, and of few.
const SNAPSHOTS: [&str; 2] = ["etcd-3.5", "etcd-3.6"];

#[test]
fn progress_never_goes_back_nor_over_the_end() {
    for name in SNAPSHOTS {
        let snapshot = Snapshot::load(name);
        let (found, told) = watched(snapshot.bytes.as_slice(), |_| true);
        let content = found.unwrap().content_bytes;
        assert!(told.is_sorted() && told.iter().all(|&bytes| bytes <= content), "{name}: {told:?}");
        assert_eq!(told.last(), Some(&content), "{name}: {told:?}");
        assert!(told.len() > 1, "{name}: {told:?}");
    }
}

#[test]
fn it_ends_when_whoever_watches_has_had_enough() {
    for name in SNAPSHOTS {
        let snapshot = Snapshot::load(name);
        let (found, told) = watched(snapshot.bytes.as_slice(), |_| false);
        assert_eq!(found.unwrap_err().reason(), "Stopped", "{name}");
        assert_eq!(told.len(), 1, "{name}: nobody is asked again");
    }
}

#[test]
fn a_file_and_memory_are_described_the_same() {
    for name in SNAPSHOTS {
        let snapshot = Snapshot::load(name);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&snapshot.bytes).unwrap();
        assert_eq!(verify(&file).unwrap(), snapshot.verify().unwrap(), "{name}");
    }
}

#[test]
fn a_wrong_checksum_outranks_a_wrong_page() {
    for name in SNAPSHOTS {
        let mut snapshot = Snapshot::load(name);
        let leaf = snapshot.key_leaves()[1];
        snapshot.put_u16(leaf + 8, 0xffff);
        assert_eq!(snapshot.verify().unwrap_err().reason(), "ChecksumMismatch", "{name}");
        snapshot.reseal();
        assert_eq!(snapshot.verify().unwrap_err().reason(), "PageInvalid", "{name}");
    }
}

/// A disk that fails after so many bytes have been read of it, as one does whose cable is drawn.
struct Failing<'a> {
    bytes: &'a [u8],
    left: AtomicU64,
}

impl Source for Failing<'_> {
    fn bytes(&self) -> io::Result<u64> {
        self.bytes.bytes()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let read = buffer.len() as u64;
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read));
        left.map_err(|_| io::Error::other("drawn"))?;
        self.bytes.read_exact_at(buffer, offset)
    }
}

#[test]
fn a_disk_that_fails_proves_nothing_against_the_snapshot() {
    for name in SNAPSHOTS {
        let snapshot = Snapshot::load(name);
        let whole = snapshot.bytes.len() as u64;
        for left in [0, 5000, whole / 4, whole / 2, whole] {
            let source = Failing { bytes: &snapshot.bytes, left: AtomicU64::new(left) };
            assert_eq!(verify(&source).unwrap_err().reason(), "ReadFailed", "{name} after {left} bytes");
        }
    }
}
