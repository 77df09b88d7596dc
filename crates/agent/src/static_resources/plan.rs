use std::path::PathBuf;

use etcd_backup_core::Warning;

use super::Component;

/// What the archive is to hold, decided from the manifests alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Files and directories with everything below them, as paths relative to the Kubernetes
    /// directory, which are their names in the archive too.
    pub(super) trees: Vec<Tree>,
    /// Single files that kube-apiserver is told to read, wherever they are.
    pub(super) named_files: Vec<NamedFile>,
    /// The cluster's version, if the manifests tell it.
    pub(super) cluster_version: Option<String>,
    /// What is known to be missing already.
    pub(super) warnings: Vec<Warning>,
}

/// A file or directory to archive whole. It must be there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) path: PathBuf,
    /// The component that runs from it, if it is one's alone.
    pub(super) component: Option<Component>,
}

/// A file that an argument of kube-apiserver names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// The argument, such as `--audit-policy-file`.
    pub(super) flag: String,
    /// Where it is on the node.
    pub(super) place: Place,
}

/// Where a named file is on the node, which decides its name in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Below `/etc/kubernetes`; relative to it, here and in the archive.
    KubernetesDir(PathBuf),
    /// Elsewhere; absolute on the node, below `host/` in the archive.
    Elsewhere(PathBuf),
}
