/// Which pages have been accounted for: one bit each.
pub(crate) struct PageMap {
    words: Vec<u64>,
    pages: u64,
}

impl PageMap {
    pub(crate) fn new(pages: u64) -> Self {
        Self { words: vec![0; pages.div_ceil(64) as usize], pages }
    }

    /// Accounts for `page`, which is below the number of pages; false if that was done before.
    pub(crate) fn claim(&mut self, page: u64) -> bool {
        let (word, bit) = (&mut self.words[(page / 64) as usize], 1 << (page % 64));
        let first = *word & bit == 0;
        *word |= bit;
        first
    }

    /// How many pages have been accounted for.
    ///
    /// The bits are counted, not the claims: rustc 1.95.0 optimizes a count kept by [`Self::claim`] away where it is
    /// called in a loop that ends at the first page claimed twice.
    pub(crate) fn claimed(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// The first page that has not been accounted for.
    pub(crate) fn first_unclaimed(&self) -> Option<u64> {
        let word = self.words.iter().position(|&word| word != u64::MAX)?;
        let page = word as u64 * 64 + u64::from(self.words[word].trailing_ones());
        (page < self.pages).then_some(page)
    }
}

#[cfg(test)]
mod tests {
    use super::PageMap;

    #[test]
    fn claims_each_page_once() {
        let mut map = PageMap::new(130);
        for page in 0..130 {
            assert_eq!(map.first_unclaimed(), Some(page));
            assert!(map.claim(page));
            assert!(!map.claim(page));
        }
        assert_eq!((map.claimed(), map.first_unclaimed()), (130, None));
    }
}
