//! Two operators of which one works: the other one takes over, and nothing is made twice.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use etcd_backup_testbed::measured;

use super::{HeldLock, SOON};
use crate::bed::{self, Bed, until};

/// With shorter times than the shipped ones, so that the test is short; what they are does not matter.
const TIMES: [&str; 3] = ["--lease-duration=8s", "--lease-renew-deadline=6s", "--lease-renew-period=2s"];
const SHIPPED: [&str; 3] = ["--lease-duration=45s", "--lease-renew-deadline=30s", "--lease-renew-period=15s"];

/// The operator that works dies with its pod right after the apply, and while an agent runs; then one is asked to stop.
pub(super) fn takeover(bed: &Bed) -> Result<()> {
    let volume = bed.volume("takeover", 0)?;
    bed.operator_flags(&TIMES)?;
    bed.backup("takeover-starting", "takeover")?;
    let first = other_works(bed, Bed::kill_leader)?;
    bed.wait_for("takeover-starting", "Completed", None, SOON)?;

    let lock = HeldLock::take(&volume)?;
    bed.backup("takeover-running", "takeover")?;
    bed.running_pod("takeover-running")?;
    let second = other_works(bed, Bed::kill_leader)?;
    lock.release()?;
    let completed = bed.wait_for("takeover-running", "Completed", None, SOON)?;
    ensure!(completed["status"]["snapshot"]["revision"].as_i64() > Some(0), "no revision: {:#}", completed["status"]);

    let mut doubled = 0;
    for name in ["takeover-starting", "takeover-running"] {
        let uid = bed.uid(name)?;
        let jobs = bed.labelled("job", &format!("etcd-backup.io/uid={uid}"))?.len();
        let sets = bed::sets_of(&volume, &uid)?.len();
        ensure!(jobs > 0 && sets > 0, "{name}: {jobs} Jobs, {sets} sets");
        doubled += usize::from(jobs > 1 || sets > 1);
    }
    bed.operator_ready()?;
    let handover = other_works(bed, |bed| {
        let leader = bed.leader()?.unwrap_or_default();
        bed.kubectl(&["-n", bed::OPERATOR_NAMESPACE, "delete", "pod", &leader, "--wait=false"]).map(drop)
    })?;
    let shown = |seconds: f64| format!("{seconds:.1}");
    let figures = [shown(first.max(second)), shown(handover)];
    measured(
        "takeover",
        &[("lease_seconds", &8), ("seconds", &figures[0]), ("handover_seconds", &figures[1]), ("doubled", &doubled)],
    )?;
    bed.operator_flags(&SHIPPED)?;
    ensure!(doubled == 0, "see the figures above");
    bed::verify(&volume).map(drop)
}

/// Seconds from what is done to the operator that works until another one does.
fn other_works(bed: &Bed, done: impl Fn(&Bed) -> Result<()>) -> Result<f64> {
    let before = bed.leader()?;
    ensure!(before.is_some(), "no operator works");
    let began = Instant::now();
    done(bed)?;
    until("another operator to work", Duration::from_secs(60), || {
        let now = bed.leader()?;
        Ok(now.is_some() && now != before)
    })?;
    Ok(began.elapsed().as_secs_f64())
}
