/// Why a schedule or a time zone is not what a `CronJob` takes. The messages are for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "the schedule has {found} fields, not five: minute, hour, day of month, month, day of week, \
         such as \"20 4 * * *\"; or one word such as @daily"
    )]
    FieldCount {
        /// How many there are.
        found: usize,
    },
    /// A part of a field is neither a number nor a name, or lies outside the field's range.
    #[error("field \"{field}\" has {part}; {allowed}")]
    Value {
        /// Which field.
        field: &'static str,
        /// One of the field's parts (they are separated by commas).
        part: String,
        /// What the field takes.
        allowed: &'static str,
    },
    /// A range with more than one `-` or `/`.
    #[error("field \"{field}\" has {part}; write a range as first-last or first-last/step")]
    Shape {
        /// Which field.
        field: &'static str,
        /// One of the field's parts.
        part: String,
    },
    /// What follows `/` is not a number, or is 0.
    #[error("field \"{field}\" has {part}; the step, after /, is a number from 1")]
    Step {
        /// Which field.
        field: &'static str,
        /// One of the field's parts.
        part: String,
    },
    /// A range that ends before it begins.
    #[error("field \"{field}\" has {part}, which ends before it begins; write two ranges: {instead}")]
    Backwards {
        /// Which field.
        field: &'static str,
        /// One of the field's parts.
        part: String,
        /// The same as two ranges.
        instead: String,
    },
    /// `@` with an unknown word.
    #[error(
        "{word} is not known; the words are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, \
         @annually and @every with a duration, such as @every 6h"
    )]
    Word {
        /// The whole schedule.
        word: String,
    },
    /// `@every` without a duration as Go writes it.
    #[error("@every has {text:?}; write a duration such as 30m, 6h or 1h30m (units: h, m, s, ms, us, ns)")]
    Every {
        /// What follows `@every `.
        text: String,
    },
    /// `TZ=` or `CRON_TZ=` in the schedule: kube-apiserver refuses it.
    #[error("the schedule has TZ= or CRON_TZ=, which a CronJob does not take; set timeZone instead")]
    ZoneInSchedule,
    /// No zone of that name.
    #[error(
        "time zone {name:?} is not known; write a name of the tz database with its capitals, such as \
         Europe/Berlin or Etc/UTC (known are those of its release {})",
        crate::TZDB_RELEASE
    )]
    UnknownZone {
        /// The name.
        name: String,
    },
}

impl ScheduleError {
    /// The reason in one word, for a condition.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownZone { .. } => "InvalidTimeZone",
            _ => "InvalidSchedule",
        }
    }
}
