//! A real Prometheus that scrapes the operator in a bed, with the rules that are shipped.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_monitoring::Rules;
use etcd_backup_testbed::{Daemon, tool};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bed::{Bed, OPERATOR_NAMESPACE, until};

/// Where it listens: on the node, whose network the operator's pods are reached from.
const ADDRESS: &str = "127.0.0.1:9090";
/// Name of the operator's Service.
const SERVICE: &str = "etcd-backup-operator";

/// A Prometheus on node 0 of a bed, until it is dropped.
pub struct Prometheus<'a> {
    bed: &'a Bed,
    promtool: String,
    daemon: Daemon,
    _directory: tempfile::TempDir,
}

/// One series of an answer.
#[derive(Debug, Clone, Deserialize)]
pub struct Sample {
    /// Its labels; its name is `__name__`.
    pub metric: BTreeMap<String, String>,
    /// Time and value.
    pub value: (f64, String),
}

impl<'a> Prometheus<'a> {
    /// Starts it, scraping every second what the operator's Service leads to.
    ///
    /// # Errors
    /// If it does not start, or the Service leads nowhere.
    pub fn start(bed: &'a Bed) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::write(directory.path().join("rules.yaml"), serde_json::to_string(&Rules::shipped()?)?)?;
        let config = directory.path().join("prometheus.yaml");
        fs::write(&config, config_of(&targets(bed)?).to_string())?;
        let mut command = bed.cluster.node_command(0, tool("prometheus")?)?;
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={ADDRESS}"));
        let daemon = Daemon::start("prometheus", command, &bed.cluster.dir().join("prometheus.log"))?;
        let promtool = tool("promtool")?.display().to_string();
        let mut prometheus = Self { bed, promtool, daemon, _directory: directory };
        until("Prometheus to answer", Duration::from_secs(30), || {
            prometheus.daemon.check()?;
            Ok(prometheus.query("vector(1)").is_ok())
        })?;
        Ok(prometheus)
    }

    /// What it answers now.
    ///
    /// # Errors
    /// If the query cannot be evaluated.
    pub fn query(&self, expr: &str) -> Result<Vec<Sample>> {
        let server = format!("http://{ADDRESS}");
        let args = [self.promtool.as_str(), "query", "instant", "--format=json", &server, expr];
        let answer = self.bed.cluster.node_exec(0, &args).with_context(|| format!("query {expr}"))?.stdout;
        let samples: Option<Vec<Sample>> = serde_json::from_str(&answer).with_context(|| format!("answer {answer}"))?;
        Ok(samples.unwrap_or_default())
    }
}

/// The operator's pods as Kubernetes has them behind the Service: each with its address and the labels that a
/// ServiceMonitor gives it.
fn targets(bed: &Bed) -> Result<Vec<Value>> {
    let selector = format!("kubernetes.io/service-name={SERVICE}");
    let slices = bed.kubectl(&["-n", OPERATOR_NAMESPACE, "get", "endpointslices", "-l", &selector, "-o", "json"])?;
    let slices: Value = serde_json::from_str(&slices)?;
    let mut targets = Vec::new();
    for slice in slices["items"].as_array().into_iter().flatten() {
        let port = &slice["ports"][0];
        for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
            let address = endpoint["addresses"][0].as_str().context("an endpoint without address")?;
            let labels = json!({
                "namespace": OPERATOR_NAMESPACE, "service": SERVICE, "container": "operator",
                "endpoint": port["name"], "pod": endpoint["targetRef"]["name"],
            });
            targets.push(json!({"targets": [format!("{address}:{}", port["port"])], "labels": labels}));
        }
    }
    ensure!(!targets.is_empty(), "nothing is behind the Service {SERVICE}: {slices:#}");
    Ok(targets)
}

fn config_of(targets: &[Value]) -> Value {
    json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": SERVICE, "static_configs": targets},
            {"job_name": "prometheus", "static_configs": [{"targets": [ADDRESS]}]},
        ],
    })
}
