//! Why a Backup is in the state it is in: the one word of its conditions and events.
//! `docs/operations/reasons.md` has a row for each.

use etcd_backup_core::RetentionReason;

use crate::etcdbackup::reason::StatusReason;

/// One word for a condition's reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BackupReason {
    /// All is well.
    Ready,
    /// The CronJob starts the runs.
    Scheduled,
    /// No runs are started, on purpose.
    Suspended,
    /// The spec has no schedule.
    NoSchedule,
    /// The spec names no claim.
    NoVolume,
    /// The schedule cannot be read.
    InvalidSchedule,
    /// There is no zone of that name.
    InvalidTimeZone,
    /// The schedule can be read, but no day is ever like that.
    NeverDue,
    /// A CronJob of that name belongs to somebody else.
    CronJobForeign,
    /// The API server refuses the CronJob.
    CronJobRefused,
    /// A run was due and did not start.
    Missed,
    /// The newest run failed.
    LastRunFailed,
    /// The policy is about to be enforced.
    Pruning,
    /// The policy could not be enforced.
    PruneFailed,
    /// A ConfigMap of the policy's name belongs to somebody else.
    PolicyForeign,
    /// The API server refuses the ConfigMap with the policy.
    PolicyRefused,
    /// Somebody else answers to the same resources.
    StandDown,
    /// What a run said of the policy.
    Retention(RetentionReason),
    /// Why the volume cannot be used.
    Volume(StatusReason),
}

impl BackupReason {
    /// The word.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Scheduled => "Scheduled",
            Self::Suspended => "Suspended",
            Self::NoSchedule => "NoSchedule",
            Self::NoVolume => "NoVolume",
            Self::InvalidSchedule => "InvalidSchedule",
            Self::InvalidTimeZone => "InvalidTimeZone",
            Self::NeverDue => "NeverDue",
            Self::CronJobForeign => "CronJobForeign",
            Self::CronJobRefused => "CronJobRefused",
            Self::Missed => "Missed",
            Self::LastRunFailed => "LastRunFailed",
            Self::Pruning => "Pruning",
            Self::PruneFailed => "PruneFailed",
            Self::PolicyForeign => "PolicyForeign",
            Self::PolicyRefused => "PolicyRefused",
            Self::StandDown => "StandDown",
            Self::Retention(reason) => reason.as_str(),
            Self::Volume(reason) => reason.as_str(),
        }
    }

    /// Words that nothing but somebody's hand takes away: by kstatus' rules the Backup is stalled.
    pub(crate) const STALLS: [Self; 12] = [
        Self::NoSchedule,
        Self::NoVolume,
        Self::InvalidSchedule,
        Self::InvalidTimeZone,
        Self::NeverDue,
        Self::CronJobForeign,
        Self::PolicyForeign,
        Self::StandDown,
        Self::Retention(RetentionReason::SizeExceeded),
        Self::Retention(RetentionReason::LineageChanged),
        Self::Retention(RetentionReason::VolumeChanged),
        Self::Retention(RetentionReason::PolicyInvalid),
    ];

    /// Whether a stored word is one of these.
    #[must_use]
    pub(crate) fn stalls(word: &str) -> bool {
        Self::STALLS.iter().any(|reason| reason.as_str() == word)
    }

    /// Whether a condition that is False with a stored word is as it should be for now.
    #[must_use]
    pub(crate) fn is_expected(word: &str) -> bool {
        [Self::Suspended, Self::Pruning].iter().any(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_documented() {
        use BackupReason as R;
        let others = [R::Ready, R::Scheduled, R::Suspended, R::CronJobRefused, R::Missed, R::LastRunFailed, R::Pruning];
        let retention = [
            RetentionReason::Satisfied,
            RetentionReason::PolicyChanged,
            RetentionReason::PruneFailed,
            RetentionReason::Other,
        ];
        let retention = retention.map(R::Retention);
        let page = include_str!("../../../../docs/operations/reasons.md");
        let (_, page) = page.split_once("# Reasons of a Backup").unwrap();
        for reason in [&R::STALLS[..], &others, &retention, &[R::PolicyRefused, R::PruneFailed]].concat() {
            let row = format!("| `{}` |", reason.as_str());
            assert!(page.contains(&row), "docs/operations/reasons.md has no row of Backups that begins with {row}");
        }
    }

    #[test]
    fn a_stored_word_says_what_it_means() {
        assert!(BackupReason::stalls("LineageChanged") && BackupReason::stalls("NoSchedule"));
        assert!(!BackupReason::stalls("Missed") && !BackupReason::stalls("PVCNotFound"));
        assert!(BackupReason::is_expected("Suspended") && !BackupReason::is_expected("Missed"));
    }
}
