//! Real faults, caused in the middle of real backups: what the agent reports, how soon, what it leaves on the disk, and
//! whether the next run succeeds. docs/faults.md tells what the table means.

mod agent;
pub mod bed;
mod clock;
pub mod disk;
mod members;
mod power_cut;
mod volumes;

use std::time::Instant;

use anyhow::{Result, ensure};

use agent::{Ended, Volume};
use bed::Bed;

/// A fault, and what is promised of it.
pub struct Fault {
    /// Its name in the table and on the command line.
    pub name: &'static str,
    /// Causes it.
    pub run: fn(&mut Bed, &str) -> Result<Observed>,
    /// The words that a run may end with: its reason and those of its warnings.
    pub words: &'static [&'static str],
    /// Seconds within which it is reported. The limits of the run and of etcd's own timeouts, and as much again for a
    /// busy machine.
    pub within_seconds: f64,
    /// What it leaves on the volume. Something stays in staging only where nothing could be removed any more.
    pub left: &'static str,
    /// How the next run ends, without help from anybody; and if that is not well, then after what was broken is repaired.
    pub next: &'static str,
}

/// What came of a fault.
pub struct Observed {
    /// Reason and warnings.
    pub words: String,
    /// The agent's exit code.
    pub exit: i32,
    /// From the fault to the end of the agent, in seconds.
    pub seconds: f64,
    /// What was on the volume then.
    pub left: String,
    /// How the next run ended, and the one after the repair if it was needed.
    pub next: String,
    /// The run's report and log, for whoever asks why.
    pub diagnosis: String,
}

/// Faults that share what they are caused in.
pub struct Lane {
    /// etcd members.
    pub members: usize,
    /// Megabytes in the database.
    pub megabytes: usize,
    /// What is caused, in this order.
    pub faults: &'static [Fault],
}

/// All faults. The lanes run at the same time.
pub const LANES: [Lane; 2] = [
    Lane { members: 3, megabytes: 40, faults: &members::FAULTS },
    Lane { members: 1, megabytes: 40, faults: &volumes::FAULTS },
];

impl Fault {
    /// Causes the fault and holds what is observed against what is promised.
    ///
    /// # Errors
    /// If a promise is broken.
    pub fn cause(&self, bed: &mut Bed) -> Result<Observed> {
        let observed = (self.run)(bed, self.name)?;
        let Observed { words, seconds, left, next, diagnosis, .. } = &observed;
        ensure!(self.words.contains(&words.as_str()), "{words}, promised was one of {:?}\n{diagnosis}", self.words);
        ensure!(*seconds < self.within_seconds, "{seconds} s, promised was {}\n{diagnosis}", self.within_seconds);
        ensure!(left == self.left, "left was {left}, promised was {}\n{diagnosis}", self.left);
        ensure!(next == self.next, "next {next}, promised was {}\n{diagnosis}", self.next);
        Ok(observed)
    }
}

/// Looks at what a run has left on a volume that can be read now. Nothing that was there may be gone.
fn observe(volume: &Volume, before: &[String], ended: &Ended, fault: Instant) -> Result<Observed> {
    let sets = volume.sets()?;
    let completed = ended.report["outcome"] == "Completed";
    ensure!(before.iter().all(|set| sets.contains(set)), "a set is gone: {before:?}, then {sets:?}");
    ensure!(
        sets.len() == before.len() + usize::from(completed),
        "a run that ended with {} has published {} sets\n{}",
        ended.words(),
        sets.len() - before.len(),
        ended.log
    );
    ensure!(ended.exit == Some(0) || !completed, "a backup was made, and the exit code is {:?}", ended.exit);
    Ok(Observed {
        words: ended.words(),
        exit: ended.exit.unwrap_or_default(),
        seconds: ended.at.duration_since(fault).as_secs_f64(),
        left: volume.left()?,
        next: String::new(),
        diagnosis: format!("{}\n{}", ended.report, ended.log),
    })
}

/// Runs the agent again, first without help, then with it; verifies everything that can be seen after that.
fn next(bed: &mut Bed, volume: &Volume, member: usize, help: impl FnOnce(&mut Bed) -> Result<()>) -> Result<String> {
    let first = bed.save(&volume.path, member, &[])?.wait()?;
    let mut words = first.words();
    if first.report["outcome"] != "Completed" {
        help(bed)?;
        let second = bed.save(&volume.path, member, &[])?.wait()?;
        words = format!("{words},then:{}", second.words());
        ensure!(second.report["outcome"] == "Completed", "also after the repair: {}\n{}", second.report, second.log);
    }
    ensure!(volume.left()?.ends_with(",0staged,0trash"), "the next run has not swept: {}", volume.left()?);
    volume.verify()?;
    Ok(words)
}
