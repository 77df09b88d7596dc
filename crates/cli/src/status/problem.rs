//! What is wrong, by what the objects themselves say. Pure.

use etcd_backup_api::{Backup, EtcdBackup, conditions};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use serde::Serialize;

use super::operator::{self, Operator, State};
use crate::etcdbackup::{message, time};

/// Conditions of a Backup that should be True. Stalled says the same as Ready.
const SHOULD_HOLD: [&str; 3] = ["Scheduled", "RetentionSatisfied", "Ready"];

/// Reasons of a condition that is False on purpose or for a moment.
const EXPECTED: [&str; 2] = ["Suspended", "Pruning"];

/// Reasons of a pending backup that goes on by itself.
const PATIENT: [&str; 2] = ["Queued", "Starting"];

/// Reasons of a running backup that does not.
const STUCK: [&str; 2] = ["NodeLost", "InventoryFailed"];

/// How long the operator may take to look at a new object, or to say what became of a run that was due.
const NOTICED: SignedDuration = SignedDuration::from_mins(5);

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// Kind and name.
    pub(super) object: String,
    /// In one word; docs/operations/reasons.md has a row for those of conditions.
    pub(super) reason: String,
    /// What it is and what to do.
    pub(super) message: String,
    /// Since when, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Timestamp>,
}

/// What is wrong with the operator. That it may not be seen is not.
pub(super) fn of_operator(operator: &Operator) -> Option<Problem> {
    let reason = match operator.state {
        State::Ready | State::Unknown => return None,
        State::NotReady => "OperatorNotReady",
        State::Missing => "OperatorMissing",
    };
    let object = format!("Deployment/{}", operator::NAME);
    Some(Problem { object, reason: reason.to_owned(), message: operator.message.clone(), since: None })
}

/// What is wrong with a schedule: conditions that are False, each reason once, and the operator's silence.
pub(super) fn of_schedule(backup: &Backup, now: Timestamp) -> Vec<Problem> {
    let object = format!("Backup/{}", backup.name_any());
    let status = backup.status.clone().unwrap_or_default();
    let mut problems: Vec<Problem> = Vec::new();
    let broken = SHOULD_HOLD.into_iter().filter_map(|type_| conditions::get(&status.conditions, type_));
    for condition in broken.filter(|condition| condition.status != "True") {
        let known = problems.iter().any(|problem| problem.reason == condition.reason);
        if !known && !EXPECTED.contains(&condition.reason.as_str()) {
            problems.push(of_condition(&object, condition));
        }
    }
    let silence = |what: String, since: Option<Timestamp>| Problem {
        object: object.clone(),
        reason: "NotNoticed".to_owned(),
        message: format!("{what}; is the operator running?"),
        since,
    };
    let created = backup.creation_timestamp().map(|time| time.0);
    if status.conditions.is_empty() && created.is_none_or(|created| now.duration_since(created) > NOTICED) {
        problems.push(silence("the operator has said nothing about it".to_owned(), created));
    }
    let next = status.next_schedule_time.and_then(|time| time.parse::<Timestamp>().ok());
    if let Some(due) = next.filter(|due| !backup.spec.etcd.suspend && now.duration_since(*due) > NOTICED) {
        problems.push(silence(format!("nothing is known of the run that was due at {due}"), Some(due)));
    }
    problems
}

/// What is wrong with a one-shot backup. One that failed is forgiven by a later good one on the same
/// claim; what happened before `from` is past.
pub(super) fn of_single(backup: &EtcdBackup, all: &[EtcdBackup], from: Timestamp) -> Option<Problem> {
    let status = backup.status.as_ref()?;
    let object = format!("EtcdBackup/{}", backup.name_any());
    let (phase, reason) = (status.phase.as_deref()?, status.reason.as_deref().unwrap_or_default());
    let said = |since| Problem {
        object: object.clone(),
        reason: reason.to_owned(),
        message: message(status).to_owned(),
        since,
    };
    let verified = conditions::get(&status.conditions, "Verified").filter(|condition| condition.status == "False");
    match phase {
        "Pending" if !PATIENT.contains(&reason) => Some(said(time(backup))),
        "Running" if STUCK.contains(&reason) => Some(said(time(backup))),
        "Failed" => {
            let ended = status.completion_time.as_ref().map(|time| time.0);
            let recent = ended.is_none_or(|ended| ended >= from);
            (recent && !all.iter().any(|other| repaired(other, backup))).then(|| said(ended))
        }
        "Completed" => {
            let lost = verified.filter(|condition| condition.last_transition_time.0 >= from)?;
            Some(of_condition(&object, lost))
        }
        _ => None,
    }
}

/// Whether a later backup on the same claim is good.
fn repaired(other: &EtcdBackup, failed: &EtcdBackup) -> bool {
    let verified = other.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, "Verified"));
    verified && other.spec.pvc_name == failed.spec.pvc_name && time(other) > time(failed)
}

fn of_condition(object: &str, condition: &Condition) -> Problem {
    Problem {
        object: object.to_owned(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: Some(condition.last_transition_time.0),
    }
}
