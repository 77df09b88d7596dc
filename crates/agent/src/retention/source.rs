use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use etcd_backup_core::{AcceptedLineage, POLICY_SCHEMA, Policy, Retention};

/// A policy has some hundred bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Where a policy comes from.
#[derive(Debug, Clone)]
pub(crate) enum PolicySource {
    /// A file, which may change while the run goes on, such as a mounted ConfigMap's. What the
    /// command line accepts counts instead of what the file accepts.
    File { path: PathBuf, accepted: Option<AcceptedLineage> },
    /// The command line.
    Flags(Policy),
}

/// Why there is no policy to enforce.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error(
        "the policy {} cannot be read ({source}); nothing is deleted: check --policy, and that the ConfigMap is mounted there",
        path.display()
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("the policy {} makes no sense: {why}; nothing is deleted: correct it", path.display())]
    Invalid { path: PathBuf, why: String },
}

impl PolicySource {
    /// The policy as it is now.
    pub(crate) fn read(&self) -> Result<Policy, PolicyError> {
        match self {
            Self::Flags(policy) => Ok(policy.clone()),
            Self::File { path, accepted } => {
                let policy = read(path)?;
                let accepted_lineage = accepted.clone().or(policy.accepted_lineage);
                Ok(Policy { accepted_lineage, ..policy })
            }
        }
    }
}

fn read(path: &Path) -> Result<Policy, PolicyError> {
    let failed = |source| PolicyError::Read { path: path.to_owned(), source };
    let invalid = |why| PolicyError::Invalid { path: path.to_owned(), why };
    let mut text = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(invalid(format!("it has more than {MAX_BYTES} bytes")));
    }
    let policy: Policy = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if !POLICY_SCHEMA.reads(policy.schema_version) {
        return Err(invalid(format!(
            "it is of version {}, and {POLICY_SCHEMA} is what this version of etcd-backup reads",
            policy.schema_version
        )));
    }
    match policy.retention {
        Retention::Number { max_sets: 0 } => Err(invalid("maxSets is 0, at least 1 set must be kept".to_owned())),
        Retention::Size { max_bytes: 0 } => Err(invalid("maxBytes is 0, no set has so few bytes".to_owned())),
        Retention::Number { .. } | Retention::Size { .. } => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Policy, PolicyError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.json");
        std::fs::write(&path, text).unwrap();
        PolicySource::File { path, accepted: None }.read()
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused_with_its_reason() {
        for (text, complaint) in [
            ("", "EOF"),
            ("{}", "missing field"),
            (r#"{"schemaVersion":"2.0","retention":{"type":"number","maxSets":3}}"#, "version 2.0"),
            (r#"{"schemaVersion":"1.0","retention":{"type":"number","maxSets":0}}"#, "at least 1"),
            (r#"{"schemaVersion":"1.0","retention":{"type":"size","maxBytes":0}}"#, "maxBytes is 0"),
            (r#"{"schemaVersion":"1.0","retention":{"type":"number","maxSets":-1}}"#, "invalid value"),
            (r#"{"schemaVersion":"1.0","retention":{"type":"forever"}}"#, "unknown variant"),
            (&" ".repeat(100_000), "more than"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(complaint) && error.contains("nothing is deleted"), "{text:.80}: {error}");
        }
        let missing = PolicySource::File { path: "/nowhere/policy.json".into(), accepted: None };
        assert!(matches!(missing.read(), Err(PolicyError::Read { .. })));
    }

    #[test]
    fn the_command_line_accepts_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.json");
        std::fs::write(
            &path,
            r#"{"schemaVersion":"1.7","new":1,"retention":{"type":"number","maxSets":3},"acceptedLineage":"v/1"}"#,
        )
        .unwrap();
        let accepted = Some(AcceptedLineage { volume: "v".into(), sequence: 7 });
        let read = |accepted| PolicySource::File { path: path.clone(), accepted }.read().unwrap().accepted_lineage;
        assert_eq!(read(None).unwrap().sequence, 1);
        assert_eq!(read(accepted.clone()), accepted);
    }
}
