use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::SchemaVersion;

/// The policy schema that this version writes.
pub const POLICY_SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };

/// What an owner's sets are kept by: a mounted ConfigMap's `policy.json`, or a file by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Version of this document; unknown fields of the same major version are ignored.
    pub schema_version: SchemaVersion,
    /// How much is kept.
    pub retention: Retention,
    /// The volume (its id) that the sets are known to be on. Another one than this: nothing is
    /// deleted. Absent before the first run has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_volume: Option<String>,
    /// Up to where a changed lineage has been accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_lineage: Option<AcceptedLineage>,
}

/// How much is kept of one owner's sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Retention {
    /// At most this many verified sets when a run ends.
    #[serde(rename_all = "camelCase")]
    Number {
        /// At least 1.
        max_sets: u64,
    },
    /// At most this many bytes of all the owner's files, at every moment.
    #[serde(rename_all = "camelCase")]
    Size {
        /// Bytes.
        max_bytes: u64,
    },
}

/// Sets up to a place in a volume's order may be pruned although a later set is of another lineage:
/// somebody has seen that the cluster was restored or rebuilt, and wants the policy to go on.
///
/// As text, `<volume id>/<sequence>`: it holds for no other volume and for no later change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AcceptedLineage {
    /// The volume's id.
    pub volume: String,
    /// Sequence of the newest set before the change.
    pub sequence: u64,
}

impl Policy {
    /// A policy that accepts nothing yet.
    #[must_use]
    pub fn new(retention: Retention) -> Self {
        Self { schema_version: POLICY_SCHEMA, retention, expected_volume: None, accepted_lineage: None }
    }

    /// What names this policy as it holds on a volume: 16 hex digits. Equal for a policy that
    /// expects no particular volume yet and one that expects this one.
    #[must_use]
    pub fn hash_on(&self, volume_id: &str) -> String {
        let Self { schema_version: _, retention, expected_volume, accepted_lineage } = self;
        let retention = match retention {
            Retention::Number { max_sets } => format!("number {max_sets}"),
            Retention::Size { max_bytes } => format!("size {max_bytes}"),
        };
        let volume = expected_volume.as_deref().unwrap_or(volume_id);
        let accepted = accepted_lineage.clone().map(String::from).unwrap_or_default();
        let digest = Sha256::digest(format!("{retention}\n{volume}\n{accepted}\n"));
        hex(&digest[..8])
    }
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl TryFrom<String> for AcceptedLineage {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(volume, sequence)| Some((volume, sequence.parse().ok()?)));
        match parsed {
            Some((volume, sequence)) if !volume.is_empty() => Ok(Self { volume: volume.to_owned(), sequence }),
            _ => Err(format!("{text:?} is not <volume id>/<sequence>; the condition's message has the right text")),
        }
    }
}

impl From<AcceptedLineage> for String {
    fn from(accepted: AcceptedLineage) -> Self {
        format!("{}/{}", accepted.volume, accepted.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_as_it_is_written() {
        let mut policy = Policy::new(Retention::Number { max_sets: 3 });
        let json = serde_json::to_value(&policy).unwrap();
        assert_eq!(json, serde_json::json!({"schemaVersion": "1.0", "retention": {"type": "number", "maxSets": 3}}));
        policy.retention = Retention::Size { max_bytes: 10 << 30 };
        policy.accepted_lineage = Some("9d2f9a52-7d55/7".to_owned().try_into().unwrap());
        let json = serde_json::to_string(&policy).unwrap();
        assert!(json.contains(r#""acceptedLineage":"9d2f9a52-7d55/7""#), "{json}");
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }

    #[test]
    fn the_hash_names_what_is_enforced_and_where() {
        let policy = Policy::new(Retention::Number { max_sets: 3 });
        let expecting = Policy { expected_volume: Some("a".into()), ..policy.clone() };
        assert_eq!(policy.hash_on("a"), expecting.hash_on("a"));
        assert_eq!(policy.hash_on("a").len(), 16);
        let others = [
            policy.hash_on("b"),
            expecting.hash_on("b"),
            Policy::new(Retention::Number { max_sets: 4 }).hash_on("a"),
            Policy::new(Retention::Size { max_bytes: 3 }).hash_on("a"),
            Policy { accepted_lineage: Some(AcceptedLineage { volume: "a".into(), sequence: 3 }), ..policy.clone() }
                .hash_on("a"),
        ];
        assert_ne!(others[0], policy.hash_on("a"));
        assert_eq!(others[1], policy.hash_on("a"), "it still expects volume a");
        assert!(others[2..].iter().all(|other| *other != policy.hash_on("a")));
    }

    #[test]
    fn an_acceptance_names_volume_and_place() {
        for wrong in ["", "7", "/7", "a/", "a/b", "a/-1"] {
            assert!(AcceptedLineage::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }
}
