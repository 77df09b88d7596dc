//! `kill -9` at any moment of a run that deletes.

use std::path::Path;
use std::time::{Duration, Instant};

use etcd_backup_core::SetName;
use etcd_backup_testbed::measured;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::bed::{Agent, Bed, prune};
use crate::number::keep;
use crate::sets::{self, Made};

/// Runs that are really killed; one that ends before the signal comes is made again.
const PRUNES: u32 = 160;
const SAVES: u32 = 48;

/// When to kill: somewhere in the time that a run takes. How long that is depends on what else the
/// machine does, so it is learned from which runs end before they are killed.
struct Moments {
    /// The same numbers in each run of the test (xorshift64).
    state: u64,
    longest: Duration,
    end: Duration,
}

impl Moments {
    fn new(longest: Duration) -> Self {
        Self { state: 0x2545_f491_4f6c_dd1d, longest, end: longest }
    }

    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.end.mul_f64(f64::from(u32::try_from(self.state >> 32).unwrap()) / f64::from(u32::MAX))
    }

    fn learn(&mut self, killed: bool) {
        // About one run in four ends before, so that their last moments are met as well.
        self.end = self.end.mul_f64(if killed { 1.04 } else { 0.9 }).min(self.longest);
    }
}

/// What all the kills came to.
#[derive(Default)]
struct Counted {
    runs: u32,
    killed: u32,
    last_good_lost: u32,
    partial_visible: u32,
}

impl Counted {
    /// Kills a run, and looks at what it leaves: the newest set from before, or a
    /// newer one, is proven, and no part of a set can be seen.
    fn kill(&mut self, agent: Agent, moments: &mut Moments, volume: &Path) {
        let newest = sets::all(volume).into_iter().rfind(sets::is_proven).unwrap();
        let running = agent.start();
        std::thread::sleep(moments.next());
        running.signal(Signal::KILL);
        let killed = running.wait().exit.is_none();
        moments.learn(killed);
        self.killed += u32::from(killed);
        self.runs += 1;
        self.look(volume, &newest.name, newest.sequence());
        // Whoever takes the lock next sweeps, and nothing changes by that.
        drop(sets::lock(volume));
        self.look(volume, &newest.name, newest.sequence());
    }

    fn look(&mut self, volume: &Path, newest: &SetName, sequence: Option<u64>) {
        let found = sets::all(volume);
        let is_last_good = |set: &etcd_backup_store::FoundSet| {
            (set.name == *newest || set.sequence() > sequence) && sets::is_proven(set)
        };
        self.last_good_lost += u32::from(!found.iter().any(is_last_good));
        self.partial_visible += u32::from(!found.iter().all(sets::is_proven));
    }
}

/// The longest of some whole runs.
fn whole(run: impl Fn() -> Duration) -> Duration {
    (0..3).map(|_| run()).max().unwrap()
}

#[test]
fn whenever_a_run_is_killed_the_last_good_set_is_there_whole() {
    let mut counted = Counted::default();
    kill_prunes(&mut counted);
    kill_saves(&mut counted);
    let Counted { runs, killed, last_good_lost, partial_visible } = counted;
    measured(
        "kill-prune",
        &[
            ("runs", &runs),
            ("killed", &killed),
            ("last_good_lost", &last_good_lost),
            ("partial_visible", &partial_visible),
        ],
    )
    .unwrap();
    assert_eq!((last_good_lost, partial_visible), (0, 0));
    assert_eq!(killed, PRUNES + SAVES, "of {runs} runs");
}

/// Memory is enough here: what a process has written stays when it is killed.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn kill_prunes(counted: &mut Counted) {
    let dir = in_memory();
    let refill = || {
        let locked = sets::lock(dir.path());
        (sets::all(dir.path()).len()..24).for_each(|_| _ = Made::new().with(&locked));
    };
    let agent = || prune(dir.path()).args(["--keep", "2", "--yes"]);
    let mut moments = Moments::new(whole(|| {
        refill();
        agent().run().took
    }));
    for _ in 0..PRUNES * 4 {
        if counted.killed == PRUNES {
            break;
        }
        refill();
        counted.kill(agent(), &mut moments, dir.path());
    }
}

/// A volume with an etcd, where each save has to make room and prunes.
fn kill_saves(counted: &mut Counted) {
    let bed = Bed::new();
    bed.set_policy(&keep(1));
    let mut moments = Moments::new(whole(|| {
        let started = Instant::now();
        bed.scheduled_save().run().ended(0);
        started.elapsed()
    }));
    let bytes = sets::all(&bed.volume())[0].size_bytes;
    for run in 0..SAVES * 4 {
        if counted.killed == PRUNES + SAVES {
            break;
        }
        // By number the older set goes after the new one is there, by size before.
        let policy = if run % 2 == 0 { keep(1) } else { crate::size::at_most(bytes * 5 / 2) };
        bed.set_policy(&policy);
        counted.kill(bed.scheduled_save(), &mut moments, &bed.volume());
    }
}
