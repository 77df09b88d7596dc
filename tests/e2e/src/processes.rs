//! The processes of a bed's pods, as the host sees them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use etcd_backup_testbed::Cluster;

use crate::bed::Bed;

/// A process of a pod in the bed, by its id on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process(pub u32);

/// The processes of the bed whose command line begins with the given words.
#[must_use]
pub fn find(cluster: &Cluster, command: &[&str]) -> Vec<Process> {
    let mine = cluster.dir().file_name().unwrap_or_default().to_string_lossy();
    // A bed's control groups are named `ebt-<bed>-<hash>`.
    let is_of_bed = |group: &str| {
        let words = group.strip_prefix("ebt-").and_then(|rest| rest.rsplit_once('-'));
        words.is_some_and(|(bed, _)| bed == mine)
    };
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let file = |name| fs::read(Path::new("/proc").join(pid.to_string()).join(name)).unwrap_or_default();
            let line = file("cmdline");
            let words: Vec<&[u8]> = line.split(|&c| c == 0).collect();
            words.iter().zip(command).filter(|(word, wanted)| **word == wanted.as_bytes()).count() == command.len()
                && String::from_utf8_lossy(&file("cgroup")).split('/').any(is_of_bed)
        })
        .map(Process)
        .collect()
}

impl Bed {
    /// The operator's processes.
    #[must_use]
    pub fn operator(&self) -> Vec<Process> {
        find(&self.cluster, &["/etcd-backup-operator"])
    }

    /// The agent's processes that are saving.
    #[must_use]
    pub fn savers(&self) -> Vec<Process> {
        find(&self.cluster, &["/etcd-backup", "save"])
    }

    /// The process of the operator that works.
    ///
    /// # Errors
    /// If none works.
    pub fn leading_process(&self) -> Result<Process> {
        self.process_of(&self.leader()?.context("no operator works")?)
    }

    /// The operator's process in a pod.
    pub(crate) fn process_of(&self, pod: &str) -> Result<Process> {
        let mut operators = self.operator().into_iter();
        let process = operators.find(|process| process.variable("POD_NAME").as_deref() == Some(pod));
        process.with_context(|| format!("pod {pod} has no process"))
    }
}

impl Process {
    /// Kills it with SIGKILL. A process that has ended already is fine.
    ///
    /// # Errors
    /// If there is no `kill` command.
    pub fn kill(self) -> Result<()> {
        std::process::Command::new("kill")
            .args(["-9", &self.0.to_string()])
            .stderr(std::process::Stdio::null())
            .status()
            .context("run kill")?;
        Ok(())
    }

    /// The value of a variable of its environment as it was started; `None` if it has none or has ended.
    #[must_use]
    pub fn variable(self, name: &str) -> Option<String> {
        let environment = fs::read(format!("/proc/{}/environ", self.0)).ok()?;
        let variables = environment.split(|&c| c == 0).map(String::from_utf8_lossy);
        variables.into_iter().find_map(|one| Some(one.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    /// Its sets of capabilities as bit masks: inheritable, permitted, effective, bounding and ambient.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn capabilities(self) -> Result<Vec<u64>> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let sets = status.lines().filter_map(|line| line.strip_prefix("Cap")?.split_once(':'));
        sets.map(|(name, mask)| u64::from_str_radix(mask.trim(), 16).with_context(|| format!("Cap{name}: {mask}")))
            .collect()
    }

    /// How many files it has open.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn open_files(self) -> Result<usize> {
        let path = format!("/proc/{}/fd", self.0);
        Ok(fs::read_dir(&path).with_context(|| format!("read {path}"))?.count())
    }

    /// A figure from `/proc/<pid>/status` in bytes, such as `VmRSS` or `VmHWM` (its peak).
    ///
    /// # Errors
    /// If the process has ended or the kernel does not tell.
    pub fn memory(self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        for line in status.lines() {
            if let Some(value) = line.strip_prefix(field).and_then(|rest| rest.strip_prefix(':')) {
                let kib: u64 = value.trim().trim_end_matches(" kB").parse()?;
                return Ok(kib * 1024);
            }
        }
        bail!("process {} has no {field}", self.0)
    }
}
