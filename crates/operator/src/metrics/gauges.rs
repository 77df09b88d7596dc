//! The gauges that are read from objects, and how Prometheus reads them.

use std::fmt::Write as _;

/// A gauge: what `docs/metrics.md` has a row for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Gauge {
    /// The whole name.
    pub(super) name: &'static str,
    /// Names of its labels.
    pub(super) labels: &'static [&'static str],
    /// In a sentence.
    pub(super) help: &'static str,
}

/// A value of a gauge. Its labels' values are in the order of the gauge's names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample<'a> {
    /// Of what.
    pub(super) gauge: &'static Gauge,
    /// The labels' values.
    pub(super) labels: Vec<&'a str>,
    /// The value.
    pub(super) value: f64,
}

impl Gauge {
    /// A value, if it is known.
    pub(super) fn known<'a, const N: usize>(
        &'static self,
        labels: [&'a str; N],
        value: Option<f64>,
    ) -> Option<Sample<'a>> {
        Some(self.is(labels, value?))
    }

    /// A value that is always known.
    pub(super) fn is<'a, const N: usize>(&'static self, labels: [&'a str; N], value: f64) -> Sample<'a> {
        Sample { gauge: self, labels: labels.into(), value }
    }
}

/// Prometheus' text format. Samples of the same gauge stay in their order.
#[must_use]
pub(super) fn text(mut samples: Vec<Sample<'_>>) -> String {
    samples.sort_by_key(|sample| sample.gauge.name);
    let mut text = String::new();
    for family in samples.chunk_by(|one, next| one.gauge.name == next.gauge.name) {
        let Gauge { name, help, .. } = family[0].gauge;
        // Writing to a String cannot fail; so below.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for sample in family {
            text.push_str(name);
            let mut before = '{';
            for (label, value) in sample.gauge.labels.iter().zip(&sample.labels) {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(text, "{before}{label}=\"{value}\"");
                before = ',';
            }
            let end = if sample.labels.is_empty() { "" } else { "}" };
            let _ = writeln!(text, "{end} {}", sample.value);
        }
    }
    text
}

macro_rules! gauges {
    ($($gauge:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $gauge: Gauge =
            Gauge { name: concat!("etcdbackup_", $name), labels: &[$($label),*], help: $help };)*

        /// All of them.
        #[cfg(test)]
        pub(super) static ALL: &[&Gauge] = &[$(&$gauge),*];
    };
}

