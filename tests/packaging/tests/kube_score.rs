//! kube-score on what is installed and on the Jobs that the operator makes: every finding is mended, or listed here and explained
//! in docs/security.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use etcd_backup_testbed::{repository, tool};
use serde_json::Value;

/// The best grade; anything less is a finding.
const ALL_OK: u64 = 10;

/// Findings that stay, for both installs and all Jobs.
const EVERYWHERE: [&str; 4] = [
    "container-ephemeral-storage-request-and-limit",
    "container-image-pull-policy",
    "container-resources",
    "pod-networkpolicy",
];
/// Findings that stay on OpenShift and in the Jobs: the user.
const USER: &str = "container-security-context-user-group-id";

/// The checks that found something in manifests.
fn findings(files: &[PathBuf]) -> BTreeSet<String> {
    let score = tool("kube-score").unwrap();
    let options = ["score", "--kubernetes-version", "v1.30", "--output-format", "json"];
    let output = Command::new(score).args(options).args(files).output().unwrap();
    let scored: Vec<Value> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert!(!scored.is_empty(), "nothing was scored in {files:?}");
    let mut found = BTreeSet::new();
    for object in scored {
        for check in object["checks"].as_array().into_iter().flatten() {
            if check["skipped"] == false && check["grade"].as_u64().unwrap() < ALL_OK {
                println!("{} {}: {}", object["object_name"], check["check"]["id"], check["comments"]);
                found.insert(check["check"]["id"].as_str().unwrap().to_owned());
            }
        }
    }
    found
}

fn expected(more: &[&str]) -> BTreeSet<String> {
    EVERYWHERE.iter().chain(more).map(|check| (*check).to_owned()).collect()
}

fn install(platform: &str) -> PathBuf {
    repository().join(format!("deploy/{platform}.yaml"))
}

#[test]
fn the_installs_have_no_other_findings() {
    assert_eq!(findings(&[install("kubernetes")]), expected(&[]));
    assert_eq!(findings(&[install("openshift")]), expected(&[USER]));
}

#[test]
fn the_jobs_have_no_other_findings() {
    let golden = repository().join("crates/operator/tests/golden");
    let files = fs::read_dir(golden).unwrap().map(|entry| entry.unwrap().path());
    let workload = |path: &PathBuf| fs::read_to_string(path).unwrap().contains("restartPolicy:");
    let files: Vec<PathBuf> = files.filter(workload).collect();
    assert!(files.len() >= 6, "{files:?}");
    assert_eq!(findings(&files), expected(&[USER]));
}

#[test]
fn a_careless_change_is_found() {
    let text = fs::read_to_string(install("kubernetes")).unwrap();
    let careless = text.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false");
    assert_ne!(careless, text);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("careless.yaml");
    fs::write(&path, careless).unwrap();
    assert_eq!(findings(&[path]), expected(&["container-security-context-readonlyrootfilesystem"]));
}

#[test]
fn every_exception_is_explained() {
    let page = fs::read_to_string(repository().join(Path::new("docs/security.md"))).unwrap();
    for check in expected(&[USER]) {
        assert!(page.contains(&format!("| `{check}` |")), "docs/security.md does not explain {check}");
    }
}
