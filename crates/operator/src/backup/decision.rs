//! What a decision is made of, and what it is.

use std::sync::Arc;

use etcd_backup_api::Backup;
use etcd_backup_core::{Policy, Report};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::ResourceExt;

use super::knowledge::Knowledge;
use super::pruning::{Prune, PruneStep};
use super::reason::BackupReason;
use super::runs::{Account, Run};
use super::timetable::Timetable;
use crate::catalogue::Known;
use crate::etcdbackup::volume::{Obstacle, Volume};

/// Everything that a decision is made of.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// The object.
    pub(crate) backup: Backup,
    /// The uid of kube-system, which names the cluster.
    pub(crate) cluster: String,
    /// The CronJob of the name that is needed.
    pub(crate) cron_job: Found<CronJob>,
    /// The ConfigMap of the name that is needed.
    pub(crate) policy: Found<ConfigMap>,
    /// The CronJob's Jobs that are still there.
    pub(crate) runs: Vec<Run>,
    /// The Jobs that enforce the policy, the newest last.
    pub(crate) prunes: Vec<Prune>,
    /// The volume.
    pub(crate) volume: Volume,
    /// All nodes.
    pub(crate) nodes: Vec<Arc<Node>>,
    /// Newest reports of runs and prunes on the claim that the spec names.
    pub(crate) reports: Vec<Arc<Report>>,
    /// What is surely on that claim's volume.
    pub(crate) catalogue: Option<Arc<Known>>,
    /// What the records say of the runs.
    pub(crate) history: History,
    /// Since when the operator looks, UTC.
    pub(crate) awake: Timestamp,
}

/// An object of a name that is needed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found<K> {
    /// There is none.
    Absent,
    /// There is one, and the Backup does not own it.
    Foreign,
    /// There is one.
    Ours(K),
}

impl<K: ResourceExt> Found<K> {
    /// Whose the object is; `owner` is a uid.
    #[must_use]
    pub(crate) fn new(object: Option<K>, owner: &str) -> Self {
        match object {
            None => Self::Absent,
            Some(object) if object.owner_references().iter().any(|reference| reference.uid == owner) => {
                Self::Ours(object)
            }
            Some(_) => Self::Foreign,
        }
    }

    /// The object, if it is ours.
    #[must_use]
    pub(crate) fn ours(&self) -> Option<&K> {
        match self {
            Self::Ours(object) => Some(object),
            Self::Absent | Self::Foreign => None,
        }
    }
}

/// What the records of a Backup's runs say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History {
    /// When the newest good run ended, UTC.
    pub(crate) last_success: Option<Timestamp>,
    /// Runs that failed after it.
    pub(crate) failures: usize,
    /// Name of the newest of these records, and why it failed, in one word.
    pub(crate) last_failure: Option<(String, String)>,
}

/// What to do, what to say, and when to look again if nothing changes until then.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    /// What is known now of volume, sets and policy.
    pub(crate) knowledge: Knowledge,
    /// What to do with the CronJob.
    pub(crate) cron_job: CronJobStep,
    /// The policy that the ConfigMap holds; absent if there is to be no ConfigMap of ours.
    pub(crate) policy: Option<Policy>,
    /// What to do to enforce the policy now.
    pub(crate) prune: PruneStep,
    /// The condition Scheduled.
    pub(crate) scheduled: Said,
    /// The condition RetentionSatisfied; absent before a run has told.
    pub(crate) retention: Option<Said>,
    /// Why the volume cannot be used.
    pub(crate) obstacle: Option<Obstacle>,
    /// What became of the runs that were due.
    pub(crate) account: Account,
    /// When the next run is due, UTC.
    pub(crate) next: Option<Timestamp>,
    /// When to decide again, UTC.
    pub(crate) look_again: Option<Timestamp>,
}

/// What to do with the CronJob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CronJobStep {
    /// It stays as it is, if there is one.
    Leave,
    /// It is deleted.
    Delete,
    /// It is made like this.
    Apply {
        /// When it fires.
        timetable: Timetable,
        /// Since when it fires by it, UTC.
        since: Timestamp,
    },
}

/// A condition: whether, why in one word, and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Its status.
    pub(crate) status: bool,
    /// Its reason.
    pub(crate) reason: BackupReason,
    /// Its message.
    pub(crate) message: String,
}

impl Said {
    /// A condition that is False.
    #[must_use]
    pub(crate) fn no(reason: BackupReason, message: impl Into<String>) -> Self {
        Self { status: false, reason, message: message.into() }
    }

    /// A condition that is True.
    #[must_use]
    pub(crate) fn yes(reason: BackupReason, message: impl Into<String>) -> Self {
        Self { status: true, reason, message: message.into() }
    }
}
