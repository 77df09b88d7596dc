use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::policy::hex;
use crate::{Owner, ReportedSet, RunId, SchemaVersion, SetName, Warning};

/// The catalogue schema that this version writes.
pub const CATALOGUE_SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };

/// What is known of a set without reading all of it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SetState {
    /// It was proven when it was made, and nothing says otherwise since.
    Verified,
    /// The same, but something was waived when it was made.
    Unverified,
    /// It is proven not to be what its manifest says.
    Damaged,
    /// It may be a good set, but this version cannot tell.
    Unreadable,
    /// It has no manifest of ours: nobody's business.
    Foreign,
}

impl SetState {
    /// The word, as JSON has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
        }
    }
}

/// One line of an inventory: a directory on the volume that is called like a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueEntry {
    /// The directory's name.
    pub name: SetName,
    /// What is known of it.
    pub state: SetState,
    /// Bytes (`st_size`) of every file in it.
    pub size_bytes: u64,
    /// Why it is not verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What its manifest says; absent if it is unreadable or foreign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// Where a set comes from, as its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// Whose set it is.
    pub owner: Owner,
    /// The run that made it.
    pub run_id: RunId,
    /// When that run began, UTC.
    pub start_time: Timestamp,
    /// When the set was verified, UTC.
    pub completion_time: Timestamp,
    /// Node of the run.
    pub node: String,
    /// The set as a report tells of it.
    pub set: ReportedSet,
    /// What its reader should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One line of an inventory's output. What is neither is not of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CatalogueLine {
    /// A set.
    Set(Box<CatalogueEntry>),
    /// The last line: only with it, and if it agrees with the lines before, anything is concluded.
    End(CatalogueEnd),
}

/// What closes an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueEnd {
    /// Version of all the lines.
    pub schema_version: SchemaVersion,
    /// Identity of the volume.
    pub volume_id: String,
    /// When the volume was looked at, UTC.
    pub time: Timestamp,
    /// What the lines before add up to.
    pub digest: CatalogueDigest,
}

/// What a volume's sets add up to. Equal digests mean the same sets in the same states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueDigest {
    /// Directories called like a set.
    pub count: u64,
    /// 32 hex digits over names and states.
    pub sha256: String,
}

impl CatalogueDigest {
    /// The digest of sets by name and state, in any order.
    #[must_use]
    pub fn new<'a>(sets: impl IntoIterator<Item = (&'a SetName, SetState)>) -> Self {
        let mut lines: Vec<(&SetName, SetState)> = sets.into_iter().collect();
        lines.sort_unstable();
        let mut hasher = Sha256::new();
        for (name, state) in &lines {
            hasher.update(format!("{name} {}\n", state.as_str()));
        }
        Self { count: lines.len() as u64, sha256: hex(&hasher.finalize()[..16]) }
    }
}

/// A volume's sets, read from the output of an inventory that was complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    /// Identity of the volume.
    pub volume_id: String,
    /// When the volume was looked at, UTC.
    pub time: Timestamp,
    /// Its sets.
    pub sets: Vec<CatalogueEntry>,
}

/// Why nothing is concluded from an inventory's output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncompleteCatalogue {
    /// The closing line is not there.
    #[error("the closing line is missing: the inventory was cut off, or its log was rotated away")]
    NoEnd,
    /// The closing line tells of other sets than the lines do.
    #[error("{found} sets were read and the closing line tells of {told}, or they differ: lines of the log were lost")]
    Differs {
        /// Sets read.
        found: u64,
        /// Sets told of.
        told: u64,
    },
    /// A newer version wrote it.
    #[error("it is of the newer version {0}; use one version of operator and agent")]
    Schema(SchemaVersion),
}

