//! What a console shows beside each field: names by hand, descriptions from the CRD, nothing left out.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::object::Object;

/// Completes `customresourcedefinitions.owned` of the base from the CRDs.
pub(crate) fn complete(owned: &mut [Value], crds: &[&Object]) -> Result<()> {
    for crd in crds {
        if !owned.iter().any(|entry| entry["name"] == crd.name()) {
            return Err(Error::UndescribedKind(crd.name().to_owned()));
        }
    }
    for entry in owned {
        let crd = crds.iter().find(|crd| entry["name"] == crd.name());
        let crd = crd.ok_or_else(|| Error::NoSuchKind(entry["name"].to_string()))?;
        complete_kind(entry, crd)?;
    }
    Ok(())
}

fn complete_kind(entry: &mut Value, crd: &Object) -> Result<()> {
    let version = &crd.0["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    let kind = crd.0["spec"]["names"]["kind"].as_str().unwrap_or_default();
    entry["kind"] = kind.into();
    entry["version"] = version["name"].clone();
    entry["description"] = schema["description"].clone();
    for (part, list) in [("spec", "specDescriptors"), ("status", "statusDescriptors")] {
        let schema = &schema["properties"][part];
        let mut described: Vec<Value> = entry[list].as_array().cloned().unwrap_or_default();
        for descriptor in &mut described {
            let path = descriptor["path"].as_str().unwrap_or_default();
            let field = path.split('.').try_fold(schema, |schema, name| schema["properties"].get(name));
            let missing = || Error::NoSuchField { kind: kind.to_owned(), field: format!("{part}.{path}") };
            descriptor["description"] = field.ok_or_else(missing)?["description"].clone();
        }
        for name in schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys()) {
            let below = |path: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            if !described.iter().any(|descriptor| descriptor["path"].as_str().is_some_and(below)) {
                return Err(Error::UndescribedField { kind: kind.to_owned(), field: format!("{part}.{name}") });
            }
        }
        entry[list] = described.into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn crd() -> Object {
        let leaf = |text: &str| json!({"type": "string", "description": text});
        let etcd = json!({"type": "object", "properties": {"schedule": leaf("When.")}});
        let schema = json!({"description": "A thing.", "properties": {
            "spec": {"properties": {"etcd": etcd}}, "status": {"properties": {"phase": leaf("How far.")}}
        }});
        Object(json!({"kind": "CustomResourceDefinition", "metadata": {"name": "things.example.org"}, "spec": {
            "names": {"kind": "Thing"}, "versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]
        }}))
    }

    fn owned(spec: &str, status: &str) -> Vec<Value> {
        vec![json!({"name": "things.example.org",
            "specDescriptors": [{"path": spec, "displayName": "Schedule"}],
            "statusDescriptors": [{"path": status, "displayName": "Phase"}]})]
    }

    #[test]
    fn descriptions_come_from_the_crd() {
        let mut owned = owned("etcd.schedule", "phase");
        complete(&mut owned, &[&crd()]).unwrap();
        let entry = &owned[0];
        assert_eq!(
            (&entry["kind"], &entry["version"], &entry["description"]),
            (&json!("Thing"), &json!("v1"), &json!("A thing."))
        );
        assert_eq!(entry["specDescriptors"][0]["description"], "When.");
        assert_eq!(entry["statusDescriptors"][0]["description"], "How far.");
        assert_eq!(entry["statusDescriptors"][0]["displayName"], "Phase");
    }

    #[test]
    fn text_and_crd_may_not_drift_apart() {
        let error = |mut owned: Vec<Value>, crds: &[&Object]| complete(&mut owned, crds).unwrap_err().to_string();
        let crd = crd();
        assert!(error(owned("etcd.calendar", "phase"), &[&crd]).contains("Thing spec.etcd.calendar"));
        assert!(error(owned("etcd.schedule", "etc"), &[&crd]).contains("Thing status.etc"));
        let mut short = owned("etcd.schedule", "phase");
        short[0]["statusDescriptors"] = json!([]);
        assert!(error(short, &[&crd]).contains("does not describe Thing status.phase"));
        assert!(error(vec![], &[&crd]).contains("does not describe the CRD things.example.org"));
        assert!(error(owned("etcd.schedule", "phase"), &[]).contains("has no CRD"));
    }
}
