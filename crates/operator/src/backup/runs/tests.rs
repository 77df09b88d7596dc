use super::*;

/// `hh:mm` or `hh:mm:ss` of one day.
fn at(time: &str) -> Timestamp {
    let seconds = if time.len() == 5 { ":00" } else { "" };
    format!("2026-01-02T{time}{seconds}Z").parse().unwrap()
}

fn run(due: &str, end: Option<&str>) -> Run {
    let end = end.map(|end| End { at: at(end), succeeded: true });
    Run { id: due.to_owned(), created: at(due), due: Some(at(due)), end }
}

fn by_hand(created: &str, end: Option<&str>) -> Run {
    Run { due: None, ..run(created, end) }
}

/// One question: a schedule, what was started, and what Jobs are there.
struct Case {
    schedule: &'static str,
    since: &'static str,
    started: Option<&'static str>,
    counted: Option<&'static str>,
    missed: Option<&'static str>,
    awake: &'static str,
    runs: Vec<Run>,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            schedule: "0 * * * *",
            since: "00:00",
            started: Some("04:00"),
            counted: Some("04:00"),
            missed: None,
            awake: "00:00",
            runs: vec![run("04:00", Some("04:01"))],
        }
    }
}

impl Case {
    fn account(self, now: &str) -> Account {
        let timetable = Timetable::parse(self.schedule, "").unwrap();
        Past {
            timetable: &timetable,
            created: at("00:00"),
            since: at(self.since),
            started: self.started.map(at),
            counted: self.counted.map(at),
            missed: self.missed.map(at),
            runs: &self.runs,
            awake: at(self.awake),
        }
        .account(at(now))
    }

    /// `overdue / skipped / new` as `count first-last`.
    fn told(self, now: &str) -> String {
        let account = self.account(now);
        let text = |missing: &Option<Missing>| match missing {
            None => "-".to_owned(),
            Some(missing) => format!(
                "{} {}",
                missing.count,
                missing.first.strftime("%H:%M:%S-").to_string() + &missing.last.strftime("%H:%M:%S").to_string()
            ),
        };
        format!("{} / {} / {}", text(&account.overdue), text(&account.skipped), account.new)
    }
}

#[test]
fn nothing_is_missing_while_runs_start() {
    assert_eq!(Case::default().account(at("04:59").strftime("%H:%M").to_string().as_str()), Account::default());
    assert_eq!(Case { started: None, counted: None, runs: vec![], ..Case::default() }.told("00:30"), "- / - / 0");
}

#[test]
fn a_run_is_overdue_two_minutes_after_it_was_due() {
    let due = Case::default().account("05:00:30");
    assert_eq!((due.overdue, due.look_again), (None, Some(at("05:02"))));
    assert_eq!(Case::default().told("05:02"), "1 05:00:00-05:00:00 / - / 1");
    assert_eq!(Case::default().told("07:30"), "3 05:00:00-07:00:00 / - / 3");
    let first = Case { started: None, counted: None, runs: vec![], ..Case::default() };
    assert_eq!(first.told("01:02"), "1 01:00:00-01:00:00 / - / 1");
}

#[test]
fn what_was_counted_before_is_not_new() {
    let again = || Case { missed: Some("06:00"), ..Case::default() };
    assert_eq!(again().told("06:30"), "2 05:00:00-06:00:00 / - / 0");
    assert_eq!(again().told("07:02"), "3 05:00:00-07:00:00 / - / 1");
}

#[test]
fn after_a_start_the_operator_gives_kube_controller_manager_its_time_as_well() {
    let off = || Case { awake: "09:10", ..Case::default() };
    let early = off().account("09:11");
    assert_eq!((early.overdue, early.look_again), (None, Some(at("09:12"))));
    assert_eq!(off().told("09:12"), "5 05:00:00-09:00:00 / - / 5");
}

