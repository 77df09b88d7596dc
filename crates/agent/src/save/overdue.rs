//! A run that has to end and does not: the volume's server is gone, and a file operation never returns. Nobody can end
//! such an operation from within the process, but whoever watches from another thread can still tell of it.

use std::future;
use std::time::Duration;

use tokio::sync::watch;

use crate::stop::{Stop, Stopped};

/// How long a run that has to end may take to clean up and to tell: less than the 30 s that a pod gets to end in.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(10);

/// How far a run is.
#[derive(Debug)]
pub(super) enum Reached {
    /// It waits for the volume's lock.
    Lock,
    /// It saves, until this stops it.
    Saving(Stop),
    /// The backup is made. Whatever hangs after that, nobody may call it failed.
    Published,
}

/// Ends when the run should have ended, and has not told so itself in the time for its last words.
pub(super) async fn overdue(
    stop: &Stop,
    lock_timeout: Duration,
    last_words: Duration,
    mut reached: watch::Receiver<Reached>,
) -> Stopped {
    let stopped = tokio::select! {
        saving = saving(&mut reached) => saving.stopped().await,
        stopped = async { stop.within(lock_timeout).stopped().await } => stopped,
    };
    tokio::time::sleep(last_words).await;
    if matches!(*reached.borrow(), Reached::Published) {
        return future::pending().await;
    }
    stopped
}

/// Waits until the run has the lock; never ends for one that does not get it, or is over.
async fn saving(reached: &mut watch::Receiver<Reached>) -> Stop {
    let saving = reached.wait_for(|reached| matches!(reached, Reached::Saving(_))).await;
    match saving.as_deref() {
        Ok(Reached::Saving(stop)) => stop.clone(),
        _ => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(3600);

    /// What is said of a run that has reached this and does not return.
    async fn said(stop: &Stop, lock_timeout: Duration, reached: Reached) -> Option<Stopped> {
        let (_sender, watched) = watch::channel(reached);
        tokio::time::timeout(10 * SOON, overdue(stop, lock_timeout, SOON, watched)).await.ok()
    }

    #[tokio::test]
    async fn a_run_that_does_not_return_is_told_of() {
        let stop = Stop::on_signals().unwrap();
        let within = |limit| Reached::Saving(stop.within(limit));
        assert_eq!(said(&stop, LONG, within(SOON)).await, Some(Stopped::DeadlineExceeded(SOON)));
        assert_eq!(said(&stop, SOON, Reached::Lock).await, Some(Stopped::DeadlineExceeded(SOON)));
        assert_eq!(said(&stop, LONG, within(LONG)).await, None, "it has time");
        stop.token().cancel();
        for reached in [Reached::Lock, within(LONG)] {
            assert_eq!(said(&stop, LONG, reached).await, Some(Stopped::Interrupted));
        }
    }

    #[tokio::test]
    async fn a_backup_that_is_made_is_never_called_failed() {
        let stop = Stop::on_signals().unwrap();
        stop.token().cancel();
        assert_eq!(said(&stop, SOON, Reached::Published).await, None);
    }
}
