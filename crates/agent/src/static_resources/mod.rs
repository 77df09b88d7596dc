//! The files of the control plane that a restore needs beside the snapshot.
//!
//! What to take is planned from the manifests alone ([`openshift`], [`kubeadm`]). The plan becomes a
//! [`Selection`] of files, which bounds the archive's size before its first byte; the archive is then
//! written ([`archive`]) and, once it is on the disk, read back ([`contents`]).

mod archive;
mod contents;
mod kubeadm;
mod openshift;
mod plan;
mod pod;
mod reader;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcd_backup_core::{Layout, Reason, Warning};

pub(crate) use archive::Selection;
pub(crate) use contents::{ArchiveError, check as check_archive};

use plan::Plan;
use pod::StaticPod;

/// A manifest that grows beyond this is not a static pod's.
const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// How often the collection may begin because files changed under it.
pub(crate) const ATTEMPTS: u32 = 3;

/// One of the four static pods that make a control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    Etcd,
    KubeApiserver,
    KubeControllerManager,
    KubeScheduler,
}

impl Component {
    pub(crate) const ALL: [Self; 4] =
        [Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::KubeScheduler];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
        }
    }

    /// Name of the manifest that the kubelet runs the component from.
    fn manifest(self, layout: Layout) -> String {
        match layout {
            Layout::OpenShift => format!("{}-pod.yaml", self.as_str()),
            Layout::Kubeadm => format!("{}.yaml", self.as_str()),
        }
    }
}

/// What the archive holds, as far as the rest of the run needs to know.
#[derive(Debug)]
pub(crate) struct Collected {
    /// Files in the archive.
    pub(crate) files: usize,
    /// Whether kube-apiserver's encryption configuration, with its keys, is among them.
    pub(crate) encryption_config: bool,
    /// The cluster's version as far as the manifests tell it.
    pub(crate) cluster_version: Option<String>,
    /// What could not be taken.
    pub(crate) warnings: Vec<Warning>,
}

/// Why the static resources could not be collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaticResourcesError {
    #[error(
        "the manifest of {component} is missing: {path} does not exist; is this a control-plane node, and is {dir} the node's own /etc/kubernetes (--kubernetes-dir, --layout)?"
    )]
    ManifestMissing { component: &'static str, path: PathBuf, dir: PathBuf },
    #[error("the manifest {path} cannot be read as a static pod: {why}; the kubelet would not run it either")]
    ManifestInvalid { path: PathBuf, why: String },
    #[error(
        "the manifest of {component} names no live revision: {why}; expected a hostPath volume resource-dir at static-pod-resources/{component}-pod-<revision>"
    )]
    NoLiveRevision { component: &'static str, why: String },
    #[error(
        "{path} is missing, but the manifest of {component} runs from it; the node's static pod resources are not complete"
    )]
    ResourceMissing { component: &'static str, path: PathBuf },
    #[error(
        "{path} changed while it was read, and did so {ATTEMPTS} times; a rollout is probably under way: wait until it is done and run again"
    )]
    Changing { path: PathBuf },
    #[error("{path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the archive of the static pod resources cannot be written: {source}")]
    Write { source: io::Error },
}

impl StaticResourcesError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Write { source } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Reason::NoSpace,
                _ => Reason::VolumeIo,
            },
            Self::Changing { .. } => Reason::StaticResourcesChanging,
            _ => Reason::StaticResources,
        }
    }
}

/// The layout that a node's Kubernetes directory has, if it is a control plane's.
pub(crate) fn detect_layout(kubernetes_dir: &Path) -> Option<Layout> {
    if kubernetes_dir.join(openshift::RESOURCES).is_dir() {
        Some(Layout::OpenShift)
    } else if kubernetes_dir.join("manifests").join(Component::Etcd.manifest(Layout::Kubeadm)).is_file() {
        Some(Layout::Kubeadm)
    } else {
        None
    }
}

/// Selects the static resources below `kubernetes_dir`, by a look that reads only the manifests.
pub(crate) fn select(layout: Layout, kubernetes_dir: &Path) -> Result<Selection, StaticResourcesError> {
    Selection::new(plan(layout, kubernetes_dir)?, kubernetes_dir)
}

/// Reads what planning needs, and plans.
fn plan(layout: Layout, kubernetes_dir: &Path) -> Result<Plan, StaticResourcesError> {
    let pods = Component::ALL
        .into_iter()
        .map(|component| Ok((component, read_manifest(component, layout, kubernetes_dir)?)))
        .collect::<Result<Vec<_>, StaticResourcesError>>()?;
    match layout {
        Layout::OpenShift => openshift::plan(&pods),
        Layout::Kubeadm => Ok(kubeadm::plan(&pods, &names_in(kubernetes_dir)?)),
    }
}

fn read_manifest(
    component: Component,
    layout: Layout,
    kubernetes_dir: &Path,
) -> Result<StaticPod, StaticResourcesError> {
    let path = kubernetes_dir.join("manifests").join(component.manifest(layout));
    let metadata = fs::metadata(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StaticResourcesError::ManifestMissing {
            component: component.as_str(),
            path: path.clone(),
            dir: kubernetes_dir.to_owned(),
        },
        _ => StaticResourcesError::Read { path: path.clone(), source },
    })?;
    if !metadata.is_file() || metadata.len() > MAX_MANIFEST_BYTES {
        let why = format!("it is not a regular file of at most {MAX_MANIFEST_BYTES} bytes");
        return Err(StaticResourcesError::ManifestInvalid { path, why });
    }
    let text = fs::read_to_string(&path).map_err(|source| StaticResourcesError::Read { path: path.clone(), source })?;
    StaticPod::parse(&text).map_err(|why| StaticResourcesError::ManifestInvalid { path, why })
}

/// Names directly below a directory, sorted; names that are not UTF-8 cannot be ours.
fn names_in(dir: &Path) -> Result<Vec<String>, StaticResourcesError> {
    let read = |source| StaticResourcesError::Read { path: dir.to_owned(), source };
    let mut names = fs::read_dir(dir)
        .map_err(read)?
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect::<Result<Vec<_>, _>>()
        .map_err(read)?;
    names.sort_unstable();
    Ok(names)
}
