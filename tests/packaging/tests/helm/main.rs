//! The Helm chart: what it installs is what kustomize installs, and each of its values does what it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

mod render;
mod same_as_kustomize;
mod test_pod;
mod values;

use std::fs;
use std::path::PathBuf;

use etcd_backup_packaging_tests::values_table;

use render::{KUBERNETES, chart, helm, template_of};

#[test]
fn lint_has_nothing_to_say() {
    for platform in ["kubeadm", "openshift"] {
        let set = format!("platform={platform}");
        let output = helm(&["lint", "--strict", "--quiet", &chart(), "--set", &set, "--kube-version", KUBERNETES]);
        assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
    }
}

#[test]
fn the_readme_has_every_value() {
    let chart = PathBuf::from(chart());
    let (readme, values) = (chart.join("README.md"), chart.join("values.yaml"));
    let readme = fs::read_to_string(readme).unwrap();
    let updated = values_table::updated(&readme, &fs::read_to_string(values).unwrap()).unwrap();
    assert_eq!(readme, updated, "run `make generate`");
}

#[test]
fn the_version_is_the_workspaces() {
    let text = fs::read_to_string(PathBuf::from(chart()).join("Chart.yaml")).unwrap();
    let chart: serde_json::Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_chart_can_be_packed() {
    let directory = tempfile::tempdir().unwrap();
    let output = helm(&["package", &chart(), "--destination", directory.path().to_str().unwrap()]);
    assert!(output.status.success(), "{}", output.stderr);
    let archive = fs::read_dir(directory.path()).unwrap().next().unwrap().unwrap().path();
    // What was packed renders as the directory does: nothing that it needs is left out by .helmignore.
    let packed = template_of(archive.to_str().unwrap(), &[]);
    assert!(packed == template_of(&chart(), &[]), "the archive renders otherwise than the directory");
}
