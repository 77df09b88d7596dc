use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Owner, RunId};

/// One backup that somebody wants: which run, whose, from where, to where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The run, for ever.
    pub run_id: RunId,
    /// Whose set it will be.
    pub owner: Owner,
    /// Where the data comes from.
    pub source: Source,
    /// Where the set goes.
    pub destination: Destination,
}

/// An etcd cluster and the control plane's files around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// What the control plane's files look like.
    pub layout: Layout,
}

/// How a platform lays out the static pod resources under `/etc/kubernetes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `manifests/*-pod.yaml` and `static-pod-resources/<component>-pod-<revision>`.
    OpenShift,
    /// `manifests/*.yaml`, `pki`, `*.conf`.
    Kubeadm,
}

/// Where sets are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum Destination {
    /// A PersistentVolumeClaim.
    Pvc {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A directory, for a run by hand.
    Directory {
        /// Its path.
        path: PathBuf,
    },
}

impl Destination {
    /// The `location` URI of something at `path` below this destination:
    /// `pvc://namespace/name/path` or `file:///directory/path`.
    #[must_use]
    pub fn location(&self, path: &str) -> String {
        match self {
            Self::Pvc { namespace, name } => format!("pvc://{namespace}/{name}/{path}"),
            Self::Directory { path: directory } => format!("file://{}/{path}", directory.display()),
        }
    }
}
