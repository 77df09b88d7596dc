//! What a backup costs: time beside a Job that does nothing, and memory.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use etcd_backup_testbed::{measured, median, repository};

use super::SOON;
use crate::bed::{Bed, IMAGE, NAMESPACE};
use crate::fill::fill;
use crate::manifests;

/// One-shot beside bare Job, in turn on the same claim; the operator's memory after them.
pub(super) fn one_shot(bed: &Bed) -> Result<()> {
    const ROUNDS: usize = 5;
    bed.volume("figures", 0)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        bare.push(bare_job(bed, &format!("bare-{round}"))?);
        ours.push(backup(bed, &format!("figures-{round}"))?);
    }
    let (ours, bare) = (median(ours), median(bare));
    measured("one-shot", &[("seconds", &format!("{ours:.1}")), ("bare_job_seconds", &format!("{bare:.1}"))])?;
    // The one that works has more in memory than the one that waits.
    let operators = bed.operator().iter().map(|operator| operator.memory("VmRSS")).collect::<Result<Vec<_>>>()?;
    let operator = operators.into_iter().max().unwrap_or_default();
    let image = std::fs::metadata(repository().join("target/image.tar"))?.len();
    measured("operator", &[("rss_mb", &megabytes(operator)), ("image_mb", &megabytes(image))])?;
    Ok(())
}

/// The agent's peak memory, on a database that is many times as large.
pub(super) fn agent_memory(bed: &Bed) -> Result<()> {
    fill(&bed.cluster, 200)?;
    bed.volume("memory", 0)?;
    let done = AtomicBool::new(false);
    let peak = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                // A process that has just ended has no figures any more.
                peak = bed.savers().iter().filter_map(|agent| agent.memory("VmHWM").ok()).fold(peak, u64::max);
                thread::sleep(Duration::from_millis(5));
            }
            peak
        });
        let backup = bed.backup("memory", "memory").and_then(|()| bed.wait_for("memory", "Completed", None, SOON));
        done.store(true, Ordering::Relaxed);
        backup.map(|object| (object, sampler.join().unwrap_or_default()))
    });
    let (object, peak) = peak?;
    let snapshot = object["status"]["snapshot"]["sizeBytes"].as_u64().unwrap_or_default();
    measured("agent", &[("rss_mb", &megabytes(peak)), ("snapshot_mb", &megabytes(snapshot))])?;
    ensure!(peak > 0, "no agent was seen");
    Ok(())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

/// Seconds from apply until a Job that does nothing is complete.
fn bare_job(bed: &Bed, name: &str) -> Result<f64> {
    let began = Instant::now();
    bed.apply(&manifests::bare_job(name, "figures", IMAGE).to_string())?;
    bed.kubectl(&["-n", NAMESPACE, "wait", "--for=condition=Complete", &format!("job/{name}"), "--timeout=60s"])?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds from apply until an EtcdBackup is completed.
fn backup(bed: &Bed, name: &str) -> Result<f64> {
    let began = Instant::now();
    bed.backup(name, "figures")?;
    bed.kubectl(&["wait", "--for=condition=Completed", &format!("etcdbackup/{name}"), "--timeout=60s"])?;
    Ok(began.elapsed().as_secs_f64())
}
