//! The overlay for kubeadm, and the same as one file, in a real cluster. What takes them away again is run as `docs/install.md` has it.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::repository;

use super::install::{PREVIOUS, Way};
use crate::bed::{Bed, IMAGE};

/// Installed from a folder, upgraded while a backup runs, uninstalled.
pub(super) fn kustomize(bed: &Bed) -> Result<()> {
    let install = |bed: &Bed| {
        let directory = tempfile::tempdir()?;
        let status = Command::new("cp").arg("-r").arg(repository().join("config")).arg(directory.path()).status()?;
        ensure!(status.success(), "cp: {status}");
        let overlay = directory.path().join("config/overlays/kubernetes");
        let file = overlay.join("kustomization.yaml");
        let text = fs::read_to_string(&file)?;
        let previous = text.replace("newTag: dev", "newTag: previous");
        ensure!(previous != text, "{} does not name the image", file.display());
        fs::write(&file, previous)?;
        apply(bed, "-k", &overlay)
    };
    let upgrade = |bed: &Bed| apply(bed, "-k", &repository().join("config/overlays/kubernetes"));
    Way { name: "by-kustomize", install, upgrade, uninstall: |bed| uninstall(bed, 0) }.live_through(bed)
}

/// The same, from one file.
pub(super) fn one_file(bed: &Bed) -> Result<()> {
    let install = |bed: &Bed| {
        let text = fs::read_to_string(rendered())?;
        ensure!(text.matches(IMAGE).count() == 2, "docs/install.md says that the image is there twice");
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), text.replace(IMAGE, PREVIOUS))?;
        apply(bed, "-f", file.path())
    };
    let upgrade = |bed: &Bed| apply(bed, "-f", &rendered());
    Way { name: "by-file", install, upgrade, uninstall: |bed| uninstall(bed, 1) }.live_through(bed)
}

fn rendered() -> std::path::PathBuf {
    repository().join("deploy/kubernetes.yaml")
}

fn apply(bed: &Bed, how: &str, what: &Path) -> Result<()> {
    bed.kubectl(&["apply", "--server-side", how, what.to_str().context("path is not UTF-8")?]).map(drop)
}

/// Runs the commands for kubectl of a block of the page's section Uninstall.
fn uninstall(bed: &Bed, block: usize) -> Result<()> {
    let page = fs::read_to_string(repository().join("docs/install.md"))?;
    let (_, section) = page.split_once("\n## Uninstall\n").context("docs/install.md has no section Uninstall")?;
    let block = section.split("```console\n").nth(block + 1).and_then(|rest| rest.split("```").next());
    let commands: Vec<&str> =
        block.context("no such block")?.lines().filter_map(|line| line.strip_prefix("$ kubectl ")).collect();
    ensure!(!commands.is_empty(), "no command to run");
    for command in commands {
        println!("  $ kubectl {command}");
        let here = |word: &str| {
            if word.starts_with("config/") { repository().join(word).display().to_string() } else { word.to_owned() }
        };
        let words: Vec<String> = command.split_whitespace().map(here).collect();
        bed.kubectl(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(())
}
