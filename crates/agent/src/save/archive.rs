use std::fs::File;
use std::path::PathBuf;

use etcd_backup_core::{FileRole, Layout, SetFile, Stamp};
use etcd_backup_store::Staging;

use super::error::SaveError;
use super::room::Coming;
use super::{Context, MANIFEST_BYTES, Run, room};
use crate::proof;
use crate::static_resources::{ATTEMPTS, Collected, Selection, StaticResourcesError, select};
use crate::stop::Stop;

/// Which static pod resources to archive, and from where.
#[derive(Debug, Clone)]
pub(super) struct StaticResources {
    pub(super) layout: Layout,
    pub(super) kubernetes_dir: PathBuf,
}

impl StaticResources {
    /// A look at what would be archived now: it is complete, and this is its size at most.
    pub(super) async fn select(&self, stop: &Stop) -> Result<Selection, SaveError> {
        let Self { layout, kubernetes_dir } = self.clone();
        Ok(stop.blocking(move || select(layout, &kubernetes_dir)).await??)
    }
}

/// Brings the archive into the staged set, proven. Files that change meanwhile make it begin anew, a
/// few times.
pub(super) async fn archive(
    context: &Context<'_>,
    resources: &StaticResources,
    stamp: &Stamp,
    coming: &Coming,
    staging: &mut Staging,
    run: &mut Run<'_>,
) -> Result<(SetFile, Collected), SaveError> {
    let name = stamp.static_resources_file();
    let mut attempt = 1;
    let collected = loop {
        run.journal.enter("static-resources");
        let selection = resources.select(context.stop).await?;
        let most_bytes = selection.most_bytes().saturating_add(MANIFEST_BYTES);
        if !room::is_there(context, run, most_bytes, coming)? {
            room::make(context, run, most_bytes, coming).await?;
            run.journal.enter("static-resources");
        }
        let file = staging.create(&name)?;
        let written = context.stop.blocking(move || selection.write(file)).await?;
        run.observe();
        match written {
            Err(StaticResourcesError::Changing { path }) if attempt < ATTEMPTS => {
                tracing::warn!(path = %path.display(), attempt, "a static resource changed while it was read; collecting anew");
                staging.remove(&name)?;
                attempt += 1;
            }
            done => break done?,
        }
    };
    tracing::info!(layout = ?resources.layout, files = collected.files, "static pod resources are collected");
    for warning in &collected.warnings {
        run.journal.warn(warning.clone());
    }
    Ok((prove(context.stop, staging, name).await?, collected))
}

async fn prove(stop: &Stop, staging: &Staging, name: String) -> Result<SetFile, SaveError> {
    let path = staging.path().join(&name);
    let file: File = staging.open(&name)?;
    let own = stop.clone();
    let proven = stop.blocking(move || proof::archive(&path, &file, &own)).await?;
    let (sha256, size_bytes) = proven.map_err(SaveError::unsound)?;
    Ok(SetFile { role: FileRole::StaticResources, name, size_bytes, sha256 })
}
