//! Times as people read them: how long ago, how long until.

use jiff::Timestamp;

/// `12s`, `5m`, `3h`, `9d`: one unit, as kubectl prints ages. What is in the future is now.
#[must_use]
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_second() - then.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `3h ago`.
#[must_use]
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    format!("{} ago", age(then, now))
}

/// `in 9h`, or `5m ago` of what should have been.
#[must_use]
pub(crate) fn until(then: Timestamp, now: Timestamp) -> String {
    if then < now { ago(then, now) } else { format!("in {}", age(now, then)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unit_is_enough() {
        let then: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (now, past, future) in [
            ("2025-12-31T23:59:58Z", "0s", "in 2s"),
            ("2026-01-01T00:01:59Z", "119s", "119s ago"),
            ("2026-01-01T01:59:59Z", "119m", "119m ago"),
            ("2026-01-02T23:00:00Z", "47h", "47h ago"),
            ("2026-02-01T00:00:00Z", "31d", "31d ago"),
            ("2025-12-01T00:00:00Z", "0s", "in 31d"),
        ] {
            let now = now.parse().unwrap();
            assert_eq!((age(then, now).as_str(), until(then, now).as_str()), (past, future));
        }
    }
}
