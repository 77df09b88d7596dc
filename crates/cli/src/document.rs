//! Output for programs.

use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Output;
use crate::error::Error;
use crate::print;

/// Prints a document as JSON, or as YAML if that is wanted.
///
/// # Errors
/// [`Error::Document`], which is a bug.
pub(crate) fn print_document(document: &impl Serialize, output: Output) -> Result<(), Error> {
    let text = if output == Output::Yaml {
        serde_yaml_ng::to_string(document).map_err(|error| failed("YAML", &error))?
    } else {
        serde_json::to_string_pretty(document).map_err(|error| failed("JSON", &error))?
    };
    print(&text);
    Ok(())
}

/// Objects as kubectl prints them: one List, without the bookkeeping of field managers.
///
/// # Errors
/// [`Error::Document`], which is a bug.
pub(crate) fn list(objects: &[impl Serialize]) -> Result<Value, Error> {
    let mut items = serde_json::to_value(objects).map_err(|error| failed("JSON", &error))?;
    for item in items.as_array_mut().into_iter().flatten() {
        if let Some(metadata) = item["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    }
    Ok(json!({"apiVersion": "v1", "kind": "List", "items": items}))
}

fn failed(format: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Document { format, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_that_kubectl_takes_back() {
        let object = json!({"kind": "EtcdBackup", "metadata": {"name": "b", "managedFields": [{"manager": "m"}]}});
        let expected = json!({"apiVersion": "v1", "kind": "List",
                              "items": [{"kind": "EtcdBackup", "metadata": {"name": "b"}}]});
        assert_eq!(list(&[object]).unwrap(), expected);
    }
}
