use std::fs::File;
use std::time::{Duration, Instant};

use etcd_backup_core::{Outcome, Reason};
use rustix::process::Signal;

use crate::bed::{Bed, Running};

/// A run that is in the middle of its stream and stays there.
fn streaming(bed: &Bed) -> Running {
    bed.load(48);
    let mut running = bed.save().start();
    running.until("a stream", || bed.staged_snapshot_bytes() > 0);
    bed.etcd.pause(0).unwrap();
    running
}

#[test]
fn sigterm_leaves_nothing_and_is_reported() {
    let bed = Bed::new();
    let running = streaming(&bed);
    let asked = Instant::now();
    running.signal(Signal::TERM);
    let report = running.wait().ended(5);
    assert!(asked.elapsed() < Duration::from_secs(15), "{:?}", asked.elapsed());
    assert_eq!((report.outcome, report.reason), (Outcome::Failed, Reason::Interrupted));
    assert!(bed.sets().is_empty() && bed.staged().is_empty());
    assert_eq!(bed.reported(), report);
    let kept = bed.agent("inventory").arg(bed.volume()).args(["--run-id", report.run_id.as_str()]).run().ended(0);
    assert_eq!(kept, report);
}

#[test]
fn what_sigkill_leaves_is_swept_by_the_next_run() {
    let bed = Bed::new();
    let running = streaming(&bed);
    running.signal(Signal::KILL);
    assert_eq!(running.wait().exit, None);
    assert!(bed.sets().is_empty());
    assert_eq!(bed.staged().len(), 1);
    bed.etcd.resume(0).unwrap();

    bed.save().run().ended(0);
    assert!(bed.staged().is_empty());
    assert_eq!(bed.sets().len(), 1);
}

#[test]
fn waiting_for_the_volume_is_bounded_and_can_be_ended() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    let lock = File::options().write(true).open(bed.volume().join(".etcd-backup/lock")).unwrap();
    lock.lock().unwrap();

    let ran = bed.save().args(["--lock-timeout", "1s"]).run();
    assert_eq!(ran.ended(1).reason, Reason::LockTimeout);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);

    let running = bed.save().start();
    std::thread::sleep(Duration::from_millis(500));
    running.signal(Signal::INT);
    assert_eq!(running.wait().ended(5).reason, Reason::Interrupted);
    assert_eq!(bed.reported().reason, Reason::Interrupted);
    assert_eq!(bed.sets().len(), 1);
}
