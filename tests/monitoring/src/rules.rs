use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::read;

/// Groups of alerting rules, as a rule file of Prometheus has them and as the PrometheusRule has them in its spec.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The groups.
    pub groups: Vec<Group>,
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its rules.
    pub rules: Vec<Alert>,
}

/// One rule. An alert of several severities has one rule for each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Name of the alert.
    #[serde(rename = "alert")]
    pub name: String,
    /// What makes it fire.
    pub expr: String,
    /// For how long that must hold.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// Labels that it adds.
    pub labels: BTreeMap<String, String>,
    /// What it tells.
    pub annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct PrometheusRule {
    spec: Rules,
}

impl Rules {
    /// The rules of `config/monitoring`.
    ///
    /// # Errors
    /// If the file cannot be read, or has fields that are not known here.
    pub fn shipped() -> Result<Self> {
        let object: PrometheusRule = serde_yaml_ng::from_str(&read("config/monitoring/prometheus_rule.yaml")?)?;
        Ok(object.spec)
    }

    /// All rules.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.groups.iter().flat_map(|group| &group.rules)
    }

    /// The same rules with no annotation but this one, for tests that spell out what it becomes.
    #[must_use]
    pub fn with_annotation_only(mut self, name: &str) -> Self {
        for alert in self.groups.iter_mut().flat_map(|group| &mut group.rules) {
            alert.annotations.retain(|key, _| key == name);
        }
        self
    }
}

impl Alert {
    /// Its severity; empty if it has none.
    #[must_use]
    pub fn severity(&self) -> &str {
        self.labels.get("severity").map_or("", String::as_str)
    }
}
