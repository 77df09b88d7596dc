//! Damaged copies of sound databases.

use std::ops::Range;

use fastrand::Rng;
use sha2::{Digest as _, Sha256};

use crate::layout::{Layout, META_CHECKSUM, META_FIELDS, Page, meta_checksum};

pub(crate) const TRAILER_BYTES: usize = 32;
const SECTOR_BYTES: usize = 512;

/// What is done to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// One bit of a page's header.
    HeaderFlipped,
    /// One bit of an element of a page.
    ElementFlipped,
    /// A field of a page's header or of an element set to an extreme number.
    FieldExtreme,
    /// One bit of a key.
    KeyFlipped,
    /// One bit of a value.
    ValueFlipped,
    /// Some bytes of a value replaced.
    ValueGarbled,
    /// One bit of the revision, or of the ends of the value, of an entry of bucket `key`: there are the numbers of
    /// `mvccpb.KeyValue`.
    EventFlipped,
    /// One bit anywhere, free pages included.
    Flipped,
    /// One bit of a meta page.
    MetaFlipped,
    /// A field of a meta page changed, with a correct checksum of that page.
    MetaForged,
    /// Meta pages exchanged, doubled, or taken from an earlier snapshot.
    MetaMixed,
    /// Two pages exchanged.
    PagesSwapped,
    /// The same, and each says that it is the page whose place it takes.
    PagesSwappedAndRenumbered,
    /// A page written over another.
    PageDuplicated,
    /// The same, and it says that it is that other page.
    PageDuplicatedAndRenumbered,
    /// A page as it was in an earlier snapshot: a write that was lost.
    PageStale,
    /// Sectors of a page in use zeroed.
    SectorsZeroed,
    /// Pages at the end cut off.
    PagesCut,
    /// Any number of bytes at the end cut off.
    BytesCut,
    /// The end zeroed, or as in an earlier snapshot.
    TailTorn,
    /// Pages added to the end.
    PagesAdded,
}

use Damage::*;

pub(crate) const ALL: [Damage; 21] = [
    HeaderFlipped,
    ElementFlipped,
    FieldExtreme,
    KeyFlipped,
    ValueFlipped,
    ValueGarbled,
    EventFlipped,
    Flipped,
    MetaFlipped,
    MetaForged,
    MetaMixed,
    PagesSwapped,
    PagesSwappedAndRenumbered,
    PageDuplicated,
    PageDuplicatedAndRenumbered,
    PageStale,
    SectorsZeroed,
    PagesCut,
    BytesCut,
    TailTorn,
    PagesAdded,
];

impl Damage {
    /// A damaged copy of the database `content`, if this damage can be done to it; `earlier` is the same member's
    /// database at an earlier time.
    pub(crate) fn apply(self, content: &[u8], earlier: &[u8], rng: &mut Rng) -> Option<Vec<u8>> {
        let layout = Layout::of(content);
        let mut copy = content.to_vec();
        match self {
            HeaderFlipped => flip(&mut copy, place(&layout, rng)?.header.clone(), rng)?,
            ElementFlipped => flip(&mut copy, place(&layout, rng)?.elements.clone(), rng)?,
            FieldExtreme => extreme(&mut copy, place(&layout, rng)?, rng)?,
            KeyFlipped => flip(&mut copy, entry(&layout, rng)?.0, rng)?,
            ValueFlipped => flip(&mut copy, entry(&layout, rng)?.1, rng)?,
            ValueGarbled => {
                let bytes = part(entry(&layout, rng)?.1, 16, rng)?;
                copy[bytes].fill_with(|| rng.u8(..));
            }
            EventFlipped => {
                let events: Vec<_> = layout.pages.iter().filter(|page| page.bucket == "key").collect();
                let page = rng.choice(events)?;
                let (key, value) = rng.choice(&page.entries)?.clone();
                let ends = (value.end.min(value.start + 24), value.start.max(value.end.saturating_sub(24)));
                let part = rng.choice([key, value.start..ends.0, ends.1..value.end])?;
                flip(&mut copy, part, rng)?;
            }
            Flipped => flip(&mut copy, 0..content.len(), rng)?,
            MetaFlipped => {
                let page = rng.usize(..2) * layout.page_bytes;
                flip(&mut copy, page..page + META_FIELDS.end, rng)?;
            }
            MetaForged => forge_meta(&mut copy, layout.page_bytes, rng),
            MetaMixed => mix_meta(&mut copy, earlier, layout.page_bytes, rng),
            PagesSwapped | PagesSwappedAndRenumbered | PageDuplicated | PageDuplicatedAndRenumbered => {
                self.move_pages(&mut copy, &layout, rng)?;
            }
            PageStale => {
                let stale = |page: &&Page| {
                    earlier.get(page.whole.clone()).is_some_and(|earlier| *earlier != content[page.whole.clone()])
                };
                let pages: Vec<&Page> = layout.pages.iter().filter(stale).collect();
                let page = rng.choice(pages)?.whole.clone();
                copy[page.clone()].copy_from_slice(&earlier[page]);
            }
            SectorsZeroed => {
                let page = rng.choice(in_use(&layout))?.whole.clone();
                let first = rng.usize(..page.len() / SECTOR_BYTES);
                let count = rng.usize(1..=(page.len() / SECTOR_BYTES - first).min(8));
                copy[page.start + first * SECTOR_BYTES..][..count * SECTOR_BYTES].fill(0);
            }
            PagesCut => copy.truncate((rng.usize(1..content.len() / layout.page_bytes)) * layout.page_bytes),
            BytesCut => copy.truncate(rng.usize(..content.len())),
            TailTorn => tear(&mut copy, earlier, rng),
            PagesAdded => copy.resize(content.len() + rng.usize(1..4) * layout.page_bytes, rng.u8(..) & 1),
        }
        (copy != content).then_some(copy)
    }

