//! The API server's audit log: which requests some users make, and what became of them.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::Cluster;
use crate::error::{Error, Result};

/// The policy, on the node and in the pod. Below /etc/kubernetes, where a backup takes it along with the manifest that names it.
pub(super) const POLICY: &str = "/etc/kubernetes/audit/policy.yaml";
/// The log and, when it has grown, those before it.
const LOGS: &str = "/var/log/kubernetes/audit";

/// What kube-apiserver is told, beside kubeadm's flags.
pub(super) fn flags() -> [String; 2] {
    [format!("--audit-policy-file={POLICY}"), format!("--audit-log-path={LOGS}/audit.log")]
}

/// What its pod mounts for that.
pub(super) const VOLUMES: [(&str, &str, bool); 2] =
    [("audit-policy", "/etc/kubernetes/audit", true), ("audit-logs", LOGS, true)];

/// Every request of these users, once it is answered, without what was sent and got. A watch is answered when it ends,
/// so it is told of when it begins as well.
pub(super) fn policy(users: &[String]) -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": users}, {"level": "None"}],
    })
}

impl Cluster {
    /// The files of the audit logs of all nodes, also of those that are off: one JSON object a line.
    ///
    /// # Errors
    /// When a node has none: the cluster was brought up without
    /// [`audited_users`](super::ClusterOptions::audited_users), or its API server never started.
    pub fn audit_logs(&self) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for node in 0..self.state.nodes {
            let directory = self.node_path(node, LOGS)?;
            let entries = directory.read_dir().map_err(Error::io(format!("list {}", directory.display())))?;
            for entry in entries {
                found.push(entry.map_err(Error::io(format!("list {}", directory.display())))?.path());
            }
        }
        Ok(found)
    }
}
