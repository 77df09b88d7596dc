//! What nodes say of themselves: which ones are control plane, which can take a pod, where etcd is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, NodeStatus};
use kube::ResourceExt as _;

/// The labels of a control-plane node; a node needs one of them. The second is the older one, which
/// OpenShift still sets.
pub(crate) const ROLE_LABELS: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Whether the node belongs to the control plane.
#[must_use]
pub(crate) fn is_control_plane(node: &Node) -> bool {
    ROLE_LABELS.iter().any(|label| node.labels().contains_key(*label))
}

/// Whether the node's kubelet reports that it is ready.
#[must_use]
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Whether the scheduler may put a pod there.
#[must_use]
pub(crate) fn is_usable(node: &Node) -> bool {
    is_ready(node) && !node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false)
}

/// What decides whether a pod can go there: whether the scheduler may, and the labels.
#[must_use]
pub(crate) fn facts(node: &Node) -> (bool, BTreeMap<String, String>) {
    (is_usable(node), node.labels().clone())
}

/// The address at which the node's etcd listens.
#[must_use]
pub(crate) fn internal_ip(node: &Node) -> Option<&str> {
    let mut addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.find(|address| address.type_ == "InternalIP").map(|address| address.address.as_str())
}

/// Drops what nobody here reads; a node's list of images alone can be 20 KB.
pub(crate) fn slim(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(status) = node.status.take() {
        let conditions = status.conditions.map(|all| all.into_iter().filter(|one| one.type_ == "Ready").collect());
        node.status = Some(NodeStatus { conditions, addresses: status.addresses, ..NodeStatus::default() });
    }
}

/// Whether a node meets a selector, by the rules of the Kubernetes API: terms are alternatives, all
/// requirements of a term must hold, and an empty term matches nothing.
#[must_use]
pub(crate) fn matches(node: &Node, selector: &NodeSelector) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(node, term))
}

fn matches_term(node: &Node, term: &NodeSelectorTerm) -> bool {
    let fields = BTreeMap::from([("metadata.name".to_owned(), node.name_any())]);
    let labels = term.match_expressions.iter().flatten().map(|requirement| (requirement, node.labels()));
    let fields = term.match_fields.iter().flatten().map(|requirement| (requirement, &fields));
    let mut requirements = labels.chain(fields).peekable();
    requirements.peek().is_some() && requirements.all(|(requirement, values)| meets(requirement, values))
}

fn meets(requirement: &NodeSelectorRequirement, values: &BTreeMap<String, String>) -> bool {
    let value = values.get(&requirement.key);
    let wanted = requirement.values.as_deref().unwrap_or_default();
    let compare = |holds: fn(i64, i64) -> bool| {
        let bound = wanted.first().and_then(|bound| bound.parse().ok());
        let number = value.and_then(|value| value.parse().ok());
        number.zip(bound).is_some_and(|(number, bound)| holds(number, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| wanted.contains(value)),
        "NotIn" => value.is_none_or(|value| !wanted.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|number, bound| number > bound),
        "Lt" => compare(|number, bound| number < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(name: &str, labels: serde_json::Value, ready: &str, unschedulable: bool) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels, "annotations": {"a": "b"}},
            "spec": {"unschedulable": unschedulable},
            "status": {
                "images": [{"names": ["x"], "sizeBytes": 1}],
                "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "10.0.0.1"}],
                "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
            }
        }))
        .unwrap()
    }

    #[test]
    fn either_role_label_makes_a_control_plane_node() {
        for label in ROLE_LABELS {
            assert!(is_control_plane(&node("n", json!({label: ""}), "True", false)));
        }
        assert!(!is_control_plane(&node("n", json!({"node-role.kubernetes.io/worker": ""}), "True", false)));
    }

    #[test]
    fn a_node_is_usable_when_ready_and_not_cordoned() {
        assert!(is_usable(&node("n", json!({}), "True", false)));
        assert!(!is_usable(&node("n", json!({}), "True", true)));
        assert!(!is_usable(&node("n", json!({}), "Unknown", false)));
        assert!(!is_usable(&Node::default()), "a node that never reported");
    }

    #[test]
    fn slimming_keeps_what_is_read() {
        let full = node("n", json!({"a": "b"}), "True", false);
        let mut slimmed = full.clone();
        slim(&mut slimmed);
        assert_eq!(is_usable(&full), is_usable(&slimmed));
        assert_eq!(internal_ip(&slimmed), Some("10.0.0.1"));
        assert_eq!(slimmed.labels(), full.labels());
        assert_eq!(slimmed.status.unwrap().images, None);
    }

    #[test]
    fn selectors_match_by_the_rules_of_the_api() {
        let node = node("n1", json!({"zone": "a", "cores": "8"}), "True", false);
        let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let rows = [
            (json!([expression("zone", "In", &["b", "a"])]), true),
            (json!([expression("zone", "In", &["b"])]), false),
            (json!([expression("zone", "NotIn", &["b"])]), true),
            (json!([expression("rack", "NotIn", &["b"])]), true),
            (json!([expression("zone", "Exists", &[])]), true),
            (json!([expression("rack", "Exists", &[])]), false),
            (json!([expression("rack", "DoesNotExist", &[])]), true),
            (json!([expression("cores", "Gt", &["4"])]), true),
            (json!([expression("cores", "Lt", &["4"])]), false),
            (json!([expression("zone", "Gt", &["4"])]), false),
            (json!([expression("zone", "In", &["b"]), expression("zone", "In", &["a"])]), true),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]), true),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]), false),
            (json!([{}]), false),
            (json!([]), false),
        ];
        for (terms, expected) in rows {
            let selector: NodeSelector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(matches(&node, &selector), expected, "{terms}");
        }
    }
}
