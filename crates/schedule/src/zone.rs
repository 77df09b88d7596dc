use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeZone as _};
use chrono_tz::Tz;

use crate::ScheduleError;

/// The release of the tz database that all zones are of, such as `2025b`. It tells offsets until 2100.
pub const TZDB_RELEASE: &str = chrono_tz::IANA_TZDB_VERSION;

/// A time zone of the tz database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Reads a zone's name. kube-apiserver takes every name that this takes, and on top what else
    /// its machine's zone directory holds. `Local` and the empty name are nobody's.
    ///
    /// # Errors
    /// [`ScheduleError::UnknownZone`]; capitals count.
    pub fn parse(name: &str) -> Result<Self, ScheduleError> {
        name.parse().map(Self).map_err(|_| ScheduleError::UnknownZone { name: name.to_owned() })
    }

    /// What a clock on the wall shows at `unix` (seconds since 1970 UTC). None only beyond chrono's
    /// quarter of a million years.
    pub(crate) fn wall(self, unix: i64) -> Option<NaiveDateTime> {
        Some(DateTime::from_timestamp(unix.checked_add(self.offset(unix)?)?, 0)?.naive_utc())
    }

    /// The instant (seconds since 1970 UTC) of a date and time on the wall, as Go's `time.Date` chooses it: the
    /// offset at the time read as UTC leads to an instant, and the offset there counts. So a time that is skipped or
    /// shown twice gets one of its two readings.
    pub(crate) fn instant(self, date: NaiveDate, time: NaiveTime) -> Option<i64> {
        let wall = date.and_time(time).and_utc().timestamp();
        Some(wall - self.offset(wall - self.offset(wall)?)?)
    }

    /// Seconds that the zone is ahead of UTC at `unix`.
    fn offset(self, unix: i64) -> Option<i64> {
        let utc = DateTime::from_timestamp(unix, 0)?.naive_utc();
        Some(self.0.offset_from_utc_datetime(&utc).fix().local_minus_utc().into())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({self})")
    }
}
