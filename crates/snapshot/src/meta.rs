//! The two meta pages a database begins with.

use crate::SnapshotError;
use crate::blocks::{Blocks, u16_at, u32_at, u64_at};
use crate::page::HEADER_BYTES;

const META_FLAG: u16 = 0x04;
const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// The checksum covers the fields before it.
const CHECKED_BYTES: usize = 56;
const PAGE_AND_META_BYTES: usize = HEADER_BYTES as usize + CHECKED_BYTES + 8;

/// What bbolt writes in the place of the freelist's page where the list is not kept in the file, as etcd does on Linux.
const NO_FREELIST: u64 = u64::MAX;

/// The most pages that are checked: one bit each, 4 MiB in all; 128 GiB in pages of 4 KiB, 16 times what etcd is tested
/// for.
pub(crate) const MAX_PAGES: u64 = 1 << 25;

/// Where the database's tree begins and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) page_size: u64,
    /// First page of the bucket that holds the buckets.
    pub(crate) root: u64,
    /// First page of the list of free pages, if it is in the file.
    pub(crate) freelist: Option<u64>,
    /// Pages below this one belong to the database (bbolt's high-water mark).
    pub(crate) pages: u64,
    txid: u64,
}

impl Meta {
    /// Reads both meta pages.
    ///
    /// bbolt opens a database if one of the two is valid, as it writes them in turn and may be interrupted. A snapshot
    /// is never in that state: bbolt's `Tx.WriteTo` writes both from the same transaction, the second with a
    /// transaction id lower by one. So both are required, and required to say the same.
    pub(crate) fn read(blocks: &mut Blocks<'_>) -> Result<Self, SnapshotError> {
        let first = Self::read_page(blocks, 0, 0)?;
        if first.pages > MAX_PAGES {
            return Err(SnapshotError::TooLarge { pages: first.pages, limit: MAX_PAGES });
        }
        let expected_bytes = first.pages * first.page_size;
        if blocks.len() != expected_bytes {
            return Err(SnapshotError::SizeMismatch { content_bytes: blocks.len(), expected_bytes });
        }
        let second = Self::read_page(blocks, 1, first.page_size)?;
        let expected = Self { txid: first.txid.wrapping_sub(1), ..first.clone() };
        if second != expected {
            return Err(invalid(1, "says something else than meta page 0"));
        }
        Ok(first)
    }

    /// What a database of so many pages may say, for reading pages of it without its meta pages.
    pub(crate) fn assumed(page_size: u64, pages: u64) -> Self {
        Self { page_size, root: 2, freelist: None, pages, txid: 0 }
    }

    fn read_page(blocks: &mut Blocks<'_>, page: u64, offset: u64) -> Result<Self, SnapshotError> {
        let bytes: [u8; PAGE_AND_META_BYTES] = blocks.array(offset)?;
        let (header, meta) = bytes.split_at(HEADER_BYTES as usize);
        let problem = if u32_at(meta, 0) == MAGIC.swap_bytes() {
            "was written on a big-endian machine (s390x), whose databases cannot be read here"
        } else if u32_at(meta, 0) != MAGIC {
            "does not begin like a bbolt database (magic number)"
        } else if u32_at(meta, 4) != VERSION {
            "has an unknown format version"
        } else if u64_at(meta, CHECKED_BYTES) != fnv1a(&meta[..CHECKED_BYTES]) {
            "does not match its own checksum"
        } else if u64_at(header, 0) != page || u16_at(header, 8) != META_FLAG {
            "is not marked as this meta page"
        } else {
            let page_size = u64::from(u32_at(meta, 8));
            let (root, freelist, pages) = (u64_at(meta, 16), u64_at(meta, 32), u64_at(meta, 40));
            let inside = 2..pages;
            if !(page_size.is_power_of_two() && (1 << 10..=1 << 16).contains(&page_size)) {
                "has an impossible page size"
            } else if !inside.contains(&root) {
                "places the root outside the database"
            } else if freelist != NO_FREELIST && !inside.contains(&freelist) {
                "places the freelist outside the database"
            } else {
                return Ok(Self {
                    page_size,
                    root,
                    freelist: (freelist != NO_FREELIST).then_some(freelist),
                    pages,
                    txid: u64_at(meta, 48),
                });
            }
        };
        Err(invalid(page, problem))
    }
}

fn invalid(page: u64, problem: &str) -> SnapshotError {
    SnapshotError::MetaPageInvalid { page, problem: problem.to_owned() }
}

/// FNV-1a, 64 bits (RFC 9923).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn fnv1a_matches_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
