use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use etcd_backup_snapshot::verify;

use crate::surgery::{PAGE, Snapshot};

fn reason(snapshot: &Snapshot) -> &'static str {
    snapshot.verify().unwrap_err().reason()
}

fn reason_of(bytes: &[u8]) -> &'static str {
    reason(&Snapshot { bytes: bytes.to_vec() })
}

#[test]
fn nothing() {
    assert_eq!(reason_of(&[]), "Empty");
    assert_eq!(reason_of(&[0; 32]), "Empty");
}

#[test]
fn zeros() {
    assert_eq!(reason_of(&vec![0; 1 << 20]), "SizeInvalid");
    assert_eq!(reason_of(&vec![0; (1 << 20) + 32]), "MetaPageInvalid");
    assert_eq!(reason_of(&[0; 512 + 32]), "MetaPageInvalid");
}

#[test]
fn a_huge_sparse_file_is_refused_at_once() {
    let began = Instant::now();
    for (bytes, reason) in [(1 << 40, "SizeInvalid"), ((1 << 40) + 32, "MetaPageInvalid")] {
        let file = tempfile::tempfile().unwrap();
        file.set_len(bytes).unwrap();
        assert_eq!(verify(&file).unwrap_err().reason(), reason);
    }

    let mut snapshot = Snapshot::load("etcd-3.6-empty");
    let pages = 1_u64 << 28;
    snapshot.put_meta_u64(40, pages);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&snapshot.bytes[..2 * PAGE]).unwrap();
    file.set_len(pages * PAGE as u64 + 32).unwrap();
    assert_eq!(verify(&file).unwrap_err().reason(), "TooLarge");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_flipped_bit_anywhere() {
    let snapshot = Snapshot::load("etcd-3.6-empty");
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(&snapshot.bytes, 0).unwrap();
    for at in (0..snapshot.bytes.len()).step_by(37).chain(0..100).chain(PAGE..PAGE + 100) {
        file.write_all_at(&[snapshot.bytes[at] ^ 0x10], at as u64).unwrap();
        let reason = verify(&file).unwrap_err().reason();
        let meta = [0, PAGE].iter().any(|&page| (page..page + 80).contains(&at));
        // In a page's header, bbolt leaves the count and the overflow of a meta page unused.
        let expected: &[_] = if meta { &["MetaPageInvalid", "ChecksumMismatch"] } else { &["ChecksumMismatch"] };
        assert!(expected.contains(&reason), "byte {at}: {reason}");
        file.write_all_at(&[snapshot.bytes[at]], at as u64).unwrap();
    }
    assert!(verify(&file).is_ok());
}

#[test]
fn a_flipped_bit_in_a_value() {
    let mut snapshot = Snapshot::load("etcd-3.6");
    let large = snapshot.key_entries().into_iter().max_by_key(|entry| entry.value_len).unwrap();
    assert!(large.value_len > 600_000);
    snapshot.bytes[large.value + 300_000] ^= 1;
    let error = snapshot.verify().unwrap_err();
    assert_eq!(error.reason(), "ChecksumMismatch");
    assert!(error.to_string().contains("the file is damaged"), "{error}");
}

#[test]
fn cut_short_or_with_more_behind() {
    let whole = Snapshot::load("etcd-3.6").bytes;
    let content = whole.len() - 32;
    assert_eq!(reason_of(&whole[..whole.len() - 1]), "SizeInvalid");
    assert_eq!(reason_of(&whole[..content]), "SizeInvalid", "a `db` file without the trailer");
    assert_eq!(reason_of(&whole[..whole.len() / 2]), "SizeInvalid");
    assert_eq!(reason_of(&whole[..512 * 100 + 32]), "SizeMismatch");
    assert_eq!(reason_of(&[&whole[..content - PAGE], &whole[content..]].concat()), "SizeMismatch");
    assert_eq!(reason_of(&[&whole[..content], &[0; PAGE], &whole[content..]].concat()), "SizeMismatch");
    assert_eq!(reason_of(&whole[..512 + 32]), "SizeMismatch");
}

#[test]
fn messages_say_what_to_do() {
    let error = Snapshot { bytes: vec![0; 1 << 20] }.verify().unwrap_err();
    assert!(error.to_string().contains("copied from a data directory"), "{error}");
}
