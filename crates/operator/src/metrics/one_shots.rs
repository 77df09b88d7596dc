//! The gauges of EtcdBackups that no schedule made, and of objects that cannot be read.

use super::gauges::{self as g, Sample};
use super::objects::{Objects, UNPROVEN, end, seconds};

/// All of them.
pub(super) fn samples(objects: &Objects) -> Vec<Sample<'_>> {
    let one_shots: Vec<_> = objects.etcdbackups().filter(|backup| backup.spec.recorded.is_none()).collect();
    let ended = || one_shots.iter().filter_map(|backup| Some((end(backup)?, *backup)));
    let mut phases = [("Pending", 0), ("Running", 0), ("Completed", 0), ("Failed", 0)];
    for backup in &one_shots {
        let running = backup.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
        let phase = match end(backup) {
            Some(end) if end.failure.is_some() => 3,
            Some(_) => 2,
            None if running => 1,
            None => 0,
        };
        phases[phase].1 += 1;
    }
    let mut samples: Vec<Sample<'_>> =
        phases.into_iter().map(|(phase, count)| g::ONE_SHOTS.is([phase], f64::from(count))).collect();
    for reason in UNPROVEN {
        let count = ended().filter(|(end, _)| end.unproven == Some(reason)).count();
        samples.push(g::ONE_SHOT_UNPROVEN.is([reason], count as f64));
    }
    let good = ended().filter(|(end, _)| end.failure.is_none() && end.unproven.is_none());
    if let Some((end, backup)) = good.max_by_key(|(end, _)| end.at) {
        let snapshot = backup.status.as_ref().and_then(|status| status.snapshot.as_ref());
        samples.push(g::ONE_SHOT_SUCCESS.is([], seconds(end.at)));
        samples.extend(g::ONE_SHOT_REVISION.known([], snapshot.map(|snapshot| snapshot.revision as f64)));
    }
    let failed = ended().filter(|(end, _)| end.failure.is_some()).map(|(end, _)| end.at).max();
    samples.extend(g::ONE_SHOT_FAILURE.known([], failed.map(seconds)));
    let backups = objects.schedules.iter().filter(|guarded| guarded.0.is_err()).count();
    let etcdbackups = objects.etcdbackups.iter().filter(|guarded| guarded.0.is_err()).count();
    samples.push(g::UNREADABLE.is(["Backup"], backups as f64));
    samples.push(g::UNREADABLE.is(["EtcdBackup"], etcdbackups as f64));
    samples
}
