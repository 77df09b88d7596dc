//! A policy that is made stricter, or a change that is accepted, is enforced at once.

use etcd_backup_api::Backup;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::bed::eventually;
use crate::schedules::{Schedules, VOLUME, retention};

const OTHER: &str = "11111111-7d55-4b85-a9d3-0fd4c8d0cd42";

impl Schedules {
    /// A Backup whose run has left three sets.
    async fn with_sets(&self, name: &str) -> (Backup, String) {
        let backup = self.create(name, json!({})).await;
        let hash = self.policy(name, "the policy is there", |_| true).await.hash_on(VOLUME);
        let job = self.start(name, "2026-01-01T03:20:00Z").await;
        self.end(&backup, &job, "Completed", VOLUME, retention("Satisfied", &hash, 3)).await;
        self.says(name, "RetentionSatisfied", "True Satisfied").await;
        (backup, hash)
    }
}

fn number(max: i64) -> Value {
    json!({"retentionPolicy": {"retentionType": "RetentionNumber", "retentionNumber": {"maxNumberOfBackups": max}}})
}

#[tokio::test]
async fn a_stricter_policy_is_enforced_at_once_also_when_suspended() {
    let bed = Schedules::new("stricter").await;
    let operator = bed.bed.operator(&[]).await;
    let (backup, old) = bed.with_sets("stricter").await;
    bed.edit("stricter", json!({"suspend": true})).await;
    bed.says("stricter", "Scheduled", "False Suspended").await;
    assert!(bed.bed.jobs_of("prune").await.is_empty());
    bed.edit("stricter", number(2)).await;
    let job = bed.prune_job().await;
    let hash = bed.policy("stricter", "the new policy", |policy| policy.hash_on(VOLUME) != old).await.hash_on(VOLUME);
    let args = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].args.clone().unwrap();
    assert!(args.windows(2).any(|pair| pair == ["--expect-policy", &hash]), "{args:?}");
    bed.says("stricter", "RetentionSatisfied", "False Pruning").await;
    bed.end(&backup, &job, "Completed", VOLUME, retention("Satisfied", &hash, 2)).await;
    let status = bed.until("stricter", "it is enforced", |status| status.policy_hash.as_deref() == Some(&hash)).await;
    assert_eq!(status.retained.unwrap().count, 2);
    bed.says("stricter", "RetentionSatisfied", "True Satisfied").await;
    bed.says("stricter", "Ready", "True Suspended").await;
    bed.rests("stricter").await;
    assert_eq!(bed.bed.jobs_of("prune").await, [job.name_any()]);
    operator.stop().await;
}

#[tokio::test]
async fn a_failed_prune_is_told_and_tried_again_with_the_next_run() {
    let bed = Schedules::new("prune-failed").await;
    let operator = bed.bed.operator(&[]).await;
    let (backup, _) = bed.with_sets("prune-failed").await;
    bed.edit("prune-failed", number(2)).await;
    let first = bed.prune_job().await;
    bed.end(&backup, &first, "Failed", VOLUME, Value::Null).await;
    let message = bed.says("prune-failed", "RetentionSatisfied", "False PruneFailed").await;
    assert!(message.contains("NoSpace: said the agent") && message.contains(&first.name_any()), "{message}");
    bed.rests("prune-failed").await;
    operator.stop().await;
    let operator = bed.bed.operator(&[]).await;
    bed.rests("prune-failed").await;
    assert_eq!(bed.bed.jobs_of("prune").await, [first.name_any()]);

    // Not beside a run; after one that did not enforce it either, again.
    let run = bed.start("prune-failed", "2026-01-02T03:20:00Z").await;
    bed.says("prune-failed", "RetentionSatisfied", "False Pruning").await;
    assert_eq!(bed.bed.jobs_of("prune").await, [first.name_any()]);
    bed.end(&backup, &run, "Failed", VOLUME, Value::Null).await;
    eventually("there is another one, and only that", || async {
        let jobs = bed.bed.jobs_of("prune").await;
        jobs.len() == 1 && jobs[0] != first.name_any()
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_restore_holds_the_policy_until_somebody_accepts_it() {
    let bed = Schedules::new("lineage").await;
    let operator = bed.bed.operator(&[]).await;
    let (backup, hash) = bed.with_sets("lineage").await;
    let run = bed.start("lineage", "2026-01-02T03:20:00Z").await;
    bed.end(&backup, &run, "Completed", VOLUME, retention("LineageChanged", &hash, 4)).await;
    bed.says("lineage", "RetentionSatisfied", "False LineageChanged").await;
    bed.says("lineage", "Stalled", "True LineageChanged").await;
    assert!(bed.bed.jobs_of("prune").await.is_empty());
    bed.annotate("lineage", "etcd-backup.io/accept-lineage", "nonsense").await;
    bed.until("lineage", "the nonsense is told of", |status| {
        status.conditions.iter().any(|said| said.type_ == "Ready" && said.message.contains("accept-lineage is ignored"))
    })
    .await;
    bed.annotate("lineage", "etcd-backup.io/accept-lineage", &format!("{VOLUME}/3")).await;
    let accepted = bed.policy("lineage", "it is accepted", |policy| policy.accepted_lineage.is_some()).await;
    let job = bed.prune_job().await;
    bed.end(&backup, &job, "Completed", VOLUME, retention("Satisfied", &accepted.hash_on(VOLUME), 4)).await;
    bed.says("lineage", "Ready", "True Ready").await;
    operator.stop().await;
}

#[tokio::test]
async fn another_volume_holds_the_policy_until_somebody_accepts_it() {
    let bed = Schedules::new("volume").await;
    let operator = bed.bed.operator(&[]).await;
    let (backup, hash) = bed.with_sets("volume").await;
    let run = bed.start("volume", "2026-01-02T03:20:00Z").await;
    bed.end(&backup, &run, "Completed", OTHER, retention("VolumeChanged", &hash, 1)).await;
    bed.says("volume", "RetentionSatisfied", "False VolumeChanged").await;
    let status = bed.backups.get("volume").await.unwrap().status.unwrap();
    assert_eq!(status.volume_id.as_deref(), Some(VOLUME));
    assert_eq!(status.retained.unwrap().volume_id.as_deref(), Some(OTHER));
    // A restarted operator still knows which one was found.
    operator.stop().await;
    let operator = bed.bed.operator(&[]).await;
    bed.annotate("volume", "etcd-backup.io/accept-volume", OTHER).await;
    let policy =
        bed.policy("volume", "it is accepted", |policy| policy.expected_volume.as_deref() == Some(OTHER)).await;
    let job = bed.prune_job().await;
    bed.end(&backup, &job, "Completed", OTHER, retention("Satisfied", &policy.hash_on(OTHER), 1)).await;
    bed.says("volume", "Ready", "True Ready").await;
    assert_eq!(bed.backups.get("volume").await.unwrap().status.unwrap().volume_id.as_deref(), Some(OTHER));
    operator.stop().await;
}
