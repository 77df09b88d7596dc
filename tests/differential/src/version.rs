//! The versions of etcd that are compared with.

use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use etcd_backup_testbed::tool;

/// A version and where its programs are among the test tools.
#[derive(Debug)]
pub(crate) struct Version {
    name: &'static str,
    etcd: &'static str,
    etcdutl: &'static str,
}

/// etcd 3.4 has no etcdutl; the one of 3.5 reads and restores the same databases.
pub(crate) const VERSIONS: [Version; 4] = [
    Version { name: "3.4", etcd: "etcd-3.4/etcd", etcdutl: "etcd-3.5/etcdutl" },
    Version { name: "3.5", etcd: "etcd-3.5/etcd", etcdutl: "etcd-3.5/etcdutl" },
    Version { name: "3.6", etcd: "go/etcd", etcdutl: "go/etcdutl" },
    Version { name: "3.7", etcd: "etcd-3.7/etcd", etcdutl: "etcd-3.7/etcdutl" },
];

impl Version {
    pub(crate) fn etcd(&self) -> Result<PathBuf> {
        Ok(tool(self.etcd)?)
    }

    pub(crate) fn etcdutl(&self) -> Result<PathBuf> {
        Ok(tool(self.etcdutl)?)
    }

    /// Whether its `etcdutl snapshot status` counts the entries of all buckets, and not the keys that exist.
    pub(crate) fn counts_entries(&self) -> bool {
        self.etcdutl == VERSIONS[1].etcdutl
    }

    /// etcd 3.4 has no switch for leaving fsync out.
    pub(crate) fn can_leave_out_fsync(&self) -> bool {
        self.name != "3.4"
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
