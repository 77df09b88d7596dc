//! Changes to snapshots that leave most of one whole, so that what lies behind the checksums is reached.

use sha2::{Digest, Sha256};

const TRAILER_BYTES: usize = 32;
/// Of a page, and of an element in it.
const HEADER_BYTES: usize = 16;
/// Where the meta begins in its page, and the fields in it.
const META: usize = HEADER_BYTES;
const META_CHECKSUM: usize = META + 56;
const PAGE_SIZE: usize = META + 8;
const ROOT: usize = META + 16;
const FREELIST: usize = META + 32;
const PAGES: usize = META + 40;
const TXID: usize = META + 48;

/// Changes the first `size` bytes of `data` and returns the new size; the same for the same `seed`. `default` is
/// libFuzzer's own mutation: it takes bytes and how many of them there are, and returns how many there are then.
///
/// One change in four is libFuzzer's; the others are of bbolt's fields and pages. Fifteen of sixteen are sealed: the
/// meta pages agree and have the right checksum, the SHA-256 at the end is right.
pub fn mutate_snapshot(
    data: &mut [u8],
    size: usize,
    seed: u32,
    default: impl FnOnce(&mut [u8], usize) -> usize,
) -> usize {
    let mut random = Random(u64::from(seed));
    let mut snapshot = Snapshot::of(&mut data[..size]);
    let size = if random.one_in(4) || snapshot.pages() < 3 {
        default(data, size)
    } else {
        for _ in 0..=random.below(3) {
            snapshot.change(&mut random);
        }
        size
    };
    if !random.one_in(16) {
        Snapshot::of(&mut data[..size]).seal();
    }
    size
}

struct Snapshot<'a> {
    content: &'a mut [u8],
    trailer: &'a mut [u8],
    page_size: usize,
}

impl<'a> Snapshot<'a> {
    fn of(file: &'a mut [u8]) -> Self {
        let (content, trailer) = file.split_at_mut(file.len().saturating_sub(TRAILER_BYTES));
        let page_size = match number(content, PAGE_SIZE, 4) as usize {
            size if size.is_power_of_two() && (1024..=65536).contains(&size) => size,
            _ => 4096,
        };
        Self { content, trailer, page_size }
    }

    /// Whole pages.
    fn pages(&self) -> usize {
        self.content.len() / self.page_size
    }

    fn change(&mut self, random: &mut Random) {
        let (page, other) = (random.below(self.pages() as u64) as usize, random.below(self.pages() as u64) as usize);
        let at = page * self.page_size;
        match random.below(8) {
            0 => {
                let field = [ROOT, FREELIST, PAGES, TXID][random.below(4) as usize];
                self.put(field, 8, random);
            }
            1 => {
                let (field, bytes) = [(0, 8), (8, 2), (10, 2), (12, 4)][random.below(4) as usize];
                self.put(at + field, bytes, random);
            }
            2 | 3 => {
                // A field of 4 bytes of an element, or the page that a branch leads to.
                let (field, bytes) = [(0, 4), (4, 4), (8, 4), (12, 4), (8, 8)][random.below(5) as usize];
                let element = self.element(at, random);
                self.put(element + field, bytes, random);
            }
            4 => self.swap(at, other * self.page_size, self.page_size),
            5 => {
                self.content.copy_within(other * self.page_size..(other + 1) * self.page_size, at);
                put_number(self.content, at, 8, page as u64);
            }
            6 => {
                let (one, two) = (self.element(at, random), self.element(at, random));
                self.swap(one, two, HEADER_BYTES);
            }
            _ => {
                let inside = at + random.below(self.page_size as u64) as usize;
                let bytes = 1 << random.below(4);
                self.put(inside, bytes, random);
            }
        }
    }

    /// Where one of the elements is that a page says it has.
    fn element(&self, page: usize, random: &mut Random) -> usize {
        let room = (self.page_size / HEADER_BYTES - 1) as u64;
        let count = number(self.content, page + 10, 2).clamp(1, room);
        page + HEADER_BYTES * (1 + random.below(count) as usize)
    }

