//! Kubernetes objects by identity, as read from a stream of YAML documents.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Number, Value};

/// Objects by `Kind/namespace/name`; cluster-scoped ones by `Kind//name`.
pub type Objects = BTreeMap<String, Value>;

/// Reads a stream of YAML documents. Empty ones are left out, and numbers are compared by value: 1.0 is 1.
///
/// # Errors
/// If one of them is no Kubernetes object, or two have the same identity.
pub fn parse(stream: &str) -> Result<Objects> {
    let mut objects = Objects::new();
    for document in serde_yaml_ng::Deserializer::from_str(stream) {
        let mut object: Value = serde::Deserialize::deserialize(document)?;
        if object.is_null() {
            continue;
        }
        whole_numbers(&mut object);
        let identity = identity(&object).with_context(|| format!("not an object: {object}"))?;
        ensure!(objects.insert(identity.clone(), object).is_none(), "{identity} is there twice");
    }
    Ok(objects)
}

fn identity(object: &Value) -> Option<String> {
    let metadata = &object["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    Some(format!("{}/{namespace}/{}", object["kind"].as_str()?, metadata["name"].as_str()?))
}

/// Makes integers of floating-point numbers without a fraction.
#[allow(clippy::cast_possible_truncation, reason = "the number has no fraction and is small enough")]
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64()
                && float.fract() == 0.0
                && float.abs() < 2_f64.powi(53)
            {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
