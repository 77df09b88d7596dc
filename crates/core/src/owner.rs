use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose set a set is. Retention only ever looks at sets of one owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// The uid of the `kube-system` namespace. The etcd cluster id would change at a restore, this
    /// does not. Absent for a backup made by hand without a policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// What asked for the backup.
    pub kind: OwnerKind,
    /// Name of the resource, or the name given by hand.
    pub name: String,
}

/// The kinds of owner a set can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OwnerKind {
    /// A schedule (`config.openshift.io/v1alpha1 Backup`).
    Backup,
    /// One backup (`operator.openshift.io/v1alpha1 EtcdBackup`): never touched by a policy.
    EtcdBackup,
    /// An administrator on a node.
    Manual,
    /// Written by a newer version that knows more kinds: foreign to this one.
    #[serde(other)]
    Other,
}

impl OwnerKind {
    /// The kind as manifests and flags spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "Backup",
            Self::EtcdBackup => "EtcdBackup",
            Self::Manual => "Manual",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}
