//! Kubernetes objects as they are in a manifest.

use serde::Deserialize as _;
use serde_json::Value;

use crate::error::{Error, Result};

/// An object of a manifest, whatever its kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Object(pub Value);

impl Object {
    /// The objects of a manifest with any number of documents.
    ///
    /// # Errors
    /// If it is not YAML, or a document has no kind or no name.
    pub fn all(manifest: &str) -> Result<Vec<Self>> {
        let objects = serde_yaml_ng::Deserializer::from_str(manifest).map(|document| {
            let object = Self(Value::deserialize(document)?);
            let named = !object.kind().is_empty() && !object.name().is_empty();
            if named { Ok(object) } else { Err(Error::NotAnObject(object.0.to_string())) }
        });
        objects.collect()
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace, if it has one.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0["metadata"]["namespace"].as_str()
    }

    /// Kind and name, for messages.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }
}
