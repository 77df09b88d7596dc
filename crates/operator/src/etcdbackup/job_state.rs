//! What a Job says: that it is not there, is somebody else's, is at work, or how it ended.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;

use super::pod_state::ObservedPod;

/// A Job and its pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct ObservedJob {
    /// What the Job says.
    pub(crate) state: JobState,
    /// Its pods, the newest last. They can outlive the Job.
    pub(crate) pods: Vec<ObservedPod>,
}

/// What a Job says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum JobState {
    /// There is none of that name.
    #[default]
    Absent,
    /// There is one of that name, but this EtcdBackup does not own it.
    Foreign,
    /// It has not ended.
    Active {
        /// When it was created, UTC.
        created: Timestamp,
        /// When its deadline ends it, UTC.
        ends: Timestamp,
        /// Whether somebody suspended it.
        suspended: bool,
    },
    /// A pod succeeded.
    Complete,
    /// No pod succeeded and there will be no further one.
    Failed {
        /// Kubernetes' word, such as `BackoffLimitExceeded`, `DeadlineExceeded`, `PodFailurePolicy`.
        reason: String,
        /// Kubernetes' message.
        message: String,
    },
}

impl JobState {
    /// Reads a Job of the object with the given uid; `usual_deadline` is for a Job that has none.
    #[must_use]
    pub(crate) fn new(job: Option<&Job>, owner: &str, usual_deadline: SignedDuration) -> Self {
        let ours = |job: &Job| job.owner_references().iter().any(|reference| reference.uid == owner);
        Self::read(job, ours, usual_deadline)
    }

    /// Reads the Job of a recorded run: the Job's uid is the run's id.
    #[must_use]
    pub(crate) fn of_run(job: Option<&Job>, run_id: &str, usual_deadline: SignedDuration) -> Self {
        Self::read(job, |job| job.metadata.uid.as_deref() == Some(run_id), usual_deadline)
    }

    fn read(job: Option<&Job>, ours: impl Fn(&Job) -> bool, usual_deadline: SignedDuration) -> Self {
        let Some(job) = job else { return Self::Absent };
        if !ours(job) {
            return Self::Foreign;
        }
        let status = job.status.as_ref();
        let condition = |type_: &str| {
            let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
        };
        if condition("Complete").is_some() {
            return Self::Complete;
        }
        if let Some(failed) = condition("Failed") {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            return Self::Failed { reason: text(&failed.reason), message: text(&failed.message) };
        }
        let created = job.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
        let started = status.and_then(|status| status.start_time.as_ref()).map_or(created, |time| time.0);
        let spec = job.spec.as_ref();
        let deadline =
            spec.and_then(|spec| spec.active_deadline_seconds).map_or(usual_deadline, SignedDuration::from_secs);
        Self::Active {
            created,
            ends: started.checked_add(deadline).unwrap_or(Timestamp::MAX),
            suspended: spec.and_then(|spec| spec.suspend).unwrap_or(false),
        }
    }

    /// Whether there is a Job and it is ours.
    #[must_use]
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self, Self::Absent | Self::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state(spec: Value, status: Value) -> JobState {
        let job: Job = serde_json::from_value(json!({
            "metadata": {"name": "j", "creationTimestamp": "2026-01-01T00:00:00Z",
                         "ownerReferences": [{"apiVersion": "v1", "kind": "EtcdBackup", "name": "b", "uid": "ours"}]},
            "spec": spec, "status": status,
        }))
        .unwrap();
        JobState::new(Some(&job), "ours", SignedDuration::from_secs(60))
    }

    fn active(ends: &str, suspended: bool) -> JobState {
        JobState::Active { created: "2026-01-01T00:00:00Z".parse().unwrap(), ends: ends.parse().unwrap(), suspended }
    }

    #[test]
    fn only_the_final_conditions_end_a_job() {
        let template = json!({"template": {}, "activeDeadlineSeconds": 1800});
        let condition = |type_: &str, status: &str| json!({"conditions": [{"type": type_, "status": status, "reason": "R", "message": "M"}]});
        let rows = [
            (condition("Complete", "True"), JobState::Complete),
            (condition("Failed", "True"), JobState::Failed { reason: "R".into(), message: "M".into() }),
            (condition("Failed", "False"), active("2026-01-01T00:30:00Z", false)),
            (condition("FailureTarget", "True"), active("2026-01-01T00:30:00Z", false)),
            (condition("SuccessCriteriaMet", "True"), active("2026-01-01T00:30:00Z", false)),
            (json!({"startTime": "2026-01-01T01:00:00Z"}), active("2026-01-01T01:30:00Z", false)),
        ];
        for (status, expected) in rows {
            assert_eq!(state(template.clone(), status.clone()), expected, "{status}");
        }
    }

    #[test]
    fn a_job_without_a_deadline_is_bounded_all_the_same() {
        assert_eq!(state(json!({"template": {}, "suspend": true}), json!({})), active("2026-01-01T00:01:00Z", true));
    }

    #[test]
    fn a_job_of_another_owner_is_foreign() {
        let minute = SignedDuration::from_secs(60);
        assert_eq!(JobState::new(Some(&Job::default()), "ours", minute), JobState::Foreign);
        assert_eq!(JobState::new(None, "ours", minute), JobState::Absent);
        let mut run = Job::default();
        run.metadata.uid = Some("run".into());
        assert!(JobState::of_run(Some(&run), "run", minute).is_ours());
        assert_eq!(JobState::of_run(Some(&run), "earlier-run", minute), JobState::Foreign);
    }
}
