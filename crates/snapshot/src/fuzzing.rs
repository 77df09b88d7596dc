//! Entries for fuzzing that are smaller than a whole verification. Not part of the public interface.

use crate::blocks::Blocks;
use crate::freelist::Freelist;
use crate::meta::Meta;
use crate::page::{Kind, Page};
use crate::page_map::PageMap;

/// Where the page under test lies: the first that is not a meta page.
const PAGE: u64 = 2;

/// Reads arbitrary bytes as whatever a page may be: a meta page, a page of a tree with all its elements and the buckets
/// in them, a list of free pages. The first byte chooses the page size, 4 to 64 KiB; the others are the page with what
/// it overflows into.
pub fn page(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let page_size = 4096_usize << (size % 5);
    let mut content = vec![0; PAGE as usize * page_size];
    content.extend_from_slice(bytes);
    content.resize(content.len().next_multiple_of(page_size).max(3 * page_size), 0);

    let _ = Meta::read(&mut Blocks::new(&bytes, bytes.len() as u64));
    let source = content.as_slice();
    let mut blocks = Blocks::new(&source, content.len() as u64);
    let meta = Meta::assumed(page_size as u64, (content.len() / page_size) as u64);
    let _ = Freelist::claim(&mut blocks, &meta, PAGE, &mut PageMap::new(meta.pages));
    if let Ok(page) = Page::read(&mut blocks, &meta, PAGE) {
        elements(&mut blocks, &page);
    }
}

fn elements(blocks: &mut Blocks<'_>, page: &Page) {
    let mut free = page.data_start();
    for index in 0..page.count {
        match page.kind {
            Kind::Branch => match page.branch(blocks, index, free) {
                Ok(branch) => free = branch.key.end,
                Err(_) => return,
            },
            Kind::Leaf => match page.leaf(blocks, index, free) {
                Ok(leaf) => {
                    free = leaf.value.end;
                    if let Ok(inline) = Page::inline(blocks, page.id, leaf.value)
                        && leaf.is_bucket
                    {
                        elements(blocks, &inline);
                    }
                }
                Err(_) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..9000)) {
            super::page(&bytes);
        }
    }
}
