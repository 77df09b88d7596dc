use serde_json::json;

use super::*;
use crate::backup::observed::{at, backup, nothing_yet};

/// The step, the condition Scheduled and the next run, in a line.
fn told(seen: &Observed, now: &str) -> String {
    let decision = decide(seen, at(now));
    let step = match decision.cron_job {
        CronJobStep::Leave => "leave".to_owned(),
        CronJobStep::Delete => "delete".to_owned(),
        CronJobStep::Apply { timetable, since } => {
            format!("apply {} {} since {}", timetable.schedule, timetable.zone, since.strftime("%H:%M"))
        }
    };
    let next = decision.next.map_or("never".to_owned(), |next| next.strftime("%d %H:%M").to_string());
    format!("{step}; {} {}; {next}", decision.scheduled.status, decision.scheduled.reason.as_str())
}

fn message(seen: &Observed, now: &str) -> String {
    decide(seen, at(now)).scheduled.message
}

fn asking(etcd: serde_json::Value) -> Observed {
    Observed { backup: backup(etcd), ..nothing_yet() }
}

#[test]
fn a_schedule_becomes_a_cron_job() {
    assert_eq!(told(&nothing_yet(), "03:00"), "apply 20 4 * * * Etc/UTC since 03:00; true Scheduled; 02 04:20");
    assert_eq!(
        message(&nothing_yet(), "03:00"),
        "CronJob nightly starts the runs at \"20 4 * * *\" in Etc/UTC (spec.etcd.timeZone is empty)"
    );
    let berlin = asking(json!({"schedule": "20 4 * * *", "timeZone": "Europe/Berlin", "pvcName": "claim"}));
    assert_eq!(told(&berlin, "03:00"), "apply 20 4 * * * Europe/Berlin since 03:00; true Scheduled; 02 03:20");
    assert_eq!(message(&berlin, "03:00"), "CronJob nightly starts the runs at \"20 4 * * *\" in Europe/Berlin");
}

#[test]
fn what_makes_no_backups_says_why() {
    let rows = [
        (json!({"pvcName": "claim"}), "delete; false NoSchedule; never", "spec.etcd.schedule is empty"),
        (json!({"schedule": "@daily"}), "delete; false NoVolume; never", "spec.etcd.pvcName is empty"),
        (
            json!({"schedule": "0 0 30 2 *", "pvcName": "claim"}),
            "apply 0 0 30 2 * Etc/UTC since 03:00; false NeverDue; never",
            "no day is ever like schedule \"0 0 30 2 *\"",
        ),
        (
            json!({"schedule": "20 4 * * 9", "pvcName": "claim"}),
            "leave; false InvalidSchedule; never",
            "; until that is corrected, no backups are made",
        ),
        (
            json!({"schedule": "@daily", "timeZone": "Mars/Olympus", "pvcName": "claim"}),
            "leave; false InvalidTimeZone; never",
            "\"Mars/Olympus\" is not known",
        ),
        (
            json!({"schedule": "20 4 * * *", "pvcName": "claim", "suspend": true}),
            "apply 20 4 * * * Etc/UTC since 03:00; false Suspended; never",
            "no new runs are started",
        ),
    ];
    for (etcd, expected, text) in rows {
        let seen = asking(etcd);
        assert_eq!(told(&seen, "03:00"), expected);
        assert!(message(&seen, "03:00").contains(text), "{}", message(&seen, "03:00"));
    }
    let foreign = Observed { cron_job: Found::Foreign, ..nothing_yet() };
    assert_eq!(told(&foreign, "03:00"), "leave; false CronJobForeign; never");
}

#[test]
fn a_mistake_leaves_the_cron_job_as_it_was_and_says_so() {
    let mut seen = nothing_yet().with_cron_job(None);
    seen.backup.spec.etcd.schedule = "20 4 * * 9".into();
    assert_eq!(told(&seen, "03:00"), "leave; false InvalidSchedule; 02 04:20");
    assert!(message(&seen, "03:00").ends_with("; until that is corrected, runs go on at \"20 4 * * *\" in Etc/UTC"));
}

