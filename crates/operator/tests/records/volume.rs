//! What is on the volume of a claim, and what the agent would report and print of it.

use std::collections::BTreeMap;

use etcd_backup_core::{
    CATALOGUE_SCHEMA, CatalogueDigest, CatalogueEnd, CatalogueEntry, CatalogueLine, SetName, SetState,
};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) struct Volume {
    pub(crate) id: String,
    cluster: String,
    backup: String,
    sets: BTreeMap<SetName, CatalogueEntry>,
    last: usize,
}

impl Volume {
    pub(crate) fn new(cluster: &str, backup: &str) -> Self {
        Self { id: "volume-1".into(), cluster: cluster.into(), backup: backup.into(), sets: BTreeMap::new(), last: 0 }
    }

    /// A run publishes its set.
    pub(crate) fn publish(&mut self, run: &str) -> SetName {
        self.publish_of("Backup", &self.backup.clone(), run)
    }

    /// A run of somebody publishes its set.
    pub(crate) fn publish_of(&mut self, kind: &str, owner: &str, run: &str) -> SetName {
        self.last += 1;
        let sequence = self.last;
        let name = SetName::parse(&format!("backup-{owner}-2026-01-01_{sequence:06}-{}", &run[..8])).unwrap();
        let entry = json!({
            "name": name, "state": "verified", "sizeBytes": 900,
            "origin": {
                "owner": {"cluster": self.cluster, "kind": kind, "name": owner}, "runId": run, "node": "master-0",
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:07Z", "set": set(&name, sequence),
            },
        });
        self.sets.insert(name.clone(), serde_json::from_value(entry).unwrap());
        name
    }

    /// Names of the sets, the oldest first.
    pub(crate) fn names(&self) -> Vec<SetName> {
        let mut sets: Vec<&CatalogueEntry> = self.sets.values().collect();
        sets.sort_by_key(|entry| entry.origin.as_ref().unwrap().set.sequence);
        sets.into_iter().map(|entry| entry.name.clone()).collect()
    }

    pub(crate) fn remove(&mut self, name: &SetName) {
        self.sets.remove(name).unwrap();
    }

    /// Puts a set back as an earlier inventory told of it.
    pub(crate) fn restore(&mut self, name: &SetName, inventory: &str) {
        let lines = inventory.lines().filter_map(|line| serde_json::from_str(line).ok());
        let mut entries =
            lines.filter_map(|line| if let CatalogueLine::Set(entry) = line { Some(*entry) } else { None });
        self.sets.insert(name.clone(), entries.find(|entry| entry.name == *name).unwrap());
    }

    pub(crate) fn clear(&mut self) {
        self.sets.clear();
    }

    pub(crate) fn set_state(&mut self, name: &SetName, state: SetState) {
        self.sets.get_mut(name).unwrap().state = state;
    }

    fn digest(&self) -> CatalogueDigest {
        CatalogueDigest::new(self.sets.iter().map(|(name, entry)| (name, entry.state)))
    }

    /// The report of the run that has just published this set.
    pub(crate) fn report(&self, name: &SetName) -> Value {
        let origin = self.sets[name].origin.as_ref().unwrap();
        let own = self.sets.values().filter(|set| set.origin.as_ref().unwrap().owner == origin.owner).count();
        let now = Timestamp::now();
        let retention = json!({"reason": "Satisfied", "message": "", "deleted": 0, "deletedBytes": 0, "peakBytes": 0,
                               "retained": {"verified": own, "sets": own, "sizeBytes": own * 900}});
        json!({
            "schemaVersion": "1.0", "runId": origin.run_id, "outcome": "Completed", "reason": "Completed",
            "message": "said the agent", "startTime": now, "completionTime": now, "node": "master-0",
            "owner": origin.owner, "volumeId": self.id, "set": origin.set, "retention": retention,
            "catalogue": {"digest": self.digest(), "lastSequence": origin.set.sequence},
        })
    }

    /// What `etcd-backup inventory` prints, between lines of its log.
    pub(crate) fn inventory(&self) -> String {
        let log = "{\"level\":\"INFO\",\"message\":\"listing\"}".to_owned();
        let sets = self.sets.values().map(|entry| CatalogueLine::Set(Box::new(entry.clone())));
        let end = CatalogueEnd {
            schema_version: CATALOGUE_SCHEMA,
            volume_id: self.id.clone(),
            time: Timestamp::now(),
            digest: self.digest(),
        };
        let lines = sets.chain([CatalogueLine::End(end)]).map(|line| serde_json::to_string(&line).unwrap());
        [log].into_iter().chain(lines).map(|line| line + "\n").collect()
    }
}

fn set(name: &SetName, sequence: usize) -> Value {
    json!({"name": name, "sequence": sequence, "verified": true, "files": [{"name": "backup.json", "sizeBytes": 900}],
           "snapshot": {"revision": 4711, "sizeBytes": 126_000_000, "sha256": "ab", "etcdVersion": "3.6.4",
                        "clusterId": "c1", "memberId": "m1", "raftTerm": 9}})
}
