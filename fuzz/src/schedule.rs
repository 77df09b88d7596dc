use etcd_backup_schedule::{Schedule, Zone, validate};
use jiff::{SignedDuration, Timestamp};

use crate::schedule::calendar::Calendar;

mod calendar;

/// How long the schedule is followed.
const SPAN: SignedDuration = SignedDuration::from_hours(5 * 366 * 24);

/// A schedule, and on further lines a time zone and an instant (seconds since 1970 UTC): `20 4 * * *`, `Europe/Berlin`,
/// `1774656000`.
///
/// Runs lie after the instant they are asked for and ascend. If one is due, the previous run is known, and is within the
/// time asked for. In UTC, where no clock changes, the next run is what a plain reading of the fields gives.
pub fn schedule(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (schedule, zone, after) = (line(), line(), line().parse().unwrap_or(0));

    let valid = validate(schedule, zone);
    let parsed = (Schedule::parse(schedule), Zone::parse(zone));
    if let Err(error) = &valid {
        assert!(!error.to_string().is_empty() && error.reason().starts_with("Invalid"), "{error}");
    }
    let (Ok(schedule_read), Ok(zone_read)) = parsed else {
        assert!(valid.is_err(), "accepted, but cannot be read");
        return;
    };
    assert_eq!(valid.ok(), (!schedule.contains("TZ")).then(|| (schedule_read.clone(), zone_read)));

    let Ok(after) = Timestamp::from_second(after) else { return };
    runs(&schedule_read, zone_read, after);
    if !schedule.contains("TZ") {
        in_utc(&schedule_read, schedule, after);
    }
}

/// What holds in every zone.
fn runs(schedule: &Schedule, zone: Zone, after: Timestamp) {
    let next = schedule.next(after, zone);
    let runs: Vec<Timestamp> = schedule.due(after, Timestamp::MAX, zone).take(5).collect();
    assert_eq!(runs.first(), next.as_ref());
    assert!(next.is_none_or(|next| next > after), "{next:?} is not after {after}");
    assert!(runs.is_sorted_by(|run, later| run < later), "{runs:?} do not ascend");

    let until = after.checked_add(SPAN).unwrap_or(Timestamp::MAX);
    let previous = schedule.previous(until, after, zone);
    assert!(previous.is_none_or(|previous| after < previous && previous <= until), "{previous:?}, {after} to {until}");
    // Not the other way round: across a day that a zone left out, no next run is found (Samoa, 2011-12-30).
    assert!(previous.is_some() || next.is_none_or(|next| next > until), "{next:?} is due before {until}");
}

/// What holds where clocks never change.
fn in_utc(schedule: &Schedule, text: &str, after: Timestamp) {
    let next = schedule.next(after, Zone::UTC);
    let Some(calendar) = Calendar::read(text) else { return };
    assert_eq!(next, calendar.next(after), "the next run after {after}");
    if let Some(next) = next {
        assert_eq!(schedule.previous(next, after, Zone::UTC), Some(next));
        let late = next.checked_add(SignedDuration::from_secs(59)).unwrap_or(next);
        assert_eq!(schedule.previous(late, after, Zone::UTC), Some(next));
    }
}
