//! The search for the next run, step by step as in robfig/cron (`spec.go`, `SpecSchedule.Next`).
//!
//! Its steps are not the shortest way, and around a change of the clocks they decide what comes out:
//! a run at a skipped time is left out, one at a repeated time happens twice, and where midnight is
//! skipped a day can be missed. So they are kept, in their order.

use chrono::{Datelike as _, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike as _};

use crate::Zone;
use crate::fields::Fields;

/// A search gives up when it has left the fifth year after the one that it began in.
const YEARS: i32 = 5;
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;

/// The first run at or after `from` (seconds since 1970 UTC); None if there is none within five years.
pub(crate) fn first_run(fields: &Fields, zone: Zone, from: i64) -> Option<i64> {
    if !fields.can_match() {
        return None;
    }
    let mut search = Search { fields, zone, at: from, wall: zone.wall(from)?, moved: false };
    let last_year = search.wall.year() + YEARS;
    while search.wall.year() <= last_year {
        if search.find_month()? && search.find_day()? && search.find_hour()? && search.find_minute()? {
            return Some(search.at);
        }
    }
    None
}

/// Where the search is. Each `find_` goes on to the first month, day, hour or minute of the
/// schedule and returns true; or returns false at the beginning of the next larger unit, where all
/// has to be looked at again. None means that there is no run.
struct Search<'a> {
    fields: &'a Fields,
    zone: Zone,
    /// Seconds since 1970 UTC.
    at: i64,
    /// What a clock on the wall shows then.
    wall: NaiveDateTime,
    /// Whether the smaller units have been set back to their beginning. Once is enough.
    moved: bool,
}

impl Search<'_> {
    fn find_month(&mut self) -> Option<bool> {
        while !self.fields.has_month(self.wall.month()) {
            if !self.moved {
                self.go_to_midnight_of(self.wall.date().with_day(1)?)?;
            }
            // A day that the month lacks counts on into the following one.
            let date = self.wall.date();
            let first = date.with_day(1)?.checked_add_months(Months::new(1))?;
            let date = first.checked_add_days(Days::new(date.day0().into()))?;
            self.go_to(self.zone.instant(date, self.wall.time())?)?;
            if self.wall.month() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn find_day(&mut self) -> Option<bool> {
        while !self.fields.has_day(self.wall.date()) {
            if !self.moved {
                self.go_to_midnight_of(self.wall.date())?;
            }
            let before = self.at;
            let date = self.wall.date().checked_add_days(Days::new(1))?;
            self.go_to(self.zone.instant(date, self.wall.time())?)?;
            // Midnight was skipped: robfig/cron goes to the nearest.
            let hour = i64::from(self.wall.hour());
            if hour > 12 {
                self.go_to(self.at + (24 - hour) * HOUR)?;
            } else if hour > 0 {
                self.go_to(self.at - hour * HOUR)?;
            }
            // A zone left this day out (Samoa, 2011-12-30): robfig/cron never returns.
            if self.at <= before {
                return None;
            }
            if self.wall.day() == 1 {
                return Some(false);
            }
        }
        Some(true)
    }

    fn find_hour(&mut self) -> Option<bool> {
        while !self.fields.has_hour(self.wall.hour()) {
            if !self.moved {
                self.moved = true;
                let time = NaiveTime::from_hms_opt(self.wall.hour(), 0, 0)?;
                self.go_to(self.zone.instant(self.wall.date(), time)?)?;
            }
            self.go_to(self.at + HOUR)?;
            if self.wall.hour() == 0 {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Minutes begin at second 0, as they do in every zone since 1972.
    fn find_minute(&mut self) -> Option<bool> {
        while !self.fields.has_minute(self.wall.minute()) {
            self.go_to_next_minute()?;
            if self.wall.minute() == 0 {
                return Some(false);
            }
        }
        if self.wall.second() != 0 {
            self.go_to_next_minute()?;
            return Some(false);
        }
        Some(true)
    }

    fn go_to_next_minute(&mut self) -> Option<()> {
        self.moved = true;
        self.go_to((self.at.div_euclid(MINUTE) + 1) * MINUTE)
    }

    fn go_to_midnight_of(&mut self, date: NaiveDate) -> Option<()> {
        self.moved = true;
        self.go_to(self.zone.instant(date, NaiveTime::MIN)?)
    }

    fn go_to(&mut self, at: i64) -> Option<()> {
        self.at = at;
        self.wall = self.zone.wall(at)?;
        Some(())
    }
}
