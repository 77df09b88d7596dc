//! Random schedules, zones and instants, the same ones for the same seed.

use std::fmt;

use chrono::{DateTime, Offset as _, TimeZone as _};
use chrono_tz::{TZ_VARIANTS, Tz};
use jiff::{SignedDuration, Timestamp};

const DAY: i64 = 86_400;
/// 1990-01-01 and 2060-01-01 UTC.
const SPAN: (i64, i64) = (631_152_000, 2_840_140_800);
/// 2012-01-01 UTC.
const AFTER_SAMOA: i64 = 1_325_376_000;
/// Zones with changes of the clocks at midnight, by half an hour, by two hours, backwards or often.
const AWKWARD: [Tz; 16] = [
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Asia__Beirut,
    Tz::America__Sao_Paulo,
    Tz::America__Havana,
    Tz::America__Asuncion,
    Tz::America__Santiago,
    Tz::Africa__Cairo,
    Tz::Africa__Casablanca,
    Tz::Asia__Gaza,
    Tz::Asia__Tehran,
    Tz::Asia__Amman,
    Tz::Antarctica__Troll,
    Tz::Pacific__Chatham,
    Tz::America__Scoresbysund,
    Tz::Europe__Dublin,
];

/// One question to both parsers.
pub(crate) struct Case {
    pub(crate) zone: Tz,
    pub(crate) after: Timestamp,
    pub(crate) schedule: String,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}|{}", self.zone.name(), self.after, self.schedule)
    }
}

/// A source of cases: SplitMix64.
pub(crate) struct Cases(u64);

impl Iterator for Cases {
    type Item = Case;

    fn next(&mut self) -> Option<Case> {
        let zone = if self.once_in(3) { self.one_of(&AWKWARD) } else { self.one_of(&TZ_VARIANTS) };
        let after = self.instant(zone);
        let mut schedule = self.schedule();
        while self.once_in(6) {
            let mutated = self.mutated(&schedule);
            // Go opens a zone as a file, and the file system takes // for /. Nothing else does.
            if !(mutated.contains("TZ=") && mutated.contains("//")) {
                schedule = mutated;
            }
        }
        Some(Case { zone, after, schedule })
    }
}

