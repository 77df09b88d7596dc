//! What the scenarios of schedules do with a bed: Backups, runs of their CronJobs, and the records of them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::bed::{Bed, NAMESPACE, until};
use crate::manifests;

/// How long the operator may take to see something and say so.
const NOTICED: Duration = Duration::from_secs(120);
/// How long a run on a small database may take, retries not counted.
const RUN: Duration = Duration::from_secs(240);

/// A run of a CronJob that has ended well and has been recorded.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its id: the Job's uid.
    pub id: String,
    /// The EtcdBackup that records it.
    pub record: Value,
}

impl Run {
    /// The name of the set that it made.
    ///
    /// # Errors
    /// If the record names none.
    pub fn set(&self) -> Result<&str> {
        set_of(&self.record)
    }

    /// The name of the record.
    ///
    /// # Errors
    /// If it has none.
    pub fn name(&self) -> Result<&str> {
        self.record["metadata"]["name"].as_str().context("a record without name")
    }
}

impl Bed {
    /// Applies a Backup that fires only when a test wants it to, and waits until its CronJob is there.
    ///
    /// # Errors
    /// If the API server refuses it, or no CronJob comes.
    pub fn schedule(&self, name: &str, claim: &str, retention: Value) -> Result<()> {
        self.apply(&manifests::backup(name, claim, "0 0 1 1 *", retention).to_string())?;
        until(&format!("the CronJob of Backup {name}"), NOTICED, || Ok(self.get("cronjob", name)?.is_some()))
    }

