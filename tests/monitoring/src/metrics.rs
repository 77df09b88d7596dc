use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};

use crate::read;

/// A metric that `docs/metrics.md` has a row for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// `gauge`, `counter` or `histogram`.
    pub kind: String,
    /// Its labels.
    pub labels: BTreeSet<String>,
}

/// All of them by name; a histogram by the names of its series.
///
/// # Errors
/// If the page cannot be read or a row is not as expected.
pub fn documented() -> Result<BTreeMap<String, Metric>> {
    let mut found = BTreeMap::new();
    for row in read("docs/metrics.md")?.lines().filter(|line| line.starts_with("| `etcdbackup_")) {
        for (name, metric) in parse(row).with_context(|| format!("row: {row}"))? {
            ensure!(found.insert(name.clone(), metric).is_none(), "{name} has two rows");
        }
    }
    ensure!(!found.is_empty(), "docs/metrics.md has no row of a metric");
    Ok(found)
}

/// The series that a row tells of.
fn parse(row: &str) -> Result<Vec<(String, Metric)>> {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let (name, kind, labels) = match cells.as_slice() {
        ["", name, kind, labels, ..] => (name.trim_matches('`'), (*kind).to_owned(), words(labels)),
        _ => anyhow::bail!("fewer than three cells"),
    };
    if kind != "histogram" {
        return Ok(vec![(name.to_owned(), Metric { kind, labels })]);
    }
    let series = |suffix: &str, more: &[&str]| {
        let labels = labels.iter().cloned().chain(more.iter().map(|&label| label.to_owned())).collect();
        (format!("{name}_{suffix}"), Metric { kind: kind.clone(), labels })
    };
    Ok(vec![series("bucket", &["le"]), series("sum", &[]), series("count", &[])])
}

/// The words in backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_metric_with_its_labels() {
        let labels = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<BTreeSet<_>>();
        let gauge = parse("| `etcdbackup_a` | gauge | `backup`, `reason` | Always `1` | never |").unwrap();
        let metric = Metric { kind: "gauge".to_owned(), labels: labels(&["backup", "reason"]) };
        assert_eq!(gauge, [("etcdbackup_a".to_owned(), metric)]);
        let histogram = parse("| `etcdbackup_b_seconds` | histogram | | Seconds | never |").unwrap();
        let names: Vec<_> = histogram.iter().map(|(name, metric)| (name.as_str(), metric.labels.clone())).collect();
        assert_eq!(names[0], ("etcdbackup_b_seconds_bucket", labels(&["le"])));
        assert_eq!(names[2], ("etcdbackup_b_seconds_count", labels(&[])));
    }
}
