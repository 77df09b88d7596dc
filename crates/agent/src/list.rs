//! `etcd-backup list`: the sets on a volume, by a light look that reads no data.

use std::path::PathBuf;

use etcd_backup_core::Manifest;
use etcd_backup_store::{FoundSet, SetState, Volume};
use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::ListArgs;
use crate::exit::Exit;
use crate::output::{Output, print, print_json};

/// One set, as JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    path: PathBuf,
    size_bytes: u64,
    state: State,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Box<Manifest>>,
}

/// What a light look tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It was proven when it was made, and its files still have their sizes.
    Verified,
    /// The same, but something was waived when it was made.
    Unverified,
    Damaged,
    Unreadable,
    Foreign,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
        }
    }
}

pub(crate) fn run(args: &ListArgs, output: Output) -> Exit {
    let sets = match Volume::open(&args.volume).and_then(|volume| volume.sets()) {
        Ok(sets) => sets,
        Err(error) => {
            tracing::error!(reason = %error.reason(), "{error}");
            return Exit::of_failure(error.reason());
        }
    };
    let rows: Vec<Row> = sets.into_iter().map(Row::from).collect();
    match output {
        Output::Text => print(&table(&rows, Timestamp::now())),
        Output::Json => print_json(&rows),
    }
    Exit::Success
}

impl From<FoundSet> for Row {
    fn from(set: FoundSet) -> Self {
        let (state, why, manifest) = match set.state {
            SetState::Consistent { manifest, .. } if manifest.verification.complete() => {
                (State::Verified, None, Some(manifest))
            }
            SetState::Consistent { manifest, .. } => {
                let why = format!("not proven when it was made: {}", manifest.verification.waived.join(", "));
                (State::Unverified, Some(why), Some(manifest))
            }
            SetState::Damaged { manifest, damage } => (State::Damaged, Some(damage.to_string()), Some(manifest)),
            SetState::Unreadable { why, .. } => (State::Unreadable, Some(why), None),
            SetState::Foreign { why } => (State::Foreign, Some(why), None),
        };
        Self { name: set.name.to_string(), path: set.path, size_bytes: set.size_bytes, state, why, manifest }
    }
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let header = ["NAME", "OWNER", "REVISION", "SIZE", "AGE", "STATE"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(header).chain(rows.iter().map(|row| cells(row, now))).collect();
    let widths: [usize; 6] =
        std::array::from_fn(|column| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default());
    let line = |cells: &[String; 6]| {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn cells(row: &Row, now: Timestamp) -> [String; 6] {
    let of_manifest = |text: fn(&Manifest) -> String| row.manifest.as_deref().map_or_else(|| "-".to_owned(), text);
    let state = match &row.why {
        Some(why) => format!("{}: {why}", row.state.as_str()),
        None => row.state.as_str().to_owned(),
    };
    [
        row.name.clone(),
        of_manifest(|manifest| manifest.owner.to_string()),
        of_manifest(|manifest| manifest.snapshot.revision.to_string()),
        BinaryBytes(row.size_bytes).to_string(),
        row.manifest.as_deref().map_or_else(|| "-".to_owned(), |manifest| age(manifest.completion_time, now)),
        state,
    ]
}

/// The two largest units of an age would be one too many; kubectl prints one too.
fn age(then: Timestamp, now: Timestamp) -> String {
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
    fn an_empty_volume_still_has_a_heading() {
        assert!(table(&[], Timestamp::UNIX_EPOCH).starts_with("NAME  OWNER  REVISION"));
    }

    #[test]
    fn columns_line_up() {
        let row = |name: &str, state| Row {
            name: name.into(),
            path: name.into(),
            size_bytes: 2048,
            state,
            why: None,
            manifest: None,
        };
        let text =
            table(&[row("backup-a", State::Foreign), row("backup-longer", State::Foreign)], Timestamp::UNIX_EPOCH);
        let columns: Vec<_> = text.lines().map(|line| line.find("foreign").or(line.find("STATE"))).collect();
        assert!(columns[0].is_some() && columns.iter().all(|column| *column == columns[0]), "{text}");
    }
}
