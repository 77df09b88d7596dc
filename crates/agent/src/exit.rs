use std::process::ExitCode;

use etcd_backup_core::{Outcome, Reason, Report, RetryAdvice};

/// How the process ends. Scripts and Jobs decide by these numbers, so they never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is done and proven.
    Success = 0,
    /// It failed; the same command may succeed later.
    Failed = 1,
    /// The command line makes no sense. clap ends with this number too.
    Usage = 2,
    /// A snapshot or a set is damaged.
    Damaged = 3,
    /// It failed, and will until somebody changes something.
    NeedsChange = 4,
    /// A signal ended it.
    Interrupted = 5,
}

impl Exit {
    const ALL: [Self; 6] =
        [Self::Success, Self::Failed, Self::Usage, Self::Damaged, Self::NeedsChange, Self::Interrupted];

    /// How a run of `save` ends the process.
    pub(crate) fn of(report: &Report) -> Self {
        match report.outcome {
            Outcome::Completed => Self::Success,
            Outcome::Failed => Self::of_failure(report.reason),
        }
    }

    /// How a failure ends the process.
    pub(crate) fn of_failure(reason: Reason) -> Self {
        match reason {
            Reason::Interrupted => Self::Interrupted,
            Reason::SnapshotInvalid | Reason::ArchiveInvalid => Self::Damaged,
            reason => match reason.retry() {
                RetryAdvice::MayHelp => Self::Failed,
                RetryAdvice::Useless => Self::NeedsChange,
            },
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed; running it again may help",
            Self::Usage => "the command line makes no sense",
            Self::Damaged => "verification failed: a snapshot or a set is damaged",
            Self::NeedsChange => "failed, and running it again is useless until somebody changes something",
            Self::Interrupted => "interrupted by a signal; nothing was published",
        }
    }

    /// The table for `--help`.
    pub(crate) fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("  {}  {}", exit as u8, exit.meaning()));
        format!("Exit codes:\n{}", rows.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_number() {
        for (reason, exit) in [
            (Reason::LockTimeout, 1),
            (Reason::VolumeIo, 1),
            (Reason::NoSpace, 1),
            (Reason::NoMember, 1),
            (Reason::NoHealthyMember, 1),
            (Reason::NoQuorum, 1),
            (Reason::Stalled, 1),
            (Reason::SinkTooSlow, 1),
            (Reason::DatabaseGrowth, 1),
            (Reason::StreamBroken, 1),
            (Reason::DeadlineExceeded, 1),
            (Reason::SnapshotStale, 1),
            (Reason::StaticResourcesChanging, 1),
            (Reason::Internal, 1),
            (Reason::SnapshotInvalid, 3),
            (Reason::ArchiveInvalid, 3),
            (Reason::LockUnsupported, 4),
            (Reason::VolumeInvalid, 4),
            (Reason::StaticResources, 4),
            (Reason::Tls, 4),
            (Reason::PermissionDenied, 4),
            (Reason::RunNotFound, 4),
            (Reason::PolicyInvalid, 4),
            (Reason::PolicyNotCurrent, 1),
            (Reason::Interrupted, 5),
        ] {
            assert_eq!(Exit::of_failure(reason) as u8, exit, "{reason}");
        }
    }

    #[test]
    fn the_table_names_every_number_once() {
        let table = Exit::table();
        for number in 0..6 {
            assert_eq!(table.matches(&format!("\n  {number}  ")).count(), 1, "{table}");
        }
    }
}
