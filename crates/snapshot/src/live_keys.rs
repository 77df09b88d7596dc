//! The number of keys that exist at the newest revision, in bounded memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};

use crate::SnapshotError;
use crate::blocks::{Blocks, Span};
use crate::key_value::Event;
use crate::meta::Meta;

/// Places in a table of hashes alone, 9 bytes each, and in one of hashes with keys' spans, 25 bytes each; 7 of 8 are
/// used.
const PLACES: usize = 1 << 20;
const PLACES_WITH_SPANS: usize = 1 << 18;

/// The least that an event takes in the database: its element in a page's table and its revision.
const EVENT_BYTES: u64 = 16 + 17;

/// Counts the keys whose newest event is a put, from all events in the order of their revisions.
///
/// Keys are told apart by a hash of 64 bits; `T` is what else is kept of each. If the keys are too many to remember at
/// once, only a part of them is counted in one pass over the events, the others in further passes.
pub(crate) struct LiveKeys<T> {
    /// Never grows: the table is made once.
    live: HashMap<u64, T, BuildHasherDefault<AlreadyHashed>>,
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

impl LiveKeys<()> {
    /// For hashes alone.
    pub(crate) fn of(meta: &Meta) -> Self {
        Self::with_places(PLACES, meta)
    }
}

impl LiveKeys<Span> {
    /// For hashes with where the keys lie.
    fn with_spans_of(meta: &Meta) -> Self {
        Self::with_places(PLACES_WITH_SPANS, meta)
    }
}

impl<T> LiveKeys<T> {
    fn with_places(places: usize, meta: &Meta) -> Self {
        let most_events = meta.pages * meta.page_size / EVENT_BYTES;
        Self::with_limit((places / 8 * 7).min(usize::try_from(most_events).unwrap_or(usize::MAX)))
    }

    fn with_limit(limit: usize) -> Self {
        let live = HashMap::with_capacity_and_hasher(limit, BuildHasherDefault::default());
        Self { limit: live.capacity(), live, part: Part::default(), rest: Vec::new(), counted: 0 }
    }

    /// The next event: of the key with this hash, a put or a deletion.
    pub(crate) fn record(&mut self, hash: u64, kept: T, put: bool) {
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
            self.live.insert(hash, kept);
        }
    }

    /// What is kept of the live key with this hash.
    fn get(&self, hash: u64) -> Option<&T> {
        self.live.get(&hash)
    }

    fn leave_half_to_another_pass(&mut self) {
        let (now, later) = self.part.halves();
        self.part = now;
        self.rest.push(later);
        self.live.retain(|&hash, _| now.contains(hash));
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

/// Counts the live keys exactly, in bounded memory: keys that have the same hash are compared. `hashes` makes another
/// hash function with each call, and `each` hands over all events.
pub(crate) fn count_exactly<S: BuildHasher>(
    blocks: &mut Blocks<'_>,
    meta: &Meta,
    mut hashes: impl FnMut() -> S,
    mut each: impl FnMut(&mut Blocks<'_>, &mut OnEvent<'_>) -> Result<(), SnapshotError>,
) -> Result<u64, SnapshotError> {
    loop {
        let hashes = hashes();
        let mut keys = LiveKeys::with_spans_of(meta);
        let mut collision = false;
        loop {
            each(blocks, &mut |blocks, event| {
                let hash = event.key_hash(blocks, &hashes)?;
                if let Some(&same) = keys.get(hash) {
                    collision |= !blocks.equal(same, event.key)?;
                }
                keys.record(hash, event.key, !event.tombstone);
                Ok(())
            })?;
            if collision || !keys.another_pass() {
                break;
            }
        }
        // Two keys share a hash, which nearly never happens: all is counted again with other hashes.
        if !collision {
            return Ok(keys.total());
        }
    }
}

/// What is done with an event.
pub(crate) type OnEvent<'a> = dyn FnMut(&mut Blocks<'_>, &Event) -> Result<(), SnapshotError> + 'a;

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
    use std::hash::{DefaultHasher, RandomState};

    use super::*;
    use crate::revision::Revision;

    fn hash(key: u32) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u32(key);
        hasher.finish()
    }

    /// As many keys as the table of a database without end takes.
    const MAX_KEYS: usize = PLACES / 8 * 7;

    fn count(events: &[(u32, bool)], limit: usize) -> (u64, u32) {
        let (mut keys, mut passes) = (LiveKeys::with_limit(limit), 0);
        loop {
            passes += 1;
            for &(key, put) in events {
                keys.record(hash(key), (), put);
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

    /// Counts the keys `one` and `two`, of which `two` is written again, with these hash functions.
    fn count_one_and_two<S: BuildHasher>(hashes: impl FnMut() -> S) -> (u64, u32) {
        let (bytes, mut passes) = (b"onetwotwo".as_slice(), 0);
        let meta = Meta::assumed(4096, 3);
        let events = [(0, 3), (3, 6), (6, 9)].map(|(start, end)| Event {
            revision: Revision { main: 1, sub: 0 },
            tombstone: false,
            key: Span { start, end },
            value: Span { start: 0, end: 0 },
        });
        let mut blocks = Blocks::new(&bytes, bytes.len() as u64);
        let count = count_exactly(&mut blocks, &meta, hashes, |blocks, on_event| {
            passes += 1;
            events.iter().try_for_each(|event| on_event(blocks, event))
        });
        (count.unwrap(), passes)
    }

    #[test]
    fn keys_that_share_a_hash_are_told_apart() {
        assert_eq!(count_one_and_two(RandomState::new), (2, 1));
        // What the hasher makes of both is its state, which nothing changes.
        #[derive(Default)]
        struct Same;
        impl Hasher for Same {
            fn finish(&self) -> u64 {
                7
            }
            fn write(&mut self, _: &[u8]) {}
        }
        enum Choice {
            Same,
            Random(RandomState),
        }
        impl BuildHasher for Choice {
            type Hasher = Box<dyn Hasher>;
            fn build_hasher(&self) -> Box<dyn Hasher> {
                match self {
                    Self::Same => Box::new(Same),
                    Self::Random(random) => Box::new(random.build_hasher()),
                }
            }
        }
        let mut first = true;
        let hashes = || if std::mem::take(&mut first) { Choice::Same } else { Choice::Random(RandomState::new()) };
        assert_eq!(count_one_and_two(hashes), (2, 2));
    }

    #[test]
    fn the_table_never_grows() {
        let mut keys = LiveKeys::with_limit(1000);
        for key in 0..100_000 {
            keys.record(hash(key), (), true);
            if key % 7 != 0 {
                keys.record(hash(key / 2), (), false);
            }
            assert!(keys.live.capacity() <= keys.limit);
        }
    }
}
