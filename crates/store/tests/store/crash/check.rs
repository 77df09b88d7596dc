//! A state after a power cut, opened with the real store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use etcd_backup_store::{Look, verify_files};
use uuid::Uuid;

use crate::fixture::{Disk, names, run_id, set_name, staged};

/// What has to hold whenever the power is cut from here on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Promise {
    /// The volume's identity, once a run has had the lock.
    pub(crate) id: Option<Uuid>,
    /// The newest set whose publication has returned.
    pub(crate) newest: Option<u32>,
    /// Sets whose deletion has returned.
    pub(crate) deleted: Vec<u32>,
    /// The highest sequence of a set whose publication has returned.
    pub(crate) sequence: u64,
    /// Number of the report (its message) of run 1 that was kept last.
    pub(crate) report: u32,
    /// The set with damage on record.
    pub(crate) damaged: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The newest set that was promised is not there, or does not prove.
    LastGoodLost,
    /// Something that is called like a set is not whole.
    PartialVisible,
    /// A deleted set is back.
    Undead,
    /// The volume cannot be locked, or no set be published.
    Unusable,
    IdentityChanged,
    /// Something is left in the working directories after a run has locked the volume.
    NotSwept,
    SequenceReused,
    ReportLost,
    ResultLost,
}

pub(crate) type Faults = BTreeMap<Fault, usize>;

/// What is wrong on the disk: as it is, after a run has locked it, and after a run has published.
pub(crate) fn faults(disk: &Disk, promise: &Promise) -> Faults {
    let mut faults = Faults::new();
    let mut add = |found: bool, fault: Fault| {
        if found {
            *faults.entry(fault).or_default() += 1;
        }
    };
    look(disk, promise, &mut add);
    let report = disk.volume().read_report(&run_id(1));
    let number = report.map(|report| report.map_or(0, |report| report.message.parse().unwrap()));
    add(!number.is_ok_and(|number: u32| number >= promise.report), Fault::ReportLost);
    match disk.try_lock() {
        Err(_) => add(true, Fault::Unusable),
        Ok(locked) => {
            add(promise.id.is_some_and(|id| id != locked.id()), Fault::IdentityChanged);
            add(["staging", "trash"].iter().any(|dir| !names(&disk.own(dir)).is_empty()), Fault::NotSwept);
            look(disk, promise, &mut add);
            let (staging, manifest) = staged(&locked, 99);
            add(manifest.sequence <= promise.sequence, Fault::SequenceReused);
            add(staging.publish(&manifest).is_err(), Fault::Unusable);
            drop(locked);
            look(disk, &Promise { newest: Some(99), ..promise.clone() }, &mut add);
        }
    }
    faults
}

fn look(disk: &Disk, promise: &Promise, add: &mut impl FnMut(bool, Fault)) {
    let sets = disk.volume().sets().unwrap();
    let is_whole = |look: &Look, path| match look {
        Look::Consistent { manifest, .. } | Look::Damaged { manifest, .. } => {
            verify_files(path, manifest, |_| ControlFlow::Continue(())).is_ok()
        }
        _ => false,
    };
    let whole: Vec<_> = sets.iter().filter(|set| is_whole(&set.state, &set.path)).map(|set| &set.name).collect();
    add(whole.len() != sets.len(), Fault::PartialVisible);
    add(promise.newest.is_some_and(|newest| !whole.contains(&&set_name(newest))), Fault::LastGoodLost);
    add(promise.deleted.iter().any(|number| sets.iter().any(|set| set.name == set_name(*number))), Fault::Undead);
    let recorded = |number| {
        let mut sets = sets.iter();
        sets.any(|set| set.name == set_name(number) && matches!(set.state, Look::Damaged { .. }))
    };
    add(promise.damaged.is_some_and(|number| !recorded(number)), Fault::ResultLost);
}
