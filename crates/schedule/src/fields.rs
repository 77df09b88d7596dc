//! The five fields of a schedule, as robfig/cron reads them (`parser.go`).

use chrono::{Datelike as _, NaiveDate};

use crate::ScheduleError;

/// The values of one field: bit n stands for n. The topmost bit says that the field has a star,
/// which decides how the two fields for days go together.
type Values = u64;

const STAR: Values = 1 << 63;

/// When a schedule of five fields runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fields {
    minute: Values,
    hour: Values,
    day_of_month: Values,
    month: Values,
    day_of_week: Values,
}

/// What a field takes.
struct Kind {
    name: &'static str,
    first: u64,
    last: u64,
    /// Names of values, in lower case; the first stands for `first`.
    names: &'static [&'static str],
    allowed: &'static str,
}

const MINUTE: Kind = Kind { name: "minute", first: 0, last: 59, names: &[], allowed: "minutes are 0 to 59" };
const HOUR: Kind = Kind { name: "hour", first: 0, last: 23, names: &[], allowed: "hours are 0 to 23" };
const DAY_OF_MONTH: Kind =
    Kind { name: "day of month", first: 1, last: 31, names: &[], allowed: "days of a month are 1 to 31" };
const MONTH: Kind = Kind {
    name: "month",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    allowed: "months are 1 to 12 or JAN to DEC",
};
const DAY_OF_WEEK: Kind = Kind {
    name: "day of week",
    first: 0,
    last: 6,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    allowed: "days are 0 (Sunday) to 6 or SUN to SAT",
};

impl Fields {
    /// Reads five fields with white space between them.
    pub(crate) fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(ScheduleError::FieldCount { found: fields.len() });
        };
        Ok(Self {
            minute: MINUTE.values(minute)?,
            hour: HOUR.values(hour)?,
            day_of_month: DAY_OF_MONTH.values(day_of_month)?,
            month: MONTH.values(month)?,
            day_of_week: DAY_OF_WEEK.values(day_of_week)?,
        })
    }

    /// False for a field such as `,`, which is accepted and has no value: there is no use in searching.
    pub(crate) fn can_match(&self) -> bool {
        self.minute & !STAR != 0 && self.hour & !STAR != 0 && self.month & !STAR != 0
    }

    pub(crate) fn has_minute(&self, minute: u32) -> bool {
        self.minute >> minute & 1 == 1
    }

    pub(crate) fn has_hour(&self, hour: u32) -> bool {
        self.hour >> hour & 1 == 1
    }

    pub(crate) fn has_month(&self, month: u32) -> bool {
        self.month >> month & 1 == 1
    }

    /// Both fields for days must have the day if one of them has a star; else one is enough.
    pub(crate) fn has_day(&self, date: NaiveDate) -> bool {
        let of_month = self.day_of_month >> date.day() & 1 == 1;
        let of_week = self.day_of_week >> date.weekday().num_days_from_sunday() & 1 == 1;
        if (self.day_of_month | self.day_of_week) & STAR != 0 { of_month && of_week } else { of_month || of_week }
    }
}

impl Kind {
    fn values(&self, field: &str) -> Result<Values, ScheduleError> {
        let parts = field.split(',').filter(|part| !part.is_empty());
        parts.map(|part| self.part(part)).try_fold(0, |values, part| Ok(values | part?))
    }

    /// `*`, `?`, a value or a range, each with or without `/step`. `N/step` reaches to the end of
    /// the field, and after `*-` anything goes.
    fn part(&self, part: &str) -> Result<Values, ScheduleError> {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let (low, high) = range.split_once('-').map_or((range, None), |(low, high)| (low, Some(high)));
        let star = low == "*" || low == "?";
        let shape = || ScheduleError::Shape { field: self.name, part: part.to_owned() };
        if step.is_some_and(|step| step.contains('/')) || (!star && high.is_some_and(|high| high.contains('-'))) {
            return Err(shape());
        }
        let step_by = step.map_or(Some(1), |step| number(step).filter(|&step| step > 0));
        let step_by = step_by.ok_or_else(|| ScheduleError::Step { field: self.name, part: part.to_owned() })?;
        let (first, last) = match high {
            _ if star => (self.first, self.last),
            Some(high) => (self.value(low, part)?, self.value(high, part)?),
            None if step.is_some() => (self.value(low, part)?, self.last),
            None => (self.value(low, part)?, self.value(low, part)?),
        };
        if first > last {
            let instead = format!("{first}-{},{}-{last}", self.last, self.first);
            return Err(ScheduleError::Backwards { field: self.name, part: part.to_owned(), instead });
        }
        let star = if star && step_by == 1 { STAR } else { 0 };
        Ok((first..=last)
            .filter(|value| (value - first) % step_by == 0)
            .fold(star, |values, value| values | 1 << value))
    }

    /// A number or a name within the field's range.
    fn value(&self, text: &str, part: &str) -> Result<u64, ScheduleError> {
        let named = (self.first..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        let value = named.map(|(value, _)| value).or_else(|| number(text));
        value.filter(|value| (self.first..=self.last).contains(value)).ok_or_else(|| ScheduleError::Value {
            field: self.name,
            part: part.to_owned(),
            allowed: self.allowed,
        })
    }
}

/// As Go's `strconv.Atoi`, but not below 0: a sign is fine.
fn number(text: &str) -> Option<u64> {
    text.parse::<i64>().ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(values: Values) -> Vec<u64> {
        (0..63).filter(|bit| values >> bit & 1 == 1).collect()
    }

    #[test]
    fn a_field_holds_values_ranges_steps_and_names() {
        let table: [(&Kind, &str, &[u64]); 15] = [
            (&MINUTE, "5", &[5]),
            (&MINUTE, "+5", &[5]),
            (&MINUTE, "005", &[5]),
            (&MINUTE, "50/5", &[50, 55]),
            (&MINUTE, "*/25", &[0, 25, 50]),
            (&MINUTE, "*/90", &[0]),
            (&MINUTE, "1-9/4", &[1, 5, 9]),
            (&MINUTE, "3,1,,3", &[1, 3]),
            (&MINUTE, ",", &[]),
            (&HOUR, "20-23", &[20, 21, 22, 23]),
            (&HOUR, "7/9223372036854775807", &[7]),
            (&DAY_OF_MONTH, "30/1", &[30, 31]),
            (&MONTH, "NOV-dec", &[11, 12]),
            (&DAY_OF_WEEK, "Sun,fri-6", &[0, 5, 6]),
            (&DAY_OF_WEEK, "?-junk", &[0, 1, 2, 3, 4, 5, 6]),
        ];
        for (kind, field, values) in table {
            assert_eq!(listed(kind.values(field).unwrap()), values, "{field}");
        }
    }

    #[test]
    fn a_star_counts_as_one_unless_it_has_a_step() {
        for (field, star) in [("*", true), ("?", true), ("*/1", true), ("*-3", true), ("*/2", false), ("0-6", false)] {
            assert_eq!(DAY_OF_WEEK.values(field).unwrap() & STAR != 0, star, "{field}");
        }
    }
}
