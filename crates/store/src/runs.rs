use std::ffi::OsStr;
use std::path::Path;

use etcd_backup_core::{REPORT_SCHEMA, Report, RunId};

use crate::dir::Dir;
use crate::publish::write_durably;
use crate::{LockedVolume, StoreError};

/// Reports kept on a volume: enough for every run that an operator may still ask about.
const KEPT: usize = 200;
/// A report has at most 4,096 bytes; a newer version may write more.
const MAX_BYTES: u64 = 64 * 1024;

impl LockedVolume {
    /// Keeps the report of a run on the volume, durably, in place of an earlier one of the same run.
    /// The 200 newest are kept.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_report(&self, report: &Report) -> Result<(), StoreError> {
        let (staging, runs) = (&self.held.staging, &self.held.runs);
        write_durably(staging, runs, &file_name(&report.run_id), report.to_json().as_bytes())?;
        remove_oldest(runs)
    }
}

pub(crate) fn read(runs: &Dir, run: &RunId) -> Result<Option<Report>, StoreError> {
    let name = file_name(run);
    let invalid = |what| StoreError::Invalid {
        path: runs.path_of(&name),
        what,
        advice: "nothing is known of that run from it; move the file away",
    };
    let bytes = match runs.read(&name, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let report: Report =
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("is not a run's report ({error})")))?;
    if !REPORT_SCHEMA.reads(report.schema_version) {
        return Err(invalid(format!("is of the newer version {}", report.schema_version)));
    }
    if report.run_id != *run {
        return Err(invalid(format!("is the report of another run, {}", report.run_id)));
    }
    Ok(Some(report))
}

fn remove_oldest(runs: &Dir) -> Result<(), StoreError> {
    let mut reports = Vec::new();
    for name in runs.names()?.into_iter().filter(|name| is_report(name)) {
        let stat = runs.stat(&name)?;
        reports.push((stat.st_mtime, stat.st_mtime_nsec, name));
    }
    reports.sort();
    let surplus = reports.len().saturating_sub(KEPT);
    for (_, _, name) in &reports[..surplus] {
        runs.remove(name)?;
    }
    Ok(())
}

fn file_name(run: &RunId) -> String {
    format!("{run}.json")
}

fn is_report(name: &OsStr) -> bool {
    let path = Path::new(name);
    let run = path.file_stem().and_then(OsStr::to_str).map(str::parse::<RunId>);
    path.extension() == Some(OsStr::new("json")) && matches!(run, Some(Ok(_)))
}
