//! Faults of the volume that a backup is saved to.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fuser::Errno;

use super::agent::{Ended, Volume};
use super::bed::{Bed, command};
use super::disk::{Cache, Defect, FaultyDisk, Misdeed, Operation};
use super::{Fault, Observed, clock, next, observe, power_cut};

const IO: &[&str] = &["VolumeIo"];
const FULL: &[&str] = &["NoSpace"];

/// What can happen to a volume, and to the machine that it is mounted on.
pub(super) const FAULTS: [Fault; 14] = [
    Fault {
        name: "volume-full",
        run: full,
        words: FULL,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "NoSpace,then:Completed",
    },
    Fault {
        name: "volume-fills-up",
        run: fills_up,
        words: FULL,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "NoSpace,then:Completed",
    },
    Fault {
        name: "over-quota",
        run: over_quota,
        words: FULL,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "NoSpace,then:Completed",
    },
    Fault {
        name: "read-only",
        run: read_only,
        words: IO,
        within_seconds: 20.0,
        left: "1set,1staged,0trash",
        next: "VolumeIo,then:Completed",
    },
    Fault {
        name: "write-fails",
        run: write_fails,
        words: IO,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "fsync-fails",
        run: fsync_fails,
        words: IO,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "read-back-fails",
        run: read_fails,
        words: IO,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "rename-fails",
        run: rename_fails,
        words: IO,
        within_seconds: 20.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "disk-dies",
        run: dies,
        words: IO,
        within_seconds: 20.0,
        left: "1set,1staged,0trash",
        next: "VolumeIo,then:Completed",
    },
    Fault {
        name: "disk-hangs",
        run: hangs,
        words: &["DeadlineExceeded"],
        within_seconds: 25.0,
        left: "1set,1staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "disk-slow",
        run: slow,
        words: &["SinkTooSlow"],
        within_seconds: 60.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "power-cut",
        run: power_cut::at_every_change,
        words: &["whole or not there"],
        within_seconds: 30.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "clock-steps",
        run: clock::steps,
        words: &["Completed"],
        within_seconds: 30.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "clock-back",
        run: clock::back,
        words: &["Completed"],
        within_seconds: 30.0,
        left: "1set,0staged,0trash",
        next: "Completed",
    },
];

/// A file system in a file. Dropping it unmounts.
struct Image {
    path: PathBuf,
}

impl Image {
    fn mount(bed: &Bed, name: &str, megabytes: u64, mkfs: &[&str]) -> Result<Self> {
        let (file, path) = (bed.path(&format!("{name}.image")), bed.path(name));
        File::create(&file)?.set_len(megabytes << 20)?;
        fs::create_dir_all(&path)?;
        let [file, at] = [&file, &path].map(|path| path.display().to_string());
        let (mkfs, args) = mkfs.split_first().context("no mkfs")?;
        command(mkfs, &[args, &[file.as_str()]].concat())?;
        command("mount", &["-o", "loop", &file, &at])?;
        Ok(Self { path })
    }

    fn ext4(bed: &Bed, name: &str, megabytes: u64) -> Result<Self> {
        Self::mount(bed, name, megabytes, &["mkfs.ext4", "-q", "-F", "-m", "0"])
    }

    fn available_bytes(&self) -> Result<u64> {
        let space = rustix::fs::statvfs(&self.path)?;
        Ok(space.f_bavail * space.f_frsize)
    }

    /// A file of somebody else, that leaves only so many bytes.
    fn fill_up_to(&self, left: u64) -> Result<PathBuf> {
        let (path, available) = (self.path.join("somebody-elses"), self.available_bytes()?);
        command("fallocate", &["-l", &(available - left).to_string(), &path.display().to_string()])?;
        Ok(path)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // What is still in use goes when it is not any more.
        if let Err(error) = command("umount", &["--lazy", &self.path.display().to_string()]) {
            eprintln!("{error}");
        }
    }
}

/// A run that begins when the fault is there.
fn from_the_start(
    bed: &mut Bed,
    volume: &Volume,
    fault: Instant,
    help: impl FnOnce(&mut Bed) -> Result<()>,
) -> Result<Observed> {
    let before = volume.sets()?;
    let ended = bed.save(&volume.path, 0, &[])?.wait()?;
    let mut observed = observe(volume, &before, &ended, fault)?;
    observed.next = next(bed, volume, 0, help)?;
    Ok(observed)
}

fn full(bed: &mut Bed, name: &str) -> Result<Observed> {
    let image = Image::ext4(bed, name, 160)?;
    let volume = bed.volume(&image.path)?;
    let filler = image.fill_up_to(bed.database_bytes / 2)?;
    from_the_start(bed, &volume, Instant::now(), |_| Ok(fs::remove_file(&filler)?))
}

/// Somebody else takes the room that there was when the stream began.
fn fills_up(bed: &mut Bed, name: &str) -> Result<Observed> {
    let image = Image::ext4(bed, name, 160)?;
    let volume = bed.volume(&image.path)?;
    let before = volume.sets()?;
    let streaming = bed.streaming(&volume.path, 0)?;
    let fault = Instant::now();
    let filler = image.fill_up_to(1 << 20)?;
    let ended = streaming.go_on(bed)?;
    let mut observed = observe(&volume, &before, &ended, fault)?;
    observed.next = next(bed, &volume, 0, |_| Ok(fs::remove_file(&filler)?))?;
    Ok(observed)
}

