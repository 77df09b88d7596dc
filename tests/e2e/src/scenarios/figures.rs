//! What a backup costs: time beside a Job that does nothing, and memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::SOON;
use crate::bed::{Bed, IMAGE, NAMESPACE};
use crate::figures::{measured, median};
use crate::manifests;

const MEGABYTE: f64 = 1_000_000.0;

/// One-shot beside bare Job, in turn on the same claim; memory of agent and operator meanwhile.
pub(super) fn one_shot_and_memory(bed: &Bed) -> Result<()> {
    const ROUNDS: usize = 5;
    bed.volume("figures", 0)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    let peak = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| -> Result<()> {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for agent in bed.savers() {
                    // A process that has just ended has no figures any more.
                    peak.fetch_max(agent.memory("VmHWM").unwrap_or_default(), Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        let timed = (0..ROUNDS).try_for_each(|round| {
            bare.push(bare_job(bed, &format!("bare-{round}"))?);
            ours.push(one_shot(bed, &format!("figures-{round}"))?);
            anyhow::Ok(())
        });
        done.store(true, Ordering::Relaxed);
        timed
    })?;
    let (ours, bare) = (median(ours), median(bare));
    measured("one-shot", &[("seconds", &format!("{ours:.1}")), ("bare_job_seconds", &format!("{bare:.1}"))])?;
    let operator = bed.operator().first().map(|operator| operator.memory("VmRSS")).transpose()?.unwrap_or_default();
    let image = std::fs::metadata(etcd_backup_testbed::repository().join("target/image.tar"))?.len();
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / MEGABYTE);
    measured("agent", &[("rss_mb", &megabytes(peak.into_inner()))])?;
    measured("operator", &[("rss_mb", &megabytes(operator)), ("image_mb", &megabytes(image))])
}

/// Seconds from apply until a Job that does nothing is complete.
fn bare_job(bed: &Bed, name: &str) -> Result<f64> {
    let began = Instant::now();
    bed.apply(&manifests::bare_job(name, "figures", IMAGE).to_string())?;
    bed.kubectl(&["-n", NAMESPACE, "wait", "--for=condition=Complete", &format!("job/{name}"), "--timeout=60s"])?;
    Ok(began.elapsed().as_secs_f64())
}

/// Seconds from apply until an EtcdBackup is completed.
fn one_shot(bed: &Bed, name: &str) -> Result<f64> {
    let began = Instant::now();
    bed.backup(name, "figures")?;
    bed.kubectl(&["wait", "--for=condition=Completed", &format!("etcdbackup/{name}"), "--timeout=60s"])?;
    let seconds = began.elapsed().as_secs_f64();
    bed.wait_for(name, "Completed", None, SOON)?;
    Ok(seconds)
}