    /// Makes a Job from a Backup's CronJob, as an administrator does; returns its uid, which is the run's id.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn start_run(&self, backup: &str, job: &str) -> Result<String> {
        self.kubectl(&["-n", NAMESPACE, "create", "job", job, &format!("--from=cronjob/{backup}")])?;
        let job = self.get("job", job)?.context("the Job is gone")?;
        job["metadata"]["uid"].as_str().map(str::to_owned).context("a Job without uid")
    }

    /// Makes a Job from a Backup's CronJob and waits until the run is recorded as completed.
    ///
    /// # Errors
    /// If it does not end well, or is not recorded.
    pub fn run(&self, backup: &str, job: &str) -> Result<Run> {
        let id = self.start_run(backup, job)?;
        self.recorded(backup, &id, "Completed")
    }

    /// Waits until a run is recorded with a phase.
    ///
    /// # Errors
    /// If it is not in time; the message shows the last record seen.
    pub fn recorded(&self, backup: &str, run_id: &str, phase: &str) -> Result<Run> {
        let mut record = Value::Null;
        let what = format!("run {run_id} of Backup {backup} to be recorded as {phase}");
        let found = until(&what, RUN, || {
            record = self.record(run_id)?.unwrap_or_default();
            Ok(record["status"]["phase"] == phase)
        });
        found.with_context(|| format!("the record is {record:#}"))?;
        ensure!(record["spec"]["recorded"]["backup"] == backup, "it is recorded of another Backup: {record:#}");
        Ok(Run { id: run_id.to_owned(), record })
    }

    /// The record of a run, if there is one. Two are an error.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn record(&self, run_id: &str) -> Result<Option<Value>> {
        let mut found = self.etcd_backups()?;
        found.retain(|object| object["spec"]["recorded"]["runId"] == run_id);
        ensure!(found.len() < 2, "run {run_id} is recorded {} times", found.len());
        Ok(found.pop())
    }

    /// The records of a Backup's runs, by name.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn records(&self, backup: &str) -> Result<Vec<Value>> {
        let mut found = self.etcd_backups()?;
        found.retain(|object| object["spec"]["recorded"]["backup"] == backup);
        Ok(found)
    }

    /// All EtcdBackups.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn etcd_backups(&self) -> Result<Vec<Value>> {
        let mut list: Value = serde_json::from_str(&self.kubectl(&["get", "etcdbackup", "-o", "json"])?)?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// The names of a Backup's Jobs of one component, such as `prune`.
    ///
    /// # Errors
    /// If kubectl fails.
    pub fn jobs_of(&self, backup: &str, component: &str) -> Result<Vec<String>> {
        let label = format!("etcd-backup.io/backup={backup},app.kubernetes.io/component={component}");
        let jobs = self.labelled("job", &label)?;
        Ok(jobs.iter().filter_map(|job| job["metadata"]["name"].as_str().map(str::to_owned)).collect())
    }

    /// The status of a Backup.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn backup_status(&self, backup: &str) -> Result<Value> {
        let object = self.get("backup", backup)?.with_context(|| format!("Backup {backup} does not exist"))?;
        Ok(object["status"].clone())
    }

    /// Waits until a condition of a Backup has a status and a reason; returns its message.
    ///
    /// # Errors
    /// If that does not happen in time; the message shows the last status seen.
    pub fn says(&self, backup: &str, condition: &str, status: &str, reason: &str, limit: Duration) -> Result<String> {
        let (mut all, mut message) = (Value::Null, None);
        let found = until(&format!("Backup {backup} to say {condition}={status}/{reason}"), limit, || {
            all = self.backup_status(backup)?;
            let conditions = all["conditions"].as_array().into_iter().flatten();
            let said = conditions.into_iter().find(|c| c["type"] == condition).cloned().unwrap_or_default();
            message = said["message"].as_str().map(str::to_owned);
            Ok(said["status"] == status && said["reason"] == reason)
        });
        found.with_context(|| format!("last status: {all:#}"))?;
        message.context("a condition without message")
    }

    /// Waits until a Backup's status tells of that many retained sets.
    ///
    /// # Errors
    /// If it does not in time.
    pub fn retains(&self, backup: &str, count: usize) -> Result<()> {
        let mut status = Value::Null;
        let found = until(&format!("Backup {backup} to tell of {count} retained sets"), NOTICED, || {
            status = self.backup_status(backup)?;
            Ok(status["retained"]["count"] == count)
        });
        found.with_context(|| format!("last status: {status:#}"))
    }

    /// The sets that the completed records of a Backup's runs tell of, by name.
    ///
    /// # Errors
    /// If kubectl fails, or a completed record names no set.
    pub fn recorded_sets(&self, backup: &str) -> Result<Vec<String>> {
        let completed = self.records(backup)?.into_iter().filter(|record| record["status"]["phase"] == "Completed");
        let mut sets = completed.map(|record| set_of(&record).map(str::to_owned)).collect::<Result<Vec<_>>>()?;
        sets.sort();
        Ok(sets)
    }

    /// Waits until the records of a Backup's runs tell of exactly these sets.
    ///
    /// # Errors
    /// If they do not in time; the message shows both.
    pub fn records_match(&self, backup: &str, sets: &[String]) -> Result<()> {
        let (mut wanted, mut found) = (sets.to_vec(), Vec::new());
        wanted.sort();
        let matched = until(&format!("the records of Backup {backup} to match its sets"), NOTICED, || {
            found = self.recorded_sets(backup)?;
            Ok(found == wanted)
        });
        matched.with_context(|| format!("records tell of {found:#?}, wanted are {wanted:#?}"))
    }

    /// Changes fields of a Backup's `spec.etcd`, as `kubectl patch` does.
    ///
    /// # Errors
    /// If the API server refuses.
    pub fn edit(&self, backup: &str, fields: &Value) -> Result<()> {
        let patch = json!({"spec": {"etcd": fields}}).to_string();
        self.kubectl(&["patch", "backup", backup, "--type=merge", "-p", &patch]).map(drop)
    }
}

/// The name of the set that an EtcdBackup tells of: the last part of its location.
fn set_of(object: &Value) -> Result<&str> {
    let location = object["status"]["location"].as_str().context("a completed EtcdBackup without location")?;
    location.trim_end_matches('/').rsplit('/').next().context("an empty location")
}
