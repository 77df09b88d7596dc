use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_backup_core::{FileRole, Reason};
use rustix::io::Errno;

/// Why something on a volume could not be done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused an operation.
    #[error("cannot {action} {}: {source}; {}", path.display(), advice(source))]
    Io {
        /// What was tried, such as `open`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// Something of the volume's own is not what it has to be.
    #[error("{} {what}; {advice}", path.display())]
    Invalid {
        /// What is not right.
        path: PathBuf,
        /// What is wrong with it, as the rest of a sentence.
        what: String,
        /// What to do.
        advice: &'static str,
    },
    /// Another run kept the lock for the whole time that this one would wait.
    #[error(
        "another run has held {} for {} s; see which backup is running on this volume, and wait for it or end it, or wait longer (the lock ends with its process; deleting the file frees nothing)",
        path.display(), waited.as_secs()
    )]
    LockTimeout {
        /// The lock's file.
        path: PathBuf,
        /// How long this run waited.
        waited: Duration,
    },
    /// The file system cannot lock, so nothing could keep two runs apart.
    #[error(
        "the file system of {} cannot lock ({source}); use one that can (for NFS: version 4, or version 3 with lockd and without the nolock option)",
        path.display()
    )]
    LockUnsupported {
        /// The lock's file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted while {doing} {}; run it again", path.display())]
    Interrupted {
        /// What was being done, such as `reading`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// Writing this much would leave less free than has to stay free.
    #[error(
        "{} has {available_bytes} bytes available, {room_bytes} of them to be used as {reserve_percent} % of the disk stay free, and {needed_bytes} are needed; make room, enlarge the volume or lower the reserve",
        path.display()
    )]
    NoSpace {
        /// The volume.
        path: PathBuf,
        /// Bytes to be written.
        needed_bytes: u64,
        /// Bytes the file system would take.
        available_bytes: u64,
        /// Bytes that may be written without touching the reserve.
        room_bytes: u64,
        /// Share of the disk that stays free.
        reserve_percent: u8,
    },
    /// A file of a set is proven not to be what the set's manifest says.
    #[error("{0}; do not restore from this set, take another one")]
    Damaged(Damage),
    /// A set may be good, but cannot be read.
    #[error("cannot read the set {}: {why}; nothing is concluded from it: repair the access, or move the directory off the volume", path.display())]
    Unreadable {
        /// The set's directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What was to be deleted is not a set that may be.
    #[error("{} is not deleted: {why}; nothing was changed: list the volume, and see who else works on it", path.display())]
    Refused {
        /// What was to be deleted.
        path: PathBuf,
        /// Why it is not.
        why: String,
    },
    /// What was staged is not what the caller says it is: a fault of ours.
    #[error("{} is not published: {why}; this is a fault of etcd-backup, please report it", path.display())]
    Mismatch {
        /// The staged directory or file.
        path: PathBuf,
        /// What differs.
        why: String,
    },
}

/// A proven difference between a file of a set and the set's manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is damaged: {what}", path.display())]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// What the file is for.
    pub role: FileRole,
    /// What differs.
    pub what: String,
}

impl StoreError {
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source: source.into() }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// The one word for metric, event and condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Io { source, .. } if is_full(source) => Reason::NoSpace,
            Self::Io { .. } | Self::Unreadable { .. } => Reason::VolumeIo,
            Self::Invalid { .. } | Self::Refused { .. } => Reason::VolumeInvalid,
            Self::LockTimeout { .. } => Reason::LockTimeout,
            Self::LockUnsupported { .. } => Reason::LockUnsupported,
            Self::Interrupted { .. } => Reason::Interrupted,
            Self::NoSpace { .. } => Reason::NoSpace,
            Self::Damaged(damage) if damage.role == FileRole::StaticResources => Reason::ArchiveInvalid,
            Self::Damaged(_) => Reason::SnapshotInvalid,
            Self::Mismatch { .. } => Reason::Internal,
        }
    }
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

/// The disk or a quota on it is full.
fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::DQUOT))
}

fn advice(error: &io::Error) -> &'static str {
    if is_full(error) {
        return "make room on the volume or enlarge it";
    }
    match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => {
            "let this process read and write the volume (owner and mode, SELinux label; for NFS: no_root_squash)"
        }
        Some(Errno::ROFS) => "mount the volume read-write; a file system that went read-only by itself needs repair",
        Some(Errno::STALE) => "mount the volume again: the NFS server no longer knows it",
        Some(Errno::NOENT) => "check that the volume is mounted and the path is right",
        _ => "check the health of the volume and of its server",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(errno: Errno) -> StoreError {
        StoreError::io("write", "/backup/x", errno)
    }

    #[test]
    fn a_full_disk_or_quota_is_no_space_and_anything_else_is_io() {
        for (errno, reason, advice) in [
            (Errno::NOSPC, Reason::NoSpace, "make room"),
            (Errno::DQUOT, Reason::NoSpace, "make room"),
            (Errno::IO, Reason::VolumeIo, "health"),
            (Errno::ROFS, Reason::VolumeIo, "read-write"),
            (Errno::ACCESS, Reason::VolumeIo, "SELinux"),
        ] {
            let error = io(errno);
            assert_eq!(error.reason(), reason);
            let text = error.to_string();
            assert!(text.starts_with("cannot write /backup/x: ") && text.contains(advice), "{text}");
        }
    }

    #[test]
    fn damage_is_told_by_the_file_it_is_in() {
        let damage = |role| StoreError::from(Damage { path: "/backup/x".into(), role, what: String::new() });
        assert_eq!(damage(FileRole::Snapshot).reason(), Reason::SnapshotInvalid);
        assert_eq!(damage(FileRole::StaticResources).reason(), Reason::ArchiveInvalid);
    }
}
