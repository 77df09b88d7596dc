//! What is known of a Backup's volume, sets and policy: from its own status before, then from what
//! is newer. What is not known stays unknown.

use etcd_backup_api::{ACCEPT_LINEAGE, ACCEPT_VOLUME, Backup, BackupStatus, Retained};
use etcd_backup_core::{Report, RetainedSets, RetentionReason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::decision::{Observed, Said};
use super::reason::BackupReason;
use crate::etcdbackup::status::{size, whole_seconds};

/// What is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Knowledge {
    /// The volume on which the sets are expected.
    pub(crate) volume_id: Option<String>,
    /// The sets, as they were found last.
    pub(crate) retained: Option<Retained>,
    /// Hash of the policy that was last enforced.
    pub(crate) policy_hash: Option<String>,
    /// Annotations that say nothing, for people.
    pub(crate) ignored: Vec<String>,
}

impl Knowledge {
    /// Puts together what the status said before and what was seen since.
    #[must_use]
    pub(crate) fn new(seen: &Observed) -> Self {
        let mut known = before(&seen.backup).map_or_else(Self::default, |status| Self {
            volume_id: status.volume_id.clone(),
            retained: status.retained.clone(),
            policy_hash: status.policy_hash.clone(),
            ..Self::default()
        });
        let mut reports: Vec<&Report> = seen.reports.iter().map(AsRef::as_ref).collect();
        reports.sort_by_key(|report| report.completion_time);
        reports.into_iter().for_each(|report| known.follow(report));
        if let Some(catalogue) = &seen.catalogue
            && known.is_news(catalogue.time, false)
        {
            let sets = catalogue.retained(&seen.backup.owner(&seen.cluster));
            known.volume_id.get_or_insert_with(|| catalogue.volume_id.clone());
            let said = known.retained.take().map(|retained| (retained.reason, retained.message)).unwrap_or_default();
            known.retained = Some(Retained {
                reason: said.0,
                message: said.1,
                ..retained(&sets, catalogue.time, Some(&catalogue.volume_id))
            });
        }
        known.accept(&seen.backup);
        known
    }

    /// What the newest run said of retention.
    #[must_use]
    pub(crate) fn retention(&self) -> Option<Said> {
        let retained = self.retained.as_ref()?;
        let reason = retained.reason.as_ref()?;
        // A word of a newer agent reads as Other.
        let reason = serde_json::from_value(reason.as_str().into()).unwrap_or(RetentionReason::Other);
        Some(Said {
            status: reason == RetentionReason::Satisfied,
            reason: BackupReason::Retention(reason),
            message: retained.message.clone().unwrap_or_default(),
        })
    }

    /// The volume that the newest run found.
    #[must_use]
    pub(crate) fn found_volume(&self) -> Option<&str> {
        self.retained.as_ref()?.volume_id.as_deref()
    }

    /// Whether there are sets that a policy could be enforced on.
    #[must_use]
    pub(crate) fn has_sets(&self) -> bool {
        self.retained.as_ref().is_some_and(|retained| retained.count > 0)
    }

    fn is_news(&self, time: Timestamp, again: bool) -> bool {
        let known = self.retained.as_ref().and_then(|retained| retained.time.as_ref());
        known.is_none_or(|known| known.0 < whole_seconds(time) || again && known.0 == whole_seconds(time))
    }

    /// Takes up a report, unless something newer is known. The same one a second time changes nothing.
    fn follow(&mut self, report: &Report) {
        if !self.is_news(report.completion_time, true) {
            return;
        }
        if let Some(volume) = &report.volume_id {
            self.volume_id.get_or_insert_with(|| volume.clone());
        }
        let Some(retention) = &report.retention else { return };
        self.retained = Some(Retained {
            reason: Some(retention.reason.as_str().to_owned()),
            message: Some(retention.message.clone()),
            ..retained(&retention.retained, report.completion_time, report.volume_id.as_deref())
        });
        // A policy that changed under the run, or was not read, is still to be enforced.
        let unenforced = [RetentionReason::PolicyChanged, RetentionReason::PolicyInvalid].contains(&retention.reason);
        self.policy_hash = retention.policy_hash.clone().filter(|_| !unenforced);
    }

    /// What the annotations accept.
    fn accept(&mut self, backup: &Backup) {
        if let Some(Err(problem)) = backup.accepted_lineage() {
            self.ignored.push(format!("annotation {ACCEPT_LINEAGE} is ignored: {problem}"));
        }
        let Some(accepted) = backup.accepted_volume().filter(|accepted| self.volume_id.as_deref() != Some(accepted))
        else {
            return;
        };
        match (self.found_volume(), &self.volume_id) {
            (Some(found), _) if found == accepted => self.volume_id = Some(accepted.to_owned()),
            (_, expected) => self.ignored.push(format!(
                "annotation {ACCEPT_VOLUME} is ignored: it names volume {accepted:?}; expected is {}, found was {}",
                expected.as_deref().unwrap_or("none yet"),
                self.found_volume().unwrap_or("none yet")
            )),
        }
    }
}

/// The status before, if it is about the claim that the spec names now.
#[must_use]
pub(crate) fn before(backup: &Backup) -> Option<&BackupStatus> {
    let claim = &backup.spec.etcd.pvc_name;
    backup.status.as_ref().filter(|status| status.pvc_name.as_ref().is_none_or(|before| before == claim))
}

fn retained(sets: &RetainedSets, time: Timestamp, volume_id: Option<&str>) -> Retained {
    let stamp = |time: Option<Timestamp>| time.map(|time| Time(whole_seconds(time)));
    Retained {
        count: i32::try_from(sets.verified).unwrap_or(i32::MAX),
        size_bytes: i64::try_from(sets.size_bytes).unwrap_or(i64::MAX),
        size: size(sets.size_bytes),
        oldest: stamp(sets.oldest),
        newest: stamp(sets.newest),
        time: stamp(Some(time)),
        volume_id: volume_id.map(str::to_owned),
        ..Retained::default()
    }
}

#[cfg(test)]
mod tests;
