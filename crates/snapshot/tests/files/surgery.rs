//! Snapshots in memory, with the means to find and change single fields and to make the result look whole again.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use etcd_backup_snapshot::{Description, SnapshotError, verify};
use sha2::{Digest, Sha256};

pub(crate) const PAGE: usize = 4096;
const TRAILER: usize = 32;

#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) bytes: Vec<u8>,
}

/// Where an element of a leaf or branch page and its parts begin in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    pub(crate) at: usize,
    pub(crate) key: usize,
    pub(crate) key_len: usize,
    /// Of a leaf's element.
    pub(crate) value: usize,
    pub(crate) value_len: usize,
    /// Of a branch's element.
    pub(crate) child: usize,
}

pub(crate) fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

impl Snapshot {
    pub(crate) fn load(name: &str) -> Self {
        let mut bytes = Vec::new();
        let packed = File::open(data(&format!("{name}.db.gz"))).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        Self { bytes }
    }

    pub(crate) fn verify(&self) -> Result<Description, SnapshotError> {
        verify(self.bytes.as_slice())
    }

    /// Writes the checksums of both meta pages anew.
    pub(crate) fn reseal_meta(&mut self) {
        for meta in [16, PAGE + 16] {
            let hash = self.bytes[meta..meta + 56].iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
            self.put_u64(meta + 56, hash);
        }
    }

    /// Writes the SHA-256 at the end anew.
    pub(crate) fn reseal(&mut self) {
        let content = self.bytes.len() - TRAILER;
        let hash = Sha256::digest(&self.bytes[..content]);
        self.bytes[content..].copy_from_slice(&hash);
    }

    /// Changes a field of both meta pages.
    pub(crate) fn put_meta_u64(&mut self, field: usize, value: u64) {
        self.put_u64(16 + field, value);
        self.put_u64(PAGE + 16 + field, value);
        self.reseal_meta();
    }

    /// Adds empty pages to the end and returns the first one's number.
    pub(crate) fn add_pages(&mut self, count: usize) -> usize {
        let content = self.bytes.len() - TRAILER;
        self.bytes.splice(content..content, vec![0; count * PAGE]);
        self.put_meta_u64(40, (content / PAGE + count) as u64);
        content / PAGE
    }

    pub(crate) fn root(&self) -> usize {
        self.u64(16 + 16) as usize
    }

    pub(crate) fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes[at..at + 2].try_into().unwrap())
    }

    pub(crate) fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap())
    }

    pub(crate) fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes[at..at + 8].try_into().unwrap())
    }

    pub(crate) fn put_u16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn put_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn put_u64(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn swap(&mut self, one: usize, other: usize, len: usize) {
        for at in 0..len {
            self.bytes.swap(one + at, other + at);
        }
    }

    /// The elements of the page whose header is at `at`.
    pub(crate) fn elements(&self, at: usize) -> Vec<Element> {
        let leaf = self.u16(at + 8) == 2;
        let element = |index: usize| {
            let at = at + 16 + 16 * index;
            let fields =
                [self.u32(at), self.u32(at + 4), self.u32(at + 8), self.u32(at + 12)].map(|field| field as usize);
            let (key, key_len, value_len) =
                if leaf { (at + fields[1], fields[2], fields[3]) } else { (at + fields[0], fields[1], 0) };
            Element { at, key, key_len, value: key + key_len, value_len, child: fields[2] }
        };
        (0..usize::from(self.u16(at + 10))).map(element).collect()
    }

    /// The element of the root page that holds `bucket`.
    pub(crate) fn bucket(&self, bucket: &str) -> Element {
        self.entry_at(self.root() * PAGE, bucket)
    }

    fn entry_at(&self, page: usize, key: &str) -> Element {
        let is_key = |element: &Element| &self.bytes[element.key..element.key + element.key_len] == key.as_bytes();
        self.elements(page).into_iter().find(is_key).unwrap()
    }

    /// Where the header of the first page of `bucket` is.
    pub(crate) fn bucket_page(&self, bucket: &str) -> usize {
        let value = self.bucket(bucket).value;
        match self.u64(value) {
            0 => value + 16,
            page => page as usize * PAGE,
        }
    }

    /// An entry of a bucket that fits into one page.
    pub(crate) fn entry(&self, bucket: &str, key: &str) -> Element {
        self.entry_at(self.bucket_page(bucket), key)
    }

    /// Where the headers of all leaves of bucket `key` are; its root is a branch and its children are the leaves.
    pub(crate) fn key_leaves(&self) -> Vec<usize> {
        let branch = self.bucket_page("key");
        assert_eq!(self.u16(branch + 8), 1, "a branch");
        let leaves: Vec<_> = self.elements(branch).into_iter().map(|element| element.child * PAGE).collect();
        assert!(leaves.len() > 2 && leaves.iter().all(|&leaf| self.u16(leaf + 8) == 2), "leaves");
        leaves
    }

    /// All entries of bucket `key`.
    pub(crate) fn key_entries(&self) -> Vec<Element> {
        self.key_leaves().into_iter().flat_map(|leaf| self.elements(leaf)).collect()
    }
}
