//! Names of what a Backup makes.

use etcd_backup_api::Backup;
use jiff::Timestamp;
use kube::ResourceExt as _;
use sha2::{Digest as _, Sha256};

/// Longest name of a CronJob: its Jobs add a dash and ten digits, and 63 is the end.
const MAX_CRON_JOB: usize = 52;

/// Annotation of a CronJob: since when its present schedule is in force, UTC. What was due before
/// was due by another one.
pub(crate) const SINCE: &str = "etcd-backup.io/schedule-since";

/// Name of the CronJob: the Backup's own, or as much of it as fits and what tells it from others.
#[must_use]
pub(crate) fn cron_job(backup: &str) -> String {
    if backup.len() <= MAX_CRON_JOB {
        return backup.to_owned();
    }
    let kept: String = backup.chars().take(MAX_CRON_JOB - 9).collect();
    format!("{}-{}", kept.trim_end_matches(['-', '.']), digest(&[backup]))
}

/// When the run of a CronJob's Job was due, UTC, to the minute: kube-controller-manager names the Job by it.
#[must_use]
pub(crate) fn due(job: &str, cron_job: &str) -> Option<Timestamp> {
    let minute: i64 = job.strip_prefix(cron_job)?.strip_prefix('-')?.parse().ok()?;
    Timestamp::from_second(minute.checked_mul(60)?).ok()
}

/// Name of the ConfigMap with the policy.
#[must_use]
pub(crate) fn policy(backup: &str) -> String {
    format!("{}-policy", cron_job(backup))
}

/// Name of the Job that enforces a policy: the same for the same Backup, spec, policy and last run,
/// so that a failure is tried again only when one of them changes.
#[must_use]
pub(crate) fn prune_job(backup: &Backup, policy_hash: &str, last_run: &str) -> String {
    let generation = backup.metadata.generation.unwrap_or_default().to_string();
    let digest = digest(&[&backup.uid().unwrap_or_default(), &generation, policy_hash, last_run]);
    // A pod's name adds six characters, and is the pod's host name, which ends at 63.
    let kept: String = cron_job(&backup.name_any()).chars().take(MAX_CRON_JOB - 15).collect();
    format!("{}-prune-{digest}", kept.trim_end_matches(['-', '.']))
}

/// The first eight hex digits of the SHA-256 of lines.
fn digest(lines: &[&str]) -> String {
    let digest = Sha256::digest(lines.join("\n"));
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_backup_api::BackupSpec;

    #[test]
    fn a_name_that_fits_is_kept_and_a_long_one_is_told_from_others() {
        assert_eq!(cron_job("etcd-recurring-backup"), "etcd-recurring-backup");
        assert_eq!(cron_job(&"a".repeat(52)), "a".repeat(52));
        let (a, b) = (cron_job(&format!("{}a", "x".repeat(60))), cron_job(&format!("{}b", "x".repeat(60))));
        assert_ne!(a, b);
        assert_eq!((a.len(), &a[..44]), (52, &*format!("{}-", "x".repeat(43))));
        // sha256sum of the 53 letters.
        assert_eq!(cron_job(&"a".repeat(53)), format!("{}-abe346a7", "a".repeat(43)));
        let cut_at_a_dot = cron_job(&format!("{}.{}", "a".repeat(42), "b".repeat(30)));
        assert!(cut_at_a_dot.starts_with(&format!("{}-", "a".repeat(42))) && !cut_at_a_dot.contains('.'));
    }

    #[test]
    fn a_prune_job_is_one_per_spec_policy_and_last_run() {
        let mut backup = Backup::new(&"n".repeat(253), BackupSpec::default());
        backup.metadata.uid = Some("u".into());
        let name = prune_job(&backup, "hash", "run");
        assert!(name.len() + "-abcde".len() <= 63, "{name}");
        assert_eq!(prune_job(&backup, "hash", "run"), name);
        let mut edited = backup.clone();
        edited.metadata.generation = Some(2);
        let others = [
            prune_job(&edited, "hash", "run"),
            prune_job(&backup, "other", "run"),
            prune_job(&backup, "hash", "later"),
        ];
        assert!(others.iter().all(|other| *other != name));
    }
}
