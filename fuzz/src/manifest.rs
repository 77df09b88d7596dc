use std::fs;

use etcd_backup_core::{MANIFEST_SCHEMA, Manifest};
use etcd_backup_store::{Look, look};
use tempfile::TempDir;

use crate::document::reads_back;

/// The store refuses more.
const MAX_BYTES: usize = 1 << 20;

thread_local! {
    static SET: Option<TempDir> = tempfile::tempdir().ok();
}

/// `backup.json` of a set, looked at as the store does.
///
/// A manifest that reads is written so that it reads back. The store takes it exactly if it reads, has at most 1 MiB, is
/// of a version that this one understands and names files of the set only; else the set is unreadable, never damaged.
pub fn manifest(document: &[u8]) {
    let read = serde_json::from_slice::<Manifest>(document).ok();
    if let Some(manifest) = &read {
        reads_back(manifest);
    }
    let expected = read.filter(|manifest| {
        document.len() <= MAX_BYTES
            && MANIFEST_SCHEMA.reads(manifest.schema_version)
            && manifest.files.iter().all(|file| is_plain(&file.name))
    });
    let look = look_at(document);
    assert!(!matches!(look, Look::Foreign { .. }), "a set with a manifest: {look:?}");
    let taken = match look {
        Look::Consistent { manifest, manifest_bytes } => {
            // There is no file in the set but the manifest.
            let itself = |name: &str, bytes| name == Manifest::FILE && bytes == manifest_bytes;
            assert!(manifest.files.iter().all(|file| itself(&file.name, file.size_bytes)), "{:?}", manifest.files);
            Some((*manifest, manifest_bytes))
        }
        Look::Damaged { manifest, manifest_bytes, damage } => {
            assert!(manifest.files.iter().any(|file| damage.path.ends_with(&file.name)), "{damage:?}");
            Some((*manifest, manifest_bytes))
        }
        Look::Unreadable { why, .. } | Look::Foreign { why } => {
            assert!(!why.is_empty());
            None
        }
    };
    assert_eq!(taken, expected.map(|manifest| (manifest, document.len() as u64)));
}

/// The set that consists of this manifest.
fn look_at(document: &[u8]) -> Look {
    let looked = SET.with(|set| {
        let set = set.as_ref().map(TempDir::path)?;
        fs::write(set.join(Manifest::FILE), document).ok()?;
        look(set).ok()
    });
    looked.unwrap_or_else(|| Look::Foreign { why: "the directory for temporary files (TMPDIR) cannot be used".into() })
}

/// Whether it is the name of a file in a directory and not a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains('/')
}
