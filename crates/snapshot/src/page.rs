//! One page of a bucket's tree and its elements, as bbolt lays them out: header, table of elements, then keys and
//! values.

use crate::SnapshotError;
use crate::blocks::{Blocks, Span, u16_at, u32_at, u64_at};
use crate::meta::Meta;

pub(crate) const HEADER_BYTES: u64 = 16;
const ELEMENT_BYTES: u64 = 16;
const BRANCH_FLAG: u16 = 0x01;
const LEAF_FLAG: u16 = 0x02;
const BUCKET_ELEMENT_FLAG: u32 = 0x01;

/// bbolt refuses longer keys (`MaxKeySize`).
const MAX_KEY_BYTES: u64 = 32_768;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Branch,
    Leaf,
}

/// A page, with the pages that it overflows into.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    pub(crate) id: u64,
    /// How many pages it fills, itself included.
    pub(crate) pages: u64,
    pub(crate) kind: Kind,
    /// Number of elements.
    pub(crate) count: u16,
    span: Span,
}

pub(crate) struct Branch {
    pub(crate) key: Span,
    pub(crate) child: u64,
}

pub(crate) struct Leaf {
    pub(crate) key: Span,
    pub(crate) value: Span,
    pub(crate) is_bucket: bool,
}

/// The header that all kinds of pages begin with.
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) count: u16,
    /// How many pages it fills, itself included; they are inside the database.
    pub(crate) pages: u64,
}

impl Header {
    /// Reads the header of page `id`, which is a reference found somewhere and so may be anything.
    pub(crate) fn read(blocks: &mut Blocks<'_>, meta: &Meta, id: u64) -> Result<Self, SnapshotError> {
        if !(2..meta.pages).contains(&id) {
            return Err(invalid(id, format!("lies outside of the database's pages, 2 to {}", meta.pages - 1)));
        }
        let bytes: [u8; HEADER_BYTES as usize] = blocks.array(id * meta.page_size)?;
        if u64_at(&bytes, 0) != id {
            return Err(invalid(id, format!("calls itself page {}", u64_at(&bytes, 0))));
        }
        let pages = u64::from(u32_at(&bytes, 12)) + 1;
        if pages > meta.pages - id {
            return Err(invalid(id, format!("claims {pages} pages, beyond the end of the database")));
        }
        Ok(Self { flags: u16_at(&bytes, 8), count: u16_at(&bytes, 10), pages })
    }
}

impl Page {
    /// Reads the header of page `id` of a tree.
    pub(crate) fn read(blocks: &mut Blocks<'_>, meta: &Meta, id: u64) -> Result<Self, SnapshotError> {
        let header = Header::read(blocks, meta, id)?;
        let kind = match header.flags {
            BRANCH_FLAG => Kind::Branch,
            LEAF_FLAG => Kind::Leaf,
            flags => return Err(invalid(id, format!("is neither a branch nor a leaf (flags {flags:#06x})"))),
        };
        let start = id * meta.page_size;
        let span = Span { start, end: start + header.pages * meta.page_size };
        Self { id, pages: header.pages, kind, count: header.count, span }.with_room_for_its_elements()
    }

    /// Reads the header of a bucket so small that it lies in its own entry, at `span` of page `id`.
    pub(crate) fn inline(blocks: &mut Blocks<'_>, id: u64, span: Span) -> Result<Self, SnapshotError> {
        if span.len() < HEADER_BYTES {
            return Err(invalid(id, "holds a bucket that is cut short"));
        }
        let bytes: [u8; HEADER_BYTES as usize] = blocks.array(span.start)?;
        let (own_id, flags, overflow) = (u64_at(&bytes, 0), u16_at(&bytes, 8), u32_at(&bytes, 12));
        if (own_id, flags, overflow) != (0, LEAF_FLAG, 0) {
            return Err(invalid(id, "holds a bucket whose own page is not a leaf"));
        }
        Self { id, pages: 0, kind: Kind::Leaf, count: u16_at(&bytes, 10), span }.with_room_for_its_elements()
    }

    fn with_room_for_its_elements(self) -> Result<Self, SnapshotError> {
        if self.data_start() > self.span.end {
            return Err(invalid(self.id, format!("is too small for the {} elements it claims", self.count)));
        }
        Ok(self)
    }

    /// Where the first key may begin.
    pub(crate) fn data_start(&self) -> u64 {
        self.span.start + HEADER_BYTES + ELEMENT_BYTES * u64::from(self.count)
    }

    /// Element `index` of a branch; its key may not begin before `free`, where the element before it ended.
    pub(crate) fn branch(&self, blocks: &mut Blocks<'_>, index: u16, free: u64) -> Result<Branch, SnapshotError> {
        let (element, bytes) = self.element(blocks, index)?;
        let key = self.part(index, free, element + u64::from(u32_at(&bytes, 0)), u32_at(&bytes, 4))?;
        self.check_key(index, key)?;
        Ok(Branch { key, child: u64_at(&bytes, 8) })
    }

    /// Element `index` of a leaf; its key may not begin before `free`, where the element before it ended.
    pub(crate) fn leaf(&self, blocks: &mut Blocks<'_>, index: u16, free: u64) -> Result<Leaf, SnapshotError> {
        let (element, bytes) = self.element(blocks, index)?;
        let key = self.part(index, free, element + u64::from(u32_at(&bytes, 4)), u32_at(&bytes, 8))?;
        self.check_key(index, key)?;
        let value = self.part(index, free, key.end, u32_at(&bytes, 12))?;
        let is_bucket = match u32_at(&bytes, 0) {
            0 => false,
            BUCKET_ELEMENT_FLAG => true,
            flags => return Err(invalid(self.id, format!("element {index} has unknown flags {flags:#x}"))),
        };
        Ok(Leaf { key, value, is_bucket })
    }

    /// Where element `index` of the table begins, and its bytes.
    fn element(
        &self,
        blocks: &mut Blocks<'_>,
        index: u16,
    ) -> Result<(u64, [u8; ELEMENT_BYTES as usize]), SnapshotError> {
        let start = self.span.start + HEADER_BYTES + ELEMENT_BYTES * u64::from(index);
        Ok((start, blocks.array(start)?))
    }

    /// A key or value, if it lies between what is taken already and the page's end.
    fn part(&self, index: u16, free: u64, start: u64, bytes: u32) -> Result<Span, SnapshotError> {
        let end = start + u64::from(bytes);
        if start < free || end > self.span.end {
            return Err(invalid(self.id, format!("element {index} lies outside of the room it has in the page")));
        }
        Ok(Span { start, end })
    }

    fn check_key(&self, index: u16, key: Span) -> Result<(), SnapshotError> {
        match key.len() {
            0 => Err(invalid(self.id, format!("element {index} has an empty key"))),
            1..=MAX_KEY_BYTES => Ok(()),
            bytes => Err(invalid(self.id, format!("element {index} has a key of {bytes} bytes"))),
        }
    }
}

pub(crate) fn invalid(page: u64, problem: impl Into<String>) -> SnapshotError {
    SnapshotError::PageInvalid { page, problem: problem.into() }
}
