//! Where the parts of a sound database lie, so that damage can be aimed at each of them.
//! The format is that of go.etcd.io/bbolt, `internal/common`.

use std::ops::Range;

const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
const BUCKET_HEADER: usize = 16;
const LEAF: u16 = 2;
const BUCKET: u32 = 1;

/// Offsets of the fields of a meta page that damage is aimed at, from the beginning of the page.
pub(crate) const META_FIELDS: Range<usize> = 16..80;
const META_PAGE_SIZE: usize = 24;
const META_ROOT: usize = 32;
const META_TXID: usize = 64;
pub(crate) const META_CHECKSUM: usize = 72;

/// The pages that the newer meta page leads to.
pub(crate) struct Layout {
    pub(crate) page_bytes: usize,
    pub(crate) pages: Vec<Page>,
}

/// A page with the pages that continue it, or the inner page of a small bucket.
#[derive(Clone)]
pub(crate) struct Page {
    /// The bucket; empty for the list of buckets.
    pub(crate) bucket: String,
    pub(crate) header: Range<usize>,
    pub(crate) elements: Range<usize>,
    /// Of each element, where its key and its value are; a branch has no values.
    pub(crate) entries: Vec<(Range<usize>, Range<usize>)>,
    /// Bytes of the page in the file; nothing for an inner page.
    pub(crate) whole: Range<usize>,
}

impl Layout {
    /// Reads a database that is known to be sound.
    pub(crate) fn of(content: &[u8]) -> Self {
        let page_bytes = u32_at(content, META_PAGE_SIZE) as usize;
        let newer = if u64_at(content, META_TXID) > u64_at(content, page_bytes + META_TXID) { 0 } else { page_bytes };
        let mut layout = Self { page_bytes, pages: Vec::new() };
        layout.walk(content, u64_at(content, newer + META_ROOT) as usize * page_bytes, "");
        layout
    }

    fn walk(&mut self, content: &[u8], at: usize, bucket: &str) {
        let continued = u32_at(content, at + 12) as usize;
        self.page(content, at, at..at + (1 + continued) * self.page_bytes, bucket);
    }

    fn page(&mut self, content: &[u8], at: usize, whole: Range<usize>, bucket: &str) {
        let (leaf, count) = (u16_at(content, at + 8) & LEAF != 0, usize::from(u16_at(content, at + 10)));
        let elements = at + PAGE_HEADER..at + PAGE_HEADER + count * ELEMENT;
        let mut page = Page {
            bucket: bucket.to_owned(),
            header: at..at + PAGE_HEADER,
            elements: elements.clone(),
            entries: Vec::new(),
            whole,
        };
        let mut below = Vec::new();
        for element in elements.step_by(ELEMENT) {
            let field = |index: usize| u32_at(content, element + 4 * index) as usize;
            if !leaf {
                let key = element + field(0)..element + field(0) + field(1);
                page.entries.push((key.clone(), key.end..key.end));
                below.push((u64_at(content, element + 8) as usize * self.page_bytes, bucket.to_owned(), None));
                continue;
            }
            let key = element + field(1)..element + field(1) + field(2);
            let value = key.end..key.end + field(3);
            if u32_at(content, element) & BUCKET != 0 {
                let name = String::from_utf8_lossy(&content[key.clone()]).into_owned();
                match u64_at(content, value.start) as usize {
                    0 => below.push((value.start + BUCKET_HEADER, name, Some(()))),
                    root => below.push((root * self.page_bytes, name, None)),
                }
            }
            page.entries.push((key, value));
        }
        self.pages.push(page);
        for (at, bucket, inner) in below {
            match inner {
                Some(()) => self.page(content, at, at..at, &bucket),
                None => self.walk(content, at, &bucket),
            }
        }
    }
}

/// bbolt's FNV-1a over the fields of a meta page before it.
pub(crate) fn meta_checksum(meta: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    meta[META_FIELDS.start..META_CHECKSUM].iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