impl Cases {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random() % limit
    }

    fn within(&mut self, (first, last): (i64, i64)) -> i64 {
        first + i64::try_from(self.below((last - first + 1).unsigned_abs())).unwrap()
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Three quarters of them close to a change of the zone's clocks, if it has one that year.
    fn instant(&mut self, zone: Tz) -> Timestamp {
        let span = (first_instant(zone), SPAN.1);
        let mut second = self.within(span);
        if !self.once_in(4)
            && let Some(change) = change_after(zone, second)
        {
            let reach = self.one_of(&[3600, 6 * 3600, 2 * DAY]);
            second = self.within((change - reach, change + reach)).max(span.0);
        }
        let fraction = if self.once_in(3) { self.within((0, 999_999_999)) } else { 0 };
        Timestamp::from_second(second).unwrap() + SignedDuration::from_nanos(fraction)
    }

    fn schedule(&mut self) -> String {
        match self.below(24) {
            0 => self
                .one_of(&["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"])
                .to_owned(),
            1 => format!("@every {}", self.duration()),
            2 => {
                let zone = if self.once_in(4) {
                    self.one_of(&["", "Local", "UTC", "Mars/Base"])
                } else {
                    self.one_of(&TZ_VARIANTS).name()
                };
                format!("{}={zone} {}", self.one_of(&["TZ", "CRON_TZ"]), self.fields())
            }
            // Days that some or all months lack.
            3 => format!("0 0 {} {} {}", self.within((28, 31)), self.within((1, 12)), self.one_of(&["*", "?", "1"])),
            _ => self.fields(),
        }
    }

    fn duration(&mut self) -> String {
        let parts = 1 + self.below(3);
        let part = |cases: &mut Self| {
            let fraction = if cases.once_in(3) { format!(".{}", cases.below(1000)) } else { String::new() };
            let unit = cases.one_of(&["h", "m", "s", "ms", "us", "µs", "ns"]);
            format!("{}{fraction}{unit}", cases.below(100))
        };
        let sign = if self.once_in(10) { self.one_of(&["-", "+"]) } else { "" };
        format!("{sign}{}", (0..parts).map(|_| part(self)).collect::<String>())
    }

    fn fields(&mut self) -> String {
        // Hours at night, where clocks are changed.
        let hours = if self.once_in(2) { (0, 4) } else { (0, 23) };
        let fields = [
            self.field((0, 59), &[], 3),
            self.field(hours, &[], 3),
            self.field((1, 31), &[], 2),
            self.field(
                (1, 12),
                &["jan", "FEB", "Mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
                2,
            ),
            self.field((0, 6), &["sun", "MON", "Tue", "wed", "thu", "fri", "sat"], 2),
        ];
        let blank = if self.once_in(20) { self.one_of(&["  ", "\t", "\u{a0}"]) } else { " " };
        fields.join(blank)
    }

    /// A star once in `star` times, else a list of values, ranges and steps.
    fn field(&mut self, bounds: (i64, i64), names: &[&'static str], star: u64) -> String {
        if self.once_in(star) {
            return self.one_of(&["*", "*", "*", "?", "*/1"]).to_owned();
        }
        let parts = if self.once_in(4) { 2 + self.below(3) } else { 1 };
        (0..parts).map(|_| self.part(bounds, names)).collect::<Vec<_>>().join(",")
    }

    fn part(&mut self, bounds: (i64, i64), names: &[&'static str]) -> String {
        let (one, other) = (self.within(bounds), self.within(bounds));
        let (low, high) = (one.min(other), one.max(other));
        let step = 1 + self.below(20);
        match self.below(8) {
            0 => format!("*/{step}"),
            1 => format!("{low}/{step}"),
            2 => format!("{low}-{high}/{step}"),
            3 | 4 => format!("{low}-{high}"),
            5 if !names.is_empty() => self.one_of(names).to_owned(),
            _ => one.to_string(),
        }
    }

    /// With one character removed, added or replaced.
    fn mutated(&mut self, schedule: &str) -> String {
        const CHARACTERS: [char; 36] = [
            '*', '/', '-', ',', '?', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ' ', '@', 'L', 'W', '#', 'T',
            'Z', '=', '+', '.', 'a', 'E', 's', 'h', 'µ', '\t', '\u{a0}', '_', '|', '%', '\u{2003}',
        ];
        let mut characters: Vec<char> = schedule.chars().collect();
        let at = self.below(characters.len() as u64 + 1) as usize;
        let new = self.one_of(&CHARACTERS);
        match self.below(3) {
            0 if at < characters.len() => characters[at] = new,
            1 if at < characters.len() => _ = characters.remove(at),
            _ => characters.insert(at, new),
        }
        characters.into_iter().collect()
    }
}

fn offset(zone: Tz, second: i64) -> i64 {
    let utc = DateTime::from_timestamp(second, 0).unwrap().naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into()
}

/// The first change of the zone's clocks in the year after `second`, to the second.
fn change_after(zone: Tz, second: i64) -> Option<i64> {
    let day = (0..365).map(|day| second + day * DAY).find(|&day| offset(zone, day) != offset(zone, day + DAY))?;
    let (mut before, mut after) = (day, day + DAY);
    while after - before > 1 {
        let middle = before.midpoint(after);
        if offset(zone, middle) == offset(zone, day) { before = middle } else { after = middle }
    }
    Some(after)
}

/// Where a zone's instants begin: for one that has left out a day since 1990, after the last of these
/// (Samoa, 2011-12-30), because robfig/cron searches without end there.
fn first_instant(zone: Tz) -> i64 {
    let left_out = (offset(zone, AFTER_SAMOA) - offset(zone, SPAN.0)).abs() > DAY / 2;
    if left_out { AFTER_SAMOA } else { SPAN.0 }
}