/// btrfs, because its quota needs nothing but itself, and says nothing in statvfs: the agent meets it while it writes.
fn over_quota(bed: &mut Bed, name: &str) -> Result<Observed> {
    let image = Image::mount(bed, name, 400, &["mkfs.btrfs", "-q"])?;
    let volume = bed.volume(&image.path)?;
    let path = image.path.display().to_string();
    command("btrfs", &["quota", "enable", &path])?;
    command("btrfs", &["filesystem", "sync", &path])?;
    command("btrfs", &["quota", "rescan", "-w", &path])?;
    let limit = bed.database_bytes / 2 * 3;
    command("btrfs", &["qgroup", "limit", &limit.to_string(), &path])?;
    from_the_start(bed, &volume, Instant::now(), |_| command("btrfs", &["qgroup", "limit", "none", &path]).map(drop))
}

/// The file system gives up on itself, as ext4 does when it finds an error, and is read-only from then on.
fn read_only(bed: &mut Bed, name: &str) -> Result<Observed> {
    let image = Image::ext4(bed, name, 160)?;
    let volume = bed.volume(&image.path)?;
    let before = volume.sets()?;
    let streaming = bed.streaming(&volume.path, 0)?;
    let [file, path] = [bed.path(&format!("{name}.image")), image.path.clone()].map(|path| path.display().to_string());
    let fault = Instant::now();
    command("mount", &["-o", "remount,abort", &path])?;
    let ended = streaming.go_on(bed)?;
    let mut observed = observe(&volume, &before, &ended, fault)?;
    observed.next = next(bed, &volume, 0, |_| {
        command("umount", &[&path])?;
        // 1 means that errors were corrected.
        command("sh", &["-c", "e2fsck -fp \"$0\" || test $? = 1", &file])?;
        command("mount", &["-o", "loop", &file, &path]).map(drop)
    })?;
    Ok(observed)
}

/// A run on a disk that gets a defect. The next one finds it well again, or as it is.
fn on_defective_disk(bed: &mut Bed, name: &str, defect: Defect, goes_away: bool) -> Result<Observed> {
    let disk = FaultyDisk::mount(&behind(bed, name), &bed.path(name), Cache::Through)?;
    let volume = bed.volume(disk.path())?;
    let before = volume.sets()?;
    disk.break_down(defect);
    let ended = bed.save(&volume.path, 0, &[])?.wait()?;
    let fault = disk.struck().context("the defect was never met")?;
    let mut observed = observe(&Volume { path: behind(bed, name) }, &before, &ended, fault)?;
    if goes_away {
        disk.repair();
    }
    observed.next = next(bed, &volume, 0, |_| {
        disk.repair();
        Ok(())
    })?;
    Ok(observed)
}

/// What is on a faulty disk, where its defect is not met.
fn behind(bed: &Bed, name: &str) -> PathBuf {
    bed.path(&format!("{name}.disk"))
}

fn fails(operation: Operation, on: &'static str, after: u64) -> Defect {
    Defect { operation, on, after, misdeed: Misdeed::Fails(Errno::EIO) }
}

fn write_fails(bed: &mut Bed, name: &str) -> Result<Observed> {
    on_defective_disk(bed, name, fails(Operation::Write, ".db", 10), true)
}

fn fsync_fails(bed: &mut Bed, name: &str) -> Result<Observed> {
    on_defective_disk(bed, name, fails(Operation::Fsync, ".db", 0), true)
}

fn read_fails(bed: &mut Bed, name: &str) -> Result<Observed> {
    on_defective_disk(bed, name, fails(Operation::Read, ".db", 10), true)
}

/// The rename that would publish the set. The one before notes its sequence.
fn rename_fails(bed: &mut Bed, name: &str) -> Result<Observed> {
    on_defective_disk(bed, name, fails(Operation::Rename, "", 1), true)
}

/// Nothing works any more from the middle of the stream on.
fn dies(bed: &mut Bed, name: &str) -> Result<Observed> {
    on_defective_disk(bed, name, fails(Operation::Any, "", 30), false)
}

/// Every write takes two seconds; one has at most a megabyte.
fn slow(bed: &mut Bed, name: &str) -> Result<Observed> {
    let misdeed = Misdeed::Takes(Duration::from_secs(2));
    on_defective_disk(bed, name, Defect { misdeed, ..fails(Operation::Write, ".db", 10) }, true)
}

/// Nothing returns any more. The report is what counts: a process that waits for FUSE cannot end before the answer.
fn hangs(bed: &mut Bed, name: &str) -> Result<Observed> {
    let disk = FaultyDisk::mount(&behind(bed, name), &bed.path(name), Cache::Through)?;
    let volume = bed.volume(disk.path())?;
    let before = volume.sets()?;
    disk.break_down(Defect { misdeed: Misdeed::Hangs, ..fails(Operation::Any, "", 30) });
    let mut run = bed.save(&volume.path, 0, &["--deadline", "8s"])?;
    run.until_reported()?;
    let reported = Instant::now();
    let fault = disk.struck().context("the defect was never met")?;
    disk.repair();
    let ended = Ended { at: reported, ..run.wait()? };
    let mut observed = observe(&volume, &before, &ended, fault)?;
    observed.next = next(bed, &volume, 0, |_| Ok(()))?;
    Ok(observed)
}
