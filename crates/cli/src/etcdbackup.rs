//! What every command reads off an EtcdBackup. Pure.

use etcd_backup_api::{EtcdBackup, EtcdBackupStatus, conditions};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::paint::Tone;
use crate::table::Cell;

/// The schedule whose run an EtcdBackup records.
#[must_use]
pub(crate) fn schedule_of(backup: &EtcdBackup) -> Option<&str> {
    backup.spec.recorded.as_ref().map(|recorded| recorded.backup.as_str())
}

/// What the operator says of a backup; `None` until it has seen it. The API server fills in a status without a phase.
#[must_use]
pub(crate) fn seen(backup: &EtcdBackup) -> Option<&EtcdBackupStatus> {
    backup.status.as_ref().filter(|status| status.phase.is_some())
}

/// When a backup was begun, which is how old its data is; before it begins, when it was asked for.
#[must_use]
pub(crate) fn time(backup: &EtcdBackup) -> Option<Timestamp> {
    let began = backup.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    began.or_else(|| backup.creation_timestamp().map(|time| time.0))
}

/// What the status says for people: Ready has the message whatever the phase.
#[must_use]
pub(crate) fn message(status: &EtcdBackupStatus) -> &str {
    conditions::get(&status.conditions, "Ready").map_or("", |ready| ready.message.as_str())
}

/// A phase in its colour.
#[must_use]
pub(crate) fn phase(phase: Option<&str>) -> Cell {
    Cell::new(phase.unwrap_or_default(), tone(phase.unwrap_or_default()))
}

/// The colour of a phase.
#[must_use]
pub(crate) fn tone(phase: &str) -> Tone {
    match phase {
        "Completed" => Tone::Good,
        "Failed" => Tone::Bad,
        "" => Tone::Plain,
        _ => Tone::Notice,
    }
}
