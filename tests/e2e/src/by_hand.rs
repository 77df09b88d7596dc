//! The agent as an administrator runs it on a node, without any Kubernetes.

use std::fs;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::bed::{Bed, agent_program};
use crate::history::Sample;
use crate::operations::{FILTER, Replay};

/// A run of the agent that has ended.
pub struct ByHand {
    /// Its report.
    pub report: Value,
    /// Its log.
    pub log: String,
}

impl Bed {
    /// Runs `etcd-backup save DIR` on node 0 as root, with more arguments; every operation is logged.
    ///
    /// # Errors
    /// If it cannot be started or tells nothing.
    pub fn save_by_hand(&self, dir: &str, args: &[&str]) -> Result<ByHand> {
        let program = agent_program();
        let output = self
            .cluster
            .node_command(0, &program)?
            .args(["save", dir, "--output", "json", "--layout", "kubeadm"])
            .args(args)
            .env("RUST_LOG", FILTER)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run {}", program.display()))?;
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).with_context(|| format!("no report; its log is\n{log}"))?;
        Ok(ByHand { report, log })
    }
}

/// Runs of one owner on a volume of node 0, by a policy of any number of bytes or sets.
pub struct Series<'a> {
    bed: &'a Bed,
    /// The volume's directory as the node has it.
    dir: String,
    policy: tempfile::NamedTempFile,
    replay: Replay,
}

impl<'a> Series<'a> {
    /// Begins with a policy's `retention`.
    ///
    /// # Errors
    /// If the policy cannot be written.
    pub fn new(bed: &'a Bed, dir: &str, retention: &Value) -> Result<Self> {
        let policy = tempfile::NamedTempFile::new()?;
        fs::write(policy.path(), serde_json::json!({"schemaVersion": "1.0", "retention": retention}).to_string())?;
        Ok(Self { bed, dir: dir.to_owned(), policy, replay: Replay::new(dir) })
    }

    /// One run; its report.
    ///
    /// # Errors
    /// If it tells nothing.
    pub fn save(&mut self) -> Result<Value> {
        let policy = self.policy.path().to_str().context("a path that is not UTF-8")?.to_owned();
        let run = self
            .bed
            .save_by_hand(&self.dir, &["--owner", "Backup/by-hand", "--cluster", "by-hand", "--policy", &policy])?;
        self.replay.log(&run.log)?;
        Ok(run.report)
    }

    /// One run that makes a backup; what its report says of retention.
    ///
    /// # Errors
    /// If it makes none.
    pub fn save_well(&mut self) -> Result<Value> {
        let report = self.save()?;
        ensure!(report["outcome"] == "Completed", "no backup was made: {report:#}");
        Ok(report["retention"].clone())
    }

    /// What was there at every moment, as the runs' logs tell.
    #[must_use]
    pub fn seen(&self) -> &[Sample] {
        &self.replay.seen
    }
}
