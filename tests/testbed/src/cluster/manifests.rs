//! Static pods of the control plane, with the names, labels, paths and flags of kubeadm 1.34
//! (cmd/kubeadm/app/phases/{etcd,controlplane}), so that what reads a kubeadm node reads a test node the same way.

use serde_json::{Value, json};

use super::audit;
use super::bed::State;
use super::node::{SERVICES, address, name};

/// The Kubernetes release in tests/cluster/go.mod.
pub(crate) const KUBERNETES: &str = "v1.34.4";
/// The etcd release in tests/cluster/go.mod.
pub(crate) const ETCD: &str = "v3.6.4";
/// The image of the container that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "registry.k8s.io/pause:3.10.1";

const PKI: &str = "/etc/kubernetes/pki";

/// The image of a component, by kubeadm's name for it.
pub(crate) fn image(component: &str) -> String {
    match component {
        "etcd" => format!("registry.k8s.io/etcd:{}-0", ETCD.trim_start_matches('v')),
        other => format!("registry.k8s.io/{other}:{KUBERNETES}"),
    }
}

/// A file for a node's /etc/kubernetes/manifests.
pub(crate) struct Manifest {
    pub(crate) component: &'static str,
    pub(crate) pod: Value,
}

/// The four static pods of node `index`.
pub(crate) fn static_pods(index: usize, state: &State) -> Vec<Manifest> {
    let nodes = state.nodes;
    vec![
        etcd(index, nodes),
        api_server(index, nodes, !state.audited_users.is_empty()),
        controller_manager(nodes, &state.controller_manager_args),
        scheduler(nodes),
    ]
}

fn etcd(index: usize, nodes: usize) -> Manifest {
    let address = address(index);
    let members: Vec<_> =
        (0..nodes).map(|node| format!("{}=https://{}:2380", name(node), self::address(node))).collect();
    let flags = vec![
        format!("--advertise-client-urls=https://{address}:2379"),
        format!("--cert-file={PKI}/etcd/server.crt"),
        "--client-cert-auth=true".to_owned(),
        "--data-dir=/var/lib/etcd".to_owned(),
        "--feature-gates=InitialCorruptCheck=true".to_owned(),
        format!("--initial-advertise-peer-urls=https://{address}:2380"),
        format!("--initial-cluster={}", members.join(",")),
        format!("--key-file={PKI}/etcd/server.key"),
        format!("--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379"),
        "--listen-metrics-urls=http://127.0.0.1:2381".to_owned(),
        format!("--listen-peer-urls=https://{address}:2380"),
        format!("--name={}", name(index)),
        format!("--peer-cert-file={PKI}/etcd/peer.crt"),
        "--peer-client-cert-auth=true".to_owned(),
        format!("--peer-key-file={PKI}/etcd/peer.key"),
        format!("--peer-trusted-ca-file={PKI}/etcd/ca.crt"),
        "--snapshot-count=10000".to_owned(),
        format!("--trusted-ca-file={PKI}/etcd/ca.crt"),
        "--watch-progress-notify-interval=5s".to_owned(),
    ];
    Pod {
        component: "etcd",
        flags,
        probe: probe("127.0.0.1", 2381, "HTTP", "/readyz"),
        grace_seconds: 30,
        volumes: &[("etcd-certs", "/etc/kubernetes/pki/etcd", true), ("etcd-data", "/var/lib/etcd", true)],
        annotation: Some(("kubeadm.kubernetes.io/etcd.advertise-client-urls", format!("https://{address}:2379"))),
    }
    .manifest()
}

