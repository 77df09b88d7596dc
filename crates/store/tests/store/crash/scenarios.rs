//! What a run does to a volume, recorded.

use std::fs;
use std::io::Write;

use etcd_backup_core::FileRole;
use etcd_backup_store::{Damage, LockedVolume, OPERATION_LOG, VerificationResult};

use super::check::Promise;
use super::record::{Recorder, Recording};
use crate::fixture::{Disk, owner, report, run_id, set_name, staged};

/// Every kind of work on a volume, by name.
pub(crate) fn scenarios() -> Vec<(&'static str, Recording)> {
    vec![
        ("first run", first_run()),
        ("publish", publish()),
        ("failed attempt", failed_attempt()),
        ("make room", make_room()),
        ("prune", prune()),
        ("sweep", sweep()),
        ("sweep a publication", sweep_publication()),
        ("documents", documents()),
    ]
}

struct Run {
    disk: Disk,
    recorder: Recorder,
    promise: Promise,
}

impl Run {
    /// A volume with the sets 1 to `sets`.
    fn on(sets: u32) -> Self {
        let disk = Disk::in_memory();
        let mut promise = Promise::default();
        for number in 1..=sets {
            promise.sequence = disk.publish(number).manifest.sequence;
            promise.newest = Some(number);
            promise.id = disk.volume().id().unwrap();
        }
        let mut recorder = Recorder::begin(disk.path());
        recorder.promise(&promise);
        Self { disk, recorder, promise }
    }

    fn promised(&mut self, change: impl FnOnce(&mut Promise)) {
        change(&mut self.promise);
        self.recorder.promise(&self.promise);
    }

    fn lock(&mut self) -> LockedVolume {
        let locked = self.recorder.run(|| self.disk.lock());
        self.promised(|promise| promise.id = Some(locked.id()));
        locked
    }

    fn publish(&mut self, locked: &LockedVolume, number: u32) {
        let published = self.recorder.run(|| {
            let (staging, manifest) = staged(locked, number);
            staging.publish(&manifest).unwrap()
        });
        self.promised(|promise| {
            promise.newest = Some(number);
            promise.sequence = published.manifest.sequence;
        });
    }

    fn delete(&mut self, locked: &LockedVolume, number: u32) {
        self.recorder.run(|| locked.delete(&set_name(number), &owner())).unwrap();
        self.promised(|promise| promise.deleted.push(number));
    }

    /// A rename by a process that was killed right after it.
    fn rename(&mut self, from: &str, to: &str) {
        let (from, to) = (self.disk.path().join(from), self.disk.path().join(to));
        self.recorder.run(|| {
            fs::rename(&from, &to).unwrap();
            tracing::debug!(target: OPERATION_LOG, op = "rename", path = %from.display(), to = %to.display());
        });
    }

    fn end(self) -> Recording {
        self.recorder.end()
    }
}

fn first_run() -> Recording {
    let mut run = Run::on(0);
    let locked = run.lock();
    run.publish(&locked, 1);
    run.end()
}

fn publish() -> Recording {
    let mut run = Run::on(2);
    let locked = run.lock();
    run.publish(&locked, 3);
    run.end()
}

/// A member fails while its snapshot is written; that of another is taken; the run is given up.
fn failed_attempt() -> Recording {
    let mut run = Run::on(1);
    let locked = run.lock();
    run.recorder.run(|| {
        let mut staging = locked.stage(&set_name(2)).unwrap();
        staging.create("snapshot.db").unwrap().write_all(b"half").unwrap();
        staging.remove("snapshot.db").unwrap();
        staging.create("snapshot.db").unwrap().write_all(b"whole").unwrap();
        drop(staging.sync().unwrap());
    });
    run.publish(&locked, 3);
    run.end()
}

/// Sets are deleted while another is being staged.
fn make_room() -> Recording {
    let mut run = Run::on(3);
    let locked = run.lock();
    let mut staging = run.recorder.run(|| {
        let mut staging = locked.stage(&set_name(4)).unwrap();
        staging.create("archive").unwrap().write_all(b"archive").unwrap();
        staging
    });
    run.delete(&locked, 1);
    run.delete(&locked, 2);
    run.recorder.run(|| {
        staging.create("snapshot.db").unwrap().write_all(b"whole").unwrap();
        drop(staging.sync().unwrap());
    });
    run.publish(&locked, 4);
    run.end()
}

fn prune() -> Recording {
    let mut run = Run::on(3);
    let locked = run.lock();
    run.publish(&locked, 4);
    for number in 1..=3 {
        run.delete(&locked, number);
    }
    run.recorder.run(|| locked.write_report(&report(run_id(1), "1"))).unwrap();
    run.promised(|promise| promise.report = 1);
    run.end()
}

/// A run was killed while it deleted a set; the next one ends it.
fn sweep() -> Recording {
    let mut run = Run::on(2);
    run.rename(set_name(1).as_str(), &format!(".etcd-backup/trash/{}", set_name(1)));
    let locked = run.lock();
    run.promised(|promise| promise.deleted.push(1));
    run.publish(&locked, 3);
    run.end()
}

/// A run was killed while it published a set; the next one finds it, and relies on it.
fn sweep_publication() -> Recording {
    let mut run = Run::on(3);
    let staged = run.disk.own("staging").join(set_name(3).as_str());
    fs::rename(run.disk.path().join(set_name(3).as_str()), &staged).unwrap();
    run.promise.newest = Some(2);
    run.recorder = Recorder::begin(run.disk.path());
    run.promised(|_| {});
    run.rename(&format!(".etcd-backup/staging/{}", set_name(3)), set_name(3).as_str());
    let locked = run.lock();
    run.promised(|promise| promise.newest = Some(3));
    run.delete(&locked, 1);
    run.delete(&locked, 2);
    run.end()
}

fn documents() -> Recording {
    let mut run = Run::on(3);
    let locked = run.lock();
    for number in 1..=2 {
        run.recorder.run(|| locked.write_report(&report(run_id(1), &number.to_string()))).unwrap();
        run.promised(|promise| promise.report = number);
    }
    let path = run.disk.path().join(set_name(2).as_str()).join("snapshot.db");
    let damage = Damage { path, role: FileRole::Snapshot, what: "its SHA-256 differs".into() };
    let now = report(run_id(1), "").start_time;
    for result in [VerificationResult::Sound, VerificationResult::Damaged(damage)] {
        run.recorder.run(|| locked.record_verification(&set_name(2), &run_id(2), &result, now, "test 1.0")).unwrap();
        run.promised(|promise| promise.damaged = (result != VerificationResult::Sound).then_some(2));
    }
    run.promised(|promise| promise.damaged = None);
    run.delete(&locked, 2);
    // As nobody should: the newest one. Its number must not come back.
    run.promised(|promise| promise.newest = Some(1));
    run.delete(&locked, 3);
    run.end()
}
