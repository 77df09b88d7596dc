//! Every state that a power cut may leave, opened with the real store. `power_cut.rs` says what a
//! power cut may leave, `check.rs` what has to hold.

mod check;
mod power_cut;
pub(crate) mod record;
mod scenarios;

use std::collections::BTreeMap;

use etcd_backup_testbed::measured;

use crate::fixture::Disk;
use check::{Fault, Faults, faults};
use power_cut::{State, states};
use record::{Inode, ROOT, Recording, Step};
use scenarios::scenarios;

/// What is wrong in a state.
fn open(recording: &Recording, state: &State) -> Faults {
    let disk = Disk::in_memory();
    state.write(recording, disk.path());
    faults(&disk, &state.promise)
}

#[test]
fn no_power_cut_costs_the_last_good_set_or_shows_part_of_one() {
    let (mut total, mut all) = (0, Faults::new());
    for (name, recording) in scenarios() {
        let states = states(&recording);
        println!("{name}: {} steps, {} states", recording.steps.len(), states.len());
        total += states.len();
        for state in &states {
            let faults = open(&recording, state);
            if all.is_empty() && !faults.is_empty() {
                eprintln!("the first fault, of {name}: {faults:?} in {state:#?}");
            }
            faults.into_iter().for_each(|(fault, count)| *all.entry(fault).or_default() += count);
        }
    }
    let count = |fault| all.get(&fault).copied().unwrap_or(0);
    let (lost, partial) = (count(Fault::LastGoodLost), count(Fault::PartialVisible));
    measured("crash-states", &[("states", &total), ("last_good_lost", &lost), ("partial_visible", &partial)]).unwrap();
    assert!(total > 500, "{total} states are too few to be all");
    assert_eq!(all, Faults::new());
}

/// The recordings of the test above with the steps in a wrong order: the faults must be found.
#[test]
fn the_replay_finds_what_a_wrong_order_would_do() {
    type Wrong = fn(&mut Vec<Step>);
    let wrongs: [(&str, &str, Wrong, Fault); 7] = [
        ("a set is moved before its files are durable", "publish", files_late, Fault::PartialVisible),
        ("a set is moved before it durably names its files", "publish", set_dir_not_synced, Fault::PartialVisible),
        ("publishing returns before it is durable", "publish", moves_not_synced, Fault::LastGoodLost),
        ("files are unlinked before their set is durably gone", "prune", unlinked_early, Fault::PartialVisible),
        ("deleting returns before it is durable", "documents", moves_not_synced, Fault::Undead),
        ("a sweep relies on a rename that is not durable", "sweep", moves_not_synced, Fault::PartialVisible),
        ("the identity is moved before it is durable", "first run", files_late, Fault::Unusable),
    ];
    let recordings: BTreeMap<_, _> = scenarios().into_iter().collect();
    for (what, name, wrong, fault) in wrongs {
        let mut recording = recordings[name].clone();
        wrong(&mut recording.steps);
        let found = states(&recording).iter().any(|state| open(&recording, state).contains_key(&fault));
        assert!(found, "{what}: no {fault:?}");
    }
}

/// Every fsync of a file comes right after the next rename.
fn files_late(steps: &mut Vec<Step>) {
    let mut late = Vec::new();
    for step in std::mem::take(steps) {
        match step {
            Step::FsyncFile { .. } => late.push(step),
            Step::Move { .. } => {
                steps.push(step);
                steps.append(&mut late);
            }
            other => steps.push(other),
        }
    }
}

/// Directories from or to which a set was moved are not fsynced.
fn moves_not_synced(steps: &mut Vec<Step>) {
    let sides = |step: &Step| match step {
        Step::Move { from, to, .. } if [*from, *to].contains(&ROOT) => vec![*from, *to],
        _ => Vec::new(),
    };
    let moved: Vec<Inode> = steps.iter().flat_map(sides).collect();
    steps.retain(|step| !matches!(step, Step::FsyncDir { dir } if moved.contains(dir)));
}

/// A set's own directory is not fsynced.
fn set_dir_not_synced(steps: &mut Vec<Step>) {
    let published: Vec<Inode> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Move { to: ROOT, inode, .. } => Some(*inode),
            _ => None,
        })
        .collect();
    steps.retain(|step| !matches!(step, Step::FsyncDir { dir } if published.contains(dir)));
}

/// A deletion's fsyncs come after its unlinks.
fn unlinked_early(steps: &mut Vec<Step>) {
    let (mut deleting, mut late) = (false, Vec::new());
    for step in std::mem::take(steps) {
        match step {
            Step::Move { .. } => deleting = matches!(step, Step::Move { from: ROOT, .. }),
            Step::FsyncDir { .. } if deleting => {
                late.push(step);
                continue;
            }
            Step::Promise(_) => {
                steps.append(&mut late);
                deleting = false;
            }
            _ => {}
        }
        steps.push(step);
    }
}
