use std::fs::{File, TryLockError};
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_backup_core::{RunId, SetName};
use rustix::io::Errno;
use uuid::Uuid;

use crate::dir::Dir;
use crate::operation::Operation;
use crate::publish::write_durably;
use crate::set::{Look, is_named_for};
use crate::volume::{IDENTITY, RUNS, STAGING, STATE, TRASH, VERIFIED, new_identity, read_identity};
use crate::{PublishedSet, Staging, StoreError, Swept, Volume, sweep, verified};

const LOCK: &str = "lock";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A volume that this process alone may write to, until this value and every [`Staging`] made from
/// it are dropped or the process dies. It has an identity, and its working directories are empty.
#[derive(Debug)]
pub struct LockedVolume {
    pub(crate) held: Arc<Held>,
    swept: Vec<Swept>,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) volume: Volume,
    pub(crate) state: Dir,
    pub(crate) staging: Dir,
    pub(crate) trash: Dir,
    pub(crate) runs: Dir,
    pub(crate) verified: Dir,
    id: Uuid,
    _lock: File,
}

impl Volume {
    /// Takes the volume's lock, gives the volume its identity if it has none, and sweeps what an
    /// earlier run left behind.
    ///
    /// While another run has the lock, `waiting` is called with the time waited so far, the first
    /// time at once and then at least once a second; it may end the wait.
    ///
    /// # Errors
    /// [`StoreError::LockTimeout`] after `timeout`; [`StoreError::Interrupted`] if `waiting` ended
    /// it; [`StoreError::LockUnsupported`]; [`StoreError::Invalid`] if the identity or a working
    /// directory is not what it has to be; [`StoreError::Io`].
    pub fn lock(
        self,
        timeout: Duration,
        waiting: impl FnMut(Duration) -> ControlFlow<()>,
    ) -> Result<LockedVolume, StoreError> {
        let state = self.root.ensure_dir(STATE)?;
        let staging = state.ensure_dir(STAGING)?;
        let trash = state.ensure_dir(TRASH)?;
        let runs = state.ensure_dir(RUNS)?;
        let verified = state.ensure_dir(VERIFIED)?;

        let lock = acquire(&state, timeout, waiting)?;
        // A run that was killed may have left a rename that is not durable; what is swept by it could
        // otherwise be found at its former place again, and no longer whole.
        self.root.sync()?;
        state.sync()?;
        let id = ensure_identity(&state, &staging)?;
        let mut swept = sweep::empty(&staging)?;
        swept.extend(sweep::empty(&trash)?);
        if let Err(error) = verified::sweep(&verified, &self.root) {
            tracing::warn!(%error, "results of verifications outlive their sets; the next run removes them");
        }
        let held = Held { volume: self, state, staging, trash, runs, verified, id, _lock: lock };
        Ok(LockedVolume { held: Arc::new(held), swept })
    }
}

impl LockedVolume {
    /// The volume, to read from.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        &self.held.volume
    }

    /// The volume's identity.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.held.id
    }

    /// What earlier runs had left behind, removed when the lock was taken.
    #[must_use]
    pub fn swept(&self) -> &[Swept] {
        &self.swept
    }

    /// The set that a run has published, if it has. Only sizes are compared here.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if that set is damaged; [`StoreError::Unreadable`] if a set cannot be
    /// read that by its name may be this run's: publishing a second one is then not safe;
    /// [`StoreError::Io`].
    pub fn find_run(&self, run: &RunId) -> Result<Option<PublishedSet>, StoreError> {
        for set in self.volume().each(|name| is_named_for(name, run))? {
            match set.state {
                Look::Consistent { manifest, manifest_bytes } if manifest.run_id == *run => {
                    let (name, path) = (set.name, set.path);
                    return Ok(Some(PublishedSet { name, path, manifest: *manifest, manifest_bytes }));
                }
                Look::Damaged { manifest, damage, .. } if manifest.run_id == *run => return Err(damage.into()),
                Look::Unreadable { why, .. } => return Err(StoreError::Unreadable { path: set.path, why }),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Begins a set.
    ///
    /// # Errors
    /// [`StoreError::Io`], also if this very set is being staged already.
    pub fn stage(&self, name: &SetName) -> Result<Staging, StoreError> {
        Staging::new(Arc::clone(&self.held), name.clone())
    }
}

fn acquire(
    state: &Dir,
    timeout: Duration,
    mut waiting: impl FnMut(Duration) -> ControlFlow<()>,
) -> Result<File, StoreError> {
    let path = state.path_of(LOCK);
    let mut since = None;
    let mut pause = FIRST_PAUSE;
    loop {
        // Opened anew each time: a lock on a file that somebody deleted would lock nobody out.
        let file = state.ensure_file(LOCK)?;
        match file.try_lock() {
            Ok(()) if state.knows(LOCK, &file) => {
                Operation::Lock.log(&path);
                return Ok(file);
            }
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(lock_error(state, error)),
        }
        let first = since.get_or_insert_with(|| {
            let timeout_seconds = timeout.as_secs();
            tracing::info!(lock = %path.display(), timeout_seconds, "another run has the volume; waiting for it");
            Instant::now()
        });
        let waited = first.elapsed();
        if waited >= timeout {
            return Err(StoreError::LockTimeout { path, waited });
        }
        if waiting(waited).is_break() {
            return Err(StoreError::Interrupted { doing: "waiting for", path });
        }
        std::thread::sleep(pause.min(timeout - waited));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn lock_error(state: &Dir, source: io::Error) -> StoreError {
    let path = state.path_of(LOCK);
    match Errno::from_io_error(&source) {
        Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => StoreError::LockUnsupported { path, source },
        _ => StoreError::io("lock", path, source),
    }
}

/// Under the lock, so that of two first runs the second reads what the first wrote.
fn ensure_identity(state: &Dir, staging: &Dir) -> Result<Uuid, StoreError> {
    if let Some(id) = read_identity(state)? {
        return Ok(id);
    }
    let failed = |error| StoreError::io("write", state.path_of(IDENTITY), std::io::Error::from(error));
    let (id, document) = new_identity().map_err(failed)?;
    write_durably(staging, state, IDENTITY, &document)?;
    tracing::info!(volume = %state.path().display(), %id, "new volume identity");
    Ok(id)
}
