use std::future;
use std::time::{Duration, Instant};

use etcd_backup_core::Reason;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// What may end a run before it is done: a signal, or its deadline.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    signal: CancellationToken,
    deadline: Option<Instant>,
    limit: Duration,
}

/// Why a run was stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    #[error("ended from outside by a signal; run it again when convenient")]
    Interrupted,
    #[error(
        "the run took longer than its deadline of {} s; look at the phases for the slow one, or give it more time (--deadline)",
        .0.as_secs()
    )]
    DeadlineExceeded(Duration),
    #[error("a task of ours failed: {0}; please report this with the log")]
    Panicked(String),
}

impl Stopped {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Interrupted => Reason::Interrupted,
            Self::DeadlineExceeded(_) => Reason::DeadlineExceeded,
            Self::Panicked(_) => Reason::Internal,
        }
    }
}

impl Stop {
    /// Stops at SIGTERM, SIGINT or SIGHUP. Needs the runtime.
    pub(crate) fn on_signals() -> std::io::Result<Self> {
        let token = CancellationToken::new();
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
            let mut stream = signal(kind)?;
            let token = token.clone();
            tokio::spawn(async move {
                if stream.recv().await.is_some() {
                    token.cancel();
                }
            });
        }
        Ok(Self { signal: token, deadline: None, limit: Duration::MAX })
    }

    /// The same, and at a deadline that far from now.
    pub(crate) fn within(&self, limit: Duration) -> Self {
        Self { signal: self.signal.clone(), deadline: Instant::now().checked_add(limit), limit }
    }

    /// The moment of the deadline.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Becomes cancelled at a signal.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.signal
    }

    /// Whether the run has to end now.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        if self.signal.is_cancelled() {
            Err(Stopped::Interrupted)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Err(Stopped::DeadlineExceeded(self.limit))
        } else {
            Ok(())
        }
    }

    /// Runs `work`, which may block, and leaves it behind when the run has to end: it holds nothing
    /// that the process does not give back when it exits.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        self.check()?;
        tokio::select! {
            biased;
            done = spawn_blocking(work) => done.map_err(|error| Stopped::Panicked(error.to_string())),
            stopped = self.stopped() => Err(stopped),
        }
    }

    /// Runs something asynchronous until the run has to end.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        self.check()?;
        tokio::select! {
            biased;
            done = work => Ok(done),
            stopped = self.stopped() => Err(stopped),
        }
    }

    /// Ends when the run has to.
    pub(crate) async fn stopped(&self) -> Stopped {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            () = self.signal.cancelled() => Stopped::Interrupted,
            () = deadline => Stopped::DeadlineExceeded(self.limit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop() -> Stop {
        Stop { signal: CancellationToken::new(), deadline: None, limit: Duration::MAX }
    }

    #[tokio::test]
    async fn blocking_work_is_left_behind_at_the_deadline() {
        let (finish, finished) = std::sync::mpsc::channel::<()>();
        let stop = stop().within(Duration::from_millis(20));
        let ended = stop.blocking(move || finished.recv().is_ok()).await;
        assert_eq!(ended, Err(Stopped::DeadlineExceeded(Duration::from_millis(20))));
        assert_eq!(stop.blocking(|| ()).await.map_err(|stopped| stopped.reason()), Err(Reason::DeadlineExceeded));
        drop(finish);
    }

    #[tokio::test]
    async fn a_signal_outranks_the_deadline() {
        let stop = stop().within(Duration::ZERO);
        stop.token().cancel();
        assert_eq!(stop.or(async {}).await, Err(Stopped::Interrupted));
    }

    #[tokio::test]
    async fn work_that_ends_in_time_is_not_stopped() {
        assert_eq!(stop().within(Duration::from_secs(60)).blocking(|| 7).await, Ok(7));
    }
}
