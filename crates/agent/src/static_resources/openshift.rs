//! OpenShift: the live revisions of the four components, as cluster-backup.sh archives them.

use std::path::{Path, PathBuf};

use super::plan::{Plan, Tree};
use super::pod::StaticPod;
use super::{Component, StaticResourcesError};

/// Directory of the revisions, below the Kubernetes directory.
pub(super) const RESOURCES: &str = "static-pod-resources";

/// The volume by which a pod's manifest names the revision that it runs from.
const REVISION_VOLUME: &str = "resource-dir";

/// Plans the archive: `static-pod-resources/<component>-pod-<revision>` of each component, whose
/// revision is the one its running manifest names. cluster-backup.sh takes the newest by
/// modification time instead, which during a rollout, or after a failed one, is not what runs.
pub(super) fn plan(pods: &[(Component, StaticPod)]) -> Result<Plan, StaticResourcesError> {
    let trees = pods
        .iter()
        .map(|(component, pod)| {
            let path = live_revision(*component, pod)
                .map_err(|why| StaticResourcesError::NoLiveRevision { component: component.as_str(), why })?;
            Ok(Tree { path, component: Some(*component) })
        })
        .collect::<Result<Vec<_>, StaticResourcesError>>()?;
    Ok(Plan { trees, ..Plan::default() })
}

/// The live revision's directory, relative to the Kubernetes directory.
fn live_revision(component: Component, pod: &StaticPod) -> Result<PathBuf, String> {
    let path = pod.host_path(REVISION_VOLUME).ok_or_else(|| format!("it has no hostPath volume {REVISION_VOLUME}"))?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let in_resources = path.parent().is_some_and(|parent| parent.ends_with(RESOURCES));
    if in_resources && revision(component, name).is_some() {
        Ok(Path::new(RESOURCES).join(name))
    } else {
        Err(format!("its volume {REVISION_VOLUME} is {}", path.display()))
    }
}

/// The revision in a directory's name `<component>-pod-<revision>`.
pub(super) fn revision(component: Component, directory: &str) -> Option<u64> {
    let revision = directory.strip_prefix(component.as_str())?.strip_prefix("-pod-")?;
    revision.bytes().all(|c| c.is_ascii_digit()).then(|| revision.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(path: &str) -> StaticPod {
        // The installer pod writes JSON; kubelet and we read it as the YAML that it is.
        StaticPod::parse(&format!(
            r#"{{"kind":"Pod","spec":{{"containers":[],"volumes":[{{"name":"resource-dir","hostPath":{{"path":"{path}"}}}}]}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn the_revision_is_the_one_that_runs() {
        let plan = plan(&[
            (Component::Etcd, pod("/etc/kubernetes/static-pod-resources/etcd-pod-7")),
            (Component::KubeApiserver, pod("/etc/kubernetes/static-pod-resources/kube-apiserver-pod-12/")),
        ])
        .unwrap();
        let paths: Vec<_> = plan.trees.iter().map(|tree| tree.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["static-pod-resources/etcd-pod-7", "static-pod-resources/kube-apiserver-pod-12"]);
    }

    #[test]
    fn a_manifest_without_a_live_revision_is_refused() {
        for path in [
            "/etc/kubernetes/static-pod-resources/kube-apiserver-pod-7",
            "/etc/kubernetes/static-pod-resources/etcd-pod-REVISION",
            "/etc/kubernetes/static-pod-resources/etcd-pod-",
            "/etc/kubernetes/etcd-pod-7",
            "/",
        ] {
            let error = plan(&[(Component::Etcd, pod(path))]).unwrap_err().to_string();
            assert!(error.contains("etcd") && error.contains(path), "{error}");
        }
    }
}
