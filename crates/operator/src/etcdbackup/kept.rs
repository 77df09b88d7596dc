//! What the volume's catalogue says of an EtcdBackup that has ended: whether its set is still there
//! and still good.

use etcd_backup_api::{EtcdBackup, conditions};
use etcd_backup_core::{SetName, SetState};

use super::reason::StatusReason;
use crate::catalogue::Known;

/// What the condition Verified has to say from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its status.
    pub(crate) verified: bool,
    /// In one word.
    pub(crate) reason: StatusReason,
    /// For people.
    pub(crate) message: String,
}

/// Whether a catalogue can tell of this EtcdBackup's set: it is one of the same volume, made after
/// the run.
#[must_use]
pub(crate) fn is_told_of(backup: &EtcdBackup, known: &Known) -> bool {
    let Some(status) = &backup.status else { return false };
    conditions::is_true(&status.conditions, "Completed")
        && status.volume_id.as_ref() == Some(&known.volume_id)
        && status.completion_time.as_ref().is_some_and(|ended| ended.0 <= known.time)
}

/// Name of the set in the status.
#[must_use]
pub(crate) fn set_name(backup: &EtcdBackup) -> Option<SetName> {
    let location = backup.status.as_ref()?.location.as_ref()?;
    SetName::parse(location.rsplit('/').next()?)
}

/// What Verified has to say, if the catalogue contradicts what it says. A record whose set is gone
/// says nothing any more: it is dropped. Of a set that cannot be read nothing is known.
#[must_use]
pub(crate) fn contradiction(backup: &EtcdBackup, known: &Known) -> Option<Kept> {
    let name = set_name(backup).filter(|_| is_told_of(backup, known))?;
    let said = conditions::get(&backup.status.as_ref()?.conditions, "Verified")?;
    let state = known.sets.get(&name).map(|set| set.state);
    let was_lost = ["SetMissing", "Damaged"].contains(&said.reason.as_str());
    let kept = |verified, reason, message| Some(Kept { verified, reason, message });
    let next = match state {
        Some(SetState::Verified) if was_lost => {
            kept(true, StatusReason::Verified, format!("set {name} is on the volume and was found good again"))
        }
        Some(SetState::Unverified) if was_lost => {
            kept(false, StatusReason::Freshness, format!("set {name} is on the volume again; its data may be old"))
        }
        Some(SetState::Damaged) => kept(
            false,
            StatusReason::Damaged,
            format!("set {name} is not what it was: see `etcd-backup verify`. Do not restore from it"),
        ),
        None | Some(SetState::Foreign) if backup.spec.recorded.is_none() => kept(
            false,
            StatusReason::SetMissing,
            format!(
                "set {name} is no longer on the volume: somebody deleted or moved it. Delete this EtcdBackup, or put the set back"
            ),
        ),
        _ => None,
    }?;
    (said.reason != next.reason.as_str()).then_some(next)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::catalogue::known::KnownSet;

    const SET: &str = "backup-b-2026-01-01_000000-0b8f6f53";

    fn backup(verified: &str, reason: &str) -> EtcdBackup {
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        serde_json::from_value(json!({
            "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": "b"},
            "spec": {"pvcName": "claim"},
            "status": {
                "conditions": [condition("Completed", "True", "Completed"), condition("Verified", verified, reason)],
                "completionTime": "2026-01-01T00:00:09Z", "volumeId": "v", "location": format!("pvc://ns/claim/{SET}"),
            },
        }))
        .unwrap()
    }

    fn known(state: Option<SetState>) -> Known {
        let sets = state.map(|state| (SetName::parse(SET).unwrap(), KnownSet { state, size_bytes: 1, made: None }));
        Known {
            volume_id: "v".into(),
            time: "2026-01-01T00:01:00Z".parse().unwrap(),
            sets: sets.into_iter().collect::<BTreeMap<_, _>>(),
        }
    }

    #[test]
    fn verified_follows_the_volume() {
        let rows = [
            (("True", "Verified"), Some(SetState::Verified), None),
            (("True", "Verified"), Some(SetState::Damaged), Some((false, "Damaged"))),
            (("True", "Verified"), Some(SetState::Unreadable), None),
            (("True", "Verified"), Some(SetState::Foreign), Some((false, "SetMissing"))),
            (("True", "Verified"), None, Some((false, "SetMissing"))),
            (("False", "SetMissing"), None, None),
            (("False", "SetMissing"), Some(SetState::Verified), Some((true, "Verified"))),
            (("False", "SetMissing"), Some(SetState::Unverified), Some((false, "Freshness"))),
            (("False", "SetMissing"), Some(SetState::Damaged), Some((false, "Damaged"))),
            (("False", "SetMissing"), Some(SetState::Unreadable), None),
            (("False", "Damaged"), Some(SetState::Verified), Some((true, "Verified"))),
            (("False", "Damaged"), Some(SetState::Damaged), None),
            (("False", "Freshness"), Some(SetState::Unverified), None),
            (("False", "Freshness"), None, Some((false, "SetMissing"))),
        ];
        for ((verified, reason), state, expected) in rows {
            let found = contradiction(&backup(verified, reason), &known(state));
            let found = found.map(|kept| (kept.verified, kept.reason.as_str()));
            assert_eq!(found, expected, "{verified}/{reason} and {state:?}");
        }
    }

    #[test]
    fn another_volume_an_older_catalogue_and_records_say_nothing() {
        let other = Known { volume_id: "w".into(), ..known(None) };
        assert_eq!(contradiction(&backup("True", "Verified"), &other), None);
        let older = Known { time: "2026-01-01T00:00:08Z".parse().unwrap(), ..known(None) };
        assert_eq!(contradiction(&backup("True", "Verified"), &older), None);
        let mut record = backup("True", "Verified");
        record.spec.recorded = Some(etcd_backup_api::Recorded::default());
        assert_eq!(contradiction(&record, &known(None)), None);
        assert!(contradiction(&record, &known(Some(SetState::Damaged))).is_some());
    }
}
