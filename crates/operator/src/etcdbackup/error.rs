//! What can go wrong while an EtcdBackup is reconciled. What can go wrong with a backup is no error
//! but a condition; see [`super::reason`].

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
    #[error("EtcdBackup {name}: the API server did not answer within {seconds} s; tried again in a moment")]
    Timeout {
        /// The object.
        name: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The operator is stopping.
    #[error("the watches have ended; the operator is stopping")]
    Stopping,
    /// The object is not an EtcdBackup as this version knows it.
    #[error("EtcdBackup {name} cannot be read: {problem}; correct or delete it. No other EtcdBackup is affected")]
    Unreadable {
        /// The object.
        name: String,
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
