//! Whether to stand down, as a pure function of what was seen of OpenShift's feature gate and of the
//! CRDs in the cluster.

use etcd_backup_api::SCHEMA_ANNOTATION;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::core::{DynamicObject, PartialObjectMeta};

/// The gate of OpenShift's own backups, which answer to the same resources.
const GATE: &str = "AutomatedEtcdBackup";

/// What annotations have in common that OpenShift's cluster-version operator puts on what it installs.
/// It leaves the annotations of others in place, so that ours alone proves nothing.
const PLATFORM: &str = "release.openshift.io/";

/// What was seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    /// Whether the gate is on; none before it was looked at.
    pub(crate) gate: Option<bool>,
    /// Whose the CRDs are, in the order of [`super::CRDS`]; none before they were looked at.
    pub(crate) schemas: [Option<Schema>; 2],
}

/// Whose a CRD is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Schema {
    /// There is none of that name.
    Absent,
    /// It is the one that we ship.
    Ours,
    /// It is somebody else's.
    Foreign,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not everything has been looked at: nothing is done until then.
    Unknown,
    /// Go on.
    Work,
    /// Do nothing, for this reason.
    StandDown(String),
}

/// Decides.
#[must_use]
pub(crate) fn decide(seen: &Observed) -> Verdict {
    if seen.gate == Some(true) {
        return Verdict::StandDown(format!(
            "OpenShift's feature gate {GATE} is on, so its own operator answers to the same resources: this one starts nothing and its CronJobs are suspended. To use it, turn the gate off; to use OpenShift's, uninstall this one"
        ));
    }
    let schemas = super::CRDS.iter().zip(seen.schemas);
    if let Some((foreign, _)) = schemas.clone().find(|(_, schema)| *schema == Some(Schema::Foreign)) {
        return Verdict::StandDown(format!(
            "the CustomResourceDefinition {foreign} is not the one that came with this operator, so another one may answer to it: this one starts nothing and its CronJobs are suspended. To use it, see that the other one is uninstalled, then apply config/crd of this one again"
        ));
    }
    if seen.gate.is_none() || schemas.into_iter().any(|(_, schema)| schema.is_none()) {
        return Verdict::Unknown;
    }
    Verdict::Work
}

/// Whether a FeatureGate says that the gate is on. It lists each version of OpenShift that is in the
/// cluster; during an update there are two.
#[must_use]
pub(crate) fn is_on(feature_gate: Option<&DynamicObject>) -> bool {
    let versions = feature_gate.and_then(|found| found.data.pointer("/status/featureGates")?.as_array());
    let enabled = versions.into_iter().flatten().filter_map(|version| version["enabled"].as_array());
    enabled.flatten().any(|gate| gate["name"] == GATE)
}

/// Whose a CRD is.
#[must_use]
pub(crate) fn schema(crd: Option<&PartialObjectMeta<CustomResourceDefinition>>) -> Schema {
    let Some(crd) = crd else { return Schema::Absent };
    let annotations = crd.annotations();
    let ours = annotations.contains_key(SCHEMA_ANNOTATION);
    let platform = annotations.keys().any(|key| key.contains(PLATFORM));
    if ours && !platform { Schema::Ours } else { Schema::Foreign }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_our_own_crds_and_no_gate_let_it_work() {
        use Schema::{Absent, Foreign, Ours};
        let rows = [
            (None, [None, None], "unknown"),
            (Some(false), [Some(Ours), None], "unknown"),
            (Some(false), [None, Some(Ours)], "unknown"),
            (None, [Some(Ours), Some(Ours)], "unknown"),
            (Some(false), [Some(Ours), Some(Ours)], "work"),
            // It cannot do harm to what is not there, and works once it is.
            (Some(false), [Some(Absent), Some(Ours)], "work"),
            (Some(false), [Some(Absent), Some(Absent)], "work"),
            (Some(true), [Some(Ours), Some(Ours)], "AutomatedEtcdBackup"),
            (Some(true), [None, None], "AutomatedEtcdBackup"),
            (Some(true), [Some(Foreign), Some(Foreign)], "AutomatedEtcdBackup"),
            (Some(false), [Some(Foreign), Some(Ours)], "etcdbackups.operator.openshift.io"),
            (Some(false), [Some(Ours), Some(Foreign)], "backups.config.openshift.io"),
            (Some(false), [Some(Foreign), Some(Absent)], "etcdbackups.operator.openshift.io"),
            (None, [None, Some(Foreign)], "backups.config.openshift.io"),
        ];
        for (gate, schemas, expected) in rows {
            let told = match decide(&Observed { gate, schemas }) {
                Verdict::Unknown => "unknown".to_owned(),
                Verdict::Work => "work".to_owned(),
                Verdict::StandDown(why) => why,
            };
            assert!(told.contains(expected), "{gate:?} {schemas:?}: {told}, not {expected}");
        }
    }

    #[test]
    fn the_gate_is_on_if_any_version_of_the_cluster_has_it_on() {
        let gate = |status: serde_json::Value| -> DynamicObject {
            serde_json::from_value(json!({"metadata": {"name": "cluster"}, "spec": {}, "status": status})).unwrap()
        };
        let version = |version: &str, enabled: &[&str], disabled: &[&str]| {
            let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
            json!({"version": version, "enabled": names(enabled), "disabled": names(disabled)})
        };
        let off = version("4.19.3", &["ExternalOIDC"], &[GATE]);
        let on = version("4.20.0", &[GATE, "ExternalOIDC"], &[]);
        let rows = [
            (json!({"featureGates": [off]}), false),
            (json!({"featureGates": [on]}), true),
            (json!({"featureGates": [off, on]}), true),
            (json!({"featureGates": [{"version": "4.19.3"}]}), false),
            (json!({"featureGates": []}), false),
            (json!({}), false),
        ];
        for (status, expected) in rows {
            assert_eq!(is_on(Some(&gate(status.clone()))), expected, "{status}");
        }
        assert!(!is_on(None), "plain Kubernetes has no such kind");
    }

    #[test]
    fn a_crd_is_ours_by_our_mark_and_without_the_platforms() {
        let crd = |annotations: serde_json::Value| {
            let crd = json!({"metadata": {"name": "backups.config.openshift.io", "annotations": annotations}});
            schema(Some(&serde_json::from_value(crd).unwrap()))
        };
        let platform = "include.release.openshift.io/self-managed-high-availability";
        assert_eq!(schema(None), Schema::Absent);
        assert_eq!(crd(json!({SCHEMA_ANNOTATION: "1"})), Schema::Ours);
        assert_eq!(crd(json!({SCHEMA_ANNOTATION: "2", "note": "x"})), Schema::Ours);
        assert_eq!(crd(json!({})), Schema::Foreign);
        assert_eq!(crd(json!({platform: "true"})), Schema::Foreign);
        // Installed over ours.
        assert_eq!(crd(json!({SCHEMA_ANNOTATION: "1", platform: "true"})), Schema::Foreign);
        assert_eq!(
            crd(json!({SCHEMA_ANNOTATION: "1", "release.openshift.io/feature-set": "TechPreviewNoUpgrade"})),
            Schema::Foreign
        );
    }
}
