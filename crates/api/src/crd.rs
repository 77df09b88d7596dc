use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use crate::{Backup, EtcdBackup};

/// Annotation on our CRDs by which the operator knows that the served schema is ours and not
/// OpenShift's.
pub const SCHEMA_ANNOTATION: &str = "etcd-backup.io/schema-version";

/// Version of the CRD schema in [`SCHEMA_ANNOTATION`].
pub const SCHEMA_VERSION: &str = "1";

/// The CRDs as they are installed, with the annotation that marks them as ours.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    [EtcdBackup::crd(), Backup::crd()].into_iter().map(finish).collect()
}

fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    crd.metadata.annotations.get_or_insert_default().insert(SCHEMA_ANNOTATION.to_owned(), SCHEMA_VERSION.to_owned());
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|validation| validation.open_api_v3_schema.as_mut()) {
        schema.title = None;
        unwrap_descriptions(schema);
        if let Some(status) = schema.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.default = Some(JSON(unseen_status()));
        }
    }
    crd
}

/// The status of an object that the operator has not seen yet. kstatus takes an object without status for ready; a
/// generation that no object has makes it say InProgress, as Flux' own kinds do it.
fn unseen_status() -> Value {
    json!({"observedGeneration": -1})
}

/// Joins the lines of every description: they are broken where the Rust source is, and
/// `kubectl explain` breaks them again.
fn unwrap_descriptions(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(unwrap_descriptions);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        unwrap_descriptions(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get(key));
                map.values().for_each(|value| values(value, key, found));
            }
            Value::Array(list) => list.iter().for_each(|value| values(value, key, found)),
            _ => {}
        }
    }

    #[test]
    fn marked_as_ours_cluster_scoped_and_with_a_status_subresource() {
        for crd in crds() {
            assert_eq!(crd.metadata.annotations.unwrap()[SCHEMA_ANNOTATION], SCHEMA_VERSION);
            assert_eq!(crd.spec.scope, "Cluster");
            assert!(crd.spec.versions[0].subresources.as_ref().unwrap().status.is_some());
            assert_eq!((crd.spec.names.short_names, crd.spec.names.categories), (None, None));
        }
    }

    #[test]
    fn the_api_server_fills_nothing_in_but_the_status() {
        // A default would be stored in the object, and GitOps tools would report it as drift. None of them compares status.
        for crd in crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let mut defaults = Vec::new();
            values(&crd, "default", &mut defaults);
            assert_eq!(defaults, [&unseen_status()]);
            let status = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/default");
            assert_eq!(status, Some(&unseen_status()));
        }
    }

    #[test]
    fn conditions_merge_by_type() {
        for crd in crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let conditions = &crd
                .pointer("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties/conditions")
                .unwrap();
            assert_eq!(conditions["x-kubernetes-list-type"], "map");
            assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
        }
    }

    #[test]
    fn descriptions_are_whole_sentences_on_one_line() {
        for crd in crds() {
            let crd = serde_json::to_value(crd).unwrap();
            let mut descriptions = Vec::new();
            values(&crd, "description", &mut descriptions);
            assert!(descriptions.len() > 20);
            assert!(descriptions.iter().filter_map(|text| text.as_str()).all(|text| !text.contains('\n')));
        }
    }

    #[test]
    fn config_crd_is_what_the_types_say() {
        for crd in crds() {
            let name = crd.metadata.name.as_deref().unwrap();
            let path = format!("{}/../../config/crd/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
            let committed: CustomResourceDefinition =
                serde_yaml_ng::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(committed, crd, "{path}: run `make generate`");
        }
    }
}
