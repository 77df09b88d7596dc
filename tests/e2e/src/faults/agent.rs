//! The agent as it runs by hand, and what it saves to.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::bed::{LIMIT, command};

/// The agent while it runs; killed if it is dropped before.
pub struct Run {
    child: Child,
    stdout: File,
    stderr: File,
    started: Instant,
}

/// A run that has ended.
pub struct Ended {
    /// Its exit code; none if a signal ended it.
    pub exit: Option<i32>,
    /// Its report.
    pub report: Value,
    /// Its log.
    pub log: String,
    /// When it had ended.
    pub at: Instant,
}

impl Run {
    /// Starts the agent.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(mut agent: Command) -> Result<Self> {
        // Files, because a pipe that nobody reads yet would hold the agent up.
        let (stdout, stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        agent.args(["--output", "json"]).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        Ok(Self { child: agent.spawn()?, stdout, stderr, started: Instant::now() })
    }

    /// Waits until the run has brought the world to a state.
    ///
    /// # Errors
    /// If it ends before, or takes too long.
    pub fn until(&mut self, state: &str, reached: impl Fn() -> bool) -> Result<()> {
        while !reached() {
            if self.child.try_wait()?.is_some() || self.started.elapsed() > LIMIT {
                bail!("the run did not come to {state}: {}", text(&mut self.stderr)?);
            }
            sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Waits until it has printed its report.
    ///
    /// # Errors
    /// If it takes too long.
    pub fn until_reported(&mut self) -> Result<()> {
        let stdout = self.stdout.try_clone()?;
        self.until("its report", || stdout.metadata().is_ok_and(|printed| printed.len() > 0))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it takes too long, or ends without a report.
    pub fn wait(mut self) -> Result<Ended> {
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(self.started.elapsed() < LIMIT, "the run does not end: {}", text(&mut self.stderr)?);
            sleep(Duration::from_millis(2));
        };
        let at = Instant::now();
        let (stdout, log) = (text(&mut self.stdout)?, text(&mut self.stderr)?);
        ensure!(status.signal().is_none(), "the agent was ended by a signal: {status}\n{log}");
        let report = serde_json::from_str(&stdout).with_context(|| format!("no report\n{log}"))?;
        Ok(Ended { exit: status.code(), report, log, at })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // An error means that it has ended.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Ended {
    /// Its reason, and those of its warnings.
    #[must_use]
    pub fn words(&self) -> String {
        let warnings = self.report["warnings"].as_array().into_iter().flatten();
        let words = std::iter::once(&self.report["reason"]).chain(warnings.map(|warning| &warning["reason"]));
        words.filter_map(Value::as_str).collect::<Vec<_>>().join("+")
    }
}

fn text(file: &mut File) -> Result<String> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// The agent that was built together with this program, to be run with this verb.
///
/// # Errors
/// If it is not built.
pub(super) fn agent(verb: &str) -> Result<Command> {
    let program = std::env::current_exe()?.with_file_name("etcd-backup");
    ensure!(program.is_file(), "{} is missing: `make faults` builds it", program.display());
    let mut agent = Command::new(program);
    agent.arg(verb).stdin(Stdio::null());
    for variable in ["ETCD_BACKUP_RUN_ID", "NODE_NAME", "RUST_LOG"] {
        agent.env_remove(variable);
    }
    Ok(agent)
}

/// A directory that the agent saves to.
pub struct Volume {
    /// Where it is.
    pub path: PathBuf,
}

impl Volume {
    /// Names of the sets on it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn sets(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with("backup-") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Files in one of the working directories.
    fn working_files(&self, name: &str) -> Result<usize> {
        let files = command("find", &[&self.path.join(".etcd-backup").join(name).display().to_string(), "-type", "f"])?;
        Ok(files.lines().count())
    }

    /// What is there, in words.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn left(&self) -> Result<String> {
        let (staging, trash) = (self.working_files("staging")?, self.working_files("trash")?);
        Ok(format!("{}set,{staging}staged,{trash}trash", self.sets()?.len()))
    }

    /// The agent verifies everything that can be seen.
    ///
    /// # Errors
    /// If anything of it is not sound.
    pub fn verify(&self) -> Result<()> {
        let output = agent("verify")?.arg(&self.path).output()?;
        ensure!(
            output.status.success(),
            "what can be seen is not sound: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}
