//! How far a node's clock is from the control plane's, as far as the times of a run prove it.

use std::collections::{BTreeMap, HashMap};

use etcd_backup_core::Report;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;

use super::gauges::{self as g, Sample};
use super::objects::Objects;

/// The gauge of each node, by the newest run on it whose Job is there.
pub(super) fn samples<'a>(objects: &'a Objects, jobs: &HashMap<&str, &Job>) -> Vec<Sample<'a>> {
    let mut newest: BTreeMap<&str, (Timestamp, SignedDuration)> = BTreeMap::new();
    for report in objects.reports.values() {
        let job = jobs.get(report.run_id.as_str()).copied();
        let Some(skew) = job.and_then(|job| least_skew(report, job)) else { continue };
        let told = newest.entry(&report.node).or_insert((report.completion_time, skew));
        if told.0 <= report.completion_time {
            *told = (report.completion_time, skew);
        }
    }
    newest.into_iter().map(|(node, (_, skew))| g::CLOCK_SKEW.is([node], skew.as_secs_f64())).collect()
}

/// The least skew that explains the times: by one clock, no run begins before its Job is created, and
/// none ends after its Job is complete. Times of the API are cut to whole seconds.
fn least_skew(report: &Report, job: &Job) -> Option<SignedDuration> {
    let created = job.metadata.creation_timestamp.as_ref()?.0;
    let at_most = report.start_time.duration_since(created);
    let complete = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let complete = complete.into_iter().find(|said| said.type_ == "Complete" && said.status == "True");
    let complete = complete.and_then(|said| Some(said.last_transition_time.as_ref()?.0));
    let after = complete.map(|complete| report.completion_time.duration_since(complete)).unwrap_or_default();
    let at_least = after - SignedDuration::from_secs(1);
    Some(if at_most.is_negative() { at_most } else { at_least.max(SignedDuration::ZERO) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_times_prove_is_told() {
        // Created at :10, complete at :20 by the control plane; begun and ended by the node.
        for (began, ended, expected) in [
            ("00:00:12.5Z", "00:00:19.5Z", 0.0),
            ("00:00:10.0Z", "00:00:20.9Z", 0.0),
            ("00:00:04.5Z", "00:00:11.0Z", -5.5),
            ("00:00:17.0Z", "00:00:24.0Z", 3.0),
            ("00:59:17.0Z", "00:59:24.0Z", 59.0 * 60.0 + 3.0),
        ] {
            let report = report(began, ended);
            assert_eq!(least_skew(&report, &job("Complete")).unwrap().as_secs_f64(), expected, "{began} {ended}");
        }
        // A Job can fail while its pod still runs.
        assert_eq!(least_skew(&report("00:00:17Z", "00:00:40Z"), &job("Failed")), Some(SignedDuration::ZERO));
        assert_eq!(least_skew(&report("00:00:04Z", "00:00:40Z"), &Job::default()), None);
    }

    fn report(began: &str, ended: &str) -> Report {
        serde_json::from_value(json!({
            "schemaVersion": "1.1", "runId": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11", "outcome": "Completed", "reason": "Completed",
            "message": "", "startTime": format!("2026-01-01T{began}"), "completionTime": format!("2026-01-01T{ended}"), "node": "n",
        }))
        .unwrap()
    }

    fn job(end: &str) -> Job {
        serde_json::from_value(json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:10Z"},
            "status": {"conditions": [{"type": end, "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"}]},
        }))
        .unwrap()
    }
}
