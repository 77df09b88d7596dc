//! The fields of a schedule read a second time, each value on its own, and every day tried.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// The search goes to the end of the fifth year after.
const YEARS: i16 = 5;

pub(crate) struct Calendar {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    days: Vec<i8>,
    months: Vec<i8>,
    weekdays: Vec<i8>,
    /// Whether a day has to be in both fields for days; else one is enough.
    both_days: bool,
}

impl Calendar {
    /// None for `@every`, which is no calendar's.
    pub(crate) fn read(schedule: &str) -> Option<Self> {
        let fields = match schedule {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            fields => fields,
        };
        let fields: [&str; 5] = fields.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        let weekdays = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        Some(Self {
            minutes: values(fields[0], 0, 59, &[]),
            hours: values(fields[1], 0, 23, &[]),
            days: values(fields[2], 1, 31, &[]),
            months: values(fields[3], 1, 12, &months),
            weekdays: values(fields[4], 0, 6, &weekdays),
            both_days: has_star(fields[2]) || has_star(fields[4]),
        })
    }

    /// The first run after an instant, in UTC.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // The first whole second after; jiff rounds towards 1970.
        let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0) + 1;
        let from = TimeZone::UTC.to_datetime(Timestamp::from_second(second).ok()?);
        let last_year = from.year() + YEARS;
        let mut day = from.date();
        while day.year() <= last_year {
            if self.has(day)
                && let Some(time) = self.times().find(|&time| day.to_datetime(time) >= from)
            {
                return utc(day.to_datetime(time));
            }
            day = day.checked_add(1.day()).ok()?;
        }
        None
    }

    fn times(&self) -> impl Iterator<Item = Time> {
        let minutes = |&hour: &i8| self.minutes.iter().filter_map(move |&minute| Time::new(hour, minute, 0, 0).ok());
        self.hours.iter().flat_map(minutes)
    }

    fn has(&self, date: Date) -> bool {
        let day = self.days.contains(&date.day());
        let weekday = self.weekdays.contains(&date.weekday().to_sunday_zero_offset());
        self.months.contains(&date.month()) && if self.both_days { day && weekday } else { day || weekday }
    }
}

fn utc(at: DateTime) -> Option<Timestamp> {
    let since = at.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    Timestamp::UNIX_EPOCH.checked_add(SignedDuration::from_secs(since.as_secs())).ok()
}

/// The values of a field that is known to be valid.
fn values(field: &str, first: i8, last: i8, names: &[&str]) -> Vec<i8> {
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        named.map_or_else(|| text.parse::<i64>().unwrap_or(-1), |position| position as i64 + i64::from(first))
    };
    let is_in = |part: &str, value: i64| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (low, high) = match range.split_once('-') {
            _ if range.starts_with(['*', '?']) => (i64::from(first), i64::from(last)),
            Some((low, high)) => (number(low), number(high)),
            None if part.contains('/') => (number(range), i64::from(last)),
            None => (number(range), number(range)),
        };
        (low..=high).contains(&value) && (value - low) % step.parse::<i64>().unwrap_or(1) == 0
    };
    let is_value = |value: &i8| field.split(',').any(|part| !part.is_empty() && is_in(part, i64::from(*value)));
    (first..=last).filter(is_value).collect()
}

/// A star with a step is a range like any other.
fn has_star(field: &str) -> bool {
    let is_star = |part: &str| {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        range.starts_with(['*', '?']) && step.parse() == Ok(1)
    };
    field.split(',').any(is_star)
}