    fn move_pages(self, copy: &mut [u8], layout: &Layout, rng: &mut Rng) -> Option<()> {
        let one = rng.choice(in_use(layout))?;
        let alike = |page: &&Page| page.whole.len() == one.whole.len() && page.whole != one.whole;
        let (one, other) =
            (one.whole.clone(), rng.choice(in_use(layout).into_iter().filter(alike).collect::<Vec<_>>())?);
        let other = other.whole.clone();
        let (first, second) = (copy[one.clone()].to_vec(), copy[other.clone()].to_vec());
        copy[other.clone()].copy_from_slice(&first);
        if matches!(self, PagesSwapped | PagesSwappedAndRenumbered) {
            copy[one.clone()].copy_from_slice(&second);
        }
        if matches!(self, PagesSwappedAndRenumbered | PageDuplicatedAndRenumbered) {
            for (page, was) in [(one, &first), (other, &second)] {
                copy[page.start..page.start + 8].copy_from_slice(&was[..8]);
            }
        }
        Some(())
    }

    /// The damaged database as a file with the trailer that the sound one has; what cuts the end off takes that as well.
    pub(crate) fn as_it_is(self, damaged: &[u8], trailer: &[u8]) -> Vec<u8> {
        if matches!(self, PagesCut | BytesCut) { damaged.to_vec() } else { [damaged, trailer].concat() }
    }
}

/// The file that a database makes with the trailer that fits it.
pub(crate) fn resealed(content: &[u8]) -> Vec<u8> {
    [content, &Sha256::digest(content)].concat()
}

fn in_use(layout: &Layout) -> Vec<&Page> {
    layout.pages.iter().filter(|page| !page.whole.is_empty()).collect()
}

/// A page of a bucket; each bucket is as likely as another, or the keys would outnumber all else.
fn place<'a>(layout: &'a Layout, rng: &mut Rng) -> Option<&'a Page> {
    let mut buckets: Vec<&str> =
        layout.pages.iter().filter(|page| !page.entries.is_empty()).map(|page| page.bucket.as_str()).collect();
    buckets.sort_unstable();
    buckets.dedup();
    let bucket = rng.choice(buckets)?;
    rng.choice(layout.pages.iter().filter(|page| page.bucket == bucket && !page.entries.is_empty()).collect::<Vec<_>>())
}

fn entry(layout: &Layout, rng: &mut Rng) -> Option<(Range<usize>, Range<usize>)> {
    let page = place(layout, rng)?;
    rng.choice(page.entries.clone())
}

/// Up to `most` bytes in a row out of a range.
fn part(range: Range<usize>, most: usize, rng: &mut Rng) -> Option<Range<usize>> {
    let first = range.start + (!range.is_empty()).then(|| rng.usize(..range.len()))?;
    Some(first..first + rng.usize(1..=most.min(range.end - first)))
}

