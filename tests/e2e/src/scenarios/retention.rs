//! What a policy promises, at every moment: told by the agent's own log, and looked at from outside.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail, ensure};
use etcd_backup_testbed::measured;
use serde_json::json;

use super::SOON;
use crate::bed::{self, Bed, until};
use crate::by_hand::Series;
use crate::fill;
use crate::history::{most_bytes, most_sets, newest_always, of_owner};
use crate::manifests::{keep, keep_size};
use crate::operations::{FILTER, Replay};
use crate::sampler::Sampler;

/// Seven runs with a limit of three. One-shot sets and what is nobody's are left alone, and the records follow.
pub(super) fn number(bed: &Bed) -> Result<()> {
    const LIMIT: usize = 3;
    const RUNS: usize = 7;
    bed.operator_flags(&[&format!("--agent-log={FILTER}")])?;
    let volume = bed.volume("three", 0)?;
    bed.backup("three-one-shot", "three")?;
    bed.wait_for("three-one-shot", "Completed", None, SOON)?;
    let others = [bed::only(bed::sets(&volume)?)?, volume.join("lost+found"), volume.join("backup-copy")];
    for directory in &others[1..] {
        fs::create_dir(directory)?;
        fs::write(directory.join("file"), "somebody's")?;
    }
    bed.schedule("three", "three", keep(3))?;
    let (sampler, mut replay) = (Sampler::start(volume.clone()), Replay::new("/backup"));
    let mut kept_max = 0;
    for run in 1..=RUNS {
        let job = format!("three-{run}");
        let made = bed.run("three", &job)?;
        replay.job(bed, &job)?;
        let mut kept = bed::sets_of_owner(&volume, "three")?;
        ensure!(kept.last().map(String::as_str) == Some(made.set()?), "the newest set is gone: {kept:?}");
        kept.sort();
        let told: Vec<_> =
            of_owner(&replay.seen, "three").last().map(|last| last.sets.keys().cloned().collect()).unwrap_or_default();
        ensure!(kept == told, "after run {run} there are {kept:?}, and the log tells of {told:?}");
        kept_max = kept_max.max(kept.len());
    }
    let (told, sampled) = (of_owner(&replay.seen, "three"), of_owner(&sampler.stop()?, "three"));
    let (seen_max, sampled_max) = (most_sets(&told), most_sets(&sampled));
    measured(
        "retention-number",
        &[
            ("limit", &LIMIT),
            ("runs", &RUNS),
            ("kept_max", &kept_max),
            ("seen_max", &seen_max),
            ("sampled_max", &sampled_max),
        ],
    )?;
    ensure!((kept_max, seen_max) == (LIMIT, LIMIT + 1) && sampled_max <= seen_max, "see the figures above");
    ensure!(newest_always(&told) && newest_always(&sampled), "the newest set was gone for a moment");
    ensure!(others.iter().all(|other| other.exists()), "something of somebody else is gone");
    bed.retains("three", LIMIT)?;
    bed.records_match("three", &bed::sets_of_owner(&volume, "three")?)?;
    bed.kubectl(&["delete", "backup", "three"]).map(drop)
}

/// Snapshots that grow under a limit in bytes, which is lowered while sets exist: no byte over it, at no moment.
pub(super) fn size(bed: &Bed) -> Result<()> {
    const GIB: u64 = 1 << 30;
    bed.operator_flags(&[&format!("--agent-log={FILTER}")])?;
    fill::empty(&bed.cluster)?;
    let volume = bed.volume("gibs", 0)?;
    bed.schedule("gibs", "gibs", keep_size(2))?;
    let (sampler, mut replay) = (Sampler::start(volume.clone()), Replay::new("/backup"));
    for megabytes in [200, 270, 330, 390] {
        grown_run(bed, &mut replay, megabytes)?;
    }
    ensure!(most_bytes(&replay.seen) <= 2 * GIB, "over the first limit: {}", most_bytes(&replay.seen));
    ensure!(volume_bytes(&volume)? > GIB, "the sets are too small for this test");

    bed.edit("gibs", &json!({"retentionPolicy": keep_size(1)}))?;
    until("the lower limit to be enforced without a run", SOON, || Ok(volume_bytes(&volume)? <= GIB))?;
    bed.retains("gibs", bed::sets(&volume)?.len())?;
    bed.says("gibs", "RetentionSatisfied", "True", "Satisfied", SOON)?;
    let pruning = bed.jobs_of("gibs", "prune")?;
    ensure!(pruning.len() == 1, "one prune Job was expected: {pruning:?}");
    replay.job(bed, &pruning[0])?;
    let unexpected = bed.kubectl(&["get", "events", "-A", "--field-selector=reason=UnexpectedJob"])?;
    ensure!(!unexpected.contains(&pruning[0]), "kube-controller-manager takes it for its own:\n{unexpected}");
    let (lowered, sampled_before) = (replay.seen.len(), sampler.stop()?);

    let sampler = Sampler::start(volume.clone());
    for megabytes in [400, 410] {
        grown_run(bed, &mut replay, megabytes)?;
    }
    let sampled = sampler.stop()?;
    let newest = [&replay.seen, &sampled_before, &sampled].map(|samples| newest_always(samples)) == [true; 3];
    let (seen_max, sampled_max) = (most_bytes(&replay.seen[lowered..]), most_bytes(&sampled));
    measured(
        "retention-size",
        &[
            ("limit_bytes", &GIB),
            ("seen_max_bytes", &seen_max),
            ("sampled_max_bytes", &sampled_max),
            ("newest_verified_always", &newest),
        ],
    )?;
    ensure!(seen_max <= GIB && sampled_max <= GIB && newest, "see the figures above");
    ensure!(seen_max > GIB / 2, "the log tells of too little: {seen_max}");
    bed.records_match("gibs", &bed::set_names(&volume)?)?;
    bed.kubectl(&["delete", "backup", "gibs"])?;
    fill::empty(&bed.cluster)
}

