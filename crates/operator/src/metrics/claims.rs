//! The gauges of claims and their volumes.

use std::collections::{BTreeMap, HashMap};

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{Report, SetState};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::gauges::{self as g, Sample};
use super::objects::{Objects, end, seconds};
use crate::catalogue::VolumeState;

const STATES: [SetState; 5] =
    [SetState::Verified, SetState::Unverified, SetState::Damaged, SetState::Unreadable, SetState::Foreign];

/// What is known of a claim.
#[derive(Default)]
struct Claim<'a> {
    /// EtcdBackups that have not ended and are not of a schedule.
    queue: Vec<&'a EtcdBackup>,
    /// Newest reports of schedules' runs on it.
    reports: Vec<&'a Report>,
    /// Whether a Backup names it.
    scheduled: bool,
    /// Itself, if it is there.
    found: Option<&'a PersistentVolumeClaim>,
}

/// All gauges of the claims that are used. The records are those of the objects.
pub(super) fn samples<'a>(objects: &'a Objects, records: &HashMap<&'a str, Vec<&'a EtcdBackup>>) -> Vec<Sample<'a>> {
    let mut samples = Vec::new();
    for (name, claim) in used(objects, records) {
        let waiting = claim.queue.iter().filter(|backup| !is_running(backup)).count();
        let oldest = claim.queue.iter().filter_map(|backup| backup.metadata.creation_timestamp.as_ref()).min();
        samples.push(g::QUEUE.is([name], waiting as f64));
        samples.extend(g::QUEUE_OLDEST.known([name], oldest.map(|oldest| seconds(oldest.0))));
        samples.extend(g::CAPACITY.known([name], claim.found.and_then(capacity)));
        let volume = objects.volumes.get(name);
        samples.extend(space(name, volume, &claim.reports));
        samples.extend(volume.into_iter().flat_map(|volume| sets(name, volume)));
    }
    samples
}

/// The claims that a Backup or an EtcdBackup names, with what is about them. One that only ended EtcdBackups name
/// must be there: anybody can name anything.
fn used<'a>(objects: &'a Objects, records: &HashMap<&'a str, Vec<&'a EtcdBackup>>) -> BTreeMap<&'a str, Claim<'a>> {
    let mut claims: BTreeMap<&str, Claim<'a>> = BTreeMap::new();
    for backup in objects.etcdbackups() {
        let claim = claims.entry(&backup.spec.pvc_name).or_default();
        if backup.spec.recorded.is_none() && end(backup).is_none() {
            claim.queue.push(backup);
        }
    }
    for schedule in objects.schedules() {
        claims.entry(&schedule.spec.etcd.pvc_name).or_default().scheduled = true;
    }
    for found in &objects.claims {
        if let Some(claim) = found.metadata.name.as_deref().and_then(|name| claims.get_mut(name)) {
            claim.found = Some(found);
        }
    }
    for (name, report) in &objects.reports {
        // A run's claim is its record's: the Backup may name another one by now.
        let run = |record: &&&EtcdBackup| record.run_id() == Some(report.run_id.as_str());
        let record = records.get(name.as_str()).and_then(|records| records.iter().find(run));
        if let Some(record) = record {
            claims.entry(&record.spec.pvc_name).or_default().reports.push(report);
        }
    }
    claims.retain(|name, claim| {
        !name.is_empty() && (claim.scheduled || claim.found.is_some() || !claim.queue.is_empty())
    });
    claims
}

fn is_running(backup: &EtcdBackup) -> bool {
    backup.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

fn space<'a>(
    name: &'a str,
    volume: Option<&'a VolumeState>,
    reports: &[&'a Report],
) -> impl Iterator<Item = Sample<'a>> + use<'a> {
    let last = volume.and_then(|volume| volume.last.as_deref());
    let told = reports.iter().copied().chain(last).filter(|report| report.space.is_some());
    let newest = told.max_by_key(|report| report.completion_time);
    let space = newest.and_then(|report| report.space);
    let samples = [
        g::VOLUME_SIZE.known([name], space.map(|space| space.total_bytes as f64)),
        g::VOLUME_FREE.known([name], space.map(|space| space.free_bytes as f64)),
        g::VOLUME_OBSERVED.known([name], newest.map(|report| seconds(report.completion_time))),
    ];
    samples.into_iter().flatten()
}

fn sets<'a>(name: &'a str, volume: &'a VolumeState) -> impl Iterator<Item = Sample<'a>> {
    volume.known.iter().flat_map(move |known| {
        STATES.map(|state| {
            let count = known.sets.values().filter(|set| set.state == state).count();
            g::VOLUME_SETS.is([name, state.as_str()], count as f64)
        })
    })
}

/// What Kubernetes says that a bound claim holds, in bytes.
fn capacity(claim: &PersistentVolumeClaim) -> Option<f64> {
    let Quantity(text) = claim.status.as_ref()?.capacity.as_ref()?.get("storage")?;
    bytes(text)
}

/// Bytes of a quantity as the API server writes it: `10Gi`, `500M`, `1e9`, `1500m`.
fn bytes(quantity: &str) -> Option<f64> {
    let units = [
        ("Ki", 1024_f64.powi(1)),
        ("Mi", 1024_f64.powi(2)),
        ("Gi", 1024_f64.powi(3)),
        ("Ti", 1024_f64.powi(4)),
        ("Pi", 1024_f64.powi(5)),
        ("Ei", 1024_f64.powi(6)),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let found = units.iter().find_map(|(unit, factor)| Some((quantity.strip_suffix(unit)?, *factor)));
    let (number, factor) = found.unwrap_or((quantity, 1.0));
    number.parse().ok().map(|number: f64| number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_kubernetes_writes_them() {
        for (quantity, expected) in [
            ("10Gi", Some(10.0 * 1024.0 * 1024.0 * 1024.0)),
            ("500M", Some(5e8)),
            ("1k", Some(1000.0)),
            ("1e9", Some(1e9)),
            ("1500m", Some(1.5)),
            ("2E", Some(2e18)),
            ("42", Some(42.0)),
            ("Gi", None),
            ("much", None),
        ] {
            assert_eq!(bytes(quantity), expected, "{quantity}");
        }
    }
}
