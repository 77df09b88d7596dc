//! SIGINT and SIGTERM: a bed that this process owns, or is bringing up, goes down before the process ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError, RwLock, RwLockReadGuard};
use std::{io, process, thread};

use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Bed;
use crate::error::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Read-locked by every bring-up; the handler's write lock waits until they have all given up.
static BRINGING_UP: RwLock<()> = RwLock::new(());
static OWNED: Mutex<Vec<Bed>> = Mutex::new(Vec::new());

/// Fails once a signal has arrived.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Starts handling signals. While the guard lives, a signal does not end the process but fails [`check`], so that who
/// holds the guard can clear up first.
pub(crate) fn guard() -> Result<RwLockReadGuard<'static, ()>> {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(|| _ = thread::spawn(handle));
    let guard = BRINGING_UP.read().unwrap_or_else(PoisonError::into_inner);
    check().map(|()| guard)
}

/// The bed goes down at a signal from now on.
pub(crate) fn own(bed: &Bed) {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner).push(bed.clone());
}

/// The bed is left alone at a signal from now on.
pub(crate) fn disown(bed: &Bed) {
    OWNED.lock().unwrap_or_else(PoisonError::into_inner).retain(|owned| owned != bed);
}

fn handle() {
    if let Err(error) = wait_for_signal() {
        tracing::error!(%error, "signals are not handled: after Ctrl-C run `testbed down`");
        return;
    }
    INTERRUPTED.store(true, Ordering::SeqCst);
    let _nothing_comes_up = BRINGING_UP.write().unwrap_or_else(PoisonError::into_inner);
    for bed in OWNED.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        if let Err(error) = bed.down() {
            tracing::error!(%error, bed = bed.name(), "interrupted, and the bed did not go down");
        }
    }
    process::exit(130);
}

fn wait_for_signal() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}
