//! What a node's disk holds before its first boot: certificates, kubeconfigs, manifests and the daemons' settings.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::audit;
use super::bed::{Bed, State};
use super::host::CNI_PLUGINS;
use super::manifests::{PAUSE_IMAGE, static_pods};
use super::node::{SERVICE, address, name, pod_subnet};
use crate::error::{Error, Result};
use crate::kubeconfig;
use crate::pki::{Authority, write_token_key};

/// The administrator's kubeconfig in the bed's directory; it works in the bed's network.
pub(crate) const ADMIN: &str = "admin.conf";

/// Writes the disks of all nodes and the administrator's kubeconfig.
pub(crate) fn write_all(bed: &Bed, state: &State) -> Result<()> {
    let (kubernetes, etcd) = (Authority::new("kubernetes")?, Authority::new("etcd-ca")?);
    let shared = bed.dir().join("pki");
    kubernetes.write(&shared.join("ca"))?;
    etcd.write(&shared.join("etcd/ca"))?;
    write_token_key(&shared.join("sa"))?;
    for index in 0..state.nodes {
        let pki = bed.disk(index).join("etc/kubernetes/pki");
        for file in ["ca.crt", "ca.key", "sa.pub", "sa.key", "etcd/ca.crt", "etcd/ca.key"] {
            copy(&shared.join(file), &pki.join(file))?;
        }
        issue(bed, index, &kubernetes, &etcd)?;
        write_settings(bed, index)?;
        let manifests = bed.disk(index).join("etc/kubernetes/manifests");
        if !state.audited_users.is_empty() {
            let path = bed.disk(index).join(audit::POLICY.trim_start_matches('/'));
            write(&path, &yaml(&audit::policy(&state.audited_users))?)?;
        }
        for manifest in static_pods(index, state) {
            write(&manifests.join(format!("{}.yaml", manifest.component)), &yaml(&manifest.pod)?)?;
        }
    }
    copy(&bed.disk(0).join("etc/kubernetes/admin.conf"), &bed.dir().join(ADMIN))
}

/// The certificates and kubeconfigs of one node, with kubeadm's file names, subjects and groups.
fn issue(bed: &Bed, index: usize, kubernetes: &Authority, etcd: &Authority) -> Result<()> {
    let (disk, name, address) = (bed.disk(index), name(index), address(index));
    let (config, pki) = (disk.join("etc/kubernetes"), disk.join("etc/kubernetes/pki"));
    let local = [address.clone(), "127.0.0.1".to_owned(), "localhost".to_owned(), name.clone()];
    for server in ["server", "peer"] {
        etcd.issue(&name, None, &local)?.write(&pki.join("etcd").join(server))?;
    }
    etcd.issue("kube-etcd-healthcheck-client", None, &[])?.write(&pki.join("etcd/healthcheck-client"))?;
    etcd.issue("kube-apiserver-etcd-client", None, &[])?.write(&pki.join("apiserver-etcd-client"))?;

    let service =
        ["", ".default", ".default.svc", ".default.svc.cluster.local"].map(|suffix| format!("kubernetes{suffix}"));
    let names = [&local[..], &[SERVICE.to_owned()], &service].concat();
    kubernetes.issue("kube-apiserver", None, &names)?.write(&pki.join("apiserver"))?;
    let masters = Some("system:masters");
    kubernetes.issue("kube-apiserver-kubelet-client", masters, &[])?.write(&pki.join("apiserver-kubelet-client"))?;
    let kubelet = kubernetes.issue(&format!("system:node:{name}"), Some("system:nodes"), &local)?;
    kubelet.write(&disk.join("var/lib/kubelet/pki/kubelet"))?;

    let (server, authority) = (format!("https://{address}:6443"), kubernetes.certificate());
    for (file, user, group) in [
        (ADMIN, "kubernetes-admin", masters),
        ("controller-manager.conf", "system:kube-controller-manager", None),
        ("scheduler.conf", "system:kube-scheduler", None),
    ] {
        kubeconfig::write(&config.join(file), &server, &authority, &kubernetes.issue(user, group, &[])?)?;
    }
    kubeconfig::write(&config.join("kubelet.conf"), &server, &authority, &kubelet)
}

fn write_settings(bed: &Bed, index: usize) -> Result<()> {
    let disk = bed.disk(index);
    write(&disk.join("var/lib/kubelet/config.yaml"), &yaml(&kubelet(&format!("/{}/n{index}", bed.group_name())))?)?;
    write(&disk.join("cni/10-bridge.conflist"), &cni(index).to_string())?;
    write(&disk.join("containerd.toml"), &containerd(&disk.join("cni")))?;
    fs::create_dir_all(disk.join("log")).map_err(Error::io(format!("make {}/log", disk.display())))
}

fn kubelet(cgroup_root: &str) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/var/lib/kubelet/pki/kubelet.crt",
        "tlsPrivateKeyFile": "/var/lib/kubelet/pki/kubelet.key",
        "staticPodPath": "/etc/kubernetes/manifests",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        // Its own tree: kubelets that share one delete each other's pods.
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        "cgroupsPerQOS": true,
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "4s",
        // The pods that stand for static ones in the API appear at this pace.
        "syncFrequency": "2s",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}

fn cni(index: usize) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "bridge",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipMasq": true,
            "ipam": {"type": "host-local", "subnet": pod_subnet(index), "routes": [{"dst": "0.0.0.0/0"}]},
        }],
    })
}

/// `restrict_oom_score_adj`: without CAP_SYS_RESOURCE, as in many containers, no pod would start otherwise.
fn containerd(cni: &Path) -> String {
    format!(
        r#"version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PLUGINS}"
conf_dir = "{}"
"#,
        cni.display()
    )
}

fn yaml(value: &Value) -> Result<String> {
    serde_yaml_ng::to_string(value).map_err(|error| Error::unexpected("a manifest", error))
}

fn write(path: &Path, content: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Error::io(format!("make {}", parent.display())))?;
    fs::write(path, content).map_err(Error::io(format!("write {}", path.display())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let parent = to.parent().unwrap_or(to);
    fs::create_dir_all(parent).map_err(Error::io(format!("make {}", parent.display())))?;
    // Permissions are copied too, which keeps private keys private.
    fs::copy(from, to).map(drop).map_err(Error::io(format!("copy {} to {}", from.display(), to.display())))
}
