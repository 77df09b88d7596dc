//! etcd's own judgement of a snapshot: `etcdutl snapshot status` and `restore`, as processes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use etcd_backup_testbed::{Error, Input, run};
use serde::Deserialize;

use crate::version::Version;

/// Far above what either needs for the largest of the databases.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether etcd takes it, and why not. A crash or a hang is a refusal too.
pub(crate) type Verdict<T> = std::result::Result<T, String>;

/// The peer URL that restored members have in their own records; nobody listens there.
pub(crate) const PEER_URL: &str = "http://127.0.0.1:2380";
pub(crate) const NAME: &str = "restored";

/// What `etcdutl snapshot status` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) hash: u32,
    pub(crate) revision: i64,
    pub(crate) total_key: u64,
    pub(crate) total_size: u64,
}

pub(crate) fn status(version: &Version, snapshot: &Path) -> Result<Verdict<Status>> {
    let mut command = Command::new(version.etcdutl()?);
    command.args(["snapshot", "status", "--write-out", "json"]).arg(snapshot);
    Ok(judged(&mut command)?.and_then(|stdout| serde_json::from_str(&stdout).map_err(|error| error.to_string())))
}

/// Restores into `data_dir`, which must not exist yet.
pub(crate) fn restore(version: &Version, snapshot: &Path, data_dir: &Path) -> Result<Verdict<()>> {
    let mut command = Command::new(version.etcdutl()?);
    command.args(["snapshot", "restore"]).arg(snapshot).arg("--data-dir").arg(data_dir);
    command.args(["--name", NAME, "--initial-cluster", &format!("{NAME}={PEER_URL}")]);
    command.args(["--initial-advertise-peer-urls", PEER_URL]);
    Ok(judged(&mut command)?.map(drop))
}

fn judged(command: &mut Command) -> Result<Verdict<String>> {
    match run(command, Input::Nothing, LIMIT) {
        Ok(output) => Ok(Ok(output.stdout)),
        Err(Error::Command { status, stderr, .. }) => Ok(Err(format!("{status}: {}", gist(&stderr)))),
        Err(error @ Error::Timeout { .. }) => Ok(Err(error.to_string())),
        Err(error) => Err(error).context("etcdutl could not be asked"),
    }
}

/// The line of a Go program's last words that tells the most.
pub(crate) fn gist(words: &str) -> String {
    const MAX_CHARS: usize = 300;
    let telling = |line: &&str| ["panic", "fatal", "rror", "SIG"].iter().any(|mark| line.contains(mark));
    let line = words.lines().find(telling).or_else(|| words.lines().last()).unwrap_or("it says nothing");
    line.chars().take(MAX_CHARS).collect()
}
