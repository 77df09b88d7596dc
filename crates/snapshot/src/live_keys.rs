//! The number of keys that exist at the newest revision, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

/// Keys remembered at a time: the capacity of a table of 2^20 places, 9 bytes each.
const MAX_KEYS: usize = (1 << 20) / 8 * 7;

/// Counts the keys whose newest event is a put, from all events in the order of their revisions.
///
/// Keys are told apart by a hash of 64 bits: among ten million keys, two are taken for one with a probability of
/// 1 in 370,000. If the keys are too many to remember at once, only a part of them is counted in one pass over the
/// events, the others in further passes.
pub(crate) struct LiveKeys {
    /// Never grows: the table is made once.
    live: HashSet<u64, BuildHasherDefault<AlreadyHashed>>,
    /// Capacity of the table.
    limit: usize,
    part: Part,
    /// Parts that are still to be counted.
    rest: Vec<Part>,
    counted: u64,
}

/// The hashes of which some bits have a certain value.
#[derive(Clone, Copy, Default)]
struct Part {
    mask: u64,
    bits: u64,
}

impl Part {
    fn contains(self, hash: u64) -> bool {
        hash & self.mask == self.bits
    }

    /// The half with the next bit unset and the half with it set. The table places a hash by its lowest bits and tells
    /// hashes in one place apart by the highest, so bits in the middle are used here: every part is still spread over
    /// the whole table.
    fn halves(self) -> (Self, Self) {
        let next = 1 << 24 << self.mask.count_ones();
        let unset = Self { mask: self.mask | next, bits: self.bits };
        let set = Self { mask: self.mask | next, bits: self.bits | next };
        (unset, set)
    }
}

impl Default for LiveKeys {
    fn default() -> Self {
        Self::with_limit(MAX_KEYS)
    }
}

impl LiveKeys {
    fn with_limit(limit: usize) -> Self {
        let live = HashSet::with_capacity_and_hasher(limit, BuildHasherDefault::default());
        Self { limit: live.capacity(), live, part: Part::default(), rest: Vec::new(), counted: 0 }
    }

    /// The next event: of the key with this hash, a put or a deletion.
    pub(crate) fn record(&mut self, hash: u64, put: bool) {
        if !self.part.contains(hash) {
            return;
        }
        if !put {
            self.live.remove(&hash);
            return;
        }
        // Deletions leave marks that use up capacity. A full table with fewer keys than half its capacity is cleared
        // of them in place by the next insert; one with more would be replaced by a larger table.
        while self.live.len() == self.live.capacity() && self.live.len() >= self.limit / 2 {
            self.leave_half_to_another_pass();
        }
        if self.part.contains(hash) {
            self.live.insert(hash);
        }
    }

    fn leave_half_to_another_pass(&mut self) {
        let (now, later) = self.part.halves();
        self.part = now;
        self.rest.push(later);
        self.live.retain(|&hash| now.contains(hash));
    }

    /// Ends a pass over all events; true if another one is needed.
    pub(crate) fn another_pass(&mut self) -> bool {
        self.counted += self.live.len() as u64;
        self.live.clear();
        match self.rest.pop() {
            Some(part) => {
                self.part = part;
                true
            }
            None => false,
        }
    }

    /// The number of keys, once no other pass is needed.
    pub(crate) fn total(&self) -> u64 {
        self.counted
    }
}

/// The hashes are their own hashes.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    fn hash(key: u32) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u32(key);
        hasher.finish()
    }

    fn count(events: &[(u32, bool)], limit: usize) -> (u64, u32) {
        let (mut keys, mut passes) = (LiveKeys::with_limit(limit), 0);
        loop {
            passes += 1;
            for &(key, put) in events {
                keys.record(hash(key), put);
            }
            if !keys.another_pass() {
                return (keys.total(), passes);
            }
        }
    }

    #[test]
    fn a_key_counts_by_its_newest_event() {
        let events = [(1, true), (2, true), (1, true), (2, false), (3, false), (4, true), (4, false), (4, true)];
        assert_eq!(count(&events, MAX_KEYS), (2, 1));
        assert_eq!(count(&[], MAX_KEYS), (0, 1));
    }

    #[test]
    fn the_number_is_the_same_however_few_keys_fit() {
        let mut events: Vec<_> = (0..5000).map(|key| (key, true)).collect();
        events.extend((0..5000).filter(|key| key % 3 == 0).map(|key| (key, false)));
        let alone = count(&events, MAX_KEYS);
        assert_eq!(alone, (3333, 1));
        for limit in [50, 999, 3500] {
            let (total, passes) = count(&events, limit);
            assert_eq!(total, alone.0, "at most {limit}");
            assert!(passes > 1);
        }
    }

    #[test]
    fn the_table_never_grows() {
        let mut keys = LiveKeys::with_limit(1000);
        for key in 0..100_000 {
            keys.record(hash(key), true);
            if key % 7 != 0 {
                keys.record(hash(key / 2), false);
            }
            assert!(keys.live.capacity() <= keys.limit);
        }
    }
}
