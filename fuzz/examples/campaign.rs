//! Runs fuzz targets that `cargo fuzz` has built, each until it has used so much CPU time or has found a crash.
//!
//! They begin with the saved corpus, unpacked in `target/fuzz/saved`. What a run finds interesting goes to `target/fuzz/corpus/<target>`, what crashes to `target/fuzz/artifacts/<target>`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use etcd_backup_testbed::{measured, repository};
use rustix::process::{Pid, Signal, kill_process};
use wait4::{ResUse, Wait4 as _};

/// An input that takes longer than this, in seconds on the wall, is a crash: far above what any takes on a busy machine.
const TIMEOUT_SECONDS: u32 = 30;
/// The process may not grow beyond this, in MiB: the targets' own memory is small, the rest is libFuzzer's and the corpus.
const RSS_LIMIT_MIB: u32 = 1024;

#[derive(Parser)]
struct Arguments {
    /// The folder with the built targets.
    #[arg(long)]
    bin: PathBuf,
    /// CPU time for each target, in seconds.
    #[arg(long)]
    seconds: u64,
    /// The targets.
    #[arg(required = true)]
    targets: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for target in &arguments.targets {
        fuzz(&arguments.bin.join(target), target, Duration::from_secs(arguments.seconds))
            .with_context(|| format!("fuzzing {target}"))?;
    }
    Ok(())
}

/// Runs one target and tells what it did; fails if it crashed.
fn fuzz(program: &Path, target: &str, budget: Duration) -> Result<()> {
    let work = repository().join("target/fuzz");
    let (found, artifacts) = (work.join("corpus").join(target), work.join("artifacts").join(target));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let known = inputs_that_crashed(&artifacts)?;
    let log = work.join(format!("{target}.log"));

    let child = Command::new(program)
        .args([format!("-timeout={TIMEOUT_SECONDS}"), format!("-rss_limit_mb={RSS_LIMIT_MIB}")])
        .args([format!("-report_slow_units={TIMEOUT_SECONDS}")])
        .args(["-print_final_stats=1", "-reload=0"])
        .arg(format!("-max_len={}", max_bytes(target)))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(dictionary(target))
        .args([&found, &work.join("saved").join(target)])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot start {}; `make fuzz` builds it", program.display()))?;
    let used = wait(child, budget)?;

    let seconds = (used.rusage.utime + used.rusage.stime).as_secs();
    let execs = executions(&log)?;
    let crashes = inputs_that_crashed(&artifacts)?.saturating_sub(known);
    let values: [(&str, &dyn std::fmt::Display); 4] =
        [("target", &target), ("seconds", &seconds), ("execs", &execs), ("crashes", &crashes)];
    measured("fuzz", &values)?;
    ensure!(
        crashes == 0,
        "it crashed: the input is in {}, the reason at the end of {}",
        artifacts.display(),
        log.display()
    );
    ensure!(seconds >= budget.as_secs(), "it ended early ({}); see {}", used.status, log.display());
    Ok(())
}

/// Waits for the end of a run, which is asked to end when it has used its CPU time.
fn wait(mut child: Child, budget: Duration) -> Result<ResUse> {
    let pid = Pid::from_child(&child);
    let mut asked = false;
    loop {
        if let Some(used) = child.try_wait4()? {
            return Ok(used);
        }
        if !asked && cpu_time(pid)? >= budget {
            kill_process(pid, Signal::INT)?;
            asked = true;
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What a process and its threads have used so far: utime and stime of `/proc/<pid>/stat`, see proc(5).
fn cpu_time(pid: Pid) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat has no command")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs(ticks / rustix::param::clock_ticks_per_second()))
}

/// How many inputs libFuzzer has kept as crashes, timeouts or for their memory. It also keeps those that were slow, which a
/// busy machine makes of any.
fn inputs_that_crashed(artifacts: &Path) -> Result<usize> {
    let mut crashed = 0;
    for entry in fs::read_dir(artifacts)? {
        crashed += usize::from(!entry?.file_name().to_string_lossy().starts_with("slow-unit-"));
    }
    Ok(crashed)
}

/// How often the target was called, as libFuzzer's final statistics say.
fn executions(log: &Path) -> Result<u64> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match line {
        Some(number) => Ok(number.trim().parse()?),
        None => bail!("libFuzzer did not tell its statistics; see {}", log.display()),
    }
}

/// The longest input that is tried: larger ones only take longer.
fn max_bytes(target: &str) -> u32 {
    match target {
        "schedule" => 128,
        "manifest" | "report" => 8 * 1024,
        _ => 64 * 1024,
    }
}

fn dictionary(target: &str) -> Option<String> {
    let path = repository().join("fuzz/dict").join(format!("{target}.dict"));
    path.exists().then(|| format!("-dict={}", path.display()))
}
