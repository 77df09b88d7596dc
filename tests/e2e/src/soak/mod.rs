//! An hour of schedules: a run every minute on two volumes, and backups by hand. What grows, and what is left behind.

mod leaks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::bed::{Bed, NAMESPACE, until};
use crate::processes::Process;
use crate::{fill, manifests};

/// The Backup that keeps a number of sets, and the claim that it has with the backups by hand.
const NUMBER: &str = "soak-number";
/// How many that is.
const KEPT: u64 = 3;
/// The Backup that keeps a size.
const SIZE: &str = "soak-size";
/// How much, in GiB.
const GIB: u64 = 1;
/// Size of etcd's database: the size is reached within ten minutes.
const DATABASE: u64 = 120_000_000;
/// How long the operator's memory may grow as it gets to know everything; half of a short soak.
const WARM_UP: Duration = Duration::from_secs(300);
/// How often is looked. A record lives for minutes.
const LOOK: Duration = Duration::from_secs(20);
/// How often a backup is asked for by hand.
const BY_HAND: Duration = Duration::from_secs(240);
/// How long what is under way may take to end.
const END: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Runs that were recorded as completed, and backups by hand.
    pub runs: usize,
    /// Those that failed.
    pub failed: usize,
    /// Runs that the schedules had at least.
    pub due: usize,
    /// Resident memory of the operator at the end, in MB.
    pub rss_mb: f64,
    /// How much more that is than after the warm-up.
    pub rss_growth_mb: f64,
    /// How many more files it has open.
    pub open_files_growth: i64,
    /// Jobs, pods, ConfigMaps, records and files beyond what the limits allow, in words.
    pub leaked: Vec<String>,
}

/// What an operator's process takes.
#[derive(Debug, Clone, Copy)]
struct Sample {
    process: Process,
    rss_mb: f64,
    open_files: i64,
}

/// The soak as it goes on.
struct Soak<'a> {
    bed: &'a Bed,
    volumes: BTreeMap<&'static str, PathBuf>,
    /// Phase of every EtcdBackup that was ever seen, by uid.
    seen: BTreeMap<String, String>,
    by_hand: usize,
}

/// Runs for so many minutes in a bed that has nothing else to do.
///
/// # Errors
/// If anything does not work; what is left behind is no error.
pub fn soak(bed: &Bed, minutes: u64) -> Result<Figures> {
    fill::grow_to(&bed.cluster, DATABASE)?;
    let mut volumes = BTreeMap::new();
    for name in [NUMBER, SIZE] {
        volumes.insert(name, bed.volume(name, 0)?);
    }
    for (name, retention) in [(NUMBER, manifests::keep(KEPT)), (SIZE, manifests::keep_size(GIB))] {
        bed.apply(&manifests::backup(name, name, "* * * * *", retention).to_string())?;
    }
    let mut soak = Soak { bed, volumes, seen: BTreeMap::new(), by_hand: 0 };
    let length = Duration::from_secs(60 * minutes);
    let warm_up = WARM_UP.min(length / 2);
    let began = Instant::now();
    soak.goes_on_until(began, warm_up)?;
    let warm = soak.sample()?;
    println!("after {} s: {:.1} MB, {} open files", warm_up.as_secs(), warm.rss_mb, warm.open_files);
    soak.goes_on_until(began, length)?;
    soak.ends()?;
    let end = soak.sample()?;
    if end.process != warm.process {
        println!("another operator works than after the warm-up: its memory is not comparable");
    }
    let phase = |wanted: &str| soak.seen.values().filter(|phase| *phase == wanted).count();
    Ok(Figures {
        runs: phase("Completed"),
        failed: phase("Failed"),
        // Each schedule may have missed its first minute.
        due: 2 * usize::try_from(minutes.saturating_sub(1))? + soak.by_hand,
        rss_mb: end.rss_mb,
        rss_growth_mb: end.rss_mb - warm.rss_mb,
        open_files_growth: end.open_files - warm.open_files,
        leaked: leaks::find(bed, &soak.volumes)?,
    })
}

impl Soak<'_> {
    /// Looks on until so long after the begin.
    fn goes_on_until(&mut self, began: Instant, length: Duration) -> Result<()> {
        while began.elapsed() < length {
            if began.elapsed() >= BY_HAND * u32::try_from(self.by_hand)? {
                self.bed.backup(&format!("by-hand-{}", self.by_hand), NUMBER)?;
                self.by_hand += 1;
                let now = self.sample()?;
                println!(
                    "{:5.0} s: {} EtcdBackups were seen, {:.1} MB, {} open files",
                    began.elapsed().as_secs_f64(),
                    self.seen.len(),
                    now.rss_mb,
                    now.open_files
                );
            }
            sleep(LOOK.min(length.saturating_sub(began.elapsed())));
            self.look()?;
        }
        Ok(())
    }

    /// Notes what became of every EtcdBackup that is there.
    fn look(&mut self) -> Result<()> {
        for object in self.bed.etcd_backups()? {
            let uid = object["metadata"]["uid"].as_str().context("an EtcdBackup without uid")?.to_owned();
            self.seen.insert(uid, object["status"]["phase"].as_str().unwrap_or_default().to_owned());
        }
        Ok(())
    }

    /// Starts nothing more, and waits until all that was started has ended and is recorded.
    fn ends(&mut self) -> Result<()> {
        for name in [NUMBER, SIZE] {
            self.bed.edit(name, &json!({"suspend": true}))?;
        }
        let ours = "app.kubernetes.io/managed-by=etcd-backup-operator";
        until("all Jobs to end", END, || {
            let jobs = self.bed.labelled("job", ours)?;
            Ok(jobs.iter().all(|job| job["status"]["conditions"].is_array()))
        })?;
        until("all EtcdBackups to end", END, || {
            let ended = |phase: &str| ["Completed", "Failed"].contains(&phase);
            let all = self.bed.etcd_backups()?;
            Ok(all.iter().all(|object| object["status"]["phase"].as_str().is_some_and(ended)))
        })?;
        for (name, volume) in &self.volumes {
            self.bed.records_match(name, &crate::bed::sets_of_owner(volume, name)?)?;
        }
        self.look()
    }

    /// What the operator that works takes.
    fn sample(&self) -> Result<Sample> {
        let process = self.bed.leading_process()?;
        let rss_mb = process.memory("VmRSS")? as f64 / 1e6;
        Ok(Sample { process, rss_mb, open_files: i64::try_from(process.open_files()?)? })
    }
}

/// What an administrator would look at when something is left behind.
///
/// # Errors
/// If kubectl fails.
pub fn overview(bed: &Bed) -> Result<String> {
    bed.kubectl(&["-n", NAMESPACE, "get", "backup,etcdbackup,cronjob,job,pod,configmap", "-o", "wide"])
}