#[test]
fn an_edit_counts_from_when_it_was_made() {
    let seen = nothing_yet().with_cron_job(None);
    assert_eq!(told(&seen, "03:00"), "apply 20 4 * * * Etc/UTC since 00:00; true Scheduled; 02 04:20");
    let edit = |change: fn(&mut etcd_backup_api::EtcdSpec)| {
        let mut edited = nothing_yet().with_cron_job(None);
        change(&mut edited.backup.spec.etcd);
        told(&edited, "05:00")
    };
    assert_eq!(
        edit(|etcd| etcd.schedule = "0 3 * * *".into()),
        "apply 0 3 * * * Etc/UTC since 05:00; true Scheduled; 03 03:00"
    );
    assert_eq!(
        edit(|etcd| etcd.time_zone = "Asia/Tokyo".into()),
        "apply 20 4 * * * Asia/Tokyo since 05:00; true Scheduled; 02 19:20"
    );
    assert_eq!(edit(|etcd| etcd.suspend = true), "apply 20 4 * * * Etc/UTC since 05:00; false Suspended; never");
    assert_eq!(
        edit(|etcd| etcd.pvc_name = "other".into()),
        "apply 20 4 * * * Etc/UTC since 00:00; false Missed; 03 04:20"
    );
}

#[test]
fn a_run_that_does_not_start_is_seen() {
    let seen = nothing_yet().with_cron_job(None);
    let due = decide(&seen, at("04:20:30"));
    assert_eq!((due.scheduled.status, due.look_again), (true, Some(at("04:22"))));
    assert_eq!(told(&seen, "04:22"), "apply 20 4 * * * Etc/UTC since 00:00; false Missed; 03 04:20");
    assert_eq!(
        message(&seen, "04:22"),
        "the run due at 2026-01-02T04:20:00Z did not start: is kube-controller-manager running? The next one is due at 2026-01-03T04:20:00Z"
    );
    assert_eq!(decide(&seen, at("04:22")).account.new, 1);
    let started = nothing_yet().with_cron_job(Some("04:20")).with_run("04:20", None);
    assert_eq!(told(&started, "05:00"), "apply 20 4 * * * Etc/UTC since 00:00; true Scheduled; 03 04:20");
}

#[test]
fn other_data_of_the_zone_is_said_and_misses_nothing() {
    let seen = nothing_yet().with_cron_job(Some("03:20")).with_run("03:20", None);
    assert_eq!(told(&seen, "04:22"), "apply 20 4 * * * Etc/UTC since 00:00; true Scheduled; 03 04:20");
    assert!(message(&seen, "04:22").contains("its data of the zone is of another release"));
    assert_eq!(decide(&seen, at("04:22")).account, Account::default());
}

#[test]
fn a_run_that_waits_for_another_is_said_to() {
    let mut seen = nothing_yet();
    seen.backup.spec.etcd.schedule = "0 * * * *".into();
    let seen = seen.with_cron_job(Some("04:00")).with_run("04:00", None);
    let decision = decide(&seen, at("05:30"));
    assert!(decision.scheduled.status);
    assert!(
        decision
            .scheduled
            .message
            .ends_with("; the run due at 2026-01-02T05:00:00Z waits until the one at work has ended")
    );
}

#[test]
fn the_policy_is_written_wherever_there_can_be_sets() {
    let max_sets = |seen: &Observed| decide(seen, at("03:00")).policy.map(|policy| policy.retention);
    let fifteen = Some(etcd_backup_core::Retention::Number { max_sets: 15 });
    assert_eq!(max_sets(&nothing_yet()), fifteen);
    assert_eq!(max_sets(&asking(json!({"pvcName": "claim"}))), fifteen);
    assert_eq!(max_sets(&asking(json!({"schedule": "@daily"}))), None);
    let foreign = Observed { policy: Found::Foreign, ..nothing_yet() };
    assert_eq!(max_sets(&foreign), None);
    let said = decide(&foreign, at("03:00")).retention.unwrap();
    assert_eq!((said.status, said.reason.as_str()), (false, "PolicyForeign"));
    assert!(
        matches!(decide(&foreign, at("03:00")).cron_job, CronJobStep::Apply { .. }),
        "a backup is made all the same"
    );
}

#[test]
fn an_unusable_volume_is_an_obstacle_and_the_cron_job_is_made() {
    let mut seen = nothing_yet();
    seen.volume.claim = None;
    let decision = decide(&seen, at("03:00"));
    assert_eq!(decision.obstacle.unwrap().reason.as_str(), "PVCNotFound");
    assert!(decision.scheduled.status);
}
