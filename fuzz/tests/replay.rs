//! The saved corpus, through every target.

#![expect(clippy::unwrap_used, reason = "a corpus that cannot be read must fail")]

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Calls a target with every saved input; the one that fails is the last named.
fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut inputs: Vec<PathBuf> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no input in {}", corpus.display());
    for input in inputs {
        println!("{}", input.display());
        let mut bytes = fs::read(&input).unwrap();
        if input.extension().is_some_and(|extension| extension == "gz") {
            let packed = std::mem::take(&mut bytes);
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut bytes).unwrap();
        }
        target(&bytes);
    }
}

#[test]
fn manifest() {
    replay("manifest", etcd_backup_fuzz::manifest);
}

/// No saved input is that large.
#[test]
fn a_manifest_of_more_than_1_mib_is_refused() {
    let mut document = include_bytes!("../corpus/manifest/whole.json").to_vec();
    for bytes in [1 << 20, (1 << 20) + 1] {
        document.resize(bytes, b' ');
        etcd_backup_fuzz::manifest(&document);
    }
}

#[test]
fn report() {
    replay("report", etcd_backup_fuzz::report);
}

#[test]
fn schedule() {
    replay("schedule", etcd_backup_fuzz::schedule);
}

#[test]
fn page() {
    replay("page", etcd_backup_fuzz::page);
}

#[test]
fn verify() {
    replay("verify", etcd_backup_fuzz::verify);
}
