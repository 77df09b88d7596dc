use std::fs::{self, File};

use etcd_backup_core::{Outcome, Reason, Report};

use crate::bed::{Bed, Ran, overwrite};

const RUN: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

fn ask(bed: &Bed, run: &str) -> Ran {
    let agent = bed.agent("inventory").arg(bed.volume()).args(["--run-id", run, "--lock-timeout", "1s"]);
    agent.arg("--report-file").arg(bed.report_file()).run()
}

fn answer(bed: &Bed) -> Report {
    let report = ask(bed, RUN).ended(0);
    assert_eq!(bed.reported(), report);
    report
}

#[test]
fn a_published_set_is_proven_again() {
    let bed = Bed::new();
    let saved = bed.save().args(["--run-id", RUN, "--expect-volume", RUN]).run().ended(0);
    let found = answer(&bed);
    assert_eq!((found.outcome, found.reason), (Outcome::Completed, Reason::AlreadyPublished));
    assert_eq!((&found.set, &found.warnings), (&saved.set, &saved.warnings));

    overwrite(&bed.file_of_set(".db"), 9000, b"damage");
    let damaged = answer(&bed);
    assert_eq!((damaged.outcome, damaged.reason), (Outcome::Failed, Reason::SnapshotInvalid));

    fs::rename(bed.set(), bed.kubernetes().join("away")).unwrap();
    let gone = answer(&bed);
    assert_eq!((gone.outcome, gone.reason), (Outcome::Failed, Reason::RunNotFound));
    assert!(gone.message.contains("no longer on the volume"), "{}", gone.message);
}

#[test]
fn a_failed_run_is_told_in_its_own_words() {
    let bed = Bed::new();
    let failed = bed.save().args(["--run-id", RUN, "--reserve-percent", "100"]).run().ended(1);
    assert_eq!(answer(&bed), failed);
}

#[test]
fn an_unknown_run_is_an_answer_and_a_locked_volume_is_none() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    assert_eq!(answer(&bed).reason, Reason::RunNotFound);

    let lock = File::options().write(true).open(bed.volume().join(".etcd-backup/lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(ask(&bed, RUN).ended(1).reason, Reason::LockTimeout);
}
