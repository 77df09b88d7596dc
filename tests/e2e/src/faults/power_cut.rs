//! The power is cut before every single change that a backup makes to its disk, and everything is lost that was not
//! fsynced.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::measured;

use super::agent::Volume;
use super::bed::Bed;
use super::disk::{Cache, FaultyDisk};
use super::{Observed, next};

/// A small backup makes about a hundred changes; one that makes so many has a fault of its own.
const MOST_CHANGES: u64 = 1000;
/// Each cut is followed by a look; by a next run only so often.
const NEXT_RUN_EVERY: u64 = 8;

/// The disk does lose what it should, or a cut would prove nothing.
fn ensure_it_loses(bed: &Bed) -> Result<()> {
    let (behind, path) = (bed.path("control.disk"), bed.path("control"));
    let disk = FaultyDisk::mount(&behind, &path, Cache::Volatile)?;
    for (name, durable) in [("kept", true), ("lost", false)] {
        let mut file = File::create(path.join(name))?;
        file.write_all(b"content")?;
        if durable {
            file.sync_all()?;
        }
    }
    ensure!(fs::read(path.join("lost"))? == b"content", "what was written cannot be read back");
    drop(disk);
    let (kept, lost) = (fs::read(behind.join("kept"))?, fs::read(behind.join("lost"))?);
    ensure!(kept == b"content" && lost.is_empty(), "the disk keeps what it should lose: {kept:?}, {lost:?}");
    Ok(())
}

/// What is visible after a cut is whole; a backup that was reported is there; the next run needs no help.
pub(super) fn at_every_change(_: &mut Bed, name: &str) -> Result<Observed> {
    let mut bed = Bed::start(1, 0)?;
    ensure_it_loses(&bed)?;
    let (mut cuts, mut published, mut longest) = (0, 0_u64, 0_f64);
    let (last, left) = loop {
        ensure!(cuts < MOST_CHANGES, "a backup makes more than {MOST_CHANGES} changes");
        let (disk_path, volume_path) = (bed.path(&format!("{name}-{cuts}.disk")), bed.path(&format!("{name}-{cuts}")));
        let before = bed.volume(&disk_path)?.sets()?;
        let disk = FaultyDisk::mount(&disk_path, &volume_path, Cache::Volatile)?;
        disk.cut_power_before(cuts);
        let began = Instant::now();
        let ended = bed.save(&volume_path, 0, &[])?.wait()?;
        longest = longest.max(began.elapsed().as_secs_f64());
        let was_cut = disk.is_cut();
        drop(disk);

        // The power is back: what had reached the directory is all that there is.
        let volume = Volume { path: disk_path };
        volume.verify().with_context(|| format!("after a cut before change {cuts}"))?;
        let sets = volume.sets()?;
        ensure!(
            before.iter().all(|set| sets.contains(set)),
            "a cut before change {cuts} has cost {before:?}: {sets:?}"
        );
        let reported = ended.report["outcome"] == "Completed";
        ensure!(!reported || sets.len() > before.len(), "a set that was reported is gone, cut before change {cuts}");
        published += u64::from(sets.len() > before.len());
        if !was_cut {
            break (ended, volume.left()?);
        }
        if cuts % NEXT_RUN_EVERY == 0 {
            let words = next(&mut bed, &volume, 0, |_| Ok(()))?;
            ensure!(words == "Completed", "the run after a cut before change {cuts} ended with {words}");
        }
        cuts += 1;
    };
    ensure!(last.words() == "Completed", "the run without a cut failed: {}\n{}", last.report, last.log);
    measured("power-cuts", &[("cuts", &cuts), ("set_was_there_after", &published)])?;
    Ok(Observed {
        words: "whole or not there".to_owned(),
        exit: 0,
        seconds: longest,
        left,
        next: "Completed".to_owned(),
        diagnosis: last.log,
    })
}
