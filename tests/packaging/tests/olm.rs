//! The bundle for the Operator Lifecycle Manager, judged by operator-framework's own validators.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::fs;
use std::path::Path;
use std::process::Command;

use etcd_backup_testbed::{repository, tool};

/// What the validators say, and whether they accept the bundle.
fn validate(bundle: &Path) -> (bool, String) {
    let output = Command::new(tool("olm-validate").unwrap()).arg(bundle).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

/// A copy of the bundle with one file changed.
fn broken(file: &str, change: impl Fn(String) -> Option<String>) -> tempfile::TempDir {
    // The validators pass over what is hidden, as a temporary directory is by default.
    let copy = tempfile::Builder::new().prefix("bundle").tempdir().unwrap();
    for part in ["manifests", "metadata"] {
        fs::create_dir(copy.path().join(part)).unwrap();
        for entry in fs::read_dir(repository().join("deploy/olm").join(part)).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, copy.path().join(part).join(from.file_name().unwrap())).unwrap();
        }
    }
    let path = copy.path().join(file);
    let text = fs::read_to_string(&path).unwrap();
    match change(text.clone()) {
        Some(changed) => {
            assert_ne!(changed, text, "nothing was changed in {file}");
            fs::write(path, changed).unwrap();
        }
        None => fs::remove_file(path).unwrap(),
    }
    copy
}

#[test]
fn the_bundle_is_accepted() {
    let (accepted, said) = validate(&repository().join("deploy/olm"));
    println!("{said}");
    assert!(accepted, "{said}");
    // It takes the right to write events for one of v1beta1: a permission names no version, and events.k8s.io is v1 today.
    let known = |line: &str| line.contains("Migrate the API(s) for events:");
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning:") && !known(line)).collect();
    assert!(warnings.is_empty(), "a warning is a reason to change the bundle, or to say here why not: {warnings:?}");
}

#[test]
fn a_broken_bundle_is_refused() {
    const CSV: &str = "manifests/etcd-backup-operator.clusterserviceversion.yaml";
    const CRD: &str = "manifests/backups.config.openshift.io.customresourcedefinition.yaml";
    let changed = |from: &'static str, to: &'static str| move |text: String| Some(text.replace(from, to));
    for (title, copy, complaint) in [
        ("a CRD is missing", broken(CRD, |_| None), "not found in bundle"),
        ("no install mode", broken(CSV, changed("supported: true", "supported: false")), "InstallModeTypes"),
        (
            "an unknown field of an example",
            broken(CSV, changed("\"kind\": \"Backup\"", "\"kind\": \"Copy\"")),
            "provided API",
        ),
        ("a category of our own", broken(CSV, changed("categories: Storage", "categories: Backups")), "categories"),
        (
            "no kind",
            broken(CSV, changed("kind: ClusterServiceVersion", "kind: ServiceVersion")),
            "unable to find a csv",
        ),
    ] {
        let (accepted, said) = validate(copy.path());
        assert!(!accepted && said.contains(complaint), "{title}: {said}");
    }
}

#[test]
fn the_labels_of_the_image_are_the_annotations() {
    let read = |file: &str| fs::read_to_string(repository().join("deploy/olm").join(file)).unwrap();
    let annotations: serde_json::Value = serde_yaml_ng::from_str(&read("metadata/annotations.yaml")).unwrap();
    let said = annotations["annotations"].as_object().unwrap();
    let said: Vec<String> =
        said.iter().map(|(name, value)| format!("LABEL {name}={}", value.as_str().unwrap())).collect();
    let dockerfile = read("bundle.Dockerfile");
    let mut labels: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("LABEL ")).collect();
    labels.sort_unstable();
    assert_eq!(said, labels);
}