/// A run after the database has grown, and its log.
fn grown_run(bed: &Bed, replay: &mut Replay, megabytes: u64) -> Result<()> {
    fill::grow_to(&bed.cluster, megabytes * 1_000_000)?;
    let job = format!("gibs-{megabytes}");
    let run = bed.run("gibs", &job)?;
    println!("  {megabytes} MB: {}", run.record["status"]["size"]);
    replay.job(bed, &job)
}

/// One set alone is over the limit: there is always a backup, at most the old one and the new one, and it is said.
pub(super) fn one_set_alone(bed: &Bed) -> Result<()> {
    const LIMIT: u64 = 100_000;
    const DIR: &str = "/var/lib/etcd-backup/alone";
    let volume = bed.cluster.mount_disk(0, DIR, 1 << 30)?;
    let mut series = Series::new(bed, DIR, &json!({"type": "size", "maxBytes": LIMIT}))?;
    let sampler = Sampler::start(volume.clone());
    for run in 1..=3 {
        let told = series.save_well()?;
        ensure!(told["reason"] == "SizeExceeded", "run {run} is over the limit and says {told:#}");
        let message = told["message"].as_str().unwrap_or_default();
        println!("  SizeExceeded: {message}");
        ensure!(message.contains(&LIMIT.to_string()), "the limit is not named: {message}");
        ensure!(told["peakBytes"].as_u64() > Some(LIMIT), "{told:#}");
        bed::only(bed::sets(&volume)?)?;
    }
    let sampled = sampler.stop()?;
    let newest = newest_always(series.seen()) && newest_always(&sampled);
    let (kept, seen) = (bed::sets(&volume)?.len(), most_sets(series.seen()));
    measured(
        "retention-alone",
        &[("limit_bytes", &LIMIT), ("kept_sets", &kept), ("seen_max_sets", &seen), ("newest_verified_always", &newest)],
    )?;
    ensure!((kept, seen, newest) == (1, 2, true), "see the figures above");
    Ok(())
}

/// A disk that is nearly full: what the policy deletes anyway once the new set is there goes early. A disk where that
/// is not enough: no backup is made, and nothing is deleted for it.
pub(super) fn full_disk(bed: &Bed) -> Result<()> {
    const DIR: &str = "/var/lib/etcd-backup/small";
    fill::grow_to(&bed.cluster, 20_000_000)?;
    let disk = 8 * fill::database_bytes(&bed.cluster)? + (64 << 20);
    let volume = bed.cluster.mount_disk(0, DIR, disk)?;
    let mut series = Series::new(bed, DIR, &json!({"type": "number", "maxSets": 3}))?;
    for _ in 0..3 {
        series.save_well()?;
    }
    let three = bed::sets_of_owner(&volume, "by-hand")?;
    let set = volume_bytes(&volume)? / 3;
    let sampler = Sampler::start(volume.clone());

    let half = i64::try_from(set / 2)?;
    leave_free(&volume, "ballast", half)?;
    let told = series.save_well()?;
    ensure!(told["reason"] == "Satisfied", "{told:#}");
    let after = bed::sets_of_owner(&volume, "by-hand")?;
    ensure!(after.len() == 3 && after[..2] == three[1..], "kept are {after:?} of {three:?} and a new one");

    leave_free(&volume, "more-ballast", -half)?;
    let report = series.save()?;
    println!("  {}: {}", report["reason"], report["message"]);
    ensure!(report["outcome"] == "Failed" && report["reason"] == "NoSpace", "a full disk: {report:#}");
    ensure!(bed::sets_of_owner(&volume, "by-hand")? == after, "sets were deleted for a backup that could not be made");
    let sampled = sampler.stop()?;
    let newest = newest_always(series.seen()) && newest_always(&sampled);
    measured(
        "retention-disk",
        &[
            ("disk_bytes", &disk),
            ("set_bytes", &set),
            ("seen_max_sets", &most_sets(series.seen())),
            ("newest_verified_always", &newest),
        ],
    )?;
    ensure!(newest && most_sets(series.seen()) == 3, "see the figures above");
    bed::verify(&volume).map(drop)
}

/// Fills a disk with something else, until so many bytes are free beyond the tenth that the agent keeps free.
fn leave_free(volume: &Path, name: &str, beyond: i64) -> Result<()> {
    // df looks for the mount, which this process does not see; the file system itself tells as well.
    let output = Command::new("stat").args(["--file-system", "--format=%a %b %S"]).arg(volume).output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers = text.split_whitespace().map(str::parse).collect::<Result<Vec<i64>, _>>()?;
    let [free, total, block] = numbers[..] else { bail!("stat tells {text:?}") };
    let ballast = free * block - total * block / 10 - beyond;
    let status = Command::new("fallocate").arg("-l").arg(ballast.to_string()).arg(volume.join(name)).status()?;
    ensure!(status.success(), "fallocate of {ballast} bytes: {status}");
    Ok(())
}

/// Bytes of all sets of a volume.
fn volume_bytes(volume: &Path) -> Result<u64> {
    let mut bytes = 0;
    for set in bed::sets(volume)? {
        for file in fs::read_dir(&set)? {
            bytes += file?.metadata()?.len();
        }
    }
    Ok(bytes)
}