impl Catalogue {
    /// Reads the output of an inventory. Lines that are not of the inventory, such as the log's, are
    /// passed over.
    ///
    /// # Errors
    /// If it is not complete; nothing may then be concluded from it.
    pub fn read(output: &str) -> Result<Self, IncompleteCatalogue> {
        let mut sets = Vec::new();
        for line in output.lines() {
            match serde_json::from_str(line) {
                Ok(CatalogueLine::Set(entry)) => sets.push(*entry),
                Ok(CatalogueLine::End(end)) => return Self::close(sets, end),
                Err(_) => {}
            }
        }
        Err(IncompleteCatalogue::NoEnd)
    }

    fn close(sets: Vec<CatalogueEntry>, end: CatalogueEnd) -> Result<Self, IncompleteCatalogue> {
        if !CATALOGUE_SCHEMA.reads(end.schema_version) {
            return Err(IncompleteCatalogue::Schema(end.schema_version));
        }
        let catalogue = Self { volume_id: end.volume_id, time: end.time, sets };
        let found = catalogue.digest();
        if found != end.digest {
            return Err(IncompleteCatalogue::Differs { found: found.count, told: end.digest.count });
        }
        Ok(catalogue)
    }

    /// The digest of the sets.
    #[must_use]
    pub fn digest(&self) -> CatalogueDigest {
        CatalogueDigest::new(self.sets.iter().map(|set| (&set.name, set.state)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, state: SetState) -> CatalogueEntry {
        CatalogueEntry { name: SetName::parse(name).unwrap(), state, size_bytes: 7, why: None, origin: None }
    }

    fn output(sets: &[CatalogueEntry]) -> String {
        let digest = CatalogueDigest::new(sets.iter().map(|set| (&set.name, set.state)));
        let end = CatalogueEnd {
            schema_version: CATALOGUE_SCHEMA,
            volume_id: "v".into(),
            time: Timestamp::UNIX_EPOCH,
            digest,
        };
        let lines = sets.iter().cloned().map(|set| CatalogueLine::Set(Box::new(set)));
        let lines = lines.chain([CatalogueLine::End(end)]).map(|line| serde_json::to_string(&line).unwrap());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_complete_inventory_reads_back_between_lines_of_a_log() {
        let sets = [entry("backup-b", SetState::Verified), entry("backup-a", SetState::Foreign)];
        let text = format!("{{\"level\":\"INFO\"}}\nnot JSON\n{}\n{{\"level\":\"INFO\"}}\n", output(&sets));
        let read = Catalogue::read(&text).unwrap();
        assert_eq!((read.volume_id.as_str(), read.sets.as_slice()), ("v", &sets[..]));
    }

    #[test]
    fn nothing_is_concluded_from_part_of_one() {
        let sets = [entry("backup-a", SetState::Verified), entry("backup-b", SetState::Damaged)];
        let whole = output(&sets);
        let lines: Vec<&str> = whole.lines().collect();
        assert_eq!(Catalogue::read(&lines[..2].join("\n")), Err(IncompleteCatalogue::NoEnd));
        assert_eq!(Catalogue::read(&lines[1..].join("\n")), Err(IncompleteCatalogue::Differs { found: 1, told: 2 }));
        assert_eq!(
            Catalogue::read(&whole.replace("damaged", "verified")),
            Err(IncompleteCatalogue::Differs { found: 2, told: 2 })
        );
        assert_eq!(
            Catalogue::read(&whole.replace("\"1.0\"", "\"2.0\"")),
            Err(IncompleteCatalogue::Schema(SchemaVersion { major: 2, minor: 0 }))
        );
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order() {
        let (a, b) = (SetName::parse("backup-a").unwrap(), SetName::parse("backup-b").unwrap());
        let digest = |sets: &[(&SetName, SetState)]| CatalogueDigest::new(sets.iter().copied());
        let one = digest(&[(&a, SetState::Verified), (&b, SetState::Damaged)]);
        assert_eq!(one, digest(&[(&b, SetState::Damaged), (&a, SetState::Verified)]));
        assert_ne!(one, digest(&[(&a, SetState::Damaged), (&b, SetState::Verified)]));
        assert_eq!((one.count, one.sha256.len()), (2, 32));
    }
}
