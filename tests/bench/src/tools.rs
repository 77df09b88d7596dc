//! The programs that are compared, and how each is told where etcd is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use etcd_backup_testbed::Etcd;

use crate::process::{Cost, run};

/// Ours and theirs, for one etcd.
pub(crate) struct Tools<'a> {
    pub(crate) agent: &'a Path,
    /// Directory of etcdctl and etcdutl.
    pub(crate) go: &'a Path,
    pub(crate) etcd: &'a Etcd,
}

impl Tools<'_> {
    /// Ours: a whole backup of the snapshot alone, which is verified from the disk and published.
    pub(crate) fn save_ours(&self, dir: &Path) -> Result<Cost> {
        let mut command = self.client(self.agent);
        command.arg("save").arg(dir).args(["--layout", "none", "--reserve-percent", "0", "--progress", "none"]);
        run(self.to_etcd(&mut command))
    }

    /// Theirs: a snapshot, and what they have to look at it.
    pub(crate) fn save_theirs(&self, dir: &Path) -> Result<Cost> {
        let file = dir.join("snapshot.db");
        let mut command = self.client(&self.go.join("etcdctl"));
        command.args(["snapshot", "save"]).arg(&file);
        Ok(run(self.to_etcd(&mut command))? + self.status(&file)?)
    }

    pub(crate) fn verify_ours(&self, file: &Path) -> Result<Cost> {
        run(Command::new(self.agent).arg("verify").arg(file))
    }

    /// Status never looks at the SHA-256, so `sha256sum` does; what status has read from the disk, it finds in memory.
    pub(crate) fn verify_theirs(&self, file: &Path) -> Result<Cost> {
        Ok(self.status(file)? + run(Command::new("sha256sum").arg(file))?)
    }

    fn status(&self, file: &Path) -> Result<Cost> {
        run(Command::new(self.go.join("etcdutl")).args(["snapshot", "status", "--write-out", "json"]).arg(file))
    }

    /// Both take the same names of their TLS files from the environment.
    fn client(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("ETCDCTL_CACERT", self.etcd.ca());
        command.env("ETCDCTL_CERT", self.etcd.cert());
        command.env("ETCDCTL_KEY", self.etcd.key());
        command
    }

    fn to_etcd<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.arg("--endpoints").arg(self.etcd.endpoints().join(","))
    }
}

/// The version of a server, such as `3.6.6`.
pub(crate) fn version(server: &Path) -> Result<String> {
    let output = Command::new(server).arg("--version").output().with_context(|| format!("run {}", server.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.lines().find_map(|line| line.strip_prefix("etcd Version: "));
    Ok(version.with_context(|| format!("{} does not say its version", server.display()))?.to_owned())
}
