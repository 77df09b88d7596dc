use etcd_backup_core::{CatalogueDigest, ReportedCatalogue, ReportedSpace, SetSummary};
use etcd_backup_store::{StoreError, Volume};

/// The sets of a volume in no order. No manifest stays in memory.
pub(crate) fn summaries(volume: &Volume) -> Result<Vec<SetSummary>, StoreError> {
    Ok(volume.each(|_| true)?.map(|set| SetSummary::from(&set.entry())).collect())
}

/// What the sets of a volume add up to.
pub(crate) fn reported(sets: &[SetSummary]) -> ReportedCatalogue {
    let sequences = sets.iter().filter_map(|set| Some(set.origin.as_ref()?.sequence));
    ReportedCatalogue {
        digest: CatalogueDigest::new(sets.iter().map(|set| (&set.name, set.state))),
        last_sequence: sequences.max().unwrap_or(0),
    }
}

/// The same from a look at the volume. That it cannot be had is told and no failure of the run.
pub(crate) fn of(volume: &Volume) -> Option<ReportedCatalogue> {
    summaries(volume)
        .map(|sets| reported(&sets))
        .inspect_err(|error| tracing::warn!(%error, "the report says nothing of the volume's sets"))
        .ok()
}

/// The volume's file system, now. That it cannot be had is told and no failure of the run.
pub(crate) fn space(volume: &Volume) -> Option<ReportedSpace> {
    let space = volume.space();
    let space =
        space.inspect_err(|error| tracing::warn!(%error, "the report says nothing of the volume's space")).ok()?;
    Some(ReportedSpace { total_bytes: space.total_bytes, free_bytes: space.available_bytes })
}
