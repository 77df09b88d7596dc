//! What Prometheus and Grafana are told to ask, put to a real Prometheus that scrapes the real operator.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use etcd_backup_monitoring::{Dashboard, Rules, documented, selectors};
use etcd_backup_testbed::measured;

use super::SOON;
use crate::bed::{Bed, until};
use crate::manifests::{etcd_backup, keep, keep_size};
use crate::prometheus::Prometheus;

/// Metrics in rules that a cluster where all is well does not have.
const ABSENT: [(&str, &str); 3] = [
    ("etcdbackup_schedule_last_failure_reason", "no scheduled run has failed"),
    ("etcdbackup_schedule_running_since_timestamp_seconds", "no run is under way"),
    ("etcdbackup_queue_oldest_timestamp_seconds", "all EtcdBackups have ended"),
];

/// The dashboard finds something for each of its queries, the rules evaluate and find their metrics, and each series has
/// the labels that are documented.
pub(super) fn queries(bed: &Bed) -> Result<()> {
    bed.volume("watched", 0)?;
    let prometheus = Prometheus::start(bed)?;
    until("the leader to be scraped", SOON, || Ok(!prometheus.query("etcdbackup_leader == 1")?.is_empty()))?;
    bed.schedule("watched", "watched", keep(3))?;
    bed.schedule("watched-by-size", "watched", keep_size(1))?;
    // Without a claim it fails at once, so that the failures are not all zero.
    bed.apply(&etcd_backup("watched-in-vain", "").to_string())?;
    bed.wait_for("watched-in-vain", "Failed", Some("NoVolume"), SOON)?;
    bed.run("watched", "watched-1")?;

    let asked = dashboard(&prometheus)?;
    let rules = rules(&prometheus)?;
    let series = labels(&prometheus)?;
    measured("monitoring", &[("dashboard_queries", &asked), ("rules", &rules), ("series", &series)])?;
    bed.kubectl(&["delete", "etcdbackup", "watched-in-vain"])?;
    bed.kubectl(&["delete", "backup", "watched", "watched-by-size"]).map(drop)
}

/// Every query finds something; returns how many there are.
fn dashboard(prometheus: &Prometheus<'_>) -> Result<usize> {
    let panels = Dashboard::shipped()?.panels;
    let targets = panels.iter().flat_map(|panel| panel.targets.iter().map(move |target| (panel, target)));
    let queries: Vec<_> = targets.map(|(panel, target)| (panel.title.as_str(), target.query("1m"))).collect();
    let asked = queries.len();
    let mut empty = queries;
    let found = until("every query of the dashboard to find something", Duration::from_secs(30), || {
        let mut still = Vec::new();
        for (title, query) in std::mem::take(&mut empty) {
            if prometheus.query(&query)?.is_empty() {
                still.push((title, query));
            }
        }
        empty = still;
        Ok(empty.is_empty())
    });
    ensure!(found.is_ok(), "queries that find nothing: {empty:#?}");
    Ok(asked)
}

/// Every rule is evaluated without an error, and what it is made of is there; returns how many there are.
fn rules(prometheus: &Prometheus<'_>) -> Result<usize> {
    let rules = Rules::shipped()?;
    for (metric, comparison) in
        [("prometheus_rule_evaluation_failures_total", "> 0"), ("prometheus_rule_evaluations_total", "== 0")]
    {
        let wrong = prometheus.query(&format!("{metric} {comparison}"))?;
        ensure!(wrong.is_empty(), "{metric} {comparison}: {wrong:#?}");
    }
    let count: usize = rules.groups.len();
    let groups = prometheus.query("prometheus_rule_evaluations_total > 0")?;
    ensure!(groups.len() == count, "{count} groups of rules, of which are evaluated: {groups:#?}");
    let used: BTreeSet<String> =
        rules.alerts().flat_map(|alert| selectors(&alert.expr)).map(|selector| selector.metric).collect();
    for metric in used {
        let excused = ABSENT.iter().any(|(name, _)| *name == metric);
        ensure!(excused || !prometheus.query(&metric)?.is_empty(), "no series of {metric}, which a rule asks for");
    }
    Ok(rules.alerts().count())
}

/// Every series of the operator has the labels of its row in the documentation; returns how many there are.
fn labels(prometheus: &Prometheus<'_>) -> Result<usize> {
    /// What a scrape adds.
    const ADDED: [&str; 8] = ["__name__", "job", "instance", "namespace", "service", "container", "endpoint", "pod"];
    let documented = documented()?;
    let samples = prometheus.query(r#"{__name__=~"etcdbackup_.+"}"#)?;
    let mut wrong = BTreeMap::new();
    for sample in &samples {
        let name = &sample.metric["__name__"];
        let labels: BTreeSet<String> =
            sample.metric.keys().filter(|label| !ADDED.contains(&label.as_str())).cloned().collect();
        if documented.get(name).is_none_or(|metric| metric.labels != labels) {
            wrong.insert(name.clone(), labels);
        }
    }
    ensure!(wrong.is_empty(), "not as documented: {wrong:#?}");
    Ok(samples.len())
}
