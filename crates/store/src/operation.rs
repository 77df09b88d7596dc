use std::path::Path;

use tracing::field::display;

/// Target of the operation log: one event at level `debug` for every operation that changed the
/// volume, after it succeeded, in the order in which they were done. A filter such as
/// `etcd_backup_store::operation=debug` shows it.
///
/// Fields: `op`, `path`, and where they apply `to` and `bytes`.
///
/// | `op` | what was done | `bytes` |
/// |---|---|---|
/// | `lock` | the volume's lock was taken | |
/// | `mkdir`, `create` | a directory or an empty file was made | |
/// | `write` | a document was written | of the document |
/// | `fsync`, `fsync-dir` | a file, a directory's entries were made durable | of the file |
/// | `rename` | a file, a directory was moved `to` | of all the files moved |
/// | `unlink`, `rmdir` | a file, an empty directory was deleted | of the file |
///
/// The files of a set are written by the caller: between `create` and `fsync` they only grow, to the
/// bytes that `fsync` tells. What is `rename`d to the volume's root is a set that appears, what is
/// renamed from there to `trash/` is one that disappears.
pub const OPERATION_LOG: &str = "etcd_backup_store::operation";

/// A change of the volume that has been made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation<'a> {
    Lock,
    Mkdir,
    Create,
    Write { bytes: u64 },
    Fsync { bytes: u64 },
    FsyncDir,
    Rename { to: &'a Path, bytes: u64 },
    Unlink { bytes: u64 },
    Rmdir,
}

impl Operation<'_> {
    pub(crate) fn log(self, path: &Path) {
        let (op, to, bytes) = match self {
            Self::Lock => ("lock", None, None),
            Self::Mkdir => ("mkdir", None, None),
            Self::Create => ("create", None, None),
            Self::Write { bytes } => ("write", None, Some(bytes)),
            Self::Fsync { bytes } => ("fsync", None, Some(bytes)),
            Self::FsyncDir => ("fsync-dir", None, None),
            Self::Rename { to, bytes } => ("rename", Some(to), Some(bytes)),
            Self::Unlink { bytes } => ("unlink", None, Some(bytes)),
            Self::Rmdir => ("rmdir", None, None),
        };
        let to = to.map(|to| display(to.display()));
        tracing::debug!(target: OPERATION_LOG, op, path = %path.display(), to, bytes, "operation");
    }
}
