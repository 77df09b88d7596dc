use etcd_backup_schedule::{Schedule, Zone};
use jiff::SignedDuration;

use crate::cases::{Case, Cases};

const SEED: u64 = 4;
const CASES: usize = 2_000;

#[test]
fn the_previous_run_is_the_last_that_was_due() {
    let mut found = 0;
    for (Case { zone, after, schedule: text }, days) in Cases::from_seed(SEED).take(CASES).zip((1..8).cycle()) {
        let Ok(schedule) = Schedule::parse(&text) else { continue };
        let zone = Zone::parse(zone.name()).unwrap();
        let until = after + SignedDuration::from_hours(24 * days);
        let previous = schedule.previous(until, after, zone);
        assert_eq!(previous, schedule.due(after, until, zone).last(), "{text:?} in {zone} from {after} to {until}");
        found += usize::from(previous.is_some());
    }
    assert!(found > CASES / 4, "{found} of {CASES} have one");
}
