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
    let waiting = move |_| if watch.check().is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    stop.blocking(move || Volume::open(&path)?.lock(timeout, waiting)).await
}