fn api_server(index: usize, nodes: usize, audited: bool) -> Manifest {
    let address = address(index);
    // Unlike kubeadm's, an API server outlives its own member: the other members stand behind the local one.
    let others = (0..nodes).filter(|node| *node != index).map(|node| format!(",https://{}:2379", self::address(node)));
    let mut flags = vec![
        format!("--advertise-address={address}"),
        "--allow-privileged=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        format!("--client-ca-file={PKI}/ca.crt"),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--enable-bootstrap-token-auth=true".to_owned(),
        format!("--etcd-cafile={PKI}/etcd/ca.crt"),
        format!("--etcd-certfile={PKI}/apiserver-etcd-client.crt"),
        format!("--etcd-keyfile={PKI}/apiserver-etcd-client.key"),
        format!("--etcd-servers=https://127.0.0.1:2379{}", others.collect::<String>()),
        format!("--kubelet-client-certificate={PKI}/apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={PKI}/apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname".to_owned(),
        "--secure-port=6443".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={PKI}/sa.pub"),
        format!("--service-account-signing-key-file={PKI}/sa.key"),
        format!("--service-cluster-ip-range={SERVICES}"),
        format!("--tls-cert-file={PKI}/apiserver.crt"),
        format!("--tls-private-key-file={PKI}/apiserver.key"),
    ];
    let mut volumes = vec![("k8s-certs", PKI, true)];
    if audited {
        flags.extend(audit::flags());
        volumes.extend(audit::VOLUMES);
    }
    Pod {
        component: "kube-apiserver",
        flags,
        probe: probe(&address, 6443, "HTTPS", "/readyz"),
        // It waits for its watches to the end of this time, whatever it is.
        grace_seconds: 3,
        volumes: &volumes,
        annotation: Some((
            "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
            format!("{address}:6443"),
        )),
    }
    .manifest()
}

fn controller_manager(nodes: usize, more: &[String]) -> Manifest {
    let mut flags = vec![
        "--authentication-kubeconfig=/etc/kubernetes/controller-manager.conf".to_owned(),
        "--authorization-kubeconfig=/etc/kubernetes/controller-manager.conf".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--client-ca-file={PKI}/ca.crt"),
        "--cluster-name=kubernetes".to_owned(),
        format!("--cluster-signing-cert-file={PKI}/ca.crt"),
        format!("--cluster-signing-key-file={PKI}/ca.key"),
        "--controllers=*,bootstrapsigner,tokencleaner".to_owned(),
        "--kubeconfig=/etc/kubernetes/controller-manager.conf".to_owned(),
        leader_elect(nodes),
        format!("--root-ca-file={PKI}/ca.crt"),
        format!("--service-account-private-key-file={PKI}/sa.key"),
        "--use-service-account-credentials=true".to_owned(),
        // A claim is bound after this time at the latest; the default is 15 s.
        "--pvclaimbinder-sync-period=1s".to_owned(),
    ];
    flags.extend_from_slice(more);
    Pod {
        component: "kube-controller-manager",
        flags,
        probe: probe("127.0.0.1", 10257, "HTTPS", "/healthz"),
        grace_seconds: 30,
        volumes: &[("k8s-certs", PKI, true), ("kubeconfig", "/etc/kubernetes/controller-manager.conf", false)],
        annotation: None,
    }
    .manifest()
}

fn scheduler(nodes: usize) -> Manifest {
    let flags = vec![
        "--authentication-kubeconfig=/etc/kubernetes/scheduler.conf".to_owned(),
        "--authorization-kubeconfig=/etc/kubernetes/scheduler.conf".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--kubeconfig=/etc/kubernetes/scheduler.conf".to_owned(),
        leader_elect(nodes),
    ];
    Pod {
        component: "kube-scheduler",
        flags,
        probe: probe("127.0.0.1", 10259, "HTTPS", "/readyz"),
        grace_seconds: 30,
        volumes: &[("kubeconfig", "/etc/kubernetes/scheduler.conf", false)],
        annotation: None,
    }
    .manifest()
}

/// kubeadm always elects; alone that only makes a restarted component wait 15 s for its own old lease.
fn leader_elect(nodes: usize) -> String {
    format!("--leader-elect={}", nodes > 1)
}

fn probe(host: &str, port: u16, scheme: &str, path: &str) -> Value {
    json!({
        "httpGet": {"host": host, "port": port, "scheme": scheme, "path": path},
        "failureThreshold": 3,
        "periodSeconds": 1,
        "timeoutSeconds": 15,
    })
}

struct Pod<'a> {
    component: &'static str,
    flags: Vec<String>,
    probe: Value,
    grace_seconds: u32,
    /// Name, path on the node and in the container, and whether it is a directory.
    volumes: &'a [(&'a str, &'a str, bool)],
    annotation: Option<(&'a str, String)>,
}

impl Pod<'_> {
    fn manifest(self) -> Manifest {
        let component = self.component;
        let command: Vec<_> = std::iter::once(component.to_owned()).chain(self.flags).collect();
        let mounts: Vec<_> =
            self.volumes.iter().map(|(name, path, _)| json!({"name": name, "mountPath": path})).collect();
        let volumes = self.volumes.iter().map(|(name, path, directory)| {
            let kind = if *directory { "DirectoryOrCreate" } else { "FileOrCreate" };
            json!({"name": name, "hostPath": {"path": path, "type": kind}})
        });
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": component,
                "namespace": "kube-system",
                "labels": {"component": component, "tier": "control-plane"},
                "annotations": self.annotation.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
            },
            "spec": {
                "hostNetwork": true,
                "priorityClassName": "system-node-critical",
                "terminationGracePeriodSeconds": self.grace_seconds,
                "containers": [{
                    "name": component,
                    "image": image(component),
                    "imagePullPolicy": "IfNotPresent",
                    "command": command,
                    "readinessProbe": self.probe,
                    "resources": {"requests": {"cpu": "25m", "memory": "50Mi"}},
                    "volumeMounts": mounts,
                }],
                "volumes": volumes.collect::<Vec<_>>(),
            },
        });
        Manifest { component, pod }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tools::repository;

    fn state(nodes: usize) -> State {
        State { nodes, controller_manager_args: Vec::new(), audited_users: Vec::new() }
    }

    fn flags(manifest: &Manifest) -> Vec<String> {
        serde_json::from_value(manifest.pod["spec"]["containers"][0]["command"].clone()).unwrap()
    }

    #[test]
    fn the_releases_are_those_that_go_builds() {
        let go_mod = fs::read_to_string(repository().join("tests/cluster/go.mod")).unwrap();
        assert!(go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES}\n")));
        assert!(go_mod.contains(&format!("go.etcd.io/etcd/server/v3 {ETCD}\n")));
    }

    #[test]
    fn a_node_has_kubeadms_four_pods() {
        let pods = static_pods(0, &state(1));
        let components: Vec<_> = pods.iter().map(|manifest| manifest.component).collect();
        assert_eq!(components, ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]);
        for manifest in &pods {
            assert_eq!(manifest.pod["metadata"]["namespace"], "kube-system");
            assert_eq!(manifest.pod["metadata"]["labels"]["component"], manifest.component);
            assert_eq!(manifest.pod["metadata"]["labels"]["tier"], "control-plane");
            assert_eq!(flags(manifest)[0], manifest.component);
        }
    }

    #[test]
    fn three_members_know_each_other_and_listen_on_loopback_and_their_address() {
        let etcd = flags(&static_pods(1, &state(3))[0]);
        let cluster =
            "master-0=https://10.255.0.11:2380,master-1=https://10.255.0.12:2380,master-2=https://10.255.0.13:2380";
        assert!(etcd.contains(&format!("--initial-cluster={cluster}")));
        assert!(etcd.contains(&"--listen-client-urls=https://127.0.0.1:2379,https://10.255.0.12:2379".to_owned()));
        assert!(etcd.contains(&"--name=master-1".to_owned()));
    }

    #[test]
    fn controller_manager_arguments_come_last_so_that_they_win() {
        let more = "--pvclaimbinder-sync-period=9s".to_owned();
        let state = State { controller_manager_args: vec![more.clone()], ..state(1) };
        assert_eq!(flags(&static_pods(0, &state)[2]).last(), Some(&more));
    }

    #[test]
    fn an_audited_api_server_finds_its_policy_and_its_log_in_what_it_mounts() {
        let without = state(1);
        let state = State { audited_users: vec!["somebody".to_owned()], ..state(1) };
        let pod = &static_pods(0, &state)[1];
        let mounts = pod.pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
        for flag in audit::flags() {
            assert!(flags(pod).contains(&flag));
            let (_, file) = flag.split_once('=').unwrap();
            let covers = |mount: &Value| file.starts_with(&format!("{}/", mount["mountPath"].as_str().unwrap()));
            assert!(mounts.iter().any(covers), "{file} is in none of {mounts:?}");
        }
        assert!(!flags(&static_pods(0, &without)[1]).iter().any(|flag| flag.starts_with("--audit")));
    }
}
