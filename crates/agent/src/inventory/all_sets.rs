use std::io::{self, BufWriter, Write};

use etcd_backup_core::{
    CATALOGUE_SCHEMA, CatalogueDigest, CatalogueEnd, CatalogueLine, Reason, Report, ReportedCatalogue, SetName,
    SetState,
};
use etcd_backup_store::LockedVolume;
use jiff::Timestamp;

use super::InventoryError;
use crate::cli::InventoryArgs;
use crate::journal::{Journal, host_name, random_run_id};
use crate::lock::lock_volume;
use crate::stop::Stop;

/// Waits until no run has the volume, then prints every set and what they add up to.
pub(super) async fn run(args: &InventoryArgs, stop: &Stop) -> Report {
    let node = args.node.clone().unwrap_or_else(host_name);
    let mut journal = Journal::begin(random_run_id(), node, Timestamp::now());
    match list(args, stop, &mut journal).await {
        Ok(catalogue) => {
            let message = format!("{} sets are listed", catalogue.digest.count);
            journal.catalogue = Some(catalogue);
            journal.done(Reason::Listed, message, Timestamp::now())
        }
        Err(error) => {
            let message = format!("the sets of {} could not be listed: {error}", args.volume.display());
            journal.failed(error.reason(), message, Timestamp::now())
        }
    }
}

async fn list(args: &InventoryArgs, stop: &Stop, journal: &mut Journal) -> Result<ReportedCatalogue, InventoryError> {
    journal.enter("lock");
    let locked = lock_volume(args.volume.clone(), args.lock_timeout, stop).await??;
    journal.volume_id = Some(locked.id().to_string());
    journal.enter("list");
    let watch = stop.clone();
    stop.blocking(move || print(&locked, &watch, BufWriter::new(io::stdout().lock()))).await?
}

/// One line for each set, and a closing one; in memory are only names and states.
fn print(locked: &LockedVolume, stop: &Stop, mut out: impl Write) -> Result<ReportedCatalogue, InventoryError> {
    let mut sets: Vec<(SetName, SetState)> = Vec::new();
    let mut last_sequence = 0;
    for found in locked.volume().sets_one_by_one()? {
        stop.check()?;
        last_sequence = last_sequence.max(found.sequence().unwrap_or(0));
        let entry = found.entry();
        sets.push((entry.name.clone(), entry.state));
        write_line(&mut out, &CatalogueLine::Set(Box::new(entry)))?;
    }
    let digest = CatalogueDigest::new(sets.iter().map(|(name, state)| (name, *state)));
    let end = CatalogueEnd {
        schema_version: CATALOGUE_SCHEMA,
        volume_id: locked.id().to_string(),
        time: Timestamp::now(),
        digest: digest.clone(),
    };
    write_line(&mut out, &CatalogueLine::End(end))?;
    out.flush()?;
    Ok(ReportedCatalogue { digest, last_sequence })
}

fn write_line(out: &mut impl Write, line: &CatalogueLine) -> Result<(), InventoryError> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}
