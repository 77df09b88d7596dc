//! What is there beyond what the limits allow. The limits are the documented ones, written down here once more: the
//! operator's own constants would move with a mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{GIB, KEPT, NUMBER, SIZE};
use crate::bed::{Bed, NAMESPACE, manifest, set_names, sets_of_owner};

/// Jobs of a Backup that are kept, good and failed ones.
const HISTORY: (usize, usize) = (5, 10);
/// How long a Job that listed a volume stays, and how long it may take until it goes.
const LISTED: SignedDuration = SignedDuration::from_secs(600 + 120);
/// Reports that are kept on a volume.
const REPORTS: usize = 200;
/// What kube-controller-manager puts into every namespace, and what we have there: policies and etcd's endpoints.
const CONFIG_MAPS: [&str; 4] = ["kube-root-ca.crt", "soak-number-policy", "soak-size-policy", "etcd-backup-endpoints"];

/// All of it, in words.
pub(super) fn find(bed: &Bed, volumes: &BTreeMap<&'static str, PathBuf>) -> Result<Vec<String>> {
    let all = |kind: &str| -> Result<Vec<Value>> {
        let mut list: Value = serde_json::from_str(&bed.kubectl(&["-n", NAMESPACE, "get", kind, "-o", "json"])?)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    };
    let (jobs, objects) = (all("job")?, bed.etcd_backups()?);
    let mut leaked = of_jobs(&jobs, &objects, Timestamp::now());
    leaked.extend(orphans("pod", &all("pod")?, &jobs));
    let unknown = |object: &&Value| !CONFIG_MAPS.contains(&name(object));
    leaked.extend(all("configmap")?.iter().filter(unknown).map(|object| format!("ConfigMap {}", name(object))));
    leaked.extend(of_records(&objects));
    for (backup, volume) in volumes {
        leaked.extend(of_volume(volume, &objects)?.into_iter().map(|what| format!("{what} on the volume of {backup}")));
    }
    leaked.extend(of_policies(volumes)?);
    Ok(leaked)
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn label<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["labels"][key].as_str().unwrap_or_default()
}

fn says(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|found| found["type"] == condition && found["status"] == "True")
}

/// Jobs beyond the history of their Backup, Jobs of objects that are gone, and listings that stay too long.
fn of_jobs(jobs: &[Value], objects: &[Value], now: Timestamp) -> Vec<String> {
    let (mut leaked, mut counts) = (Vec::new(), BTreeMap::<(&str, &str, bool), usize>::new());
    for job in jobs {
        let component = label(job, "app.kubernetes.io/component");
        let surplus = match component {
            "scheduled-save" | "prune" => {
                let good = says(job, "Complete");
                let count = counts.entry((component, label(job, "etcd-backup.io/backup"), good)).or_default();
                *count += 1;
                let limit = match (component, good) {
                    ("prune", _) => 1,
                    (_, true) => HISTORY.0,
                    (_, false) => HISTORY.1,
                };
                *count > limit
            }
            "save" => !orphans("Job", std::slice::from_ref(job), objects).is_empty(),
            "catalogue" => {
                let ended = job["status"]["completionTime"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
                ended.is_some_and(|ended| now.duration_since(ended) > LISTED)
            }
            // Nothing else is to be started here.
            _ => true,
        };
        if surplus {
            leaked.push(format!("Job {} ({component})", name(job)));
        }
    }
    leaked
}

/// Objects none of whose owners is there.
fn orphans(kind: &str, objects: &[Value], owners: &[Value]) -> Vec<String> {
    let there: BTreeSet<&str> = owners.iter().filter_map(|owner| owner["metadata"]["uid"].as_str()).collect();
    let owned = |object: &Value| {
        let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        references.into_iter().any(|owner| owner["uid"].as_str().is_some_and(|uid| there.contains(uid)))
    };
    objects.iter().filter(|object| !owned(object)).map(|object| format!("{kind} {}", name(object))).collect()
}

/// Failed records beyond the newest ten of each Backup. Those of good runs are compared with the volume.
fn of_records(objects: &[Value]) -> Vec<String> {
    let mut failed = BTreeMap::<&str, usize>::new();
    let records = objects.iter().filter(|object| says(object, "Failed"));
    let mut leaked = Vec::new();
    for record in records {
        let Some(backup) = record["spec"]["recorded"]["backup"].as_str() else { continue };
        let count = failed.entry(backup).or_default();
        *count += 1;
        if *count > HISTORY.1 {
            leaked.push(format!("record {}", name(record)));
        }
    }
    leaked
}

/// Sets that no EtcdBackup tells of, working state that nobody works on, and files that nobody knows.
fn of_volume(volume: &Path, objects: &[Value]) -> Result<Vec<String>> {
    let told: BTreeSet<&str> =
        objects.iter().filter_map(|object| object["status"]["location"].as_str()?.rsplit('/').next()).collect();
    let sets = set_names(volume)?;
    let mut leaked: Vec<String> =
        sets.iter().filter(|set| !told.contains(set.as_str())).map(|set| format!("set {set}")).collect();
    let others = entries(volume)?.into_iter().filter(|entry| entry != ".etcd-backup" && !sets.contains(entry));
    leaked.extend(others.map(|entry| format!("file {entry}")));
    let state = volume.join(".etcd-backup");
    for working in ["staging", "trash"] {
        leaked.extend(entries(&state.join(working))?.into_iter().map(|entry| format!("file {working}/{entry}")));
    }
    let known = |entry: &String| sets.iter().any(|set| entry.strip_suffix(".json") == Some(set.as_str()));
    let verified = entries(&state.join("verified"))?.into_iter().filter(|entry| !known(entry));
    leaked.extend(verified.map(|entry| format!("file verified/{entry}")));
    leaked.extend(entries(&state.join("runs"))?.into_iter().skip(REPORTS).map(|entry| format!("file runs/{entry}")));
    Ok(leaked)
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let all = fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))?;
    all.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Sets beyond what the policies keep.
