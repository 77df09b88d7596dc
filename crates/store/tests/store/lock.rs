use std::fs;
use std::ops::ControlFlow;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use etcd_backup_core::Reason;

use crate::fixture::{Disk, staged};

#[test]
fn opening_and_listing_write_nothing() {
    let disk = Disk::new();
    let volume = disk.volume();
    assert_eq!(volume.id().unwrap(), None);
    assert!(volume.sets().unwrap().is_empty());
    assert!(fs::read_dir(disk.path()).unwrap().next().is_none());
}

#[test]
fn a_volume_has_to_be_a_directory() {
    let disk = Disk::new();
    let file = disk.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [file, disk.path().join("missing")] {
        let error = etcd_backup_store::Volume::open(&path).unwrap_err();
        assert_eq!(error.reason(), Reason::VolumeIo);
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_identity_is_written_once() {
    let disk = Disk::new();
    let id = disk.lock().id();
    let document = fs::read(disk.own("volume.json")).unwrap();
    assert_eq!(disk.lock().id(), id);
    assert_eq!(disk.volume().id().unwrap(), Some(id));
    assert_eq!(fs::read(disk.own("volume.json")).unwrap(), document);
}

#[test]
fn first_runs_at_once_agree_on_the_identity() {
    let disk = Disk::new();
    let lock = || disk.volume().lock(Duration::from_secs(60), |_| ControlFlow::Continue(()));
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..8).map(|_| scope.spawn(|| lock().unwrap().id())).collect();
        let ids: Vec<_> = runs.into_iter().map(|run| run.join().unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    });
}

#[test]
fn one_run_at_a_time() {
    let disk = Disk::new();
    let (inside, runs) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for number in 1..=6 {
            let (disk, inside, runs) = (&disk, &inside, &runs);
            scope.spawn(move || {
                let locked = disk.volume().lock(Duration::from_secs(60), |_| ControlFlow::Continue(())).unwrap();
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two runs have the lock");
                let (staging, manifest) = staged(&locked, number);
                staging.publish(&manifest).unwrap();
                runs.fetch_add(1, Ordering::SeqCst);
                inside.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    assert_eq!(runs.into_inner(), 6);
    let sequences: Vec<_> = disk.volume().sets().unwrap().iter().filter_map(|set| set.sequence()).collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn waiting_is_told_and_bounded_and_can_be_ended() {
    let disk = Disk::new();
    let held = disk.lock();
    let mut told = Vec::new();
    let begin = Instant::now();
    let error = disk
        .volume()
        .lock(Duration::from_millis(200), |waited| {
            told.push(waited);
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert_eq!(error.reason(), Reason::LockTimeout);
    assert!(begin.elapsed() >= Duration::from_millis(200) && begin.elapsed() < Duration::from_secs(20));
    assert!(told.len() >= 2 && told[0] < told[1], "{told:?}");

    let error = disk.volume().lock(Duration::from_secs(60), |_| ControlFlow::Break(())).unwrap_err();
    assert_eq!(error.reason(), Reason::Interrupted);
    drop(held);
    disk.lock();
}

#[test]
fn the_lock_lasts_as_long_as_something_is_staged() {
    let disk = Disk::new();
    let locked = disk.lock();
    let (staging, manifest) = staged(&locked, 1);
    drop(locked);
    assert_eq!(disk.try_lock().unwrap_err().reason(), Reason::LockTimeout);
    staging.publish(&manifest).unwrap();
    disk.lock();
}

/// Another process that holds the lock, as the kernel sees it.
struct OtherProcess(Child);

impl OtherProcess {
    fn lock(disk: &Disk) -> Self {
        drop(disk.lock());
        let mut command = Command::new("flock");
        command.args(["--no-fork".as_ref(), disk.own("lock").as_os_str()]).args(["sleep", "600"]);
        let other = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let begin = Instant::now();
        while disk.try_lock().is_ok() {
            assert!(begin.elapsed() < Duration::from_secs(20), "flock did not take the lock");
            std::thread::sleep(Duration::from_millis(5));
        }
        other
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_lock_of_a_killed_process_is_free() {
    let disk = Disk::new();
    let other = OtherProcess::lock(&disk);
    assert_eq!(disk.try_lock().unwrap_err().reason(), Reason::LockTimeout);
    drop(other);
    disk.lock();
}

#[test]
fn a_waiting_run_locks_the_file_that_others_would_lock() {
    let disk = Disk::new();
    let held = disk.lock();
    std::thread::scope(|scope| {
        let mut deleted = false;
        let disk = &disk;
        let waiter = scope.spawn(move || {
            disk.volume()
                .lock(Duration::from_secs(60), |_| {
                    if !deleted {
                        // What somebody at night takes for a way to unlock.
                        fs::remove_file(disk.own("lock")).unwrap();
                        deleted = true;
                    }
                    ControlFlow::Continue(())
                })
                .unwrap()
        });
        let locked = waiter.join().unwrap();
        assert_eq!(disk.try_lock().unwrap_err().reason(), Reason::LockTimeout);
        drop(locked);
    });
    drop(held);
    disk.lock();
}
