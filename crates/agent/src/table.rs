use jiff::Timestamp;

/// Rows of text in columns that line up, the first row being the heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default());
    let line = |cells: &[String; N]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The two largest units of an age would be one too many; kubectl prints one too.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    match seconds {
        ..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let then: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        for (now, text) in [
            ("2025-12-31T23:59:59Z", "0s"),
            ("2026-01-01T00:01:59Z", "119s"),
            ("2026-01-01T01:59:59Z", "119m"),
            ("2026-01-02T23:00:00Z", "47h"),
            ("2026-02-01T00:00:00Z", "31d"),
        ] {
            assert_eq!(age(then, now.parse().unwrap()), text);
        }
    }

    #[test]
    fn columns_line_up() {
        let text = table(&[["NAME", "STATE"], ["a", "good"], ["longer", ""]].map(|row| row.map(str::to_owned)));
        assert_eq!(text, "NAME    STATE\na       good\nlonger");
    }
}
