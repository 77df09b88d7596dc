//! `kill -9` at many moments: only whole sets are visible, one set per request, nothing is lost.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{RETRIED, SOON};
use crate::bed::{self, Bed, until};
use crate::fill::fill;
use crate::processes::Process;
use etcd_backup_testbed::measured;

/// The operator is killed at growing distances from the apply.
pub(super) fn operator(bed: &Bed) -> Result<()> {
    const DELAYS_MILLIS: [u64; 5] = [0, 150, 400, 900, 2000];
    let volume = bed.volume("kill-operator", 0)?;
    let (mut doubled, mut lost) = (0, 0);
    for delay in DELAYS_MILLIS {
        let name = format!("kill-operator-{delay}");
        bed.backup(&name, "kill-operator")?;
        sleep(Duration::from_millis(delay));
        bed.kill_operator()?;
        bed.wait_for(&name, "Completed", None, SOON)?;
        match bed::sets_of(&volume, &bed.uid(&name)?)?.len() {
            0 => lost += 1,
            1 => {}
            _ => doubled += 1,
        }
    }
    measured("kill-operator", &[("runs", &DELAYS_MILLIS.len()), ("doubled", &doubled), ("lost", &lost)])?;
    ensure!((doubled, lost) == (0, 0), "see the figures above");
    bed::verify(&volume).map(drop)
}

/// The agent is killed at ten moments of a run that takes about two seconds; the Job's retry makes the backup.
pub(super) fn agent(bed: &Bed) -> Result<()> {
    const RUNS: u64 = 10;
    fill(&bed.cluster, 200)?;
    let volume = bed.volume("kill-agent", 0)?;
    let (mut partial, mut doubled, mut lost) = (0, 0, 0);
    for run in 0..RUNS {
        let name = format!("kill-agent-{run}");
        bed.backup(&name, "kill-agent")?;
        let agent = next_agent(bed)?;
        sleep(Duration::from_millis(run * 250));
        let progress = staged(&volume);
        agent.kill()?;
        let visible = bed::sets(&volume)?;
        partial += visible.iter().filter(|set| bed::verify(set).is_err()).count();
        bed.wait_for(&name, "Completed", None, RETRIED)?;
        ensure!(staged(&volume) == 0, "{name}: what the dead run left was not swept");
        match bed::sets_of(&volume, &bed.uid(&name)?)?.len() {
            0 => lost += 1,
            1 => {}
            _ => doubled += 1,
        }
        println!("  killed after {} ms with {progress} bytes staged; completed", run * 250);
    }
    measured("kill-agent", &[("runs", &RUNS), ("partial_visible", &partial), ("doubled", &doubled), ("lost", &lost)])?;
    ensure!((partial, doubled, lost) == (0, 0, 0), "see the figures above");
    bed::verify(&volume).map(drop)
}

/// Waits for an agent to save.
fn next_agent(bed: &Bed) -> Result<Process> {
    let mut found = None;
    until("an agent to run", SOON, || {
        found = bed.savers().first().copied();
        Ok(found.is_some())
    })?;
    found.ok_or_else(|| anyhow::anyhow!("no agent"))
}

/// Bytes that a run has staged so far.
fn staged(volume: &std::path::Path) -> u64 {
    let staging = volume.join(".etcd-backup/staging");
    let files = std::fs::read_dir(staging)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|set| std::fs::read_dir(set.path()).ok())
        .flatten()
        .flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}
