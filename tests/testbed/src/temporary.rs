//! Temporary directories of servers.

use std::path::Path;
use std::{env, fs, process};

use tempfile::TempDir;

use crate::error::{Error, Result};

/// Makes one that goes with its owner. The servers that a test program shares are in a static, which is never dropped:
/// what programs have left that have ended goes now.
#[expect(
    clippy::disallowed_methods,
    reason = "a directory of a server of ours that has ended, in the system's own place for such"
)]
pub(crate) fn directory(what: &str) -> Result<TempDir> {
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().and_then(owner).is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another program may be doing the same.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("etcd-backup-{what}-{}-", process::id());
    TempDir::with_prefix(prefix).map_err(Error::io("make a temporary directory"))
}

/// The process that made a directory of that name, if it is one of these.
fn owner(name: &str) -> Option<&str> {
    let (_, rest) = name.strip_prefix("etcd-backup-")?.split_once('-')?;
    let (pid, _) = rest.split_once('-')?;
    (!pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_has_left_goes_and_what_one_has_stays() {
        let ours = directory("test").unwrap();
        // The highest process id that Linux gives is 4194304.
        let left = env::temp_dir().join("etcd-backup-test-4194305-left");
        fs::create_dir_all(left.join("member")).unwrap();
        let other = directory("test").unwrap();
        assert!(!left.exists() && ours.path().exists() && other.path().exists());
    }

    #[test]
    fn only_names_with_an_owner_are_touched() {
        for (name, expected) in [
            ("etcd-backup-etcd-17-aB3", Some("17")),
            ("etcd-backup-etcd-aB3xYz", None),
            ("etcd-backup-17", None),
            ("etcd-backup-etcd--x", None),
            ("other-etcd-17-aB3", None),
        ] {
            assert_eq!(owner(name), expected, "{name}");
        }
    }
}