fn flip(copy: &mut [u8], range: Range<usize>, rng: &mut Rng) -> Option<()> {
    let byte = part(range, 1, rng)?.start;
    copy[byte] ^= 1 << rng.u8(..8);
    Some(())
}

fn extreme(copy: &mut [u8], page: &Page, rng: &mut Rng) -> Option<()> {
    let fields = if rng.bool() { page.header.clone() } else { page.elements.clone() };
    let field = fields.start + 4 * rng.usize(..fields.len() / 4);
    let number = rng.choice([0, 1, 0x7fff, 0xffff, 0x7fff_ffff, u32::MAX, copy.len() as u32])?;
    copy[field..field + 4].copy_from_slice(&number.to_le_bytes());
    Some(())
}

fn forge_meta(copy: &mut [u8], page_bytes: usize, rng: &mut Rng) {
    // Magic, version, page size, flags: 4 bytes each; root, sequence, free list, pages, transaction: 8 bytes each.
    let field = META_FIELDS.start + 4 * rng.usize(..(META_CHECKSUM - META_FIELDS.start) / 4);
    let number = match rng.u8(..4) {
        0 => 0,
        1 => u32::MAX,
        2 => rng.u32(..64),
        _ => u32::from_le_bytes([copy[field], copy[field + 1], copy[field + 2], copy[field + 3]]) ^ (1 << rng.u8(..32)),
    };
    // Either page alone or both.
    let which = rng.usize(1..4);
    for page in [0, page_bytes].into_iter().enumerate().filter(|(index, _)| which & (1 << index) != 0).map(|it| it.1) {
        copy[page + field..page + field + 4].copy_from_slice(&number.to_le_bytes());
        let checksum = meta_checksum(&copy[page..]);
        copy[page + META_CHECKSUM..page + META_FIELDS.end].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn mix_meta(copy: &mut [u8], earlier: &[u8], page_bytes: usize, rng: &mut Rng) {
    let (one, other) = copy.split_at_mut(page_bytes);
    match rng.u8(..5) {
        0 => one.swap_with_slice(&mut other[..page_bytes]),
        1 => one.copy_from_slice(&other[..page_bytes]),
        2 => other[..page_bytes].copy_from_slice(one),
        3 => one.copy_from_slice(&earlier[..page_bytes]),
        _ => copy[..2 * page_bytes].copy_from_slice(&earlier[..2 * page_bytes]),
    }
}

fn tear(copy: &mut [u8], earlier: &[u8], rng: &mut Rng) {
    let torn = SECTOR_BYTES * rng.usize(1..copy.len() / SECTOR_BYTES);
    for (at, byte) in copy.iter_mut().enumerate().skip(torn) {
        *byte = if torn.is_multiple_of(2 * SECTOR_BYTES) { 0 } else { earlier.get(at).copied().unwrap_or(0) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let file = format!("{}/../../crates/snapshot/tests/data/{name}.db.gz", env!("CARGO_MANIFEST_DIR"));
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_end(&mut bytes).unwrap();
        bytes.truncate(bytes.len() - TRAILER_BYTES);
        bytes
    }

    #[test]
    fn every_damage_can_be_done_and_repeated() {
        let (content, earlier) = (golden("etcd-3.6"), golden("etcd-3.6-empty"));
        for damage in ALL {
            let seed = (0..100).find(|&seed| damage.apply(&content, &earlier, &mut Rng::with_seed(seed)).is_some());
            let seed = seed.unwrap_or_else(|| panic!("{damage:?} cannot be done"));
            let again = || damage.apply(&content, &earlier, &mut Rng::with_seed(seed)).unwrap();
            assert_ne!(again(), content, "{damage:?}");
            assert_eq!(again(), again(), "{damage:?}");
        }
    }

    #[test]
    fn damage_is_aimed_at_every_bucket() {
        let layout = Layout::of(&golden("etcd-3.6"));
        let mut rng = Rng::with_seed(1);
        let hit: std::collections::BTreeSet<_> =
            (0..1000).map(|_| place(&layout, &mut rng).unwrap().bucket.clone()).collect();
        for bucket in ["", "key", "meta", "lease", "members", "cluster"] {
            assert!(hit.contains(bucket), "{bucket:?} of {hit:?}");
        }
    }

    #[test]
    fn a_correct_trailer_is_the_sha256_of_the_content() {
        let content = golden("etcd-3.6");
        assert_eq!(resealed(&content)[content.len()..], Sha256::digest(&content)[..]);
    }
}
