//! The way through all pages and entries of a database, checking each on the way.

use crate::SnapshotError;
use crate::blocks::{Blocks, Span, u64_at};
use crate::freelist::Freelist;
use crate::meta::Meta;
use crate::page::{Kind, Page, invalid};
use crate::page_map::PageMap;

/// Pages from a bucket's root to a leaf. bbolt keeps at least two children in every branch, so 2^25 pages need 26
/// levels at most.
const MAX_DEPTH: usize = 32;

/// The header of a bucket: its root page, or 0 if its only page follows; and a sequence number that etcd does not use.
const BUCKET_HEADER_BYTES: u64 = 16;

/// One entry of a bucket.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) bucket: &'a [u8],
    pub(crate) key: &'a [u8],
    pub(crate) key_span: Span,
    pub(crate) value: Span,
    pub(crate) page: u64,
    pub(crate) index: u16,
}

impl Entry<'_> {
    pub(crate) fn invalid(&self, problem: impl Into<String>) -> SnapshotError {
        SnapshotError::EntryInvalid {
            bucket: String::from_utf8_lossy(self.bucket).into_owned(),
            page: self.page,
            index: self.index,
            problem: problem.into(),
        }
    }
}

/// What is met on the way, in the order of the keys.
pub(crate) enum Visit<'a> {
    /// A page of so many bytes, with those that it overflows into.
    Page(u64),
    /// A bucket, before its entries.
    Bucket(&'a [u8]),
    Entry(Entry<'a>),
}

/// Checks every page that can be reached, and shows `visit` every bucket and entry. Returns how many pages are in use.
pub(crate) fn walk<V>(blocks: &mut Blocks<'_>, meta: &Meta, visit: V) -> Result<u64, SnapshotError>
where
    V: FnMut(&mut Blocks<'_>, Visit<'_>) -> Result<(), SnapshotError>,
{
    let mut map = PageMap::new(meta.pages);
    map.claim(0);
    map.claim(1);
    let freelist = match meta.freelist {
        Some(page) => Some(Freelist::claim(blocks, meta, page, &mut map)?),
        None => None,
    };
    let mut walk = Walk { blocks, meta, map, freelist, visit };
    walk.page(meta.root, Bounds::default(), 0, None)?;
    let free = match freelist {
        Some(freelist) => {
            if let Some(page) = walk.map.first_unclaimed() {
                return Err(SnapshotError::PageUnaccounted { page });
            }
            freelist.count
        }
        None => 0,
    };
    Ok(walk.map.claimed() - free)
}

/// The range of keys that the pages above allow; a root page has none.
#[derive(Clone, Copy, Default)]
struct Bounds<'a> {
    /// The least key.
    min: Option<&'a [u8]>,
    /// All keys are less than this one.
    max: Option<&'a [u8]>,
}

impl Bounds<'_> {
    fn check(&self, page: u64, index: u16, key: &[u8]) -> Result<(), SnapshotError> {
        let problem = if self.min.is_some_and(|min| key < min) {
            "less than the key that leads to this page"
        } else if self.max.is_some_and(|max| key >= max) {
            "not less than the key that leads to the next page"
        } else {
            return Ok(());
        };
        Err(SnapshotError::KeyOrder { page, index, problem })
    }
}

fn check_ascending(page: u64, index: u16, previous: &[u8], key: &[u8]) -> Result<(), SnapshotError> {
    if previous < key {
        return Ok(());
    }
    Err(SnapshotError::KeyOrder { page, index, problem: "not greater than the key before it" })
}

struct Walk<'b, 'f, V> {
    blocks: &'b mut Blocks<'f>,
    meta: &'b Meta,
    map: PageMap,
    freelist: Option<Freelist>,
    visit: V,
}

