//! Ours and theirs in turn, and what comes of it.

use std::fmt::Display;
use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use etcd_backup_testbed::{measured, median};
use rustix::fs::Advice;
use tempfile::TempDir;

use crate::database::Database;
use crate::process::Cost;
use crate::put::{Put, Writer, percentile};
use crate::tools::Tools;

/// How long the writer writes before and between, so that what was before is over.
const CALM: Duration = Duration::from_secs(2);

/// All that is compared on one database.
pub(crate) struct Contest<'a> {
    pub(crate) tools: &'a Tools<'a>,
    pub(crate) database: &'a Database<'a>,
    /// Where snapshots are written to, by both.
    pub(crate) dir: &'a Path,
    pub(crate) rounds: usize,
}

/// What one of the two cost, one for each round.
type Costs = [Vec<Cost>; 2];

const OURS: usize = 0;

impl Contest<'_> {
    /// A save that verifies against `etcdctl snapshot save` and `etcdutl snapshot status`.
    pub(crate) fn save(&self) -> Result<()> {
        let mut costs = Costs::default();
        self.each_round(|who| {
            costs[who].push(self.save_by(who)?);
            Ok(())
        })?;
        self.table(["etcd-backup save", "etcdctl snapshot save, etcdutl snapshot status"], &costs);
        self.measured(
            "bench-save",
            &[
                ("wall_ratio", &ratio(&costs, wall)),
                ("cpu_ratio", &ratio(&costs, cpu)),
                ("rss_mb", &format!("{:.1}", peak(&costs[OURS]))),
            ],
        )
    }

    /// A verification against `etcdutl snapshot status` and `sha256sum`, of one file that is not in memory.
    pub(crate) fn verify(&self) -> Result<()> {
        let dir = self.destination()?;
        self.tools.save_theirs(dir.path())?;
        let path = dir.path().join("snapshot.db");
        let file = File::open(&path).context("open the snapshot")?;
        let mut costs = Costs::default();
        self.each_round(|who| {
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
            let cost = if who == OURS { self.tools.verify_ours(&path)? } else { self.tools.verify_theirs(&path)? };
            costs[who].push(cost);
            Ok(())
        })?;
        self.table(["etcd-backup verify", "etcdutl snapshot status, sha256sum"], &costs);
        self.measured(
            "bench-verify",
            &[
                ("wall_ratio", &ratio(&costs, wall)),
                ("cpu_ratio", &ratio(&costs, cpu)),
                ("rss_mb", &format!("{:.1}", peak(&costs[OURS]))),
            ],
        )
    }

    /// What a writer notices of both saves, and of none.
    pub(crate) fn put(&self) -> Result<()> {
        let (mut during, mut calm): ([Vec<Vec<Put>>; 2], Vec<Put>) = Default::default();
        self.each_round(|who| {
            let writer = Writer::start(self.database.etcd);
            thread::sleep(CALM);
            let began = Instant::now();
            self.save_by(who)?;
            let ended = Instant::now();
            let (within, before) = writer.stop()?.into_iter().partition(|(at, _)| (began..ended).contains(at));
            during[who].push(within);
            // The first second is for connecting.
            let settled = began - CALM / 2;
            calm.extend(before.iter().filter(|(at, _): &&Put| (settled..began - CALM / 4).contains(at)));
            Ok(())
        })?;
        let rounds = |who: usize, percent| median(during[who].iter().map(|puts| percentile(puts, percent)).collect());
        println!("\nput of 1 KiB, 200 a second, {}        p50 ms     p99 ms", self.what());
        for (name, who) in [("during etcd-backup save", 0), ("during etcdctl and etcdutl", 1)] {
            println!("  {name:<46} {:>8.1}   {:>8.1}", rounds(who, 50), rounds(who, 99));
        }
        println!("  {:<46} {:>8.1}   {:>8.1}", "without a save", percentile(&calm, 50), percentile(&calm, 99));
        let ratio = rounds(0, 99) / rounds(1, 99);
        self.measured(
            "bench-put",
            &[("p99_ratio", &format!("{ratio:.2}")), ("p99_ms", &format!("{:.0}", rounds(0, 99)))],
        )
    }

    /// Calls for ours and theirs in every round, the order alternating, with a disk that has nothing left to do.
    fn each_round(&self, mut run: impl FnMut(usize) -> Result<()>) -> Result<()> {
        for round in 0..self.rounds {
            for turn in 0..2 {
                rustix::fs::sync();
                run((round + turn) % 2)?;
            }
        }
        Ok(())
    }

    fn save_by(&self, who: usize) -> Result<Cost> {
        let dir = self.destination()?;
        if who == OURS { self.tools.save_ours(dir.path()) } else { self.tools.save_theirs(dir.path()) }
    }

    /// A new directory, gone with what was written to it when it is dropped.
    fn destination(&self) -> Result<TempDir> {
        TempDir::new_in(self.dir).with_context(|| format!("make a directory in {}", self.dir.display()))
    }

    fn what(&self) -> String {
        let Database { version, size, .. } = self.database;
        format!("etcd {version}, {size}, {} rounds", self.rounds)
    }

    fn table(&self, names: [&str; 2], costs: &Costs) {
        println!("\n{:<48} {:>8} {:>8} {:>9}", self.what(), "wall s", "CPU s", "peak MB");
        for (name, costs) in names.iter().zip(costs) {
            println!("  {name:<46} {:>8.2} {:>8.2} {:>9.1}", middle(costs, wall), middle(costs, cpu), peak(costs));
        }
    }

    fn measured(&self, name: &str, values: &[(&str, &dyn Display)]) -> Result<()> {
        let Database { version, size, .. } = self.database;
        let of: [(&str, &dyn Display); 2] = [("size", size), ("etcd", version)];
        Ok(measured(name, &[&of[..], values].concat())?)
    }
}

fn wall(cost: &Cost) -> f64 {
    cost.wall.as_secs_f64()
}

fn cpu(cost: &Cost) -> f64 {
    cost.cpu.as_secs_f64()
}

/// The highest of all rounds, in megabytes.
fn peak(costs: &[Cost]) -> f64 {
    costs.iter().map(|cost| cost.peak_bytes as f64 / 1e6).fold(0.0, f64::max)
}

fn middle(costs: &[Cost], of: fn(&Cost) -> f64) -> f64 {
    median(costs.iter().map(of).collect())
}

/// Ours over theirs.
fn ratio([ours, theirs]: &Costs, of: fn(&Cost) -> f64) -> String {
    format!("{:.2}", middle(ours, of) / middle(theirs, of))
}
