//! Whether a backup could be written: the claim, its volume, and a control-plane node that reaches
//! it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, NodeSelector, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;

use super::reason::StatusReason;
use crate::nodes;

/// What was found of a request's volume.
#[derive(Debug, Clone, Default)]
pub(crate) struct Volume {
    /// Namespace of the claim.
    pub(crate) namespace: String,
    /// Name of the claim.
    pub(crate) name: String,
    /// The claim.
    pub(crate) claim: Option<Arc<PersistentVolumeClaim>>,
    /// Class of the claim.
    pub(crate) class: Option<Arc<StorageClass>>,
    /// Volume that the claim is bound to.
    pub(crate) bound: Option<PersistentVolume>,
}

/// Why a request cannot start, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// In one word.
    pub(crate) reason: StatusReason,
    /// For people.
    pub(crate) message: String,
}

impl Obstacle {
    /// An obstacle from its parts.
    pub(crate) fn new(reason: StatusReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl Volume {
    /// What keeps a Job from using this volume on a control-plane node, if anything does.
    #[must_use]
    pub(crate) fn obstacle(&self, all_nodes: &[Arc<Node>]) -> Option<Obstacle> {
        self.claim_obstacle().or_else(|| self.node_obstacle(all_nodes))
    }

    fn claim_obstacle(&self) -> Option<Obstacle> {
        let title = format!("PersistentVolumeClaim {}/{}", self.namespace, self.name);
        let Some(claim) = &self.claim else {
            return Some(Obstacle::new(
                StatusReason::PvcNotFound,
                format!("{title} does not exist; create it, and the backup starts by itself"),
            ));
        };
        if claim.metadata.deletion_timestamp.is_some() {
            return Some(Obstacle::new(
                StatusReason::PvcTerminating,
                format!(
                    "{title} is being deleted; create it again once it is gone, or make an EtcdBackup that names another"
                ),
            ));
        }
        if claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
            return Some(Obstacle::new(
                StatusReason::PvcIsBlock,
                format!(
                    "{title} has volumeMode Block; a backup needs a file system: use a claim with volumeMode Filesystem"
                ),
            ));
        }
        match claim.status.as_ref().and_then(|status| status.phase.as_deref()) {
            Some("Bound") => None,
            Some("Lost") => Some(Obstacle::new(
                StatusReason::PvcLost,
                format!(
                    "{title} has lost its PersistentVolume; see `kubectl -n {} describe pvc {}`",
                    self.namespace, self.name
                ),
            )),
            _ => self.unbound_obstacle(claim, &title),
        }
    }

    /// An unbound claim is normal if its class waits for the first consumer, which is our pod.
    fn unbound_obstacle(&self, claim: &PersistentVolumeClaim, title: &str) -> Option<Obstacle> {
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or_default();
        let missing = match &self.class {
            Some(class) if class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") => return None,
            Some(found) if found.provisioner == "kubernetes.io/no-provisioner" => {
                format!("create a PersistentVolume of StorageClass {class} that is large enough and has its access modes")
            }
            Some(found) => format!("StorageClass {class} should provide a volume: see whether its provisioner {} runs", found.provisioner),
            None if class.is_empty() => {
                "it names no StorageClass and there is no default one: create a matching PersistentVolume without a class, or a claim that names a class".to_owned()
            }
            None => format!("StorageClass {class} does not exist: create it, or a PersistentVolume that names it"),
        };
        Some(Obstacle::new(StatusReason::PvcNotBound, format!("{title} is not bound to a volume; {missing}")))
    }

    fn node_obstacle(&self, all_nodes: &[Arc<Node>]) -> Option<Obstacle> {
        let control_plane: Vec<&Node> =
            all_nodes.iter().map(Arc::as_ref).filter(|node| nodes::is_control_plane(node)).collect();
        let (volume, selector) = self.pinned().unzip();
        let reachable: Vec<&Node> = control_plane
            .iter()
            .copied()
            .filter(|node| selector.is_none_or(|selector| nodes::matches(node, selector)))
            .collect();
        if reachable.iter().any(|node| nodes::is_usable(node)) {
            return None;
        }
        let names = |list: &[&Node]| list.iter().map(|node| node.name_any()).collect::<Vec<_>>().join(", ");
        Some(match volume {
            Some(volume) if reachable.is_empty() => Obstacle::new(
                StatusReason::VolumeNotOnControlPlane,
                format!(
                    "PersistentVolume {volume} can only be used on {}, none of which is a control-plane node; the control plane is: {}. Use a volume that one of these can reach",
                    selector.map(describe).unwrap_or_default(),
                    names(&control_plane)
                ),
            ),
            _ if control_plane.is_empty() => Obstacle::new(
                StatusReason::NoControlPlaneNode,
                format!(
                    "no node has the label {} or {}; etcd can only be saved from a control-plane node",
                    nodes::ROLE_LABELS[0],
                    nodes::ROLE_LABELS[1]
                ),
            ),
            _ => Obstacle::new(
                StatusReason::NoControlPlaneNode,
                format!(
                    "no control-plane node can take the backup: {} not ready or cordoned; repair or uncordon one",
                    names(&reachable)
                ),
            ),
        })
    }

    /// The bound volume and its node affinity, if it has one.
    fn pinned(&self) -> Option<(String, &NodeSelector)> {
        let volume = self.bound.as_ref()?;
        let selector = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
        Some((volume.name_any(), selector))
    }
}

/// A node selector for people: `kubernetes.io/hostname In (worker-1)`.
fn describe(selector: &NodeSelector) -> String {
    let requirements = selector.node_selector_terms.iter().flat_map(|term| {
        let expressions = term.match_expressions.iter().flatten();
        expressions.chain(term.match_fields.iter().flatten())
    });
    let texts = requirements.map(|requirement| {
        let values = requirement.values.as_deref().unwrap_or_default().join(", ");
        format!("{} {} ({values})", requirement.key, requirement.operator)
    });
    format!("nodes with {}", texts.collect::<Vec<_>>().join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, control_plane: bool, ready: bool) -> Arc<Node> {
        let role = if control_plane { nodes::ROLE_LABELS[1] } else { "node-role.kubernetes.io/worker" };
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {role: "", "kubernetes.io/hostname": name}},
                "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "Unknown" }}]}
            }))
            .unwrap(),
        )
    }

    fn volume(claim: Option<Value>, class: Option<Value>, bound: Option<Value>) -> Volume {
        Volume {
            namespace: "openshift-etcd".into(),
            name: "claim".into(),
            claim: claim.map(|value| Arc::new(serde_json::from_value(value).unwrap())),
            class: class.map(|value| Arc::new(serde_json::from_value(value).unwrap())),
            bound: bound.map(|value| serde_json::from_value(value).unwrap()),
        }
    }

    fn class(provisioner: &str, mode: &str) -> Option<Value> {
        Some(json!({"metadata": {"name": "local"}, "provisioner": provisioner, "volumeBindingMode": mode}))
    }

    fn bound() -> Option<Value> {
        Some(json!({"spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}}))
    }

    fn pending(class: &str) -> Option<Value> {
        Some(json!({"spec": {"storageClassName": class}, "status": {"phase": "Pending"}}))
    }

    fn pinned_to(node: &str) -> Option<Value> {
        Some(json!({"metadata": {"name": "pv"}, "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}}}}))
    }

    #[test]
    fn each_obstacle_has_its_reason_and_says_what_to_do() {
        use StatusReason::*;
        let none = "kubernetes.io/no-provisioner";
        let terminating =
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Bound"}});
        let block = json!({"spec": {"volumeMode": "Block"}, "status": {"phase": "Bound"}});
        let rows = [
            (volume(None, None, None), Some(PvcNotFound), "does not exist; create it"),
            (volume(Some(terminating), None, None), Some(PvcTerminating), "being deleted"),
            (volume(Some(block), None, None), Some(PvcIsBlock), "volumeMode Filesystem"),
            (volume(Some(json!({"status": {"phase": "Lost"}})), None, None), Some(PvcLost), "describe pvc claim"),
            (
                volume(pending("local"), class(none, "Immediate"), None),
                Some(PvcNotBound),
                "create a PersistentVolume of StorageClass local",
            ),
            (
                volume(pending("local"), class("csi.example.org", "Immediate"), None),
                Some(PvcNotBound),
                "csi.example.org",
            ),
            (volume(pending("local"), None, None), Some(PvcNotBound), "StorageClass local does not exist"),
            (volume(Some(json!({"spec": {}})), None, None), Some(PvcNotBound), "names no StorageClass"),
            (volume(pending("local"), class(none, "WaitForFirstConsumer"), None), None, ""),
            (volume(bound(), None, None), None, ""),
            (volume(bound(), None, pinned_to("master-0")), None, ""),
            (volume(bound(), None, pinned_to("worker-0")), Some(VolumeNotOnControlPlane), "worker-0"),
            (volume(bound(), None, pinned_to("master-1")), Some(NoControlPlaneNode), "master-1 not ready"),
        ];
        let nodes = [node("master-0", true, true), node("master-1", true, false), node("worker-0", false, true)];
        for (volume, reason, text) in rows {
            let found = volume.obstacle(&nodes);
            assert_eq!(found.as_ref().map(|obstacle| obstacle.reason), reason, "{volume:?}");
            let message = found.map(|obstacle| obstacle.message).unwrap_or_default();
            assert!(message.contains(text), "{message:?} does not say {text:?}");
        }
    }

    #[test]
    fn without_a_usable_control_plane_node_nothing_starts() {
        let volume = volume(bound(), None, None);
        let reason = |nodes: &[Arc<Node>]| volume.obstacle(nodes).map(|obstacle| obstacle.reason);
        assert_eq!(reason(&[]), Some(StatusReason::NoControlPlaneNode));
        assert_eq!(reason(&[node("w", false, true)]), Some(StatusReason::NoControlPlaneNode));
        assert_eq!(reason(&[node("m", true, false)]), Some(StatusReason::NoControlPlaneNode));
        assert_eq!(reason(&[node("m", true, false), node("n", true, true)]), None);
    }
}