impl<V> Walk<'_, '_, V>
where
    V: FnMut(&mut Blocks<'_>, Visit<'_>) -> Result<(), SnapshotError>,
{
    /// Page `id` and all below it. `bucket` is whose it is; none for the bucket that holds the buckets.
    fn page(&mut self, id: u64, bounds: Bounds<'_>, depth: usize, bucket: Option<&[u8]>) -> Result<(), SnapshotError> {
        if depth == MAX_DEPTH {
            return Err(invalid(id, format!("lies deeper than {MAX_DEPTH} levels in its tree")));
        }
        let page = Page::read(self.blocks, self.meta, id)?;
        self.claim(&page)?;
        (self.visit)(self.blocks, Visit::Page(page.pages * self.meta.page_size))?;
        match page.kind {
            Kind::Branch => self.branch(&page, bounds, depth, bucket),
            Kind::Leaf => self.leaf(&page, bounds, bucket),
        }
    }

    fn claim(&mut self, page: &Page) -> Result<(), SnapshotError> {
        for id in page.id..page.id + page.pages {
            if !self.map.claim(id) {
                return Err(match &self.freelist {
                    Some(freelist) if freelist.contains(self.blocks, id)? => {
                        SnapshotError::PageFreeAndUsed { page: id }
                    }
                    _ => SnapshotError::PageReachedTwice { page: id },
                });
            }
        }
        Ok(())
    }

    fn branch(
        &mut self,
        page: &Page,
        bounds: Bounds<'_>,
        depth: usize,
        bucket: Option<&[u8]>,
    ) -> Result<(), SnapshotError> {
        if page.count == 0 {
            return Err(invalid(page.id, "is a branch that leads nowhere"));
        }
        let (mut key, mut next) = (Vec::new(), Vec::new());
        let mut element = page.branch(self.blocks, 0, page.data_start())?;
        self.blocks.copy(element.key, &mut key)?;
        for index in 0..page.count {
            bounds.check(page.id, index, &key)?;
            let child = element.child;
            let mut below = Bounds { min: Some(&key), max: bounds.max };
            if index + 1 < page.count {
                element = page.branch(self.blocks, index + 1, element.key.end)?;
                self.blocks.copy(element.key, &mut next)?;
                check_ascending(page.id, index + 1, &key, &next)?;
                below.max = Some(&next);
            }
            self.page(child, below, depth + 1, bucket)?;
            std::mem::swap(&mut key, &mut next);
        }
        Ok(())
    }

    fn leaf(&mut self, page: &Page, bounds: Bounds<'_>, bucket: Option<&[u8]>) -> Result<(), SnapshotError> {
        // bbolt removes leaves that become empty, so this one has lost its entries. Only a whole bucket may be empty.
        if page.count == 0 && bounds.min.is_some() {
            return Err(invalid(page.id, "is a leaf without entries"));
        }
        let (mut key, mut previous) = (Vec::new(), Vec::new());
        let mut free = page.data_start();
        for index in 0..page.count {
            let element = page.leaf(self.blocks, index, free)?;
            free = element.value.end;
            self.blocks.copy(element.key, &mut key)?;
            bounds.check(page.id, index, &key)?;
            check_ascending(page.id, index, &previous, &key)?;
            let entry =
                |bucket| Entry { bucket, key: &key, key_span: element.key, value: element.value, page: page.id, index };
            match (bucket, element.is_bucket) {
                (Some(bucket), false) => (self.visit)(self.blocks, Visit::Entry(entry(bucket)))?,
                (None, true) => self.bucket(page, &key, element.value)?,
                (Some(bucket), true) => {
                    return Err(entry(bucket).invalid("is a bucket inside a bucket, which etcd never makes"));
                }
                (None, false) => {
                    return Err(invalid(page.id, format!("element {index} is an entry where only buckets belong")));
                }
            }
            std::mem::swap(&mut key, &mut previous);
        }
        Ok(())
    }

    /// The bucket called `name`, whose header, and page if it is small, is at `value` of `page`.
    fn bucket(&mut self, page: &Page, name: &[u8], value: Span) -> Result<(), SnapshotError> {
        (self.visit)(self.blocks, Visit::Bucket(name))?;
        if value.len() < BUCKET_HEADER_BYTES {
            return Err(invalid(page.id, "holds a bucket that is cut short"));
        }
        let header: [u8; BUCKET_HEADER_BYTES as usize] = self.blocks.array(value.start)?;
        let after = Span { start: value.start + BUCKET_HEADER_BYTES, ..value };
        match u64_at(&header, 0) {
            0 => {
                let inline = Page::inline(self.blocks, page.id, after)?;
                self.leaf(&inline, Bounds::default(), Some(name))
            }
            _ if after.len() > 0 => {
                Err(invalid(page.id, "holds a bucket with both a page of its own and one elsewhere"))
            }
            root => self.page(root, Bounds::default(), 0, Some(name)),
        }
    }
}
