//! Every word that conditions, events and warnings use has a row in docs/operations, and every right of the operator one in
//! docs/security.md. They are read from the source, so that one that is added later is found without a list of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use etcd_backup_e2e::bed::OPERATOR_NAMESPACE;
use etcd_backup_e2e::permissions::{OPERATOR, documented, granted, same};
use serde::Deserialize as _;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path);
    assert!(text.is_ok(), "{}: {text:?}", path.display());
    text.unwrap_or_default()
}

/// All Rust files below a directory.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The words that follow a piece of code: `=> "Word"`.
fn words(text: &str, before: &str) -> BTreeSet<String> {
    let follows = |(at, _)| text[at + before.len()..].split('"').next().unwrap_or_default().to_owned();
    text.match_indices(before)
        .map(follows)
        .filter(|word| word.chars().next().is_some_and(char::is_uppercase) && word.chars().all(char::is_alphanumeric))
        .collect()
}

/// Fails with the words that have no row of their own on a page.
fn in_rows(words: &BTreeSet<String>, page: &str, at_least: usize) {
    assert!(words.len() >= at_least, "only {} words were found: {words:?}", words.len());
    let text = read(&root().join(page));
    let rows: BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split('|').nth(1)).collect();
    let has = |word: &String| rows.iter().any(|row| row.contains(&format!("`{word}`")));
    let missing: Vec<_> = words.iter().filter(|word| !has(word)).collect();
    assert!(missing.is_empty(), "{page} has no row for {missing:?}");
}

#[test]
fn every_reason_has_its_row() {
    let files = [
        "crates/core/src/reason.rs",
        "crates/core/src/retention.rs",
        "crates/api/src/etcdbackup.rs",
        "crates/operator/src/etcdbackup/reason.rs",
        "crates/operator/src/backup/reason.rs",
    ];
    let mut found = BTreeSet::new();
    for file in files {
        let text = read(&root().join(file));
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        found.extend(words(code, "=> \""));
    }
    in_rows(&found, "docs/operations/reasons.md", 70);
}

#[test]
fn every_warning_has_its_row() {
    let mut files = Vec::new();
    sources(&root().join("crates/agent/src"), &mut files).unwrap();
    let found = files.iter().flat_map(|file| words(&read(file), "Warning::new(\"")).collect();
    in_rows(&found, "docs/operations/warnings.md", 15);
}

#[test]
fn every_right_has_its_row_and_none_is_for_secrets() {
    for platform in ["kubernetes", "openshift"] {
        let text = read(&root().join(format!("deploy/{platform}.yaml")));
        let documents = serde_yaml_ng::Deserializer::from_str(&text);
        let objects: Vec<Value> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
        let rights = granted(&objects, OPERATOR_NAMESPACE, OPERATOR).unwrap();
        assert!(rights.len() > 30, "{platform}: only {rights:?}");
        same(&rights, &documented().unwrap()).unwrap();
        assert!(!rights.iter().any(|right| right.resource.starts_with("secrets")), "{platform}: {rights:?}");
    }
}