gauges! {
    INFO = "schedule_info" ["backup", "claim", "schedule", "time_zone"] "Always 1; the labels are the spec's";
    CREATED = "schedule_created_timestamp_seconds" ["backup"] "When the Backup was created";
    SUSPENDED = "schedule_suspended" ["backup"] "Whether the schedule starts no runs on purpose";
    EXPECTED_INTERVAL = "schedule_expected_interval_seconds" ["backup"] "Longest time between two runs that are due";
    NEXT_RUN = "schedule_next_run_timestamp_seconds" ["backup"] "When the next run is due";
    LAST_DUE = "schedule_last_due_timestamp_seconds" ["backup"] "When the newest run that was started was due";
    LAST_MISSED = "schedule_last_missed_timestamp_seconds" ["backup"] "When the newest run that did not start was due";
    LAST_SUCCESS = "schedule_last_success_timestamp_seconds" ["backup"] "When a run last ended with a verified backup";
    LAST_REVISION = "schedule_last_success_revision" ["backup"] "Revision of etcd in that backup";
    LAST_BYTES = "schedule_last_success_snapshot_bytes" ["backup"] "Size of the snapshot in that backup";
    LAST_RUN = "schedule_last_run_timestamp_seconds" ["backup"] "When the newest run ended, good or not";
    LAST_RUN_SUCCESS = "schedule_last_run_success" ["backup"] "Whether the newest run made a verified backup";
    LAST_RUN_DURATION = "schedule_last_run_duration_seconds" ["backup"] "How long the agent worked in the newest run";
    LAST_RUN_DELAY = "schedule_last_run_start_delay_seconds" ["backup"] "From when the newest run was due until the agent began";
    LAST_RUN_PHASE = "schedule_last_run_phase_seconds" ["backup", "phase"] "How long a phase of the newest run took";
    LAST_FAILURE = "schedule_last_failure_timestamp_seconds" ["backup"] "When a run last failed";
    LAST_FAILURE_REASON = "schedule_last_failure_reason" ["backup", "reason"] "Always 1; why a run last failed";
    FAILURES = "schedule_consecutive_failures" ["backup"] "Runs that failed since the last good one";
    RUNNING_SINCE = "schedule_running_since_timestamp_seconds" ["backup"] "When the oldest run that has not ended was recorded";
    RETAINED_SETS = "schedule_retained_sets" ["backup"] "Verified sets on the volume, as last found";
    RETAINED_BYTES = "schedule_retained_bytes" ["backup"] "Bytes of all sets on the volume, as last found";
    RETAINED_NEWEST = "schedule_retained_newest_timestamp_seconds" ["backup"] "Time of the newest verified set";
    RETAINED_OLDEST = "schedule_retained_oldest_timestamp_seconds" ["backup"] "Time of the oldest verified set";
    RETAINED_OBSERVED = "schedule_retained_observed_timestamp_seconds" ["backup"] "When the sets were last found to be so";
    LIMIT_SETS = "schedule_retention_limit_sets" ["backup"] "Sets that the policy keeps";
    LIMIT_BYTES = "schedule_retention_limit_bytes" ["backup"] "Bytes that the policy allows";
    UNPROVEN_RECORDS = "schedule_unproven_records" ["backup", "reason"] "Records of completed runs whose sets are not verified now";
    CONDITION = "schedule_condition" ["backup", "type", "status"] "1 for the status that the condition has";
    CONDITION_REASON = "schedule_condition_reason" ["backup", "type", "reason"] "Always 1; the condition's reason";
    AGENT = "schedule_agent_info" ["backup", "version"] "Always 1; version of the agent that made the newest report";

    QUEUE = "queue_length" ["claim"] "EtcdBackups that wait for their turn or cannot start";
    QUEUE_OLDEST = "queue_oldest_timestamp_seconds" ["claim"] "When the oldest EtcdBackup that has not ended was created";
    CAPACITY = "volume_capacity_bytes" ["claim"] "Capacity of the claim as Kubernetes has it";
    VOLUME_SIZE = "volume_size_bytes" ["claim"] "Size of the file system, as the newest report said";
    VOLUME_FREE = "volume_free_bytes" ["claim"] "What the agent may still write on it, as the newest report said";
    VOLUME_OBSERVED = "volume_observed_timestamp_seconds" ["claim"] "When the newest report on the claim said so";
    VOLUME_SETS = "volume_sets" ["claim", "state"] "Sets on the volume, whoever made them";

    ONE_SHOTS = "one_shot_objects" ["phase"] "EtcdBackups that no schedule made";
    ONE_SHOT_UNPROVEN = "one_shot_unproven" ["reason"] "Completed EtcdBackups that no schedule made, whose sets are not verified now";
    ONE_SHOT_SUCCESS = "one_shot_last_success_timestamp_seconds" [] "When the newest completed and verified EtcdBackup that no schedule made ended";
    ONE_SHOT_REVISION = "one_shot_last_success_revision" [] "Revision of etcd in its snapshot";
    ONE_SHOT_FAILURE = "one_shot_last_failure_timestamp_seconds" [] "When the newest EtcdBackup that no schedule made and that failed ended";

    CLOCK_SKEW = "clock_skew_seconds" ["node"] "How far the node's clock is ahead of the control plane's, at least; negative if it is behind";
    UNREADABLE = "unreadable_objects" ["kind"] "Stored objects that this version cannot read";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_together_and_labels_are_escaped() {
        let samples = vec![
            SUSPENDED.is(["b"], 1.0),
            INFO.is(["b", "c\\", "\"", "new\nline"], 1.0),
            ONE_SHOT_REVISION.is([], 4711.0),
            SUSPENDED.is(["a"], 0.5),
        ];
        let text = text(samples);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE etcdbackup_one_shot_last_success_revision gauge",
                "etcdbackup_one_shot_last_success_revision 4711",
                "# TYPE etcdbackup_schedule_info gauge",
                r#"etcdbackup_schedule_info{backup="b",claim="c\\",schedule="\"",time_zone="new\nline"} 1"#,
                "# TYPE etcdbackup_schedule_suspended gauge",
                r#"etcdbackup_schedule_suspended{backup="b"} 1"#,
                r#"etcdbackup_schedule_suspended{backup="a"} 0.5"#,
            ]
        );
    }
}
