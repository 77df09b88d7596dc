use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use clap::ValueEnum;
use etcd_backup_core::{Outcome, Report};
use indicatif::BinaryBytes;
use serde::Serialize;

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Prints to standard output; a reader that went away is no fault of ours.
pub(crate) fn print(text: &str) {
    if let Err(error) = writeln!(io::stdout().lock(), "{}", text.trim_end_matches('\n')) {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

/// Prints a document to standard output.
pub(crate) fn print_json(document: &impl Serialize) {
    match serde_json::to_string_pretty(document) {
        Ok(json) => print(&json),
        Err(error) => tracing::error!(%error, "this cannot be written as JSON; please report it"),
    }
}

/// Delivers a run's report to standard output and to the file that was asked for.
pub(crate) fn deliver(report: &Report, output: Output, file: Option<&Path>) {
    write_report(report, file);
    print(&match output {
        Output::Json => report.to_json(),
        Output::Text => text(report),
    });
}

/// Writes a run's report to the file that was asked for.
pub(crate) fn write_report(report: &Report, file: Option<&Path>) {
    if let Some(path) = file
        && let Err(error) = write_in_place(path, report.to_json().as_bytes())
    {
        tracing::error!(path = %path.display(), %error, "the report cannot be written to --report-file");
    }
}

/// A container's termination message is a mount, which cannot be replaced by rename.
fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

/// A report for people.
pub(crate) fn text(report: &Report) -> String {
    let mut text = match report.outcome {
        Outcome::Completed => format!("Completed: {}\n", report.message),
        Outcome::Failed => format!("Failed ({}): {}\n", report.reason, report.message),
    };
    // Writing to a String cannot fail.
    if let Some(set) = &report.set {
        let snapshot = &set.snapshot;
        let member = snapshot.member_name.as_deref().unwrap_or(&snapshot.member_id);
        let _ = writeln!(text, "  set       {} ({})", set.name, BinaryBytes(set.size_bytes()));
        let _ = writeln!(
            text,
            "  snapshot  revision {}, {} keys, {}, from {member} (etcd {})",
            snapshot.revision,
            snapshot.total_keys.map_or_else(|| "?".to_owned(), |keys| keys.to_string()),
            BinaryBytes(snapshot.size_bytes),
            snapshot.etcd_version.as_deref().unwrap_or("?"),
        );
        let _ = writeln!(text, "  sha256    {}", snapshot.sha256);
    }
    if let Some(retention) = &report.retention {
        let deleted = match retention.deleted {
            0 => "nothing deleted".to_owned(),
            sets => format!("{sets} sets deleted ({})", BinaryBytes(retention.deleted_bytes)),
        };
        let _ = writeln!(text, "  retention {}: {deleted}; {}", retention.reason.as_str(), retention.message);
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "  warning   {}: {}", warning.reason, warning.message);
    }
    let _ = writeln!(text, "  run       {} on {}", report.run_id, report.node);
    text
}
