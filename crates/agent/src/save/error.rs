use std::path::PathBuf;

use etcd_backup_core::Reason;
use etcd_backup_etcd::EtcdError;
use etcd_backup_store::StoreError;

use super::connection::ConnectionError;
use crate::proof::ProofError;
use crate::static_resources::StaticResourcesError;
use crate::stop::Stopped;

/// Why a run published nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SaveError {
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{source}. The policy deletes nothing to make room: {held}")]
    NothingGoes { source: StoreError, held: String },
    #[error(
        "the snapshot from {member} was larger each time that room had been made for it, last {bytes} bytes with what goes beside it; try again at a quieter hour"
    )]
    OutgrowsRoom { member: String, bytes: u64 },
    #[error(
        "{} is not laid out as a control plane's Kubernetes directory; run on a control-plane node, name the directory (--kubernetes-dir), or save the snapshot alone (--layout none)",
        dir.display()
    )]
    NoLayout { dir: PathBuf },
    #[error(transparent)]
    StaticResources(#[from] StaticResourcesError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    #[error(
        "the cluster is being changed ({reason}), and --require-settled asks to wait: {why}. To save it all the same, leave --require-settled out"
    )]
    NotSettled { reason: String, why: String },
    #[error("what was just saved is not sound: {0}")]
    Unsound(ProofError),
    #[error("the set that this run published before is no longer sound: {0}")]
    PublishedUnsound(ProofError),
    #[error(
        "the snapshot from {member} is of revision {found}, but the cluster was at {required} before it began; this member lags behind: check its health, or save from another one"
    )]
    Stale { member: String, found: i64, required: i64 },
}

impl SaveError {
    /// What was just saved did not pass.
    pub(super) fn unsound(error: ProofError) -> Self {
        match error {
            ProofError::Stopped(stopped) => stopped.into(),
            error => Self::Unsound(error),
        }
    }

    /// What this run published before did not pass.
    pub(super) fn published_unsound(error: ProofError) -> Self {
        match error {
            ProofError::Stopped(stopped) => stopped.into(),
            error => Self::PublishedUnsound(error),
        }
    }

    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Stopped(stopped) => stopped.reason(),
            Self::Store(error) | Self::NothingGoes { source: error, .. } => error.reason(),
            Self::OutgrowsRoom { .. } => Reason::DatabaseGrowth,
            Self::NoLayout { .. } => Reason::StaticResources,
            Self::StaticResources(error) => error.reason(),
            Self::Connection(error) => error.reason(),
            Self::Etcd(error) => error.reason(),
            Self::NotSettled { .. } => Reason::NotSettled,
            Self::Unsound(error) | Self::PublishedUnsound(error) => error.reason(),
            Self::Stale { .. } => Reason::SnapshotStale,
        }
    }

    /// Whether another member may do better.
    pub(super) fn is_the_members_fault(&self) -> bool {
        match self {
            Self::Stale { .. } => true,
            Self::Etcd(_) => matches!(
                self.reason(),
                Reason::Tls
                    | Reason::PermissionDenied
                    | Reason::NoMember
                    | Reason::NoHealthyMember
                    | Reason::NoQuorum
                    | Reason::Stalled
                    | Reason::StreamBroken
            ),
            // A damaged database streams with a correct checksum; the other members' may be sound.
            Self::Unsound(_) => self.reason() == Reason::SnapshotInvalid,
            _ => false,
        }
    }
}
