use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use etcd_backup_snapshot::{Description, Options, Source, verify_with};
use peak_alloc::PeakAlloc;
use sha2::{Digest, Sha256};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What a verification may allocate, in bytes.
const MAX_MEMORY: usize = 24_000_000;

/// How often it may read each byte. What lies scattered is read again when its block has given way to others.
const MAX_READS: u64 = 64;

/// Bytes of the SHA-256 at the end of a snapshot.
const TRAILER_BYTES: usize = 32;

thread_local! {
    static FILE: RefCell<Option<File>> = RefCell::new(tempfile::tempfile().ok());
}

/// A whole snapshot file.
///
/// A verification ends within bounded memory and after a bounded number of reads, and says the same of the bytes in
/// memory and in a file, and with keys counted exactly. What it accepts has a content that matches its checksum, and
/// facts that agree with each other.
pub fn verify(bytes: &[u8]) {
    let source = Counted { bytes, read: AtomicU64::new(0) };
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let found = described(&source, false);
    let memory = MEMORY.peak_usage().saturating_sub(before);
    assert!(memory <= MAX_MEMORY, "{memory} bytes of memory");
    let read = source.read.into_inner();
    assert!(read <= MAX_READS * bytes.len() as u64, "{read} bytes read, of {}", bytes.len());

    assert_eq!(found, described(bytes, true), "keys counted exactly");
    let from_file = FILE.with_borrow_mut(|file| file.as_mut().and_then(|file| described_in(file, bytes).ok()));
    assert_eq!(Some(&found), from_file.as_ref(), "in a file");
    match found {
        Ok(description) => agrees(&description, bytes),
        Err(message) => assert!(!message.is_empty()),
    }
}

/// The verdict; progress ascends and ends with the content.
fn described<S: Source + ?Sized>(source: &S, exact_keys: bool) -> Result<Description, String> {
    let mut proven = 0;
    let found = verify_with(source, &Options { exact_keys }, |bytes| {
        assert!(bytes >= proven, "progress went back from {proven} to {bytes}");
        proven = bytes;
        ControlFlow::Continue(())
    });
    if let Ok(description) = &found {
        assert!(proven <= description.content_bytes, "{proven} bytes proven of {}", description.content_bytes);
    }
    found.map_err(|error| format!("{}: {error}", error.reason()))
}

fn described_in(file: &mut File, bytes: &[u8]) -> io::Result<Result<Description, String>> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(bytes)?;
    Ok(described(file, false))
}

/// What is said of an accepted snapshot.
fn agrees(found: &Description, bytes: &[u8]) {
    let (content, trailer) = bytes.split_at(bytes.len().saturating_sub(TRAILER_BYTES));
    assert_eq!(Sha256::digest(content)[..], *trailer, "accepted with a wrong checksum");
    assert_eq!(found.content_sha256, hex(trailer));
    assert_eq!(found.sha256, hex(&Sha256::digest(bytes)));
    assert_eq!((found.file_bytes, found.content_bytes), (bytes.len() as u64, content.len() as u64));
    assert!(found.page_bytes.is_power_of_two() && found.content_bytes.is_multiple_of(found.page_bytes), "{found:?}");
    assert!(found.in_use_bytes <= found.content_bytes && found.in_use_bytes.is_multiple_of(found.page_bytes));

    let Description { total_keys, total_key_revisions, total_entries, .. } = *found;
    assert!(total_keys <= total_key_revisions && total_key_revisions <= total_entries, "{found:?}");
    let others = found.leases + (found.members.len() + found.alarms.len()) as u64;
    assert!(total_key_revisions + others <= total_entries, "{found:?}");
    assert!(found.encrypted_values <= total_key_revisions, "{found:?}");
    assert_eq!(found.encryption.iter().map(|one| one.values).sum::<u64>(), found.encrypted_values, "{found:?}");
    assert!(found.revision >= 0 && found.current_revision() >= found.revision.max(1), "{found:?}");
    assert_eq!(total_key_revisions == 0, found.revision == 0 && total_keys == 0, "{found:?}");
    assert!(serde_json::to_string(found).is_ok(), "{found:?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts the bytes that are read.
struct Counted<'a> {
    bytes: &'a [u8],
    read: AtomicU64,
}

impl Source for Counted<'_> {
    fn bytes(&self) -> io::Result<u64> {
        self.bytes.bytes()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read.fetch_add(buffer.len() as u64, Ordering::Relaxed);
        self.bytes.read_exact_at(buffer, offset)
    }
}
