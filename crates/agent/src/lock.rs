use std::mem;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use etcd_backup_store::{LockedVolume, StoreError, Volume};

use crate::stop::{Stop, Stopped};

/// Takes a volume's lock in a thread of its own, where waiting may block.
pub(crate) async fn lock_volume(
    path: PathBuf,
    timeout: Duration,
    stop: &Stop,
) -> Result<Result<LockedVolume, StoreError>, Stopped> {
    let watch = stop.clone();
    let mut told = false;
    stop.blocking(move || {
        Volume::open(&path)?.lock(timeout, |_| {
            if !mem::replace(&mut told, true) {
                tracing::info!(volume = %path.display(), timeout_seconds = timeout.as_secs(), "another run has the volume; waiting for it");
            }
            if watch.check().is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    })
    .await
}
