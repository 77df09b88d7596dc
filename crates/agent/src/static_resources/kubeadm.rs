//! kubeadm: manifests, certificates, kubeconfigs, and whatever else kube-apiserver is told to read.

use std::path::{Component as PathPart, Path, PathBuf};

use etcd_backup_core::Warning;

use super::Component;
use super::plan::{NamedFile, Place, Plan, Tree};
use super::pod::StaticPod;

/// Where the Kubernetes directory is on every node, whatever it is mounted as here.
const KUBERNETES_DIR: &str = "/etc/kubernetes";

/// The flag that names the file with the keys to encrypted values.
pub(super) const ENCRYPTION_FLAG: &str = "--encryption-provider-config";

/// Flags whose value is a place to write to, not a file that a restore needs.
const OUTPUTS: [&str; 4] = ["--audit-log-path", "--cert-dir", "--log-dir", "--log-file"];

/// Plans the archive from the components' pods and the names in the Kubernetes directory.
pub(super) fn plan(pods: &[(Component, StaticPod)], names: &[String]) -> Plan {
    let mut plan = Plan { trees: vec![tree("manifests")], ..Plan::default() };
    if names.iter().any(|name| name == "pki") {
        plan.trees.push(tree("pki"));
    } else {
        let message = format!("{KUBERNETES_DIR}/pki does not exist: the cluster's certificates are not in the archive");
        plan.warnings.push(Warning::new("StaticFileMissing", message));
    }
    plan.trees.extend(names.iter().filter(|name| name.ends_with(".conf")).map(tree));

    let name = Component::KubeApiserver.as_str();
    for (_, pod) in pods.iter().filter(|(component, _)| *component == Component::KubeApiserver) {
        plan.cluster_version = pod.image_tag(name).map(str::to_owned);
        for (flag, path) in pod.named_paths(name) {
            if OUTPUTS.contains(&flag.as_str()) {
                continue;
            }
            match place(&pod.on_node(name, &path)) {
                Some(place) => plan.named_files.push(NamedFile { flag, place }),
                None => {
                    let message =
                        format!("kube-apiserver's {flag} names {}, which is not a plain path", path.display());
                    plan.warnings.push(Warning::new("StaticFileMissing", message));
                }
            }
        }
    }
    plan
}

fn tree(path: impl Into<PathBuf>) -> Tree {
    Tree { path: path.into(), component: None }
}

/// Where a path on the node is for the archive; `None` if it climbs with `..`.
fn place(on_node: &Path) -> Option<Place> {
    if on_node.components().any(|part| part == PathPart::ParentDir) {
        return None;
    }
    Some(match on_node.strip_prefix(KUBERNETES_DIR) {
        Ok(below) => Place::KubernetesDir(below.to_owned()),
        Err(_) => Place::Elsewhere(on_node.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apiserver(args: &[&str]) -> Vec<(Component, StaticPod)> {
        let text = format!(
            r#"{{"spec":{{"containers":[{{"name":"kube-apiserver","image":"registry.k8s.io/kube-apiserver:v1.34.4","command":{args:?},
               "volumeMounts":[{{"name":"k","mountPath":"/config"}}]}}],
               "volumes":[{{"name":"k","hostPath":{{"path":"/etc/kubernetes/extra"}}}}]}}}}"#
        );
        vec![(Component::KubeApiserver, StaticPod::parse(&text).unwrap())]
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn manifests_certificates_and_kubeconfigs_are_taken() {
        let plan = plan(&apiserver(&[]), &names(&["admin.conf", "kubelet.conf", "manifests", "pki", "tmp"]));
        let paths: Vec<_> = plan.trees.iter().map(|tree| tree.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["manifests", "pki", "admin.conf", "kubelet.conf"]);
        assert_eq!(plan.cluster_version.as_deref(), Some("v1.34.4"));
        assert!(plan.warnings.is_empty());
    }

    #[test]
    fn files_named_by_arguments_are_taken_from_where_they_are() {
        let args = [
            "kube-apiserver",
            "--encryption-provider-config=/config/enc.yaml",
            "--audit-policy-file=/srv/policy.yaml",
            "--audit-log-path=/var/log/audit.log",
            "--admission-control-config-file=/etc/kubernetes/../shadow",
        ];
        let plan = plan(&apiserver(&args), &names(&["manifests", "pki"]));
        assert_eq!(
            plan.named_files,
            [
                NamedFile { flag: ENCRYPTION_FLAG.into(), place: Place::KubernetesDir("extra/enc.yaml".into()) },
                NamedFile { flag: "--audit-policy-file".into(), place: Place::Elsewhere("/srv/policy.yaml".into()) },
            ]
        );
        assert_eq!(plan.warnings.len(), 1);
        assert!(plan.warnings[0].message.contains("--admission-control-config-file"));
    }

    #[test]
    fn a_control_plane_without_pki_is_warned_of() {
        let plan = plan(&apiserver(&[]), &names(&["manifests"]));
        assert_eq!(plan.warnings[0].reason, "StaticFileMissing");
    }
}
