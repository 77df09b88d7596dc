//! One run of one program, and what it cost.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::ops::Add;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wait4::Wait4 as _;

/// Nothing that is measured here takes so long.
const LIMIT: Duration = Duration::from_secs(900);

/// How often it is looked whether a program has ended: what a wall time may be too long by.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a whole process cost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// In user and kernel mode.
    pub(crate) cpu: Duration,
    /// Most bytes resident at a time. Pages of files that are mapped count, as the kernel counts them.
    pub(crate) peak_bytes: u64,
}

/// One after the other.
impl Add for Cost {
    type Output = Self;

    fn add(self, next: Self) -> Self {
        let (wall, cpu) = (self.wall + next.wall, self.cpu + next.cpu);
        Self { wall, cpu, peak_bytes: self.peak_bytes.max(next.peak_bytes) }
    }
}

/// Runs a program to its end.
///
/// The peak is exact only above this process's own: the kernel counts what was resident before exec.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut log: File = tempfile::tempfile().context("make a temporary file")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("run {name}"))?;
    let used = loop {
        if let Some(used) = child.try_wait4()? {
            break used;
        }
        if began.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("{name} did not end within {LIMIT:?}");
        }
        thread::sleep(LOOK_EVERY);
    };
    let wall = began.elapsed();
    if !used.status.success() {
        let mut said = String::new();
        log.rewind()?;
        log.read_to_string(&mut said)?;
        bail!("{name} failed ({}): {}", used.status, said.trim_end());
    }
    Ok(Cost { wall, cpu: used.rusage.utime + used.rusage.stime, peak_bytes: used.rusage.maxrss })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn the_cost_is_the_processs_own() {
        let busy = run(&mut sh("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")).unwrap();
        let idle = run(&mut sh("sleep 0.2")).unwrap();
        assert!(busy.cpu > idle.cpu, "{busy:?} {idle:?}");
        assert!(idle.wall >= Duration::from_millis(200) && idle.peak_bytes > 100_000, "{idle:?}");
        let both = busy + idle;
        assert_eq!((both.wall, both.cpu), (busy.wall + idle.wall, busy.cpu + idle.cpu));
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        let error = run(&mut sh("echo broken >&2; exit 3")).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.ends_with("broken"), "{error}");
    }
}
