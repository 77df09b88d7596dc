//! The ClusterServiceVersion: the hand-written base, completed from the install.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::bundle::Source;
use crate::descriptors;
use crate::error::{Error, Result};
use crate::object::Object;
use crate::permissions::Permissions;

/// Completes the base.
pub(crate) fn complete(
    source: &Source,
    crds: &[&Object],
    deployment: &Object,
    permissions: &Permissions,
) -> Result<Object> {
    let mut csv = source.base.0.clone();
    let package = deployment.name();
    csv["metadata"]["name"] = format!("{package}.v{}", source.version).into();
    let images = images(&deployment.0["spec"]["template"]["spec"]);
    annotate(&mut csv["metadata"]["annotations"], source, crds, &images)?;

    let spec = &mut csv["spec"];
    spec["version"] = source.version.as_str().into();
    spec["icon"] = json!([{"base64data": BASE64_STANDARD.encode(&source.icon), "mediatype": "image/svg+xml"}]);
    let named = |image: &String| json!({"name": package, "image": image});
    spec["relatedImages"] = images.iter().map(named).collect();
    let mut owned = spec["customresourcedefinitions"]["owned"].as_array().cloned().unwrap_or_default();
    descriptors::complete(&mut owned, crds)?;
    spec["customresourcedefinitions"]["owned"] = owned.into();
    spec["install"] = install(deployment, permissions);
    Ok(Object(csv))
}

/// What follows from the install: examples, image, and whether it can be mirrored.
fn annotate(annotations: &mut Value, source: &Source, crds: &[&Object], images: &BTreeSet<String>) -> Result<()> {
    let mut examples: Vec<&Value> = Vec::new();
    for crd in crds {
        let kind = &crd.0["spec"]["names"]["kind"];
        let found = source.samples.iter().find(|sample| sample.0["kind"] == *kind);
        examples.push(&found.ok_or_else(|| Error::NoSample(kind.to_string()))?.0);
    }
    annotations["alm-examples"] = format!("{:#}", json!(examples)).into();
    annotations["containerImage"] = images.first().cloned().unwrap_or_default().into();
    // Mirrors are looked up by digest.
    let mirrored = images.iter().all(|image| image.contains("@sha256:"));
    annotations["features.operators.openshift.io/disconnected"] = mirrored.to_string().into();
    Ok(())
}

fn install(deployment: &Object, permissions: &Permissions) -> Value {
    let account = deployment.0["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    json!({"strategy": "deployment", "spec": {
        "clusterPermissions": Permissions::list(&permissions.cluster, account),
        "permissions": Permissions::list(&permissions.namespaced, account),
        "deployments": [{
            "name": deployment.name(),
            "label": deployment.0["metadata"]["labels"],
            "spec": deployment.0["spec"],
        }],
    }})
}

/// Every image that a pod names: its containers', and those in variables named `*_IMAGE`.
fn images(pod: &Value) -> BTreeSet<String> {
    let containers = pod["containers"].as_array().into_iter().flatten();
    let named = containers.flat_map(|container| {
        let variables = container["env"].as_array().into_iter().flatten();
        let variables =
            variables.filter(|variable| variable["name"].as_str().is_some_and(|name| name.ends_with("_IMAGE")));
        variables.map(|variable| &variable["value"]).chain([&container["image"]])
    });
    named.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_found_once() {
        let env = |name: &str, value: &str| json!({"name": name, "value": value});
        let variables = json!([env("AGENT_IMAGE", "agent@sha256:1"), env("HOME", "/")]);
        let pod = json!({"containers": [{"image": "a"}, {"image": "operator", "env": variables}, {"image": "a"}]});
        assert_eq!(images(&pod).into_iter().collect::<Vec<_>>(), ["a", "agent@sha256:1", "operator"]);
    }
}
