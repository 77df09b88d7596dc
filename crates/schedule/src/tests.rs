use jiff::Timestamp;

use crate::{Schedule, Zone, validate};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    Zone::parse(name).unwrap()
}

/// The next three runs.
fn runs(schedule: &str, name: &str, after: &str) -> Vec<String> {
    let schedule = Schedule::parse(schedule).unwrap();
    schedule.due(at(after), Timestamp::MAX, zone(name)).take(3).map(|run| run.to_string()).collect()
}

#[test]
fn clocks_that_change_leave_runs_out_or_repeat_them() {
    let table: [(&str, &str, &str, [&str; 3]); 11] = [
        // Skipped at 02:30; at 03:00 the clock has just gone forward.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["03-30T00:30", "03-31T00:30", "04-01T00:30"]),
        ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["03-29T01:00", "03-30T01:00", "03-31T01:00"]),
        // Shown twice.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["10-25T00:30", "10-25T01:30", "10-26T01:30"]),
        ("30 23 * * *", "America/Nuuk", "2026-10-24T12:00:00Z", ["10-25T00:30", "10-25T01:30", "10-26T01:30"]),
        // By half an hour: 02:00 becomes 02:30, and in autumn 01:30.
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", ["10-04T15:15", "10-05T15:15", "10-06T15:15"]),
        // From 01:50 the search goes by minutes to 02:45: an hour that the schedule does not have.
        ("45 1 * * *", "Australia/Lord_Howe", "2026-10-03T14:50:00Z", ["10-03T15:15", "10-03T15:45", "10-04T14:45"]),
        ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", ["04-04T14:45", "04-04T15:15", "04-05T15:15"]),
        // By two hours.
        ("0 1-3 * * *", "Antarctica/Troll", "2026-03-28T12:00:00Z", ["03-29T01:00", "03-29T23:00", "03-30T00:00"]),
        // Midnight is skipped: the day has no run; seen from the days before, not even one at noon.
        ("@daily", "Africa/Cairo", "2026-04-23T12:00:00Z", ["04-24T21:00", "04-25T21:00", "04-26T21:00"]),
        ("0 12 29,30 3 *", "Asia/Beirut", "2026-03-27T12:00:00Z", ["03-30T09:00", "03-29T09:00", "03-30T09:00"]),
        ("0 12 29,30 3 *", "Asia/Beirut", "2026-03-28T23:00:00Z", ["03-29T09:00", "03-30T09:00", "03-29T09:00"]),
    ];
    for (schedule, zone, after, expected) in table {
        let runs = runs(schedule, zone, after);
        let runs: Vec<&str> = runs.iter().map(|run| &run["2026-".len()..run.len() - ":00Z".len()]).collect();
        assert_eq!(runs, expected, "{schedule} in {zone} after {after}");
    }
}

#[test]
fn some_schedules_never_run() {
    for schedule in
        ["0 0 30 2 *", "0 0 31 4,6,9,11 *", ", * * * *", "* , * * *", "* * * , *", "0 0 , * *", "0 0 30 2 ,"]
    {
        assert_eq!(runs(schedule, "UTC", "2026-01-01T00:00:00Z"), [""; 0], "{schedule}");
    }
    // The year 2100 has no 29 February, and the search ends after five years.
    assert_eq!(runs("0 0 29 2 *", "UTC", "2092-02-28T00:00:00Z"), ["2092-02-29T00:00:00Z", "2096-02-29T00:00:00Z"]);
    // Samoa left out 2011-12-30.
    assert_eq!(runs("0 0 31 * *", "Pacific/Apia", "2011-12-28T12:00:00Z"), [""; 0]);
}

#[test]
fn the_next_run_is_later_also_where_clocks_go_back_over_midnight() {
    let runs = runs("@daily", "America/St_Johns", "1993-10-31T03:02:14Z");
    assert_eq!(runs, ["1993-11-01T03:30:00Z", "1993-11-02T03:30:00Z", "1993-11-03T03:30:00Z"]);
}

#[test]
fn instants_between_seconds_count_as_the_second_before() {
    let next = |schedule: &str, after: &str| {
        Schedule::parse(schedule).unwrap().next(at(after), Zone::UTC).unwrap().to_string()
    };
    assert_eq!(next("* * * * *", "2026-01-01T00:00:00Z"), "2026-01-01T00:01:00Z");
    assert_eq!(next("* * * * *", "2026-01-01T00:00:59.999999999Z"), "2026-01-01T00:01:00Z");
    assert_eq!(next("@every 90s", "2026-01-01T00:00:00.5Z"), "2026-01-01T00:01:30Z");
    assert_eq!(next("@every 1s", "1969-12-31T23:59:58.5Z"), "1969-12-31T23:59:59Z");
    assert_eq!(Schedule::parse("@every 1h").unwrap().next(Timestamp::MAX, Zone::UTC), None);
}

#[test]
fn due_runs_lie_after_the_first_instant_and_up_to_the_second() {
    let (three, six) = (at("2026-01-01T03:00:00Z"), at("2026-01-01T06:00:00Z"));
    for schedule in ["@hourly", "@every 1h"] {
        let schedule = Schedule::parse(schedule).unwrap();
        let due: Vec<String> = schedule.due(three, six, Zone::UTC).map(|run| run.to_string()).collect();
        assert_eq!(due, ["2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z", "2026-01-01T06:00:00Z"]);
        assert_eq!(schedule.due(six, three, Zone::UTC).count(), 0);
        assert_eq!(schedule.previous(six, three, Zone::UTC), Some(six));
        assert_eq!(schedule.previous(three, three, Zone::UTC), None);
        assert_eq!(schedule.previous(three, six, Zone::UTC), None);
    }
}

