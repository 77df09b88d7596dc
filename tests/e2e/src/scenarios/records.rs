//! Records, and what people do by hand: to sets, to records, to the volume itself.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{SOON, accept};
use crate::bed::{self, Bed, until};
use crate::manifests::{etcd_backup, keep};

/// Sets and records that somebody deletes by hand.
pub(super) fn by_hand(bed: &Bed) -> Result<()> {
    let volume = bed.volume("hands", 0)?;
    bed.schedule("hands", "hands", keep(5))?;
    let (first, second) = (bed.run("hands", "hands-1")?, bed.run("hands", "hands-2")?);
    bed.backup("hands-one-shot", "hands")?;
    bed.wait_for("hands-one-shot", "Completed", None, SOON)?;
    let one_shot = bed::only(bed::sets_of(&volume, &bed.uid("hands-one-shot")?)?)?;

    let aside = bed.directory("hands-aside", 0)?;
    for set in [&volume.join(first.set()?), &one_shot] {
        fs::rename(set, aside.join(set.file_name().unwrap_or_default()))?;
    }
    let third = bed.run("hands", "hands-3")?;
    until("the record of the deleted set to be dropped", SOON, || Ok(bed.record(&first.id)?.is_none()))?;
    verified(bed, "hands-one-shot", "False")?;
    let object = bed.get("etcdbackup", "hands-one-shot")?.unwrap_or_default();
    ensure!(object["status"]["phase"] == "Completed", "a final phase has changed: {:#}", object["status"]);
    ensure!(object["status"]["conditions"].to_string().contains("SetMissing"), "{:#}", object["status"]);

    bed.kubectl(&["delete", "etcdbackup", second.name()?])?;
    let second = bed.recorded("hands", &second.id, "Completed")?;

    fs::rename(aside.join(one_shot.file_name().unwrap_or_default()), &one_shot)?;
    let fourth = bed.run("hands", "hands-4")?;
    verified(bed, "hands-one-shot", "True")?;
    let there = [&second, &third, &fourth].map(|run| run.set().map(str::to_owned));
    bed.records_match("hands", &there.into_iter().collect::<Result<Vec<_>>>()?)?;
    bed.kubectl(&["delete", "backup", "hands"]).map(drop)
}

/// Waits until a user's EtcdBackup says that of its set.
fn verified(bed: &Bed, name: &str, status: &str) -> Result<()> {
    until(&format!("EtcdBackup {name} to say Verified={status}"), SOON, || {
        let object = bed.get("etcdbackup", name)?.unwrap_or_default();
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|condition| condition["type"] == "Verified" && condition["status"] == status))
    })
}

/// Another volume is behind the claim: an empty directory where the disk should be mounted, and back.
pub(super) fn volume_changed(bed: &Bed) -> Result<()> {
    let volume = bed.volume("swapped", 0)?;
    let (unplugged, other) = (volume.with_file_name("swapped-away"), volume.with_file_name("swapped-other"));
    bed.schedule("swapped", "swapped", keep(2))?;
    let (first, second) = (bed.run("swapped", "swapped-1")?, bed.run("swapped", "swapped-2")?);
    fs::rename(&volume, &unplugged)?;
    fs::create_dir(&volume)?;

    let third = bed.run("swapped", "swapped-3")?;
    let message = bed.says("swapped", "RetentionSatisfied", "False", "VolumeChanged", SOON)?;
    println!("  VolumeChanged: {message}");
    let all = [&first, &second, &third].map(|run| run.set().map(str::to_owned));
    bed.records_match("swapped", &all.into_iter().collect::<Result<Vec<_>>>()?)?;
    accept(bed, &message)?;
    bed.says("swapped", "RetentionSatisfied", "True", "Satisfied", SOON)?;

    fs::rename(&volume, &other)?;
    fs::rename(&unplugged, &volume)?;
    let fourth = bed.run("swapped", "swapped-4")?;
    let message = bed.says("swapped", "RetentionSatisfied", "False", "VolumeChanged", SOON)?;
    ensure!(bed::sets(&volume)?.len() == 3, "something was deleted from a volume that nobody had accepted");
    accept(bed, &message)?;
    bed.says("swapped", "RetentionSatisfied", "True", "Satisfied", SOON)?;
    until("the accepted volume to be pruned", SOON, || Ok(bed::sets(&volume)?.len() == 2))?;
    let kept = bed::set_names(&volume)?;
    ensure!([second.set()?, fourth.set()?].iter().all(|set| kept.iter().any(|kept| kept == set)), "kept: {kept:?}");
    until("the record of the pruned set to be dropped", SOON, || Ok(bed.record(&first.id)?.is_none()))?;
    bed.kubectl(&["delete", "backup", "swapped"]).map(drop)
}

/// Two Backups and one-shots at once on one claim, which another cluster uses too.
pub(super) fn shared_volume(bed: &Bed) -> Result<()> {
    const BACKUPS: [&str; 2] = ["shared-a", "shared-b"];
    let volume = bed.volume("shared", 0)?;
    let cluster = "c0ffee00-0000-4000-8000-000000000000";
    let theirs = ["--owner", "Backup/shared-a", "--cluster", cluster, "--reserve-percent", "0"];
    let report = bed.save_by_hand("/var/lib/etcd-backup/shared", &theirs)?.report;
    let theirs = volume.join(report["set"]["name"].as_str().unwrap_or_default());
    for backup in BACKUPS {
        bed.schedule(backup, "shared", keep(1))?;
    }
    let mut newest = Vec::new();
    for round in 1..=2 {
        let runs = BACKUPS.map(|backup| bed.start_run(backup, &format!("{backup}-{round}")));
        let one_shot = format!("shared-one-shot-{round}");
        bed.apply(&etcd_backup(&one_shot, "shared").to_string())?;
        newest.clear();
        for (backup, run) in BACKUPS.iter().zip(runs) {
            newest.push(bed.recorded(backup, &run?, "Completed")?);
        }
        bed.wait_for(&one_shot, "Completed", None, SOON)?;
    }
    for (backup, run) in BACKUPS.iter().zip(&newest) {
        bed.retains(backup, 1)?;
        bed.records_match(backup, &[run.set()?.to_owned()])?;
    }
    ensure!(theirs.join("backup.json").exists(), "the other cluster's set is gone");
    let sequences = sequences(&volume)?;
    ensure!(sequences.len() == 5, "one of each Backup, two one-shots and the other cluster's: {sequences:?}");
    ensure!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "two runs had one number: {sequences:?}");
    bed::verify(&volume)?;
    bed.kubectl(&["delete", "backup", BACKUPS[0], BACKUPS[1]]).map(drop)
}

/// The numbers of all sets on a volume, sorted.
fn sequences(volume: &Path) -> Result<Vec<u64>> {
    let manifests = bed::sets(volume)?.iter().map(|set| bed::manifest(set)).collect::<Result<Vec<Value>>>()?;
    let mut sequences: Vec<_> = manifests.iter().filter_map(|manifest| manifest["sequence"].as_u64()).collect();
    sequences.sort_unstable();
    Ok(sequences)
}
