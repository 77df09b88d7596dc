use serde_json::{Value, json};

use super::*;

fn at(minute: u8) -> Timestamp {
    format!("2026-01-01T00:{minute:02}:00Z").parse().unwrap()
}

#[test]
fn a_job_tells_when_its_run_was_due() {
    let job = |name: &str, status: Value| -> Job {
        let metadata = json!({"name": name, "uid": "u", "creationTimestamp": at(21)});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    };
    let ended = |type_: &str| json!({"conditions": [{"type": type_, "status": "True", "lastTransitionTime": at(25)}]});
    let minute = at(20).as_second() / 60;
    let scheduled = run(&job(&format!("nightly-{minute}"), ended("Complete")), "nightly");
    assert_eq!(
        scheduled,
        Run { id: "u".into(), created: at(21), due: Some(at(20)), end: Some(End { at: at(25), succeeded: true }) }
    );
    let rows = [
        ("nightly-before-upgrade", json!({}), None, None),
        ("nightly", ended("Failed"), None, Some(false)),
        ("nightly-2-29", ended("FailureTarget"), None, None),
        ("nightly-99999999999999999999", ended("SuccessCriteriaMet"), None, None),
    ];
    for (name, status, due, succeeded) in rows {
        let run = run(&job(name, status), "nightly");
        assert_eq!((run.due, run.end.map(|end| end.succeeded)), (due, succeeded), "{name}");
    }
}

#[test]
fn a_run_is_over_when_its_record_is_whatever_its_job_says() {
    let metadata = json!({"name": "nightly-1", "uid": "r", "ownerReferences": [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "c"}]});
    let job: Job = serde_json::from_value(json!({"metadata": metadata, "status": {"active": 1}})).unwrap();
    let cron_job: CronJob = serde_json::from_value(json!({"metadata": {"name": "nightly", "uid": "c"}})).unwrap();
    let end = |records: &[Arc<EtcdBackup>]| runs(std::slice::from_ref(&job), &cron_job, records)[0].end;
    assert_eq!(end(&[]), None);
    assert_eq!(end(&[record("r", "Running", 3)]), None);
    assert_eq!(end(&[record("r", "Completed", 3)]), Some(End { at: at(3), succeeded: true }));
    assert_eq!(end(&[record("r", "Failed", 4)]), Some(End { at: at(4), succeeded: false }));
}

fn record(name: &str, type_: &str, minute: u8) -> Arc<EtcdBackup> {
    Arc::new(serde_json::from_value(json!({
        "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": name},
        "spec": {"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "r"}},
        "status": {"completionTime": at(minute), "conditions": [
            {"type": type_, "status": "True", "reason": "NoSpace", "message": "", "lastTransitionTime": at(minute)}]},
    })).unwrap())
}

#[test]
fn failures_count_since_the_newest_good_run() {
    let good = |minute| record("good", "Completed", minute);
    let bad = |name: &str, minute| record(name, "Failed", minute);
    let running = record("running", "Running", 50);
    assert_eq!(history(std::slice::from_ref(&running)), History::default());
    let last_failure = Some(("b3".to_owned(), "NoSpace".to_owned()));
    assert_eq!(
        history(&[bad("b3", 9), good(5), bad("b1", 4), bad("b2", 7), good(2), running]),
        History { last_success: Some(at(5)), failures: 2, last_failure: last_failure.clone() }
    );
    assert_eq!(history(&[bad("b3", 9)]), History { last_success: None, failures: 1, last_failure });
    assert_eq!(history(&[bad("b3", 9), good(10)]), History { last_success: Some(at(10)), ..History::default() });
}
