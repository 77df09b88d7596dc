//! What is shipped for Prometheus and Grafana, as the tests of it need it: the rules, the dashboard's queries, and the
//! metrics that the documentation tells of.

#![forbid(unsafe_code)]

mod dashboard;
mod metrics;
mod promql;
mod rules;

use std::fs;

use anyhow::{Context as _, Result};
use etcd_backup_testbed::repository;

pub use dashboard::{Dashboard, GridPos, Panel, Target};
pub use metrics::{Metric, documented};
pub use promql::{Selector, selectors};
pub use rules::{Alert, Group, Rules};

/// A file of the repository.
fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| format!("read {path}"))
}
