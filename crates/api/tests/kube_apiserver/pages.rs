//! What the pages and the samples tell people to apply, the API server takes as it is, without an unknown field.

use std::fs;
use std::path::PathBuf;

use etcd_backup_testbed::{ApiServer, Kubectl as _};

use crate::{ROOT, install};

/// The manifests in a page: fenced blocks of YAML that hold whole objects, without the indentation of their fence.
fn manifests(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(fence) = lines.find(|line| line.trim_start() == "```yaml") {
        let indent = fence.len() - fence.trim_start().len();
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim_start() != "```")
            .map(|line| line.get(indent..).unwrap_or_default())
            .collect();
        if block.iter().any(|line| line.starts_with("apiVersion:")) {
            found.push(block.join("\n"));
        }
    }
    found
}

/// The files of a folder with one ending.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("{ROOT}/{folder}")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == ending)).collect()
}

#[test]
fn what_people_are_told_to_apply_is_accepted() {
    // Its own: in the shared one other tests make claims of the same names.
    let server = ApiServer::start_own(&[]).unwrap();
    install(&server);
    let mut pages = files("docs/how-to", "md");
    pages.extend(["README.md", "docs/quickstart.md"].map(|page| PathBuf::from(format!("{ROOT}/{page}"))));
    let mut blocks = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let found = manifests(&text);
        assert!(!found.is_empty(), "{} has no manifest", page.display());
        blocks.extend(found.into_iter().map(|block| (page.display().to_string(), block)));
    }
    for sample in files("config/samples", "yaml") {
        blocks.push((sample.display().to_string(), fs::read_to_string(&sample).unwrap()));
    }
    let hook = format!("{ROOT}/deploy/argocd/presync-backup.yaml");
    blocks.push((hook.clone(), fs::read_to_string(hook).unwrap()));
    for (from, block) in blocks {
        let accepted = server
            .kubectl_stdin(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"], &block);
        assert!(accepted.is_ok(), "{from}: {}\n{block}", accepted.err().unwrap());
    }
}
