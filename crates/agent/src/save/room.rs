//! Room is made before anything is written, and nothing is written past it.

use etcd_backup_core::Lineage;

use super::error::SaveError;
use super::{Context, Run};
use crate::retention::Need;

/// What the file system itself needs for the files of a set, in bytes.
const FILE_SYSTEM_BYTES: u64 = 1 << 20;

/// The set that is being made, as far as it is known yet.
#[derive(Debug, Clone)]
pub(super) struct Coming {
    /// Which etcd data it holds.
    pub(super) lineage: Lineage,
    /// Whether it will be verified.
    pub(super) verified: bool,
}

/// Whether so many bytes more may be written now. If not, a policy has to delete something first.
///
/// # Errors
/// If the disk has no room for them, and no policy that deletes something for it.
pub(super) fn is_there(
    context: &Context<'_>,
    run: &mut Run<'_>,
    bytes: u64,
    coming: &Coming,
) -> Result<bool, SaveError> {
    if let Some(retention) = &mut run.retention
        && !retention.has_room(&need(context, bytes, coming)?)
    {
        return Ok(false);
    }
    require(context, run, bytes).map(|()| true)
}

/// Deletes what the policy deletes for so many bytes more.
///
/// # Errors
/// If the disk has no room for them all the same.
pub(super) async fn make(
    context: &Context<'_>,
    run: &mut Run<'_>,
    bytes: u64,
    coming: &Coming,
) -> Result<(), SaveError> {
    run.journal.enter("room");
    if let Some(retention) = &mut run.retention {
        // What files give back to a disk is known only when they are gone.
        while retention.make_room(&need(context, bytes, coming)?, context.stop).await? > 0 {}
    }
    require(context, run, bytes)
}

fn need(context: &Context<'_>, bytes: u64, coming: &Coming) -> Result<Need, SaveError> {
    let room_bytes = context.locked.volume().space()?.room_bytes(context.reserve_percent);
    Ok(Need {
        bytes,
        working_bytes: context.locked.working_bytes()?,
        disk_short_bytes: on_disk(bytes).saturating_sub(room_bytes),
        verified: coming.verified,
        lineage: Some(coming.lineage.clone()),
    })
}

fn require(context: &Context<'_>, run: &Run<'_>, bytes: u64) -> Result<(), SaveError> {
    let held = run.retention.as_ref().and_then(|retention| retention.finding()).filter(|finding| finding.holds());
    context.locked.volume().require_room(on_disk(bytes), context.reserve_percent).map_err(|source| match held {
        Some(finding) => SaveError::NothingGoes { source, held: finding.message.clone() },
        None => source.into(),
    })
}

fn on_disk(bytes: u64) -> u64 {
    bytes.saturating_add(FILE_SYSTEM_BYTES)
}