    /// Puts another number into a field: near what it was, the number of a page, a bound, or any.
    fn put(&mut self, at: usize, bytes: usize, random: &mut Random) {
        let old = number(self.content, at, bytes);
        let new = match random.below(6) {
            0 => old.wrapping_add(1),
            1 => old.wrapping_sub(1),
            2 => old ^ 1 << random.below(8 * bytes as u64),
            3 => random.below(self.pages() as u64 + 2),
            4 => [0, 1, 2, 4, 0x10, 0x7fff, 0xffff, u64::MAX, 1 << 31, 1 << 63][random.below(10) as usize],
            _ => random.next(),
        };
        put_number(self.content, at, bytes, new);
    }

    /// Exchanges two ranges, if they do not overlap.
    fn swap(&mut self, one: usize, other: usize, len: usize) {
        let (low, high) = (one.min(other), one.max(other));
        if low + len <= high && high + len <= self.content.len() {
            let (before, after) = self.content.split_at_mut(high);
            before[low..low + len].swap_with_slice(&mut after[..len]);
        }
    }

    /// Makes everything agree that is there only to show damage.
    fn seal(&mut self) {
        if self.pages() >= 2 {
            let (first, rest) = self.content.split_at_mut(self.page_size);
            put_number(first, META_CHECKSUM, 8, fnv1a(&first[META..META_CHECKSUM]));
            rest[..META_CHECKSUM].copy_from_slice(&first[..META_CHECKSUM]);
            put_number(rest, 0, 8, 1);
            let txid = number(first, TXID, 8);
            put_number(rest, TXID, 8, txid.wrapping_sub(1));
            put_number(rest, META_CHECKSUM, 8, fnv1a(&rest[META..META_CHECKSUM]));
        }
        let hash = Sha256::digest(&*self.content);
        for (byte, right) in self.trailer.iter_mut().zip(hash) {
            *byte = right;
        }
    }
}

/// The little-endian number of so many bytes, as far as they are there.
fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes.iter().skip(at).take(len).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn put_number(bytes: &mut [u8], at: usize, len: usize, number: u64) {
    for (byte, new) in bytes.iter_mut().skip(at).take(len).zip(number.to_le_bytes()) {
        *byte = new;
    }
}

/// FNV-1a, 64 bits (RFC 9923).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number less than `limit`, which is not 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn snapshot() -> Vec<u8> {
        let packed = &include_bytes!("../corpus/verify/etcd-3.6.db.gz")[..];
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_sealed_snapshot_is_one_again() {
        let mut file = snapshot();
        for at in [META_CHECKSUM, 1024 + TXID, file.len() - 1] {
            file[at] ^= 1;
        }
        assert!(etcd_backup_snapshot::verify(file.as_slice()).is_err());
        Snapshot::of(&mut file).seal();
        assert_eq!(file, snapshot());
    }

    #[test]
    fn most_changes_are_refused_for_the_structure_and_some_are_none() {
        let snapshot = snapshot();
        let mut reasons = std::collections::BTreeMap::<&str, u32>::new();
        for seed in 0..2000 {
            let (mut file, mut again) = (snapshot.clone(), snapshot.clone());
            let size = mutate_snapshot(&mut file, snapshot.len(), seed, |_, size| size);
            assert_eq!(size, mutate_snapshot(&mut again, snapshot.len(), seed, |_, size| size));
            assert_eq!(file, again, "seed {seed}");
            let verdict = etcd_backup_snapshot::verify(file.as_slice());
            *reasons.entry(verdict.map_or_else(|error| error.reason(), |_| "sound")).or_default() += 1;
        }
        for reason in ["sound", "PageInvalid", "KeyOrder", "EntryInvalid", "PageReachedTwice", "ChecksumMismatch"] {
            assert!(reasons.get(reason) > Some(&10), "{reason}: {reasons:?}");
        }
        assert!(reasons["ChecksumMismatch"] < 200, "{reasons:?}");
    }
}
