use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Owner, RunId};

/// Longest part of a set's name that comes from its owner, in bytes.
const OWNER_PART: usize = 60;

/// A UTC time as cluster-backup.sh writes it in file names: `2021-06-25_190035`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(String);

impl Stamp {
    /// The stamp of a point in time, in UTC and whole seconds.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self(at.strftime("%Y-%m-%d_%H%M%S").to_string())
    }

    /// Name of the snapshot in a set of this stamp.
    #[must_use]
    pub fn snapshot_file(&self) -> String {
        format!("snapshot_{}.db", self.0)
    }

    /// Name of the static pod resources' archive in a set of this stamp.
    #[must_use]
    pub fn static_resources_file(&self) -> String {
        format!("static_kuberesources_{}.tar.gz", self.0)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Name of a set's directory: `backup-<owner>-<stamp>-<first 8 of the run id>`.
///
/// The name is for people and for `ls`; the manifest inside says whose set it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetName(String);

impl SetName {
    /// The name for a new set. Characters of the owner's name that do not belong in a file name
    /// become `-`.
    #[must_use]
    pub fn new(owner: &Owner, stamp: &Stamp, run: &RunId) -> Self {
        Self(format!("backup-{}-{stamp}-{}", owner_part(owner), run.short()))
    }

    /// Whether a set of this owner may be called so. Another owner's may be as well: only a manifest
    /// says whose set it is.
    #[must_use]
    pub fn is_named_for_owner(&self, owner: &Owner) -> bool {
        let rest = self.0.strip_prefix("backup-").and_then(|rest| rest.strip_prefix(&owner_part(owner)));
        let Some(rest) = rest.and_then(|rest| rest.strip_prefix('-')) else { return false };
        let digit = |c: u8| if c.is_ascii_digit() { b'0' } else { c };
        let shape: Vec<u8> = rest.bytes().map(digit).collect();
        shape.len() == "0000-00-00_000000-".len() + 8 && shape.starts_with(b"0000-00-00_000000-")
    }

    /// Reads a directory's name; `None` if no set is ever called so.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let plain = name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_'));
        (plain && name.starts_with("backup-") && name.len() <= 255).then(|| Self(name.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an owner's sets have of its name.
fn owner_part(owner: &Owner) -> String {
    let plain = owner.name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' });
    plain.take(OWNER_PART).collect()
}

impl TryFrom<String> for SetName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::parse(&name).ok_or_else(|| format!("{name:?} is not the name of a set"))
    }
}

impl From<SetName> for String {
    fn from(name: SetName) -> Self {
        name.0
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OwnerKind;

    fn owner(name: &str) -> Owner {
        Owner { cluster: None, kind: OwnerKind::Manual, name: name.into() }
    }

    fn name(of: &str) -> String {
        let at: Timestamp = "2021-06-25T19:00:35Z".parse().unwrap();
        SetName::new(&owner(of), &Stamp::new(at), &"0b8f6f53-5c1b".parse().unwrap()).to_string()
    }

    #[test]
    fn names_are_as_cluster_backup_sh_stamps_them() {
        assert_eq!(name("nightly"), "backup-nightly-2021-06-25_190035-0b8f6f53");
    }

    #[test]
    fn an_owner_cannot_leave_its_directory() {
        assert_eq!(name("../../etc"), "backup-..-..-etc-2021-06-25_190035-0b8f6f53");
        assert_eq!(name(&"x".repeat(300)).len(), "backup-".len() + 60 + "-2021-06-25_190035-0b8f6f53".len());
    }

    #[test]
    fn a_name_tells_whose_set_it_may_be_exactly() {
        for of in ["nightly", "nightly-2021-06-25_190035-0b8f6f53", "a/b", &"x".repeat(300)] {
            assert!(SetName::parse(&name(of)).unwrap().is_named_for_owner(&owner(of)), "{of:?}");
        }
        let others = [
            "backup-nightly-2-2021-06-25_190035-0b8f6f53",
            "backup-night-2021-06-25_190035-0b8f6f53",
            "backup-nightly-2021-06-25_190035-0b8f6f53-copy",
            "backup-nightly-2021-06-25_190035-0b8f6f5",
            "backup-nightly-2021-06-25-190035-0b8f6f53",
            "backup-nightly",
        ];
        for other in others {
            assert!(!SetName::parse(other).unwrap().is_named_for_owner(&owner("nightly")), "{other:?}");
        }
    }

    #[test]
    fn what_is_not_called_like_a_set_is_not_one() {
        assert!(SetName::parse("backup-nightly-2021-06-25_190035-0b8f6f53").is_some());
        for other in ["lost+found", ".etcd-backup", "backup-a/b", "my-backup", ""] {
            assert!(SetName::parse(other).is_none(), "{other:?}");
        }
    }
}
