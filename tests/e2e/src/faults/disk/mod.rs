//! A disk that fails when it is told to: a FUSE file system that passes everything on to a directory, but for what is
//! wrong with it. It stands in for the kernel's device mapper, which not every kernel has, and can do what that cannot:
//! fail one kind of operation on one kind of file.

mod files;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fuser::{BackgroundSession, Config, Errno, MountOption};

use files::Files;

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making a file durable.
    Fsync,
    /// Moving a file or a directory.
    Rename,
    /// Everything that changes the disk, and reading.
    Any,
}

/// What the disk does instead of what it should.
#[derive(Debug, Clone, Copy)]
pub enum Misdeed {
    /// It fails.
    Fails(Errno),
    /// It does it after so long.
    Takes(Duration),
    /// It does nothing, and does not answer either, until it is well again.
    Hangs,
}

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy)]
pub struct Defect {
    /// What goes wrong.
    pub operation: Operation,
    /// On what has a path that ends like this; on all if it is empty.
    pub on: &'static str,
    /// After so many of them that went well.
    pub after: u64,
    /// How it goes wrong.
    pub misdeed: Misdeed,
}

/// Where writes are until their file is fsynced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// In the directory at once.
    Through,
    /// In memory alone: a power cut loses them.
    Volatile,
}

/// A mounted disk. Dropping it unmounts.
pub struct FaultyDisk {
    path: PathBuf,
    control: Arc<Control>,
    session: Option<BackgroundSession>,
}

#[derive(Default)]
struct Control {
    state: Mutex<State>,
    well_again: Condvar,
}

#[derive(Default)]
struct State {
    defect: Option<Defect>,
    /// Operations that the defect is about.
    met: u64,
    struck: Option<Instant>,
    changes: u64,
    /// The power is cut before this change, counted from 0.
    cut_before: Option<u64>,
    cut: bool,
}

impl FaultyDisk {
    /// Mounts at `path` what is in `directory`; both are made if they are not there. Needs root.
    ///
    /// # Errors
    /// If FUSE is not there or refuses.
    pub fn mount(directory: &Path, path: &Path, cache: Cache) -> Result<Self> {
        for dir in [directory, path] {
            fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        }
        let control = Arc::new(Control::default());
        let files = Files::new(directory, cache, Arc::clone(&control))?;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("faulty-disk".to_owned()), MountOption::DefaultPermissions];
        let session = fuser::spawn_mount(files, path, &config).with_context(|| {
            format!("mount a FUSE file system at {} (root and /dev/fuse are needed)", path.display())
        })?;
        Ok(Self { path: path.to_owned(), control, session: Some(session) })
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on this is wrong with it.
    pub fn break_down(&self, defect: Defect) {
        let mut state = self.control.state();
        *state = State { defect: Some(defect), changes: state.changes, ..State::default() };
    }

    /// It is well again, with what it has on it.
    pub fn repair(&self) {
        self.control.state().defect = None;
        self.control.well_again.notify_all();
    }

    /// When the defect was first felt.
    #[must_use]
    pub fn struck(&self) -> Option<Instant> {
        self.control.state().struck
    }

    /// Cuts the power before that change, counted from 0 since it was mounted: from then on every operation fails, and
    /// what was not fsynced is lost.
    pub fn cut_power_before(&self, change: u64) {
        self.control.state().cut_before = Some(change);
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.control.state().cut
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        // What hangs would keep it from being unmounted.
        self.repair();
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("{} cannot be unmounted: {error}", self.path.display());
        }
    }
}

impl Control {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an operation happen, or not.
    fn admit(&self, operation: Operation, path: &Path) -> Result<(), Errno> {
        let mut state = self.state();
        if operation != Operation::Read {
            if state.cut_before.is_some_and(|change| state.changes >= change) {
                state.cut = true;
            }
            state.changes += 1;
        }
        if state.cut {
            return Err(Errno::EIO);
        }
        let concerned = |defect: &Defect| {
            (defect.operation == operation || defect.operation == Operation::Any)
                && path.as_os_str().as_encoded_bytes().ends_with(defect.on.as_bytes())
        };
        let Some(defect) = state.defect.filter(concerned) else { return Ok(()) };
        state.met += 1;
        if state.met <= defect.after {
            return Ok(());
        }
        state.struck.get_or_insert_with(Instant::now);
        match defect.misdeed {
            Misdeed::Fails(errno) => Err(errno),
            Misdeed::Takes(time) => {
                drop(state);
                thread::sleep(time);
                Ok(())
            }
            Misdeed::Hangs => {
                let waited = self.well_again.wait_while(state, |state| state.defect.is_some());
                drop(waited);
                Ok(())
            }
        }
    }
}
