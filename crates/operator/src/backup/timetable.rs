//! When a Backup's runs are due, as kube-controller-manager sees it.

use etcd_backup_schedule::{Schedule, ScheduleError, Zone, validate};
use jiff::{SignedDuration, Timestamp};

/// The zone of a schedule that names none.
pub(crate) const DEFAULT_ZONE: &str = "Etc/UTC";

/// A schedule in its zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timetable {
    /// The schedule as written.
    pub(crate) schedule: String,
    /// The zone's name.
    pub(crate) zone: String,
    parsed: (Schedule, Zone),
}

impl Timetable {
    /// Reads a schedule and a zone; an empty zone is [`DEFAULT_ZONE`].
    ///
    /// # Errors
    /// What kube-apiserver or kube-controller-manager would refuse.
    pub(crate) fn parse(schedule: &str, zone: &str) -> Result<Self, ScheduleError> {
        let zone = if zone.is_empty() { DEFAULT_ZONE } else { zone };
        let parsed = validate(schedule, zone)?;
        Ok(Self { schedule: schedule.to_owned(), zone: zone.to_owned(), parsed })
    }

    /// The first run later than `after`; `anchor` is what `@every` counts from: the last run, or the
    /// CronJob's creation.
    #[must_use]
    pub(crate) fn next(&self, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        let (schedule, zone) = &self.parsed;
        schedule.next(self.start(anchor, after), *zone)
    }

    /// The runs later than `after` and not later than `until`, the earliest first.
    pub(crate) fn due(
        &self,
        anchor: Timestamp,
        after: Timestamp,
        until: Timestamp,
    ) -> impl Iterator<Item = Timestamp> + '_ {
        let (schedule, zone) = &self.parsed;
        schedule.due(self.start(anchor, after), until, *zone)
    }

    /// Whether a run of kube-controller-manager's was due at a time by this reading too. If not, its data
    /// of the zone is of another release. `@every` has no times of its own.
    #[must_use]
    pub(crate) fn agrees(&self, run: Timestamp) -> bool {
        self.period().is_some() || self.next(run, run - SignedDuration::from_secs(1)) == Some(run)
    }

    /// The time between two runs of `@every`.
    #[must_use]
    pub(crate) fn period(&self) -> Option<SignedDuration> {
        let (schedule, zone) = &self.parsed;
        let epoch = Timestamp::UNIX_EPOCH;
        self.schedule
            .starts_with("@every ")
            .then(|| schedule.next(epoch, *zone))?
            .map(|next| next.duration_since(epoch))
    }

    /// The longest time from one run to the next within a year, more or less.
    #[must_use]
    pub(crate) fn longest_gap(&self, now: Timestamp) -> Option<SignedDuration> {
        let (schedule, zone) = &self.parsed;
        self.period().or_else(|| schedule.longest_gap(now, *zone))
    }

    /// Where to count on from.
    fn start(&self, anchor: Timestamp, after: Timestamp) -> Timestamp {
        let (schedule, zone) = &self.parsed;
        match self.period() {
            Some(_) => schedule.previous(after, anchor, *zone).unwrap_or(anchor),
            None => after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-01-{time}Z").parse().unwrap()
    }

    #[test]
    fn a_calendar_does_not_look_back_and_every_does() {
        let (anchor, now) = (at("01T00:10:00"), at("01T05:00:00"));
        let next = |schedule: &str, zone: &str| Timetable::parse(schedule, zone).unwrap().next(anchor, now).unwrap();
        assert_eq!(next("20 4 * * *", ""), at("02T04:20:00"));
        assert_eq!(next("20 4 * * *", "Europe/Berlin"), at("02T03:20:00"));
        assert_eq!(next("@every 2h", ""), at("01T06:10:00"));
        let every = Timetable::parse("@every 2h", "").unwrap();
        let due: Vec<Timestamp> = every.due(anchor, at("01T02:10:00"), now).collect();
        assert_eq!(due, [at("01T04:10:00")]);
        assert_eq!(every.next(anchor, at("01T00:11:00")), Some(at("01T02:10:00")));
        assert_eq!(every.period(), Some(SignedDuration::from_hours(2)));
        assert_eq!(Timetable::parse("@hourly", "").unwrap().period(), None);
    }

    #[test]
    fn a_run_at_another_time_shows_other_data_of_the_zone() {
        let nightly = Timetable::parse("20 4 * * *", "Africa/Casablanca").unwrap();
        assert!(nightly.agrees(at("01T03:20:00")));
        assert!(!nightly.agrees(at("01T04:20:00")));
        assert!(Timetable::parse("@every 2h", "").unwrap().agrees(at("01T04:20:00")));
    }

    #[test]
    fn what_cannot_run_is_said_with_its_reason() {
        let reason = |schedule: &str, zone: &str| Timetable::parse(schedule, zone).unwrap_err().reason();
        assert_eq!(reason("61 4 * * *", ""), "InvalidSchedule");
        assert_eq!(reason("20 4 * * *", "Mars/Olympus"), "InvalidTimeZone");
        assert_eq!(Timetable::parse("0 0 30 2 *", "").unwrap().next(at("01T00:00:00"), at("01T00:00:00")), None);
    }
}
