use chrono::{DateTime, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use etcd_backup_schedule::{Schedule, Zone};
use jiff::Timestamp;

/// Lines `zone|local start|schedule => runs`, each run as month, day and time on the wall with its offset.
const LINES: &str = include_str!("../data/cron.txt");
const RUNS: usize = 4;

fn runs(zone: &str, start: &str, schedule: &str) -> String {
    let Ok(schedule) = Schedule::parse(schedule) else { return "ERR".to_owned() };
    let tz: Tz = zone.parse().unwrap();
    let start: NaiveDateTime = start.parse().unwrap();
    let start = Timestamp::from_second(tz.from_local_datetime(&start).unwrap().timestamp()).unwrap();
    let runs = schedule.due(start, Timestamp::MAX, Zone::parse(zone).unwrap()).take(RUNS).map(|run| {
        let run = DateTime::from_timestamp(run.as_second(), 0).unwrap();
        run.with_timezone(&tz).format("%m-%dT%H:%M%:::z").to_string()
    });
    let runs: Vec<String> = runs.collect();
    if runs.is_empty() { "never".to_owned() } else { runs.join(" ") }
}

#[test]
fn every_line_reads_as_kube_controller_manager_read_it() {
    let lines: Vec<&str> = LINES.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines.len(), 37);
    for line in lines {
        let (case, expected) = line.split_once(" => ").unwrap();
        let [zone, start, schedule] = case.splitn(3, '|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert_eq!(runs(zone, start, schedule), expected, "{line}");
    }
}
