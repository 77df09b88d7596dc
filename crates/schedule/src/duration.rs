//! Durations as Go's `time.ParseDuration` reads them.

const LIMIT: u64 = 1 << 63;

/// The whole seconds of `@every`: at least 1, fractions cut off. None if it is not a duration.
pub(crate) fn whole_seconds(text: &str) -> Option<i64> {
    let seconds = nanoseconds(text)? / 1_000_000_000;
    Some(seconds.max(1))
}

/// `[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+` in nanoseconds, or a lone 0; within 64 bits.
fn nanoseconds(text: &str) -> Option<i64> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned == "0" {
        return Some(0);
    }
    let (mut total, mut rest) = part(unsigned)?;
    while !rest.is_empty() {
        let (next, after) = part(rest)?;
        // In Go the sum wraps around where both are 2^63.
        total = total.wrapping_add(next);
        if total > LIMIT {
            return None;
        }
        rest = after;
    }
    if negative { 0_i64.checked_sub_unsigned(total) } else { total.try_into().ok() }
}

/// The first number with its unit, in nanoseconds, and what follows it.
fn part(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(end);
    let unit = nanoseconds_of(unit)?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    if whole > LIMIT / unit {
        return None;
    }
    let sum = whole * unit + fraction_of(fraction, unit);
    (sum <= LIMIT).then_some((sum, rest))
}

/// Splits the leading decimal digits off.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.<digits>` of a unit, computed in floating point as Go does. Digits beyond 64 bits do not count.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as in Go")]
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut value, mut scale) = (0_u64, 1_f64);
    for digit in digits.bytes().map(|byte| u64::from(byte - b'0')) {
        if value > (LIMIT - 1) / 10 || value * 10 + digit > LIMIT {
            break;
        }
        value = value * 10 + digit;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn nanoseconds_of(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_at_least_one_second_and_whole() {
        let table = [
            ("5m", 300),
            ("1h30m", 5400),
            ("1.5h", 5400),
            (".5m", 30),
            ("1.m", 60),
            ("1m1m", 120),
            ("90.9s", 90),
            ("1999ms", 1),
            ("1500000\u{b5}s", 1),
            ("2000000\u{3bc}s", 2),
            ("2000000us", 2),
            ("3000000000ns", 3),
            ("0", 1),
            ("-0", 1),
            ("-1h", 1),
            ("+2s", 2),
            ("1ms", 1),
            ("2562047h47m16.854775807s", 9_223_372_036),
            ("9223372036854775808ns9223372036854775808ns", 1),
            ("0.333333333333333333333333333333h", 1200),
        ];
        for (text, seconds) in table {
            assert_eq!(whole_seconds(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_none() {
        let table = [
            "",
            " 5m",
            "5m ",
            "5",
            "m",
            "-",
            "+-5m",
            ".s",
            "1d",
            "1H",
            "5 m",
            "1_000s",
            "1e3s",
            "2562047h47m16.854775808s",
            "9223372036854775809ns",
            "99999999999999999999h",
            "0x1s",
            "1m-1s",
        ];
        for text in table {
            assert_eq!(whole_seconds(text), None, "{text:?}");
        }
    }
}
