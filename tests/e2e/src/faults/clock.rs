//! Steps of the clock. Nobody else's clock is touched: libfaketime gives the agent one of its own, and only the time of
//! day, as a step does (`CLOCK_MONOTONIC` never steps).

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::agent::{Run, Volume};
use super::bed::Bed;
use super::{Observed, next, observe};

/// The agent's clock, as an offset from the machine's.
struct Clock {
    offset: PathBuf,
}

impl Clock {
    fn new(bed: &Bed) -> Result<Self> {
        let clock = Self { offset: bed.path("clock") };
        clock.set("+0d")?;
        Ok(clock)
    }

    fn set(&self, offset: &str) -> Result<()> {
        Ok(fs::write(&self.offset, offset)?)
    }

    fn gives_time_to(&self, agent: &mut Command) -> Result<()> {
        let library = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let library = library.into_iter().find(|path| path.exists());
        agent.env("LD_PRELOAD", library.context("libfaketime is missing: `make faults` installs it")?);
        agent.env("FAKETIME_TIMESTAMP_FILE", &self.offset).env("FAKETIME_NO_CACHE", "1");
        agent.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        Ok(())
    }
}

/// During a run: a day forward in the stream. Limits are measured by a clock that does not step.
pub(super) fn steps(bed: &mut Bed, name: &str) -> Result<Observed> {
    let clock = Clock::new(bed)?;
    let volume = bed.volume(&bed.path(name))?;
    let before = volume.sets()?;
    let streaming = bed.streaming_with(&volume.path, 0, |agent| clock.gives_time_to(agent))?;
    let fault = Instant::now();
    clock.set("+1d")?;
    let ended = streaming.go_on(bed)?;
    let mut observed = observe(&volume, &before, &ended, fault)?;
    let day = |field: &str| ended.report[field].as_str().and_then(|time| time.get(..10)).map(str::to_owned);
    ensure!(day("startTime") != day("completionTime"), "the agent's clock has not stepped: {}", ended.report);
    observed.next = next(bed, &volume, 0, |_| Ok(()))?;
    Ok(observed)
}

/// Back by a day in the stream, and between runs: the run that began later is the newer one, whatever its name says, and
/// a policy that keeps one set keeps that.
pub(super) fn back(bed: &mut Bed, name: &str) -> Result<Observed> {
    let clock = Clock::new(bed)?;
    let path = bed.path(name);
    fs::create_dir_all(&path)?;
    let volume = Volume { path };
    let policy = bed.path("policy.json");
    fs::write(&policy, r#"{"schemaVersion": "1.0", "retention": {"type": "number", "maxSets": 1}}"#)?;
    let save = |offset: &str| {
        clock.set(offset)?;
        let mut agent = bed.save_command(&volume.path, 0)?;
        clock.gives_time_to(&mut agent)?;
        agent.arg("--policy").arg(&policy);
        Run::start(agent)?.wait()
    };
    let first = save("+0d")?;
    let fault = Instant::now();
    let ended = save("-1d")?;
    ensure!(first.words() == "Completed", "no backup was made: {}\n{}", first.report, first.log);
    let (earlier, later) = (&first.report["set"]["name"], &ended.report["set"]["name"]);
    ensure!(earlier.as_str() > later.as_str(), "the agent's clock has not stepped: {earlier}, then {later}");
    ensure!(
        volume.sets()? == [later.as_str().unwrap_or_default()],
        "kept was not the set that was made last: {:?}, made were {earlier}, then {later}",
        volume.sets()?
    );
    let mut observed = observe(&volume, &[], &ended, fault)?;
    observed.next = next(bed, &volume, 0, |_| Ok(()))?;
    Ok(observed)
}
