//! The differential test: whatever etcd refuses, we refuse, and whatever we accept, etcd restores and boots.
//!
//! Members of each version live through random operations, and snapshots are taken on the way. Each is given to us and
//! to the real `etcdutl` and etcd, and then damaged in many ways. `make differential` runs it; `DIFFERENTIAL_SEED`
//! chooses other lives than the usual ones.

#![forbid(unsafe_code)]

mod boot;
mod content;
mod damage;
mod etcdutl;
mod judge;
mod layout;
mod life;
mod operations;
mod version;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use etcd_backup_testbed::measured;
use fastrand::Rng;
use tempfile::TempDir;

use crate::damage::{ALL, TRAILER_BYTES, resealed};
use crate::judge::{Stage, Tally};
use crate::life::{KINDS, Life, Taken};
use crate::version::VERSIONS;

const SEED: &str = "DIFFERENTIAL_SEED";
const USUAL_SEED: u64 = 0xe7cd;

/// Damaged databases of one life, each of which makes two copies.
const DAMAGES: usize = 24;

/// Larger databases are not damaged: it would take long and show nothing more.
const MAX_DAMAGED_BYTES: u64 = 8 << 20;

/// Lives at a time. They wait for the disk and for elections more than they compute.
const THREADS: usize = 4;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let seed = match std::env::var(SEED) {
        Ok(text) => text.parse().with_context(|| format!("{SEED}={text} is not a number"))?,
        Err(_) => USUAL_SEED,
    };
    let began = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let lives: Vec<Life> = VERSIONS
        .iter()
        .flat_map(|version| KINDS.map(|kind| (version, kind)))
        .map(|(version, kind)| Life { version, kind, seed: rng.u64(..) })
        .collect();
    let (next, total) = (AtomicUsize::new(0), Mutex::new(Ok(Tally::default())));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(life) = lives.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let judged = judge(life).with_context(|| format!("{life} ({SEED}={seed})"));
                    let Ok(mut total) = total.lock() else { return };
                    match (&mut *total, judged) {
                        (Ok(total), Ok(tally)) => total.add(tally),
                        (Ok(_), Err(error)) => *total = Err(error),
                        (Err(_), _) => return,
                    }
                }
            });
        }
    });
    let total = total.into_inner().map_err(|_| anyhow!("a thread has panicked"))??;
    report(&total, seed, began.elapsed().as_secs())?;
    Ok(total.disagreements.is_empty() && total.accepted_but_refused == 0)
}

/// Lives a life, and judges its snapshots and their damaged copies.
fn judge(life: &Life) -> Result<Tally> {
    let began = Instant::now();
    let dir = TempDir::with_prefix("etcd-backup-differential-")?;
    let dir = dir.path();
    let mut rng = Rng::with_seed(life.seed);
    let mut tally = Tally::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let taken = life.live(dir, &mut rng).await?;
        for (index, taken) in taken.iter().enumerate() {
            tally.undamaged(&format!("{life} snapshot {index}"), life.version, taken, dir).await?;
        }
        damage(life, &taken, dir, &mut rng, &mut tally).await
    })?;
    println!(
        "{life}: {} databases, {} damaged copies of which {} are accepted, {} disagreements ({:.0} s)",
        tally.databases,
        tally.damaged,
        tally.accepted,
        tally.disagreements.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(tally)
}

/// Every kind of damage in turn, to databases of this life by chance.
async fn damage(life: &Life, taken: &[Taken], dir: &Path, rng: &mut Rng, tally: &mut Tally) -> Result<()> {
    // The first database of a life has none before it.
    let small = |&index: &usize| fs::metadata(&taken[index].file).is_ok_and(|file| file.len() <= MAX_DAMAGED_BYTES);
    let bases: Vec<usize> = (1..taken.len()).filter(small).collect();
    let mut made = 0;
    for (turn, kind) in ALL.into_iter().cycle().enumerate().skip(rng.usize(..ALL.len())) {
        if made == DAMAGES {
            break;
        }
        let index = rng.choice(&bases).copied().context("all databases are too large to be damaged")?;
        let file = fs::read(&taken[index].file)?;
        let earlier = fs::read(&taken[rng.usize(..index)].file)?;
        let (content, trailer) = file.split_at(file.len() - TRAILER_BYTES);
        let Some(damaged) = kind.apply(content, &earlier[..earlier.len() - TRAILER_BYTES], rng) else { continue };
        made += 1;
        let copies = [("as it is", kind.as_it_is(&damaged, trailer)), ("resealed", resealed(&damaged))];
        for (how, bytes) in copies {
            let kind = format!("{kind:?} {how}");
            let what = format!("{life} snapshot {index} turn {turn} {kind}");
            let copy = dir.join("damaged.db");
            fs::write(&copy, bytes)?;
            tally.damaged(&what, &kind, life.version, &copy, dir).await?;
        }
    }
    Ok(())
}

fn report(total: &Tally, seed: u64, seconds: u64) -> Result<()> {
    println!("\nrefused by us, by how far etcd comes with it:");
    for ((reason, stage), refused) in &total.refused {
        let etcd = match stage {
            Stage::Status => "etcdutl status refuses it",
            Stage::Restore => "etcdutl restore refuses it",
            Stage::Boot => "etcd does not serve it",
            Stage::Serves => "etcd serves it",
        };
        let kinds: Vec<String> = refused.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        println!("  {reason}, {etcd}: {}", kinds.join(", "));
        if *stage == Stage::Serves {
            // Whether we are right to be stricter is for a person to judge.
            refused.examples.iter().for_each(|example| println!("    {example}"));
        }
    }
    for disagreement in &total.disagreements {
        println!("DISAGREEMENT {disagreement} ({SEED}={seed})");
    }
    let only_we = total.refused.iter().filter(|((_, stage), _)| *stage == Stage::Serves);
    let only_we: usize = only_we.flat_map(|(_, refused)| refused.kinds.values()).sum();
    measured(
        "differential",
        &[
            ("databases", &total.databases),
            ("damaged", &total.damaged),
            ("accepted_but_refused_by_etcdutl", &total.accepted_but_refused),
            ("restored_and_equal", &total.restored_and_equal),
            ("damaged_accepted", &total.accepted),
            ("refused_only_by_us", &only_we),
            ("disagreements", &total.disagreements.len()),
            ("seconds", &seconds),
        ],
    )?;
    Ok(())
}
