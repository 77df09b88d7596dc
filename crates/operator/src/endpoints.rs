//! On kubeadm nobody publishes where etcd's members are, so the operator does: a ConfigMap with one
//! key per control-plane node, its value the node's InternalIP, which the agent's pods mount.
//! On OpenShift the ConfigMap etcd-endpoints has it already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use etcd_backup_api::FIELD_MANAGER;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::Store;
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::Notify;

use crate::nodes;

/// Name of the ConfigMap, in the backup namespace.
pub(crate) const CONFIG_MAP: &str = "etcd-backup-endpoints";

/// How long after a failed write the next one is tried.
const RETRY: Duration = Duration::from_secs(60);

/// Keeps the ConfigMap as the nodes are, for ever. `changed` is notified when nodes change.
pub(crate) async fn keep(client: Client, namespace: &str, nodes: Store<Node>, changed: Arc<Notify>) {
    let mut written = None;
    if nodes.wait_until_ready().await.is_err() {
        return;
    }
    loop {
        let wanted = endpoints(&nodes.state());
        if written.as_ref() == Some(&wanted) {
            changed.notified().await;
            continue;
        }
        match write(&client, namespace, &wanted).await {
            Ok(()) => {
                tracing::info!(namespace, config_map = CONFIG_MAP, members = wanted.len(), "wrote etcd's endpoints");
                written = Some(wanted);
            }
            Err(error) => {
                tracing::warn!(namespace, config_map = CONFIG_MAP, %error, "cannot write etcd's endpoints; a backup asks the member of its own node alone until this works");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Writes the ConfigMap.
///
/// # Errors
/// If the API server cannot be reached or refuses it.
pub(crate) async fn write(
    client: &Client,
    namespace: &str,
    endpoints: &BTreeMap<String, String>,
) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let config_map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP.to_owned()),
            labels: Some(BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(endpoints.clone()),
        ..ConfigMap::default()
    };
    api.patch(CONFIG_MAP, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&config_map)).await.map(|_| ())
}

/// Node name to address, of each control-plane node that has one.
#[must_use]
pub(crate) fn endpoints(all_nodes: &[Arc<Node>]) -> BTreeMap<String, String> {
    let control_plane = all_nodes.iter().filter(|node| nodes::is_control_plane(node));
    control_plane.filter_map(|node| Some((node.name_any(), nodes::internal_ip(node)?.to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn control_plane_nodes_with_an_address_are_endpoints() {
        let node = |name: &str, role: &str, address: &str| -> Arc<Node> {
            let node = json!({"metadata": {"name": name, "labels": {role: ""}},
                              "status": {"addresses": [{"type": address, "address": "10.0.0.7"}]}});
            Arc::new(serde_json::from_value(node).unwrap())
        };
        let nodes = [
            node("m0", nodes::ROLE_LABELS[0], "InternalIP"),
            node("m1", nodes::ROLE_LABELS[1], "InternalIP"),
            node("m2", nodes::ROLE_LABELS[0], "ExternalIP"),
            node("w0", "node-role.kubernetes.io/worker", "InternalIP"),
        ];
        let expected = [("m0", "10.0.0.7"), ("m1", "10.0.0.7")].map(|(name, ip)| (name.to_owned(), ip.to_owned()));
        assert_eq!(endpoints(&nodes), BTreeMap::from(expected));
    }
}