#[test]
fn a_run_that_waits_for_another_is_not_missing() {
    let running = |end| Case { runs: vec![run("04:00", end)], ..Case::default() };
    let waiting = running(None).account("06:30");
    assert_eq!((waiting.waiting, waiting.overdue, waiting.new), (Some(at("05:00")), None, 0));
    // kube-controller-manager starts the last one once the other has ended.
    let ended = running(Some("06:29")).account("06:30");
    assert_eq!((ended.overdue, ended.look_again), (None, Some(at("06:31"))));
    assert_eq!(running(Some("06:29")).told("06:31"), "1 06:00:00-06:00:00 / - / 1");
    // A run by hand keeps nothing from starting.
    let by_hand = Case { runs: vec![run("04:00", Some("04:01")), by_hand("04:30", None)], ..Case::default() };
    assert_eq!(by_hand.told("05:02"), "1 05:00:00-05:00:00 / - / 1");
}

#[test]
fn runs_left_out_are_told_of_once_when_one_starts_again() {
    let back = || Case {
        started: Some("09:00"),
        runs: vec![run("04:00", Some("04:01")), run("09:00", None)],
        ..Case::default()
    };
    assert_eq!(back().told("09:30"), "- / 4 05:00:00-08:00:00 / 4");
    assert_eq!(Case { counted: Some("09:00"), ..back() }.told("09:30"), "- / - / 0");
    assert_eq!(Case { missed: Some("07:00"), ..back() }.told("09:30"), "- / 1 08:00:00-08:00:00 / 1");
    // Only the operator was down: each run has its Job.
    let runs = ["05:00", "06:00", "07:00", "08:00", "09:00"].map(|due| run(due, Some(due)));
    assert_eq!(Case { runs: runs.to_vec(), ..back() }.told("09:30"), "- / - / 0");
    // It was down for so long that Jobs were cleared away: unknown is not missing.
    let kept = ["14:00", "15:00", "16:00", "17:00", "19:00"].map(|due| run(due, Some(due)));
    let long = Case { started: Some("19:00"), runs: kept.to_vec(), ..Case::default() };
    assert_eq!(long.told("19:30"), "- / 1 18:00:00-18:00:00 / 1");
    // A long run kept the others from starting.
    let busy = Case { runs: vec![run("04:00", Some("08:50")), run("09:00", None)], ..back() };
    assert_eq!(busy.told("09:30"), "- / - / 0");
}

#[test]
fn what_was_due_under_another_schedule_does_not_count() {
    let edited = || Case { since: "06:30", ..Case::default() };
    assert_eq!(edited().told("06:40"), "- / - / 0");
    assert_eq!(edited().told("07:02"), "1 07:00:00-07:00:00 / - / 1");
    let back = Case { since: "06:30", started: Some("09:00"), runs: vec![run("09:00", None)], ..Case::default() };
    assert_eq!(back.told("09:30"), "- / 2 07:00:00-08:00:00 / 2");
}

#[test]
fn every_counts_from_the_last_start_or_the_creation() {
    let every = || Case { schedule: "@every 90m", started: Some("04:10"), counted: Some("04:10"), ..Case::default() };
    assert_eq!(every().told("05:39"), "- / - / 0");
    assert_eq!(every().told("05:42"), "1 05:40:00-05:40:00 / - / 1");
    let first = Case { started: None, counted: None, runs: vec![], ..every() };
    assert_eq!(first.told("01:32"), "1 01:30:00-01:30:00 / - / 1");
    let back = Case { started: Some("08:40"), runs: vec![run("08:40", None)], ..every() };
    assert_eq!(back.told("09:00"), "- / 2 05:40:00-07:10:00 / 2");
}

#[test]
fn a_run_a_minute_is_not_counted_for_ever() {
    let minutely =
        Case { schedule: "* * * * *", started: Some("00:00"), counted: Some("00:00"), runs: vec![], ..Case::default() };
    let overdue = minutely.account("23:00").overdue.unwrap();
    assert_eq!(overdue.count, MOST);
    assert!(overdue.describe().starts_with("more than 1000 runs due between 2026-01-02T00:01:00Z and "));
}
