//! The overview for people. Pure.

use etcd_backup_core::Retention;

use super::operator::{self, Operator, State};
use super::overview::{Overview, Single};
use super::problem::Problem;
use super::schedule::Schedule;
use crate::age::{age, ago, until};
use crate::etcdbackup::phase;
use crate::paint::{Paint, Tone};
use crate::table::{Cell, table};

/// The whole screen.
pub(super) fn text(overview: &Overview, wide: bool, paint: Paint) -> String {
    let mut parts = vec![operator(&overview.operator, paint)];
    parts.push(schedules(overview, wide, paint));
    if !overview.backups.is_empty() {
        parts.push(singles(overview, wide, paint));
    }
    parts.extend(overview.problems.iter().map(|problem| told(problem, overview, paint)));
    parts.push(match overview.problems.len() {
        0 => paint.of(Tone::Good, "All is well."),
        1 => paint.of(Tone::Bad, "1 problem."),
        number => paint.of(Tone::Bad, &format!("{number} problems.")),
    });
    parts.join("\n\n")
}

fn operator(operator: &Operator, paint: Paint) -> String {
    let place = format!("{}/{}", operator.namespace, operator::NAME);
    let (tone, word) = match operator.state {
        State::Ready => (Tone::Good, "ready"),
        State::NotReady => (Tone::Bad, "not ready"),
        State::Missing => (Tone::Bad, "missing"),
        State::Unknown => (Tone::Notice, "unknown"),
    };
    let detail = match (operator.state, operator.ready, operator.wanted) {
        (State::Unknown, ..) => format!(" ({})", operator.message),
        (_, Some(ready), Some(wanted)) => format!(" ({ready} of {wanted})"),
        _ => String::new(),
    };
    format!("{}: {place} {}{detail}", paint.of(Tone::Heading, "OPERATOR"), paint.of(tone, word))
}

fn schedules(overview: &Overview, wide: bool, paint: Paint) -> String {
    if overview.schedules.is_empty() {
        return "There are no schedules (Backups): nothing is backed up by itself.".to_owned();
    }
    let mut heading = vec!["SCHEDULE", "WHEN", "LAST GOOD", "NEXT", "RETAINED", "SIZE", "STATE"];
    if wide {
        heading.extend(["PVC", "LAST GOOD BACKUP", "FAILURES"]);
    }
    let row = |schedule: &Schedule| {
        let mut cells = row_of(schedule, overview);
        if wide {
            let failures = schedule.consecutive_failures.map(|failures| failures.to_string());
            cells.push(schedule.pvc_name.as_str().into());
            let more = [schedule.last_good_backup.clone(), failures];
            cells.extend(more.map(|text| Cell::from(text.unwrap_or_default())));
        }
        cells
    };
    let rows: Vec<Vec<Cell>> = overview.schedules.iter().map(row).collect();
    table(&heading, &rows, paint)
}

fn row_of(schedule: &Schedule, overview: &Overview) -> Vec<Cell> {
    let now = overview.time;
    let object = format!("Backup/{}", schedule.name);
    let tone = if overview.problems.iter().any(|problem| problem.object == object) {
        Tone::Bad
    } else if schedule.state == "Ready" {
        Tone::Good
    } else {
        Tone::Notice
    };
    let when = match schedule.schedule.as_str() {
        "" => String::new(),
        text => format!("{text} {}", schedule.time_zone),
    };
    let last = schedule.last_successful_time.map_or_else(|| "never".to_owned(), |time| ago(time, now));
    let next = schedule.next_schedule_time.map(|time| until(time, now)).unwrap_or_default();
    let (count, size) = retained(schedule);
    [schedule.name.clone(), when, last, next, count, size]
        .into_iter()
        .map(Cell::from)
        .chain([Cell::new(schedule.state.as_str(), tone)])
        .collect()
}

/// How many and how much is there, with the limit where there is one.
fn retained(schedule: &Schedule) -> (String, String) {
    let count = schedule.retained.as_ref().map_or_else(|| "?".to_owned(), |retained| retained.count.to_string());
    let size = schedule.retained.as_ref().map_or_else(|| "?".to_owned(), |retained| retained.size.clone());
    match schedule.limit {
        Retention::Number { max_sets } => (format!("{count}/{max_sets}"), size),
        Retention::Size { max_bytes } => (count, format!("{size}/{} GiB", max_bytes >> 30)),
    }
}

fn singles(overview: &Overview, wide: bool, paint: Paint) -> String {
    let mut heading = vec!["ONE-SHOT", "STATUS", "REASON", "SIZE", "AGE"];
    if wide {
        heading.extend(["PVC", "MESSAGE"]);
    }
    let row = |single: &Single| {
        let age = single.time.map(|time| age(time, overview.time)).unwrap_or_default();
        let size = single.size.clone().unwrap_or_default();
        let mut cells = vec![single.name.as_str().into(), phase(Some(&single.phase))];
        cells.extend([single.reason.clone(), size, age].map(Cell::from));
        if wide {
            cells.extend([single.pvc_name.as_str(), single.message.as_str()].map(Cell::from));
        }
        cells
    };
    let rows: Vec<Vec<Cell>> = overview.backups.iter().map(row).collect();
    table(&heading, &rows, paint)
}

fn told(problem: &Problem, overview: &Overview, paint: Paint) -> String {
    let since = problem.since.map(|since| format!(", for {}", age(since, overview.time))).unwrap_or_default();
    let head = paint.of(Tone::Bad, &format!("{}: {}", problem.object, problem.reason));
    format!("{head}{since}\n  {}", problem.message)
}
