use std::iter;

use jiff::{SignedDuration, Timestamp};

use crate::fields::Fields;
use crate::{ScheduleError, Zone, duration, search};

/// How far before `until` [`Schedule::previous`] begins to look, each time further.
const REACHES: [SignedDuration; 4] = [
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(2 * 24),
    SignedDuration::from_hours(32 * 24),
    SignedDuration::from_hours(366 * 24),
];

/// How far [`Schedule::longest_gap`] looks, and after how many runs it stops.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const MOST_RUNS: usize = 20_000;

/// A schedule that kube-controller-manager can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    timing: Timing,
    /// The zone that the schedule names itself (`TZ=`).
    zone: Option<Zone>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Timing {
    /// Where the calendar matches.
    Calendar(Fields),
    /// So many seconds after the run before.
    Every(i64),
}

/// Reads a `CronJob`'s `spec.schedule` and `spec.timeZone` and refuses what kube-apiserver refuses:
/// what does not parse, and `TZ` in the schedule.
///
/// # Errors
/// What is wrong, first with the schedule, then with the zone.
pub fn validate(schedule: &str, zone: &str) -> Result<(Schedule, Zone), ScheduleError> {
    if schedule.contains("TZ") {
        return Err(ScheduleError::ZoneInSchedule);
    }
    Ok((Schedule::parse(schedule)?, Zone::parse(zone)?))
}

impl Schedule {
    /// Reads a schedule as robfig/cron's `ParseStandard` does: five fields, or a word such as `@daily` or
    /// `@every 6h`; before either `TZ=<zone>` or `CRON_TZ=<zone>` and a blank, which [`validate`] refuses.
    ///
    /// # Errors
    /// What is wrong with which field, and what it takes.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let Some(named) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) else {
            return Ok(Self { timing: Timing::parse(text)?, zone: None });
        };
        let (name, rest) = named.split_once(' ').unwrap_or((named, ""));
        // The two names that Go adds to the tz database's.
        let zone = match name {
            "" => Some(Zone::UTC),
            "Local" => None,
            name => Some(Zone::parse(name)?),
        };
        Ok(Self { timing: Timing::parse(rest.trim())?, zone })
    }

    /// The first run later than `after`. For `@every`, `after` must be a run, or the creation of the
    /// `CronJob`: the next is one period later.
    ///
    /// None if there is none until the end of the fifth year after, as on 30 February.
    #[must_use]
    pub fn next(&self, after: Timestamp, zone: Zone) -> Option<Timestamp> {
        // Where clocks go back over midnight (Newfoundland until 2011, at 00:01) a search can find
        // the run before. kube-controller-manager goes on from there.
        let found = iter::successors(self.search(after, zone), |&run| self.search(run, zone));
        found.take(3).find(|&run| run > after)
    }

    /// The runs later than `after` and not later than `until`, the earliest first. A run a minute gives half a
    /// million a year: take no more than needed.
    pub fn due(&self, after: Timestamp, until: Timestamp, zone: Zone) -> impl Iterator<Item = Timestamp> {
        iter::successors(self.next(after, zone), move |&run| self.next(run, zone)).take_while(move |&run| run <= until)
    }

    /// The latest run not later than `until` and later than `after`, which bounds the search and is what
    /// `@every` counts from, as for [`next`](Self::next).
    ///
    /// It does not go through all that are [`due`](Self::due). In a zone that skips midnight, the run
    /// after it can depend on where a search begins; this one begins as short before `until` as finds one.
    #[must_use]
    pub fn previous(&self, until: Timestamp, after: Timestamp, zone: Zone) -> Option<Timestamp> {
        if let Timing::Every(seconds) = self.timing {
            let first = self.next(after, zone).filter(|&first| first <= until)?;
            let since = until.duration_since(first).as_secs();
            return first.checked_add(SignedDuration::from_secs(since - since % seconds)).ok();
        }
        let starts = REACHES.iter().map(|&reach| until.checked_sub(reach).map_or(after, |start| start.max(after)));
        starts.chain([after]).find_map(|start| self.due(start, until, zone).last())
    }

    /// The longest time from one run to the next, of the runs of the year that begins with the first one later
    /// than `after`; of more than 20,000 runs a year only of so many, which are a week even of a run a minute.
    ///
    /// None if there are not two runs.
    #[must_use]
    pub fn longest_gap(&self, after: Timestamp, zone: Zone) -> Option<SignedDuration> {
        let first = self.next(after, zone)?;
        let end = first.saturating_add(YEAR).ok()?;
        let runs = iter::successors(Some(first), |&run| self.next(run, zone));
        let mut last = first;
        let gaps = runs.skip(1).take(MOST_RUNS).map_while(|run| {
            let before = std::mem::replace(&mut last, run);
            (before < end).then(|| run.duration_since(before))
        });
        gaps.max()
    }

    /// What robfig/cron's `Next` returns.
    fn search(&self, after: Timestamp, zone: Zone) -> Option<Timestamp> {
        // Runs are on whole seconds; before 1970 jiff rounds up to them.
        let second = after.as_second() - i64::from(after.subsec_nanosecond() < 0);
        let run = match &self.timing {
            Timing::Calendar(fields) => search::first_run(fields, self.zone.unwrap_or(zone), second + 1)?,
            Timing::Every(seconds) => second.checked_add(*seconds)?,
        };
        Timestamp::from_second(run).ok()
    }
}

impl Timing {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            fields => fields,
        };
        if let Some(text) = fields.strip_prefix("@every ") {
            let seconds = duration::whole_seconds(text);
            return seconds.map(Self::Every).ok_or_else(|| ScheduleError::Every { text: text.to_owned() });
        }
        if fields.starts_with('@') {
            return Err(ScheduleError::Word { word: fields.to_owned() });
        }
        Fields::parse(fields).map(Self::Calendar)
    }
}
