//! Reads the output of an inventory line by line, in the memory that its sets need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use etcd_backup_core::{CATALOGUE_SCHEMA, CatalogueEnd, CatalogueLine, IncompleteCatalogue, Origin, Owner, RunId};

use super::known::{Known, KnownSet};

/// Whole entries that are kept at a time, of about 2 KiB each. What is beyond is read again once these
/// have become records.
pub(crate) const MAX_WHOLE: usize = 1000;

/// A complete inventory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listing {
    /// The volume's sets.
    pub(crate) known: Known,
    /// Whole entries of those that were wanted.
    pub(crate) whole: BTreeMap<RunId, Arc<Origin>>,
}

/// An inventory that is being read.
pub(crate) struct Reading<W> {
    sets: BTreeMap<etcd_backup_core::SetName, KnownSet>,
    owners: BTreeSet<Arc<Owner>>,
    whole: BTreeMap<RunId, Arc<Origin>>,
    wanted: W,
}

impl<W: Fn(&Origin) -> bool> Reading<W> {
    /// Begins; whole entries are kept of what is `wanted`.
    pub(crate) fn new(wanted: W) -> Self {
        Self { sets: BTreeMap::new(), owners: BTreeSet::new(), whole: BTreeMap::new(), wanted }
    }

    /// Takes the next line; gives the closing one. Lines of the agent's log are passed over.
    pub(crate) fn line(&mut self, line: &str) -> Option<CatalogueEnd> {
        match serde_json::from_str(line) {
            Ok(CatalogueLine::Set(entry)) => {
                self.sets.insert(entry.name.clone(), KnownSet::new(&entry, &mut self.owners));
                let origin = entry.origin.filter(|origin| self.whole.len() < MAX_WHOLE && (self.wanted)(origin));
                if let Some(origin) = origin {
                    self.whole.insert(origin.run_id.clone(), Arc::from(origin));
                }
                None
            }
            Ok(CatalogueLine::End(end)) => Some(end),
            Err(_) => None,
        }
    }

    /// Closes the inventory.
    ///
    /// # Errors
    /// If it is not complete; nothing may then be concluded from it.
    pub(crate) fn close(self, end: CatalogueEnd) -> Result<Listing, IncompleteCatalogue> {
        if !CATALOGUE_SCHEMA.reads(end.schema_version) {
            return Err(IncompleteCatalogue::Schema(end.schema_version));
        }
        let known = Known { volume_id: end.volume_id, time: end.time, sets: self.sets };
        let found = known.digest();
        if found != end.digest {
            return Err(IncompleteCatalogue::Differs { found: found.count, told: end.digest.count });
        }
        Ok(Listing { known, whole: self.whole })
    }
}

#[cfg(test)]
mod tests {
    use etcd_backup_core::{CatalogueDigest, CatalogueEntry, SetName, SetState};
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn entry(number: usize) -> CatalogueEntry {
        let name = format!("backup-nightly-2026-01-01_000000-{number:08}");
        serde_json::from_value(json!({
            "name": name, "state": "verified", "sizeBytes": 7,
            "origin": {
                "owner": {"cluster": "c", "kind": "Backup", "name": "nightly"}, "runId": format!("{number:08}-run"),
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z", "node": "n",
                "set": {"name": name, "sequence": number, "verified": true, "files": [], "snapshot":
                    {"revision": 1, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3}},
            },
        }))
        .unwrap()
    }

    fn end(sets: &[CatalogueEntry]) -> CatalogueEnd {
        CatalogueEnd {
            schema_version: CATALOGUE_SCHEMA,
            volume_id: "v".into(),
            time: Timestamp::UNIX_EPOCH,
            digest: CatalogueDigest::new(sets.iter().map(|set| (&set.name, set.state))),
        }
    }

    fn line(entry: &CatalogueEntry) -> String {
        serde_json::to_string(&CatalogueLine::Set(Box::new(entry.clone()))).unwrap()
    }

    #[test]
    fn lines_between_those_of_a_log_make_a_catalogue_that_shares_its_owners() {
        let sets: Vec<CatalogueEntry> = (0..3).map(entry).collect();
        let mut reading = Reading::new(|origin: &Origin| origin.set.sequence != 1);
        for set in &sets {
            assert_eq!(reading.line("{\"level\":\"INFO\"}"), None);
            assert_eq!(reading.line(&line(set)), None);
        }
        let closing = serde_json::to_string(&CatalogueLine::End(end(&sets))).unwrap();
        let found = reading.line(&closing).unwrap();
        let listing = reading.close(found).unwrap();
        assert_eq!((listing.known.sets.len(), listing.whole.len()), (3, 2));
        let owners: Vec<_> = listing.known.sets.values().map(|set| &set.made.as_ref().unwrap().owner).collect();
        assert!(Arc::ptr_eq(owners[0], owners[2]));
    }

    #[test]
    fn what_does_not_add_up_is_incomplete() {
        let sets: Vec<CatalogueEntry> = (0..3).map(entry).collect();
        let read = |lines: &[CatalogueEntry], end: CatalogueEnd| {
            let mut reading = Reading::new(|_: &Origin| true);
            lines.iter().for_each(|set| assert_eq!(reading.line(&line(set)), None));
            reading.close(end).map(drop)
        };
        assert_eq!(read(&sets, end(&sets)), Ok(()));
        assert_eq!(read(&sets[1..], end(&sets)), Err(IncompleteCatalogue::Differs { found: 2, told: 3 }));
        let other = [&sets[..2], &[CatalogueEntry { state: SetState::Damaged, ..entry(2) }]].concat();
        assert_eq!(read(&other, end(&sets)), Err(IncompleteCatalogue::Differs { found: 3, told: 3 }));
        let newer = serde_json::from_value(json!("2.0")).unwrap();
        let newer = CatalogueEnd { schema_version: newer, ..end(&sets) };
        assert!(matches!(read(&sets, newer), Err(IncompleteCatalogue::Schema(_))));
        assert!(SetName::parse("backup-nightly").is_some());
    }

    #[test]
    fn whole_entries_are_bounded() {
        let sets: Vec<CatalogueEntry> = (0..MAX_WHOLE + 5).map(entry).collect();
        let mut reading = Reading::new(|_: &Origin| true);
        sets.iter().for_each(|set| assert_eq!(reading.line(&line(set)), None));
        let listing = reading.close(end(&sets)).unwrap();
        assert_eq!((listing.known.sets.len(), listing.whole.len()), (MAX_WHOLE + 5, MAX_WHOLE));
    }
}
