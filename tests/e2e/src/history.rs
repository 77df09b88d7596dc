//! What was on a volume at every moment, whoever tells of it.

use std::collections::BTreeMap;

/// What is on a volume at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// Bytes of the files of every directory that is called like a set.
    pub sets: BTreeMap<String, u64>,
    /// Bytes of the files in staging and trash.
    pub working_bytes: u64,
}

impl Sample {
    /// All bytes together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sets.values().sum::<u64>() + self.working_bytes
    }
}

/// The same moments with the sets of one owner only.
#[must_use]
pub fn of_owner(samples: &[Sample], owner: &str) -> Vec<Sample> {
    // What follows is a year: "a" is not the owner of "a-b".
    let prefix = format!("backup-{owner}-2");
    let mut samples = samples.to_vec();
    for sample in &mut samples {
        sample.sets.retain(|name, _| name.starts_with(&prefix));
    }
    samples
}

/// The most sets at any moment.
#[must_use]
pub fn most_sets(samples: &[Sample]) -> usize {
    samples.iter().map(|sample| sample.sets.len()).max().unwrap_or_default()
}

/// The most bytes at any moment.
#[must_use]
pub fn most_bytes(samples: &[Sample]) -> u64 {
    samples.iter().map(Sample::bytes).max().unwrap_or_default()
}

/// Whether at every moment the set was there that had appeared last. Of several that appeared at once it is not known
/// which was the last one: their names tell the second only.
#[must_use]
pub fn newest_always(samples: &[Sample]) -> bool {
    let mut newest: Option<&String> = None;
    let mut before = &BTreeMap::new();
    for sample in samples {
        let mut new = sample.sets.keys().filter(|name| !before.contains_key(*name));
        newest = match (new.next(), new.next()) {
            (None, _) => newest,
            (only, None) => only,
            (Some(_), Some(_)) => None,
        };
        if newest.is_some_and(|newest| !sample.sets.contains_key(newest)) {
            return false;
        }
        before = &sample.sets;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(moments: &[&str]) -> Vec<Sample> {
        let sample = |moment: &&str| Sample {
            sets: moment.split_whitespace().map(|name| (format!("backup-{name}"), 10)).collect(),
            working_bytes: 5,
        };
        moments.iter().map(sample).collect()
    }

    #[test]
    fn the_newest_is_the_one_that_appeared_last() {
        assert!(newest_always(&samples(&["", "a-1", "a-1 a-2", "a-2", "a-2 a-0", "a-0"])));
        assert!(!newest_always(&samples(&["a-1", "a-1 a-2", "a-1"])));
        assert!(!newest_always(&samples(&["a-1", ""])));
        assert!(newest_always(&samples(&["a-1 a-2", "a-1", "a-1 a-3"])), "a-1 may be the newer one");
        assert!(!newest_always(&samples(&["a-1 a-2", "a-1 a-3", "a-1"])));
    }

    #[test]
    fn one_owners_sets_are_counted_with_all_that_is_worked_on() {
        let samples = of_owner(&samples(&["a-21 b-21", "a-21 a-22 b-21 a-b-21", "b-21 b-22"]), "a");
        assert_eq!((most_sets(&samples), most_bytes(&samples)), (2, 25));
    }
}
