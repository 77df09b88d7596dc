//! The agent's own log of what it did to a volume, and what was there at every moment according to it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bed::{Bed, NAMESPACE};
use crate::history::Sample;

/// The agent's log filter with which every operation is told.
pub const FILTER: &str = "info,etcd_backup_store::operation=debug";

/// Plays the logs of runs, one after the other, from an empty volume on.
#[derive(Debug)]
pub struct Replay {
    /// The volume's directory as the runs have it.
    volume: String,
    /// Bytes of every file, by its path below the volume.
    files: BTreeMap<String, u64>,
    /// What was there after each operation.
    pub seen: Vec<Sample>,
}

impl Replay {
    /// Nothing has been played yet. The runs have the volume at `volume`; in pods that is `/backup`.
    #[must_use]
    pub fn new(volume: &str) -> Self {
        Self { volume: volume.to_owned(), files: BTreeMap::new(), seen: Vec::new() }
    }

    /// Plays the log of a Job's pods, which have ended.
    ///
    /// # Errors
    /// If the log cannot be had, or tells of no operations.
    pub fn job(&mut self, bed: &Bed, job: &str) -> Result<()> {
        let label = format!("batch.kubernetes.io/job-name={job}");
        let log = bed.kubectl(&["-n", NAMESPACE, "logs", "-l", &label, "--tail=-1"])?;
        let before = self.seen.len();
        self.log(&log)?;
        ensure!(self.seen.len() > before, "the log of Job {job} tells of no operations:\n{log}");
        Ok(())
    }

    /// Plays a log: one JSON object a line; other lines are passed over.
    ///
    /// # Errors
    /// If an operation lacks what belongs to it.
    pub fn log(&mut self, log: &str) -> Result<()> {
        for line in log.lines() {
            let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
            if entry["op"].is_string() {
                self.operation(&entry).with_context(|| format!("play {line}"))?;
                self.seen.push(self.sample());
            }
        }
        Ok(())
    }

    fn operation(&mut self, entry: &Value) -> Result<()> {
        let path = self.below_volume(entry, "path")?;
        let bytes = || entry["bytes"].as_u64().context("no bytes");
        match entry["op"].as_str().unwrap_or_default() {
            // A file grows to what its fsync tells.
            "create" => _ = self.files.insert(path, 0),
            "write" | "fsync" => _ = self.files.insert(path, bytes()?),
            "unlink" => _ = self.files.remove(&path),
            "rename" => self.rename(&path, &self.below_volume(entry, "to")?),
            _ => {}
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) {
        let files = std::mem::take(&mut self.files);
        let moved = |path: String| match path.strip_prefix(from) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("{to}{rest}"),
            _ => path,
        };
        self.files = files.into_iter().map(|(path, bytes)| (moved(path), bytes)).collect();
    }

    /// A path of the log, below the volume.
    fn below_volume(&self, entry: &Value, field: &str) -> Result<String> {
        let path = entry[field].as_str().with_context(|| format!("no {field}"))?;
        Ok(path.strip_prefix(&self.volume).unwrap_or(path).trim_start_matches('/').to_owned())
    }

    fn sample(&self) -> Sample {
        let mut sample = Sample::default();
        for (path, bytes) in &self.files {
            match path.split_once('/') {
                Some((".etcd-backup", rest)) if rest.starts_with("staging/") || rest.starts_with("trash/") => {
                    sample.working_bytes += bytes;
                }
                Some((set, _)) if set.starts_with("backup-") => {
                    *sample.sets.entry(set.to_owned()).or_default() += bytes
                }
                _ => {}
            }
        }
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_what_was_there_at_every_moment() {
        let mut replay = Replay::new("/backup");
        let log = r#"{"op":"lock","path":"/backup/.etcd-backup/lock"}
            not of the log
            {"op":"mkdir","path":"/backup/.etcd-backup/staging/backup-a"}
            {"op":"create","path":"/backup/.etcd-backup/staging/backup-a/x.db"}
            {"op":"fsync","path":"/backup/.etcd-backup/staging/backup-a/x.db","bytes":7}
            {"op":"rename","path":"/backup/.etcd-backup/staging/backup-a","to":"/backup/backup-a","bytes":7}
            {"op":"rename","path":"/backup/backup-a","to":"/backup/.etcd-backup/trash/backup-a","bytes":7}
            {"op":"unlink","path":"/backup/.etcd-backup/trash/backup-a/x.db","bytes":7}"#;
        replay.log(log).unwrap();
        let told: Vec<_> = replay.seen.iter().map(|sample| (sample.sets.len(), sample.bytes())).collect();
        assert_eq!(told, [(0, 0), (0, 0), (0, 0), (0, 7), (1, 7), (0, 7), (0, 0)]);
    }
}
