//! Real systems for tests and the demo: etcd members and a Kubernetes API server as plain processes, and whole clusters
//! with nodes, kubelets and pods. Nothing here is shipped.
//!
//! - [`Etcd`] and [`ApiServer`] need no root and no preparation but `make tools` (or `KUBEBUILDER_ASSETS`).
//! - [`Cluster`] needs root and Debian's containerd, runc and CNI plugins; [`missing`] says what a machine lacks.
//! - [`Image`] packs static programs into a container image without a registry.
//!
//! All of it is synchronous: calls return when what they promise is so, or fail after a bounded time.

#![forbid(unsafe_code)]

mod api_server;
mod cluster;
mod error;
mod etcd;
mod figures;
mod image;
mod interrupt;
mod kubeconfig;
mod pki;
mod process;
mod proxy;
mod temporary;
mod tools;
mod wait;

pub use api_server::ApiServer;
pub use cluster::{Cluster, ClusterOptions, Restore, default_dir, missing};
pub use error::{Error, Result};
pub use etcd::{Etcd, EtcdOptions, free_ports};
pub use figures::{measured, median};
pub use image::Image;
pub use kubeconfig::Kubectl;
pub use process::{Daemon, Input, Output, run};
pub use proxy::Proxy;
pub use tools::{repository, tool};
