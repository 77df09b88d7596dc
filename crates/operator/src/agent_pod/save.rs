//! The pod that saves etcd: on the node's network, with etcd's certificates and the control plane's
//! files.

use etcd_backup_core::{Layout, Owner};
use k8s_openapi::api::core::v1::{HostPathVolumeSource, PodSpec, SecretVolumeSource, Volume, VolumeMount};

use super::{Command, Mounts, config_map, mounted, pod};
use crate::config::{Config, Platform};
use crate::endpoints;

/// `save` for an owner; the caller adds the run id before, and a policy after.
#[must_use]
pub(crate) fn command(command: Command, owner: &Owner, config: &Config) -> Command {
    let mut command = command.flag("owner", owner.to_string());
    if let Some(cluster) = &owner.cluster {
        command = command.flag("cluster", cluster);
    }
    command = command
        .flag("layout", layout(config.platform.into()))
        .flag("kubernetes-dir", "/etc/kubernetes")
        .flag("endpoints", "https://127.0.0.1:2379")
        .flag("endpoints-dir", "/endpoints");
    let (mounts, [ca, cert, key]) = match config.platform {
        Platform::Kubeadm => (kubeadm_mounts(), KUBEADM_TLS),
        Platform::OpenShift => (openshift_mounts(), OPENSHIFT_TLS),
    };
    command.mounts.extend(mounts);
    if config.require_settled {
        command = command.switch("require-settled");
    }
    command
        .flag("cacert", ca)
        .flag("cert", cert)
        .flag("key", key)
        .flag("lock-timeout", format!("{}s", config.limits.lock_timeout.as_secs()))
        .flag("deadline", format!("{}s", config.limits.deadline.as_secs()))
        .flag("reserve-percent", config.limits.reserve_percent.to_string())
}

/// The pod of such a command. A backup must work when the pod network does not.
#[must_use]
pub(crate) fn save_pod(command: Command, claim: &str, config: &Config) -> PodSpec {
    PodSpec {
        host_network: Some(true),
        dns_policy: Some("Default".to_owned()),
        priority_class_name: Some("system-node-critical".to_owned()),
        ..pod(command, claim, config)
    }
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::OpenShift => "openshift",
        Layout::Kubeadm => "kubeadm",
    }
}

/// Files of the CA, the client's certificate and its key.
const KUBEADM_TLS: [&str; 3] = [
    "/etc/kubernetes/pki/etcd/ca.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
    "/etc/kubernetes/pki/etcd/healthcheck-client.key",
];

/// The same on OpenShift, from its own ConfigMap and Secret.
const OPENSHIFT_TLS: [&str; 3] = ["/etcd-ca-bundle/ca-bundle.crt", "/etcd-client/tls.crt", "/etcd-client/tls.key"];

fn kubeadm_mounts() -> Mounts {
    vec![host_path("kubernetes", "/etc/kubernetes"), config_map("endpoints", endpoints::CONFIG_MAP, "/endpoints", true)]
}

/// Only the two directories with static pods, never all of /etc/kubernetes.
fn openshift_mounts() -> Mounts {
    let secret = SecretVolumeSource { secret_name: Some("etcd-client".to_owned()), ..SecretVolumeSource::default() };
    vec![
        host_path("manifests", "/etc/kubernetes/manifests"),
        host_path("static-pod-resources", "/etc/kubernetes/static-pod-resources"),
        mounted(Volume { name: "etcd-client".to_owned(), secret: Some(secret), ..Volume::default() }, "/etcd-client"),
        config_map("etcd-ca-bundle", "etcd-ca-bundle", "/etcd-ca-bundle", false),
        config_map("endpoints", "etcd-endpoints", "/endpoints", true),
    ]
}

fn host_path(name: &str, path: &str) -> (Volume, VolumeMount) {
    let source = HostPathVolumeSource { path: path.to_owned(), type_: Some("Directory".to_owned()) };
    mounted(Volume { name: name.to_owned(), host_path: Some(source), ..Volume::default() }, path)
}
