//! What every controller's reconcile shares: its errors, its time, its metrics. What can go wrong
//! with a backup is no error but a condition.

use std::future::Future;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::runtime::controller::{self, Action};

use crate::metrics::Metrics;

/// Longest that one reconcile may take. The client itself would wait for a silent API server for
/// minutes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// When a reconcile that failed is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(10);

/// Why a reconcile ended early. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server could not be asked.
    #[error("cannot read {what}: {source}; tried again in a moment")]
    Read {
        /// Kind and name.
        what: String,
        /// Why.
        source: kube::Error,
    },
    /// The API server could not be told.
    #[error("cannot write {what}: {source}; tried again in a moment")]
    Write {
        /// Kind and name.
        what: String,
        /// Why.
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("{what}: the API server did not answer within {seconds} s; tried again in a moment")]
    Timeout {
        /// Kind and name.
        what: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The operator is stopping.
    #[error("the watches have ended; the operator is stopping")]
    Stopping,
    /// The object is not what this version knows under its kind.
    #[error("{what} cannot be read: {problem}; correct or delete it. No other object is affected")]
    Unreadable {
        /// Kind and name.
        what: String,
        /// What does not fit.
        problem: String,
    },
}

impl Error {
    /// An error of reading, for `map_err`.
    pub(crate) fn read(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Read { what, source }
    }

    /// An error of writing, for `map_err`.
    pub(crate) fn write(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Write { what, source }
    }

    /// The word for metrics and logs.
    #[must_use]
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "Read",
            Self::Write { .. } => "Write",
            Self::Timeout { .. } => "Timeout",
            Self::Stopping => "Stopping",
            Self::Unreadable { .. } => "Unreadable",
        }
    }

    /// Every word, so that counters start at zero.
    pub(crate) const REASONS: [&'static str; 5] = ["Read", "Write", "Timeout", "Stopping", "Unreadable"];
}

/// Who reconciles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    /// EtcdBackups.
    EtcdBackup,
    /// Backups.
    Backup,
    /// Claims, for the catalogue.
    Claim,
}

impl Controller {
    /// All of them, so that counters start at zero.
    pub(crate) const ALL: [Self; 3] = [Self::EtcdBackup, Self::Backup, Self::Claim];

    /// The word, as a metric's label.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::EtcdBackup => "etcdbackup",
            Self::Backup => "backup",
            Self::Claim => "claim",
        }
    }
}

/// One reconcile of an object (kind and name) within its time, measured.
pub(crate) async fn bounded<T>(
    controller: Controller,
    what: String,
    metrics: &Metrics,
    reconcile: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let controller = controller.as_str();
    let active = metrics.reconciles_active.with_label_values(&[controller]);
    active.inc();
    let began = Instant::now();
    let result = tokio::time::timeout(TIMEOUT, reconcile).await;
    let result = result.unwrap_or(Err(Error::Timeout { what, seconds: TIMEOUT.as_secs() }));
    active.dec();
    metrics.reconcile_seconds.with_label_values(&[controller]).observe(began.elapsed().as_secs_f64());
    metrics.reconciles.with_label_values(&[controller, if result.is_ok() { "ok" } else { "error" }]).inc();
    result
}

/// What a controller does when a reconcile is over: errors of its own have been told by
/// [`after_error`].
pub(crate) async fn over<T, E: std::error::Error + 'static, Q: std::error::Error + 'static>(
    result: Result<T, controller::Error<E, Q>>,
) {
    match result {
        // A trigger for an object that was deleted meanwhile.
        Ok(_) | Err(controller::Error::ObjectNotFound(_) | controller::Error::ReconcilerFailed(..)) => {}
        Err(error) => tracing::error!(%error, "the controller's queue failed"),
    }
}

/// Logs, counts, and tries again; an object that cannot be read is not tried before it changes.
pub(crate) fn after_error(controller: Controller, what: &str, error: &Error, metrics: &Metrics) -> Action {
    tracing::warn!(object = what, reason = error.reason(), %error, "reconcile failed");
    metrics.reconcile_errors.with_label_values(&[controller.as_str(), error.reason()]).inc();
    match error {
        Error::Unreadable { .. } => Action::await_change(),
        _ => Action::requeue(RETRY),
    }
}

/// Waits for a change, at most until a time.
#[must_use]
pub(crate) fn until(look_again: Option<Timestamp>, now: Timestamp) -> Action {
    look_again.map_or_else(Action::await_change, |at| {
        // A second more, because times of the API have whole seconds.
        let wait = Duration::try_from(at.duration_since(now)).unwrap_or_default();
        Action::requeue(wait + Duration::from_secs(1))
    })
}
