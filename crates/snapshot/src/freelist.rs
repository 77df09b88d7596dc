//! The list of free pages, where the member keeps it in the file.

use crate::SnapshotError;
use crate::blocks::{Blocks, u64_at};
use crate::meta::Meta;
use crate::page::{HEADER_BYTES, Header};
use crate::page_map::PageMap;

const FREELIST_FLAG: u16 = 0x10;
const ID_BYTES: u64 = 8;

/// A header whose count is this has the real count in its first element.
const COUNT_IN_FIRST_ELEMENT: u16 = u16::MAX;

/// The free pages' ids in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Freelist {
    start: u64,
    /// How many pages are free.
    pub(crate) count: u64,
}

impl Freelist {
    /// Reads the list that begins at `page` and accounts for its own pages and the free ones in `map`.
    pub(crate) fn claim(
        blocks: &mut Blocks<'_>,
        meta: &Meta,
        page: u64,
        map: &mut PageMap,
    ) -> Result<Self, SnapshotError> {
        let header = Header::read(blocks, meta, page)?;
        if header.flags != FREELIST_FLAG {
            return Err(invalid(page, format!("is not a freelist (flags {:#06x})", header.flags)));
        }
        let mut start = page * meta.page_size + HEADER_BYTES;
        let end = (page + header.pages) * meta.page_size;
        let mut count = u64::from(header.count);
        if header.count == COUNT_IN_FIRST_ELEMENT {
            count = u64_at(&blocks.array::<{ ID_BYTES as usize }>(start)?, 0);
            start += ID_BYTES;
        }
        if count > (end - start) / ID_BYTES {
            return Err(invalid(page, format!("is too small for the {count} pages it claims")));
        }
        for own in page..page + header.pages {
            if !map.claim(own) {
                return Err(SnapshotError::PageReachedTwice { page: own });
            }
        }
        let list = Self { start, count };
        for index in 0..count {
            let id = list.id(blocks, index)?;
            if !(2..meta.pages).contains(&id) {
                return Err(invalid(page, format!("lists page {id}, which lies outside of the database")));
            }
            if !map.claim(id) {
                return Err(invalid(page, format!("lists page {id} twice, or itself")));
            }
        }
        Ok(list)
    }

    /// Whether `page` is free.
    pub(crate) fn contains(&self, blocks: &mut Blocks<'_>, page: u64) -> Result<bool, SnapshotError> {
        for index in 0..self.count {
            if self.id(blocks, index)? == page {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn id(&self, blocks: &mut Blocks<'_>, index: u64) -> Result<u64, SnapshotError> {
        Ok(u64_at(&blocks.array::<{ ID_BYTES as usize }>(self.start + index * ID_BYTES)?, 0))
    }
}

fn invalid(page: u64, problem: impl Into<String>) -> SnapshotError {
    SnapshotError::FreelistInvalid { page, problem: problem.into() }
}
