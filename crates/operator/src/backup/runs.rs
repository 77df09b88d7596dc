//! Which runs were due, and which of them did not start.

use jiff::{SignedDuration, Timestamp};

use super::timetable::Timetable;

/// How long after a run was due its Job is waited for.
pub(crate) const PATIENCE: SignedDuration = SignedDuration::from_secs(120);

/// Jobs that ended well, and those that did not, of which a CronJob keeps so many.
pub(crate) const KEPT: Kept = Kept { succeeded: 5, failed: 10 };

/// Most runs that are counted; a run a minute gives half a million a year.
const MOST: usize = 1000;

/// How many ended Jobs a CronJob keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Of those that ended well.
    pub(crate) succeeded: i32,
    /// Of those that failed.
    pub(crate) failed: i32,
}

/// A run of the CronJob: one of its Jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The Job's uid, which is the run id.
    pub(crate) id: String,
    /// When the Job was created, UTC.
    pub(crate) created: Timestamp,
    /// When the run was due; absent if somebody started it by hand.
    pub(crate) due: Option<Timestamp>,
    /// How and when it ended, UTC.
    pub(crate) end: Option<End>,
}

/// The end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    /// When, UTC.
    pub(crate) at: Timestamp,
    /// Whether the Job is complete; otherwise it has failed.
    pub(crate) succeeded: bool,
}

/// What is known of a CronJob when runs are counted.
#[derive(Debug)]
pub(crate) struct Past<'a> {
    /// When runs are due.
    pub(crate) timetable: &'a Timetable,
    /// When the CronJob was created, UTC.
    pub(crate) created: Timestamp,
    /// Since when this timetable is in force, UTC.
    pub(crate) since: Timestamp,
    /// When the newest run that kube-controller-manager started was due, UTC.
    pub(crate) started: Option<Timestamp>,
    /// The same when runs were last counted.
    pub(crate) counted: Option<Timestamp>,
    /// The newest run that was found missing then, UTC.
    pub(crate) missed: Option<Timestamp>,
    /// The Jobs that are still there.
    pub(crate) runs: &'a [Run],
    /// Since when the operator looks, UTC: before, kube-controller-manager may have been off as well.
    pub(crate) awake: Timestamp,
}

/// Runs that did not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    /// How many; at most [`MOST`].
    pub(crate) count: usize,
    /// When the first was due, UTC.
    pub(crate) first: Timestamp,
    /// When the last was due, UTC.
    pub(crate) last: Timestamp,
}

/// What became of the runs that were due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Not started although nothing keeps them, and none has started since.
    pub(crate) overdue: Option<Missing>,
    /// Left out before the newest run that did start, and not told of before.
    pub(crate) skipped: Option<Missing>,
    /// How many of both were not counted before.
    pub(crate) new: usize,
    /// A run that was due at this time waits until the one at work has ended, UTC.
    pub(crate) waiting: Option<Timestamp>,
    /// When a run that is due now would be overdue, UTC.
    pub(crate) look_again: Option<Timestamp>,
}

impl Missing {
    fn of(runs: &[Timestamp]) -> Option<Self> {
        Some(Self { count: runs.len(), first: *runs.first()?, last: *runs.last()? })
    }

    /// For people: `the run due at A`, or `3 runs due between A and B`.
    #[must_use]
    pub(crate) fn describe(&self) -> String {
        let more = if self.count >= MOST { "more than " } else { "" };
        match self.count {
            1 => format!("the run due at {}", self.first),
            count => format!("{more}{count} runs due between {} and {}", self.first, self.last),
        }
    }
}

impl Run {
    /// Whether it was at work at a time. By hand it does not keep the CronJob from starting another.
    fn keeps_from_starting(&self, at: Timestamp) -> bool {
        self.due.is_some() && self.created <= at && self.end.is_none_or(|end| end.at >= at)
    }
}

impl Past<'_> {
    /// Counts. `now` is UTC.
    #[must_use]
    pub(crate) fn account(&self, now: Timestamp) -> Account {
        let skipped = self.skipped();
        let anchor = self.started.unwrap_or(self.created);
        let due: Vec<Timestamp> = self.timetable.due(anchor, self.since.max(anchor), now).take(MOST).collect();
        let mut account = Account::default();
        if let Some(run) = due.iter().find(|_| self.runs.iter().any(|run| run.keeps_from_starting(now))) {
            account.waiting = Some(*run);
        } else {
            let free = self.free_since(&due);
            let overdue: Vec<Timestamp> =
                free.iter().filter(|(_, free)| now >= *free + PATIENCE).map(|(due, _)| *due).collect();
            account.look_again = free.iter().map(|(_, free)| *free + PATIENCE).find(|limit| now < *limit);
            account.overdue = Missing::of(&overdue);
            account.new = self.uncounted(&overdue);
        }
        account.new += self.uncounted(&skipped);
        account.skipped = Missing::of(&skipped);
        account
    }

    fn uncounted(&self, runs: &[Timestamp]) -> usize {
        runs.iter().filter(|run| self.missed.is_none_or(|missed| **run > missed)).count()
    }

    /// Each run that was due, with the time since when nothing keeps it from starting. Of those that
    /// were due while another was at work, only the last one is started after it.
    fn free_since(&self, due: &[Timestamp]) -> Vec<(Timestamp, Timestamp)> {
        let mut free: Vec<(Timestamp, Option<Timestamp>)> = Vec::new();
        for &due in due {
            let keeper = self.runs.iter().find(|run| run.keeps_from_starting(due));
            let end = keeper.and_then(|run| run.end).map(|end| end.at);
            free.pop_if(|(_, last)| end.is_some() && *last == end);
            free.push((due, end));
        }
        free.into_iter().map(|(due, end)| (due, end.unwrap_or(due).max(self.awake))).collect()
    }

    /// The runs between the newest start that was known before and the newest one now, without those
    /// that another run kept from starting, and those whose Jobs may have been cleared away.
    fn skipped(&self) -> Vec<Timestamp> {
        let (Some(started), Some(counted)) = (self.started, self.counted) else { return Vec::new() };
        let after = counted.max(self.since).max(self.missed.unwrap_or(Timestamp::MIN)).max(self.remembered());
        let due = self.timetable.due(counted, after, started).take(MOST).take_while(|due| *due < started);
        due.filter(|due| {
            let started = self.runs.iter().any(|run| run.due.is_some_and(|at| minute(at) == minute(*due)));
            !started && !self.runs.iter().any(|run| run.keeps_from_starting(*due))
        })
        .collect()
    }

    /// Up to here Jobs may have been cleared away, so that their absence proves nothing.
    fn remembered(&self) -> Timestamp {
        let oldest = |succeeded: bool, kept: i32| {
            let ended = self.runs.iter().filter(|run| run.end.is_some_and(|end| end.succeeded == succeeded));
            let times: Vec<Timestamp> = ended.map(|run| run.due.unwrap_or(run.created)).collect();
            (times.len() >= usize::try_from(kept).unwrap_or_default()).then(|| times.into_iter().min()).flatten()
        };
        let oldest = [oldest(true, KEPT.succeeded), oldest(false, KEPT.failed)];
        oldest.into_iter().flatten().max().unwrap_or(Timestamp::MIN)
    }
}

/// A Job is named by the minute it was due in.
fn minute(at: Timestamp) -> i64 {
    at.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests;