#[test]
fn the_previous_run_is_found_however_rare() {
    let (creation, now) = (at("2001-01-01T00:00:07Z"), at("2026-11-21T10:30:30Z"));
    let table = [
        ("* * * * *", Some("2026-11-21T10:30:00Z")),
        ("@weekly", Some("2026-11-15T00:00:00Z")),
        ("0 0 29 2 *", Some("2024-02-29T00:00:00Z")),
        ("0 0 30 2 *", None),
        // Counted from the creation.
        ("@every 24h", Some("2026-11-21T00:00:07Z")),
        ("@every 300000h", None),
    ];
    for (schedule, expected) in table {
        let previous = Schedule::parse(schedule).unwrap().previous(now, creation, Zone::UTC);
        assert_eq!(previous, expected.map(at), "{schedule}");
    }
}

#[test]
fn a_zone_in_the_schedule_wins() {
    let after = "2026-01-01T00:00:00Z";
    for (schedule, first) in [
        ("CRON_TZ=Asia/Tokyo 20 4 * * *", "2026-01-01T19:20:00Z"),
        ("TZ=UTC @daily", "2026-01-02T00:00:00Z"),
        ("TZ= 20 4 * * *", "2026-01-01T04:20:00Z"),
        ("TZ=Local 20 4 * * *", "2026-01-01T03:20:00Z"),
        ("20 4 * * *", "2026-01-01T03:20:00Z"),
    ] {
        assert_eq!(runs(schedule, "Europe/Berlin", after)[0], first, "{schedule}");
    }
}

#[test]
fn a_refusal_says_which_field_and_what_it_takes() {
    let table = [
        (
            "20 4 * *",
            "the schedule has 4 fields, not five: minute, hour, day of month, month, day of week, such as \"20 4 * * *\"; or one word such as @daily",
        ),
        ("60 * * * *", "field \"minute\" has 60; minutes are 0 to 59"),
        ("* -1 * * *", "field \"hour\" has -1; hours are 0 to 23"),
        ("* * L * *", "field \"day of month\" has L; days of a month are 1 to 31"),
        ("* * * 1,0 *", "field \"month\" has 0; months are 1 to 12 or JAN to DEC"),
        ("* * * * 5-7", "field \"day of week\" has 5-7; days are 0 (Sunday) to 6 or SUN to SAT"),
        ("1-2-3 * * * *", "field \"minute\" has 1-2-3; write a range as first-last or first-last/step"),
        ("*/2/3 * * * *", "field \"minute\" has */2/3; write a range as first-last or first-last/step"),
        ("*/0 * * * *", "field \"minute\" has */0; the step, after /, is a number from 1"),
        ("* 22-2 * * *", "field \"hour\" has 22-2, which ends before it begins; write two ranges: 22-23,0-2"),
        (
            "@Daily",
            "@Daily is not known; the words are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually and @every with a duration, such as @every 6h",
        ),
        ("@every 1d", "@every has \"1d\"; write a duration such as 30m, 6h or 1h30m (units: h, m, s, ms, us, ns)"),
        ("TZ=UTC 20 4 * * *", "the schedule has TZ= or CRON_TZ=, which a CronJob does not take; set timeZone instead"),
    ];
    for (schedule, message) in table {
        let error = validate(schedule, "UTC").unwrap_err();
        assert_eq!((error.to_string().as_str(), error.reason()), (message, "InvalidSchedule"), "{schedule}");
    }
    let error = validate("20 4 * * *", "europe/berlin").unwrap_err();
    assert_eq!(error.reason(), "InvalidTimeZone");
    assert!(error.to_string().starts_with("time zone \"europe/berlin\" is not known; write a name"), "{error}");
}

#[test]
fn the_longest_gap_is_that_of_a_year() {
    let day = 24 * 60;
    // In minutes.
    for (schedule, name, expected) in [
        ("* * * * *", "UTC", Some(1)),
        ("20 4 * * *", "UTC", Some(day)),
        ("@every 6h", "UTC", Some(6 * 60)),
        ("0 4 * * 1-5", "UTC", Some(3 * day)),
        ("* 9-17 * * 1-5", "UTC", Some((2 * 24 + 15) * 60 + 1)),
        ("*/5 0-11 1-7 * *", "UTC", Some(24 * day + 12 * 60 + 5)),
        ("@monthly", "UTC", Some(31 * day)),
        ("@yearly", "UTC", Some(365 * day)),
        // Skipped on the day on which clocks go forward.
        ("30 2 * * *", "Europe/Berlin", Some(2 * day - 60)),
        ("20 4 * * *", "Europe/Berlin", Some(day + 60)),
        // In 2028 and in 2032.
        ("0 0 29 2 *", "UTC", Some(1461 * day)),
        ("0 0 30 2 *", "UTC", None),
    ] {
        let gap = Schedule::parse(schedule).unwrap().longest_gap(at("2026-06-01T00:00:30Z"), zone(name));
        assert_eq!(gap.map(|gap| gap.as_mins()), expected, "{schedule} in {name}");
    }
}
