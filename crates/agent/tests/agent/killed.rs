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

const PRUNES: u32 = 160;
const SAVES: u32 = 48;

/// Numbers that are the same in each run of the test (xorshift64).
struct Moments(u64);

impl Moments {
    /// Somewhere before `end`.
    fn before(&mut self, end: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        end.mul_f64(f64::from(u32::try_from(self.0 >> 32).unwrap()) / f64::from(u32::MAX))
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
    /// Kills a run after this long, and looks at what it leaves: the newest set from before, or a
    /// newer one, is proven, and no part of a set can be seen.
    fn kill(&mut self, agent: Agent, after: Duration, volume: &Path) {
        let newest = sets::all(volume).into_iter().rfind(sets::is_proven).unwrap();
        let running = agent.start();
        std::thread::sleep(after);
        running.signal(Signal::KILL);
        self.killed += u32::from(running.wait().exit.is_none());
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
    let mut moments = Moments(0x2545_f491_4f6c_dd1d);
    kill_prunes(&mut counted, &mut moments);
    kill_saves(&mut counted, &mut moments);
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
    assert!(runs >= 200 && killed > runs / 3, "{killed} of {runs} runs were killed before their end");
}

/// Memory is enough here: what a process has written stays when it is killed.
fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn kill_prunes(counted: &mut Counted, moments: &mut Moments) {
    let dir = in_memory();
    let refill = || {
        let locked = sets::lock(dir.path());
        (sets::all(dir.path()).len()..24).for_each(|_| _ = Made::new().with(&locked));
    };
    let agent = || prune(dir.path()).args(["--keep", "2", "--yes"]);
    let whole = whole(|| {
        refill();
        agent().run().took
    });
    for _ in 0..PRUNES {
        refill();
        counted.kill(agent(), moments.before(whole), dir.path());
    }
}

/// A volume with an etcd, where each save has to make room and prunes.
fn kill_saves(counted: &mut Counted, moments: &mut Moments) {
    let bed = Bed::new();
    bed.set_policy(&keep(1));
    let whole = whole(|| {
        let started = Instant::now();
        bed.scheduled_save().run().ended(0);
        started.elapsed()
    });
    let bytes = sets::all(&bed.volume())[0].size_bytes;
    for run in 0..SAVES {
        // By number the older set goes after the new one is there, by size before.
        let policy = if run % 2 == 0 { keep(1) } else { crate::size::at_most(bytes * 5 / 2) };
        bed.set_policy(&policy);
        counted.kill(bed.scheduled_save(), moments.before(whole), &bed.volume());
    }
}
