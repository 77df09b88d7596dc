//! `etcd-backup list`: the sets on a volume, by a light look that reads no data.

use std::path::PathBuf;

use etcd_backup_core::{Manifest, SetState};
use etcd_backup_store::{FoundSet, Look, Volume};
use indicatif::BinaryBytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::ListArgs;
use crate::exit::Exit;
use crate::output::{Output, print, print_json};
use crate::table::{age, table};

/// One set, as JSON has it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    path: PathBuf,
    size_bytes: u64,
    state: SetState,
    /// Why the state is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Box<Manifest>>,
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
        Output::Text => print(&text(&rows, Timestamp::now())),
        Output::Json => print_json(&rows),
    }
    Exit::Success
}

impl From<FoundSet> for Row {
    fn from(set: FoundSet) -> Self {
        let entry = set.entry();
        let manifest = match set.state {
            Look::Consistent { manifest, .. } | Look::Damaged { manifest, .. } => Some(manifest),
            Look::Unreadable { .. } | Look::Foreign { .. } => None,
        };
        let (name, size_bytes) = (entry.name.to_string(), entry.size_bytes);
        Self { name, path: set.path, size_bytes, state: entry.state, why: entry.why, manifest }
    }
}

fn text(rows: &[Row], now: Timestamp) -> String {
    let header = ["NAME", "OWNER", "REVISION", "SIZE", "AGE", "STATE"].map(str::to_owned);
    table(&std::iter::once(header).chain(rows.iter().map(|row| cells(row, now))).collect::<Vec<_>>())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_volume_still_has_a_heading() {
        assert!(text(&[], Timestamp::UNIX_EPOCH).starts_with("NAME  OWNER  REVISION"));
    }
}
