//! Which object of the install goes where.

use serde_json::Value;

use crate::csv;
use crate::error::{Error, Result};
use crate::object::Object;
use crate::permissions::Permissions;

/// Where OLM installs the bundle: beside the claims and etcd's own secrets.
pub const NAMESPACE: &str = "openshift-etcd";

/// Kinds that OLM accepts beside a ClusterServiceVersion (operator-registry's list, of those that we may use).
const CARRIED: [&str; 13] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "CustomResourceDefinition",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "PriorityClass",
    "PrometheusRule",
    "Role",
    "RoleBinding",
    "Service",
    "ServiceAccount",
    "ServiceMonitor",
];

/// What a bundle is made from.
#[derive(Debug)]
pub struct Source {
    /// The rendered install.
    pub install: Vec<Object>,
    /// The hand-written part of the ClusterServiceVersion.
    pub base: Object,
    /// The icon, an SVG.
    pub icon: Vec<u8>,
    /// An example of each kind, in order of preference.
    pub samples: Vec<Object>,
    /// The version, `major.minor.patch`.
    pub version: String,
}

/// A bundle.
#[derive(Debug)]
pub struct Bundle {
    /// The ClusterServiceVersion and what OLM installs beside it.
    pub manifests: Vec<Object>,
    /// What OLM cannot install, to be applied before.
    pub prerequisites: Vec<Object>,
}

impl Bundle {
    /// Makes the bundle.
    ///
    /// # Errors
    /// If something of the install can be carried neither way, or the hand-written text does not fit it.
    pub fn new(source: &Source) -> Result<Self> {
        let mut objects = source.install.clone();
        let deployments: Vec<Object> = objects.extract_if(.., |object| object.kind() == "Deployment").collect();
        let [deployment] = deployments.as_slice() else { return Err(Error::Deployments(deployments.len())) };
        let home = deployment.namespace().unwrap_or_default().to_owned();
        let name = deployment.0["spec"]["template"]["spec"]["serviceAccountName"].clone();
        // OLM makes the operator's account; the namespaces are there before it.
        let is_account = |object: &Object| object.kind() == "ServiceAccount" && name == object.name();
        let account = objects.extract_if(.., |object| is_account(object)).next();
        let account = account.ok_or_else(|| Error::NoSuchRole(deployment.title()))?;
        objects.retain(|object| object.kind() != "Namespace");
        let permissions = Permissions::take(&mut objects, &account)?;

        let carried = |object: &Object| {
            let place = object.namespace();
            CARRIED.contains(&object.kind()) && place.is_none_or(|place| place == home || place == NAMESPACE)
        };
        let (mut manifests, prerequisites): (Vec<_>, Vec<_>) = objects.into_iter().partition(carried);
        let crds: Vec<&Object> =
            manifests.iter().filter(|object| object.kind() == "CustomResourceDefinition").collect();
        let csv = csv::complete(source, &crds, deployment, &permissions)?;
        for object in &mut manifests {
            moved(&mut object.0, &home);
        }
        manifests.insert(0, csv);
        Ok(Self { manifests, prerequisites })
    }
}

/// OLM puts an object where it installs, so it names no namespace; and commands in its texts look there.
fn moved(object: &mut Value, home: &str) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    redirect(object, &format!("-n {home}"), &format!("-n {NAMESPACE}"));
}

fn redirect(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::String(text) => *text = text.replace(from, to),
        Value::Object(fields) => fields.values_mut().for_each(|field| redirect(field, from, to)),
        Value::Array(items) => items.iter_mut().for_each(|item| redirect(item, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(more: &str) -> Source {
        let install = format!(
            "{{kind: Namespace, metadata: {{name: home}}}}
---
{{kind: ServiceAccount, metadata: {{name: op, namespace: home}}}}
---
{{kind: Deployment, metadata: {{name: op, namespace: home}}, spec: {{template: {{spec: {{serviceAccountName: op, containers: [{{image: 'i:1'}}]}}}}}}}}
---
{{kind: SecurityContextConstraints, metadata: {{name: scc}}}}
{more}"
        );
        Source {
            install: Object::all(&install).unwrap(),
            base: Object(
                json!({"kind": "ClusterServiceVersion", "metadata": {"name": "base", "annotations": {}}, "spec": {}}),
            ),
            icon: b"<svg/>".to_vec(),
            samples: vec![],
            version: "1.2.3".to_owned(),
        }
    }

    fn names(objects: &[Object]) -> Vec<String> {
        objects.iter().map(Object::title).collect()
    }

    #[test]
    fn every_object_goes_where_olm_can_carry_it() {
        let more = "
---
{kind: Service, metadata: {name: here, namespace: home}}
---
{kind: ServiceAccount, metadata: {name: jobs, namespace: openshift-etcd}}
---
{kind: ConfigMap, metadata: {name: far, namespace: openshift-config-managed}}";
        let bundle = Bundle::new(&source(more)).unwrap();
        assert_eq!(
            names(&bundle.manifests),
            ["ClusterServiceVersion op.v1.2.3", "Service here", "ServiceAccount jobs"]
        );
        assert_eq!(names(&bundle.prerequisites), ["SecurityContextConstraints scc", "ConfigMap far"]);
        assert!(bundle.manifests.iter().all(|object| object.namespace().is_none()));
        let install = &bundle.manifests[0].0["spec"]["install"]["spec"];
        assert_eq!(install["deployments"][0]["name"], "op");
        assert_eq!(bundle.manifests[0].0["spec"]["relatedImages"], json!([{"name": "op", "image": "i:1"}]));
        assert_eq!(
            bundle.manifests[0].0["metadata"]["annotations"]["features.operators.openshift.io/disconnected"],
            "false"
        );
    }

    #[test]
    fn commands_in_texts_look_where_olm_installs() {
        let more = "
---
{kind: PrometheusRule, metadata: {name: r, namespace: home}, spec: {groups: [{rules: [{summary: 'kubectl -n home get pods'}]}]}}";
        let bundle = Bundle::new(&source(more)).unwrap();
        let summary = &bundle.manifests[1].0["spec"]["groups"][0]["rules"][0]["summary"];
        assert_eq!(*summary, json!("kubectl -n openshift-etcd get pods"));
    }

    #[test]
    fn a_second_deployment_is_refused() {
        let error = Bundle::new(&source("\n---\n{kind: Deployment, metadata: {name: two}}")).unwrap_err();
        assert!(matches!(error, Error::Deployments(2)), "{error}");
    }
}
