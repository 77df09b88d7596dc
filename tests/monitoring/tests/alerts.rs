//! The alerts: what promtool says of them, and that each has its tests and its runbook.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use etcd_backup_monitoring::{Rules, documented, selectors};
use etcd_backup_testbed::{measured, repository, tool};
use serde::Deserialize;

/// Where the runbooks are on the web.
const RUNBOOKS: &str = "https://etcd-backup.io/docs/operations/alerts#";

/// A file of promtool's unit tests, as far as it is looked into here.
#[derive(Deserialize)]
struct Cases {
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default)]
    input_series: Vec<Series>,
    alert_rule_test: Vec<Expectation>,
}

#[derive(Deserialize)]
struct Series {
    series: String,
}

#[derive(Deserialize)]
struct Expectation {
    alertname: String,
    #[serde(default)]
    exp_alerts: Vec<Expected>,
}

#[derive(Deserialize)]
struct Expected {
    exp_labels: BTreeMap<String, String>,
}

/// The files with tests for promtool: names and contents.
fn case_files() -> Vec<(String, String)> {
    let directory = repository().join("tests/monitoring/alerts");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let files =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()));
    files.collect()
}

fn cases() -> Vec<Case> {
    let files = case_files();
    files.iter().flat_map(|(_, text)| serde_yaml_ng::from_str::<Cases>(text).unwrap().tests).collect()
}

/// Runs promtool in a directory; its words if it is not content.
fn promtool(directory: &Path, args: &[&str]) -> Result<(), String> {
    let output = Command::new(tool("promtool").unwrap()).args(args).current_dir(directory).output().unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(words) }
}

#[test]
fn promtool_takes_the_rules() {
    let directory = tempfile::tempdir().unwrap();
    let rules = serde_yaml_ng::to_string(&Rules::shipped().unwrap()).unwrap();
    fs::write(directory.path().join("rules.yaml"), rules).unwrap();
    if let Err(words) = promtool(directory.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]) {
        panic!("{words}");
    }
}

#[test]
fn each_alert_fires_when_it_must_and_only_then() {
    let directory = tempfile::tempdir().unwrap();
    let rules = Rules::shipped().unwrap().with_annotation_only("description");
    fs::write(directory.path().join("rules.yaml"), serde_yaml_ng::to_string(&rules).unwrap()).unwrap();
    let files = case_files();
    assert!(!files.is_empty(), "there are no tests for promtool");
    for (name, text) in &files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let names = files.iter().map(|(name, _)| name.as_str());
    let args: Vec<&str> = ["test", "rules"].into_iter().chain(names).collect();
    if let Err(words) = promtool(directory.path(), &args) {
        panic!("{words}");
    }
}

#[test]
fn each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() {
    let cases = cases();
    let alerts = Rules::shipped().unwrap();
    let mut missing = Vec::new();
    for alert in alerts.alerts() {
        let metrics: BTreeSet<_> = selectors(&alert.expr).into_iter().map(|selector| selector.metric).collect();
        let (mut fires, mut silent) = (false, false);
        for case in &cases {
            // Silence proves nothing where what the alert is made of is not there.
            let there = case.input_series.iter().any(|series| metrics.iter().any(|m| series.series.starts_with(m)));
            for expectation in case.alert_rule_test.iter().filter(|expectation| expectation.alertname == alert.name) {
                let mut severities = expectation.exp_alerts.iter().map(|expected| expected.exp_labels.get("severity"));
                let fired = severities.any(|severity| severity.is_some_and(|word| word == alert.severity()));
                fires |= fired;
                silent |= !fired && there;
            }
        }
        if !fires || !silent {
            missing.push(format!("{} ({}): fires {fires}, silent {silent}", alert.name, alert.severity()));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let (rules, expectations) =
        (alerts.alerts().count(), cases.iter().map(|case| case.alert_rule_test.len()).sum::<usize>());
    measured("alerts", &[("rules", &rules), ("cases", &cases.len()), ("expectations", &expectations)]).unwrap();
}

#[test]
fn the_tests_use_series_as_the_operator_has_them() {
    let documented = documented().unwrap();
    for case in cases() {
        for series in &case.input_series {
            let [selector] = selectors(&series.series).try_into().unwrap();
            let metric = documented.get(&selector.metric);
            let metric = metric.unwrap_or_else(|| panic!("{}: {} is not documented", case.name, selector.metric));
            let mut labels: BTreeSet<String> = selector.labels.into_iter().collect();
            // Prometheus adds it when it scrapes.
            labels.remove("pod");
            assert_eq!(labels, metric.labels, "{}: {}", case.name, series.series);
        }
    }
}

#[test]
fn each_metric_and_label_in_a_rule_or_a_runbook_is_documented() {
    let documented = documented().unwrap();
    let rules = Rules::shipped().unwrap();
    let in_rules = rules.alerts().flat_map(|alert| selectors(&alert.expr));
    let in_messages = rules.alerts().flat_map(|alert| alert.annotations.values()).flat_map(|text| selectors(text));
    for selector in in_rules.chain(in_messages).chain(selectors(&runbooks())) {
        let metric = documented.get(&selector.metric);
        let metric = metric.unwrap_or_else(|| panic!("{} is not in docs/metrics.md", selector.metric));
        let strange = selector.labels.iter().find(|label| !metric.labels.contains(*label));
        assert_eq!(strange, None, "a label that {} does not have", selector.metric);
    }
}

fn runbooks() -> String {
    fs::read_to_string(repository().join("docs/operations/alerts.md")).unwrap()
}

#[test]
fn each_alert_has_a_runbook_with_all_its_parts() {
    let page = runbooks();
    let sections: BTreeMap<&str, &str> =
        page.split("\n## ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    let alerts = Rules::shipped().unwrap();
    for alert in alerts.alerts() {
        let section = sections.get(alert.name.as_str());
        let section = section.unwrap_or_else(|| panic!("no section {} in docs/operations/alerts.md", alert.name));
        for part in ["**Meaning.**", "**Impact.**", "**Diagnosis.**", "**Mitigation.**"] {
            assert!(section.contains(part), "{} has no {part}", alert.name);
        }
        assert!(section.contains("```console") && section.contains("```promql"), "{}: no commands", alert.name);
        let url = format!("{RUNBOOKS}{}", alert.name.to_lowercase());
        assert_eq!(alert.annotations.get("runbook_url"), Some(&url), "{}", alert.name);
    }
    let names: BTreeSet<&str> = alerts.alerts().map(|alert| alert.name.as_str()).collect();
    let stale = sections.keys().find(|name| name.starts_with("EtcdBackup") && !names.contains(*name));
    assert_eq!(stale, None, "a runbook of an alert that is not there");
}

#[test]
fn each_alert_says_what_and_how_bad() {
    let mut seen = BTreeSet::new();
    for alert in Rules::shipped().unwrap().alerts() {
        assert!(alert.name.starts_with("EtcdBackup"), "{}", alert.name);
        assert!(["critical", "warning", "info"].contains(&alert.severity()), "{}: severity", alert.name);
        assert!(seen.insert((alert.name.clone(), alert.severity().to_owned())), "{} is there twice", alert.name);
        for key in ["summary", "description"] {
            assert!(alert.annotations.get(key).is_some_and(|text| !text.is_empty()), "{}: {key}", alert.name);
        }
    }
}