fn of_policies(volumes: &BTreeMap<&'static str, PathBuf>) -> Result<Vec<String>> {
    let volume = |name| volumes.get(name).with_context(|| format!("no volume {name}"));
    let by_number = sets_of_owner(volume(NUMBER)?, NUMBER)?;
    let surplus = by_number.len().saturating_sub(usize::try_from(KEPT)?);
    let mut leaked: Vec<String> = by_number.into_iter().take(surplus).map(|set| format!("set {set}")).collect();
    let mut room = GIB << 30;
    for set in sets_of_owner(volume(SIZE)?, SIZE)?.into_iter().rev() {
        let bytes = bytes_of(&volume(SIZE)?.join(&set))?;
        match room.checked_sub(bytes) {
            Some(left) => room = left,
            None => leaked.push(format!("set {set}")),
        }
    }
    Ok(leaked)
}

/// Bytes of all files of a set.
fn bytes_of(set: &Path) -> Result<u64> {
    // A set without manifest would be a partial one.
    manifest(set)?;
    let files = fs::read_dir(set)?.map(|file| Ok(file?.metadata()?.len()));
    files.sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(name: &str, component: &str, condition: &str, owner: &str) -> Value {
        json!({
            "metadata": {"name": name, "uid": name, "ownerReferences": [{"uid": owner}],
                         "labels": {"app.kubernetes.io/component": component, "etcd-backup.io/backup": "b"}},
            "status": {"completionTime": "2026-01-01T00:00:00Z", "conditions": [{"type": condition, "status": "True"}]},
        })
    }

    #[test]
    fn jobs_within_their_limits_are_no_leak() {
        let object = json!({"metadata": {"name": "e", "uid": "e"}});
        let at = |minute: i64| "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute);
        let mut jobs: Vec<Value> =
            (0..5).map(|number| job(&format!("good-{number}"), "scheduled-save", "Complete", "c")).collect();
        jobs.extend((0..10).map(|number| job(&format!("bad-{number}"), "scheduled-save", "Failed", "c")));
        jobs.extend([job("save", "save", "Complete", "e"), job("listing", "catalogue", "Complete", "b")]);
        jobs.push(job("prune", "prune", "Complete", "b"));
        assert!(of_jobs(&jobs, std::slice::from_ref(&object), at(10)).is_empty());
        assert_eq!(of_jobs(&jobs, std::slice::from_ref(&object), at(13)), ["Job listing (catalogue)"]);
        assert_eq!(of_jobs(&jobs, &[], at(10)), ["Job save (save)"]);
        jobs.push(job("good-5", "scheduled-save", "Complete", "c"));
        jobs.push(job("asks", "inventory", "Complete", "e"));
        assert_eq!(of_jobs(&jobs, &[object], at(10)), ["Job good-5 (scheduled-save)", "Job asks (inventory)"]);
    }

    #[test]
    fn what_is_on_the_volume_is_told_of_or_leaked() {
        let volume = tempfile::tempdir().unwrap();
        for directory in [
            "backup-a",
            "backup-b",
            ".etcd-backup/staging",
            ".etcd-backup/trash",
            ".etcd-backup/verified",
            ".etcd-backup/runs",
        ] {
            fs::create_dir_all(volume.path().join(directory)).unwrap();
        }
        for file in
            [".etcd-backup/verified/backup-a.json", ".etcd-backup/verified/backup-c.json", ".etcd-backup/trash/x"]
        {
            fs::write(volume.path().join(file), "").unwrap();
        }
        let objects = [json!({"status": {"location": "pvc://ns/claim/backup-a"}})];
        let leaked = of_volume(volume.path(), &objects).unwrap();
        assert_eq!(leaked, ["set backup-b", "file trash/x", "file verified/backup-c.json"]);
    }
}
