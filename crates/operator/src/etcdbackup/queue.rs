//! Order of the requests on one volume: first come, first served, and who cannot start yields.
//!
//! The agents serialise themselves by the volume's lock; the queue is there so that nobody's wait
//! for the lock uses up a deadline, and so that people see their place.

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus};
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::reason::StatusReason;
use super::status;

/// A request's place on its volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Names of the requests that go first, in order.
    pub(crate) ahead: Vec<String>,
    /// How many requests wait or run on this volume, this one included, those that cannot start not.
    pub(crate) waiting: usize,
    /// When another request on this volume last ended, UTC: before that, this one may have waited.
    pub(crate) last_ended: Option<Timestamp>,
}

/// The place of `me` among `all`, which may hold `me` and requests on other volumes.
pub(crate) fn place<'a>(me: &EtcdBackup, all: impl IntoIterator<Item = &'a EtcdBackup>) -> Place {
    let others: Vec<&EtcdBackup> = all
        .into_iter()
        .filter(|other| other.uid() != me.uid() && other.spec.pvc_name == me.spec.pvc_name)
        .filter(|other| other.spec.recorded.is_none())
        .collect();
    let last_ended = others.iter().filter_map(|other| other.status.as_ref()?.completion_time.as_ref()).max();
    let mut rivals: Vec<&EtcdBackup> = others.iter().copied().filter(|other| is_waiting_or_running(other)).collect();
    rivals.sort_by_key(|other| turn(other));
    let ahead = rivals.iter().filter(|other| turn(other) < turn(me));
    Place {
        ahead: ahead.map(|other| other.name_any()).collect(),
        waiting: rivals.len() + 1,
        last_ended: last_ended.map(|time| time.0),
    }
}

/// Sort key: who has a Job goes before who has none, then by age, then by name.
fn turn(backup: &EtcdBackup) -> (bool, Option<Timestamp>, String) {
    let unstarted = backup.status.as_ref().is_none_or(|status| status.job_name.is_none());
    (unstarted, backup.creation_timestamp().map(|time| time.0), backup.name_any())
}

fn is_waiting_or_running(backup: &EtcdBackup) -> bool {
    let gone = backup.metadata.deletion_timestamp.is_some() || backup.spec.pvc_name.is_empty();
    let blocked =
        |status: &EtcdBackupStatus| status.reason.as_deref().is_some_and(|word| StatusReason::blocking(word).is_some());
    !gone && !backup.status.as_ref().is_some_and(|status| status::is_final(status) || blocked(status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn backup(name: &str, minute: u8, status: Value) -> EtcdBackup {
        serde_json::from_value(json!({
            "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
            "metadata": {"name": name, "uid": name, "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")},
            "spec": {"pvcName": "claim"}, "status": status,
        }))
        .unwrap()
    }

    fn ended(type_: &str) -> Value {
        json!({"conditions": [{"type": type_, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
               "completionTime": "2026-01-01T00:30:00Z"})
    }

    fn ahead_of(me: &EtcdBackup, others: &[EtcdBackup]) -> Vec<String> {
        place(me, others.iter().chain([me])).ahead
    }

    #[test]
    fn the_elder_goes_first_and_the_name_decides_a_tie() {
        let (a, b, c) = (backup("a", 1, json!({})), backup("b", 1, json!({})), backup("c", 0, json!({})));
        assert_eq!(ahead_of(&a, &[b.clone(), c.clone()]), ["c"]);
        assert_eq!(ahead_of(&b, &[a.clone(), c.clone()]), ["c", "a"]);
        assert_eq!(ahead_of(&c, &[a, b]), [""; 0]);
    }

    #[test]
    fn who_cannot_start_or_has_ended_does_not_count() {
        let me = backup("me", 9, json!({}));
        let rows = [
            (backup("blocked", 1, json!({"reason": "PVCNotFound"})), false),
            (backup("blocked-with-job", 1, json!({"reason": "ImagePullFailed", "jobName": "j"})), false),
            (backup("completed", 1, ended("Completed")), false),
            (backup("failed", 1, ended("Failed")), false),
            (backup("queued", 1, json!({"reason": "Queued"})), true),
            (backup("running", 1, json!({"reason": "Saving", "jobName": "j"})), true),
            (backup("running-but-younger", 20, json!({"reason": "Saving", "jobName": "j"})), true),
            (backup("younger", 20, json!({})), false),
        ];
        for (other, counts) in rows {
            let name = other.name_any();
            assert_eq!(!ahead_of(&me, &[other]).is_empty(), counts, "{name}");
        }
    }

    #[test]
    fn other_volumes_records_and_the_deleted_do_not_count() {
        let me = backup("me", 9, json!({}));
        let mut elsewhere = backup("elsewhere", 1, json!({}));
        elsewhere.spec.pvc_name = "other".into();
        let mut record = backup("record", 1, json!({}));
        record.spec.recorded = Some(etcd_backup_api::Recorded::default());
        let mut deleted = backup("deleted", 1, json!({}));
        deleted.metadata.deletion_timestamp = deleted.metadata.creation_timestamp.clone();
        assert_eq!(place(&me, [&elsewhere, &record, &deleted]), Place { waiting: 1, ..Place::default() });
    }

    #[test]
    fn the_place_is_known_and_when_it_last_moved() {
        let me = backup("me", 9, json!({}));
        let others = [backup("a", 1, json!({})), backup("z", 20, json!({})), backup("done", 0, ended("Completed"))];
        let place = place(&me, &others);
        assert_eq!((place.ahead.len(), place.waiting), (1, 3));
        assert_eq!(place.last_ended, Some("2026-01-01T00:30:00Z".parse().unwrap()));
    }
}
