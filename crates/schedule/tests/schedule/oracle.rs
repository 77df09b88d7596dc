use std::collections::HashSet;
use std::fmt::Display;
use std::fs::{self, File};
use std::process::Command;

use etcd_backup_schedule::{Schedule, TZDB_RELEASE, Zone};
use etcd_backup_testbed::{measured, tool};
use jiff::Timestamp;

use crate::cases::{Case, Cases};
use crate::zone_data::ZoneData;

const SEED: u64 = 20_261_121;
const CASES: usize = 40_000;
const RUNS: usize = 5;

/// What kube-controller-manager's own parser says to each case.
fn theirs(cases: &[Case], zones: &ZoneData) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let questions = dir.path().join("questions");
    let lines: String = cases.iter().map(|case| format!("{case}\n")).collect();
    fs::write(&questions, lines).unwrap();
    let output = Command::new(tool("kube").unwrap())
        .args(["cron-oracle", &RUNS.to_string()])
        .env("ZONEINFO", zones.path())
        .stdin(File::open(&questions).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The same from this crate.
fn ours(case: &Case) -> String {
    let Ok(schedule) = Schedule::parse(&case.schedule) else { return "ERR".to_owned() };
    let zone = Zone::parse(case.zone.name()).unwrap();
    let runs: Vec<Timestamp> = schedule.due(case.after, Timestamp::MAX, zone).take(RUNS).collect();
    assert!([case.after].iter().chain(&runs).is_sorted_by(|earlier, later| earlier < later), "{case}: {runs:?}");
    let never = (runs.len() < RUNS).then(|| "never".to_owned());
    runs.iter().map(Timestamp::to_string).chain(never).collect::<Vec<_>>().join(" ")
}

/// Their answer without the runs that are not later than the ones before: where clocks go back over midnight, their
/// search can end before it began.
fn ascending(case: &Case, theirs: &str) -> String {
    let mut latest = case.after;
    let later = theirs.split(' ').filter(|word| {
        let Ok(run) = word.parse::<Timestamp>() else { return true };
        let later = run > latest;
        latest = latest.max(run);
        later
    });
    later.collect::<Vec<_>>().join(" ")
}

#[test]
fn random_schedules_read_as_in_kube_controller_manager() {
    let zones = ZoneData::compile();
    let cases: Vec<Case> = Cases::from_seed(SEED).take(CASES).collect();
    let theirs = theirs(&cases, &zones);
    assert_eq!(theirs.len(), cases.len());
    let compared = cases.iter().zip(&theirs).map(|(case, theirs)| (case, ours(case), ascending(case, theirs)));
    let compared: Vec<_> = compared.collect();
    // One run that was left out is one that they do not name at the end.
    let different: Vec<_> = compared.iter().filter(|(_, ours, theirs)| !ours.starts_with(theirs.as_str())).collect();

    let refused = theirs.iter().filter(|answer| *answer == "ERR").count();
    let never = theirs.iter().filter(|answer| *answer == "never").count();
    let named: HashSet<_> = cases.iter().map(|case| case.zone.name()).collect();
    let back = compared.iter().zip(&theirs).filter(|((_, _, ascending), theirs)| ascending != *theirs).count();
    let figures: [(&str, &dyn Display); 9] = [
        ("cases", &cases.len()),
        ("differences", &different.len()),
        ("back", &back),
        ("refused", &refused),
        ("never", &never),
        ("zones", &named.len()),
        ("seed", &SEED),
        ("tzdb", &TZDB_RELEASE),
        ("go_tzdb", &zones.release),
    ];
    measured("schedule-oracle", &figures).unwrap();
    for (case, ours, theirs) in different.iter().take(10) {
        println!("{case}\n  ours   {ours}\n  theirs {theirs}");
    }
    assert!(different.is_empty(), "{} of {CASES} differ; the first are above", different.len());
    assert_eq!(zones.release, TZDB_RELEASE);
    assert!(refused > CASES / 20 && refused < CASES / 2 && never > 100, "cases of every sort: {refused} {never}");
}
