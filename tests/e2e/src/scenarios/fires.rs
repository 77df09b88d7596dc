//! Runs that the real kube-controller-manager starts, with the operator there and not there, and runs that nobody starts.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::SOON;
use crate::bed::{self, Bed, NAMESPACE, until};
use crate::manifests;

const NAME: &str = "minutely";
/// A minute until it is due, and the run itself.
const NEXT_RUN: Duration = Duration::from_secs(150);

/// One schedule that fires every minute: a run by itself, one that nobody starts, and runs that no operator sees.
pub(super) fn every_minute(bed: &Bed) -> Result<()> {
    let volume = bed.volume(NAME, 0)?;
    bed.apply(&manifests::backup(NAME, NAME, "* * * * *", manifests::keep(2)).to_string())?;
    fires(bed, &volume)?;

    bed.cluster.stop_components(0, &["kube-controller-manager"])?;
    let said = bed.says(NAME, "Scheduled", "False", "Missed", Duration::from_secs(240));
    let said = said.and_then(|message| bed.scale_operator(0).map(|()| message));
    // It starts at once what is overdue.
    bed.cluster.start_components(0, &["kube-controller-manager"])?;
    println!("  Missed: {}", said?);
    let unseen = without_operator(bed, &volume);
    bed.scale_operator(bed::OPERATORS)?;
    let unseen = bed.recorded(NAME, &unseen?, "Completed")?.record;
    ensure!(unseen["status"]["snapshot"]["revision"].as_i64() > Some(0), "no revision: {unseen:#}");
    matches_volume(bed, &volume)?;
    println!("  Scheduled: {}", bed.says(NAME, "Scheduled", "True", "Scheduled", NEXT_RUN)?);
    bed.kubectl(&["delete", "backup", NAME])?;
    bed.cluster.wait_ready().map_err(Into::into)
}

/// It fires by itself; record, set and the times in the status are right.
fn fires(bed: &Bed, volume: &Path) -> Result<()> {
    let mut record = Value::Null;
    until("a run to be recorded", NEXT_RUN, || {
        record = bed.records(NAME)?.pop().unwrap_or_default();
        Ok(record["status"]["phase"] == "Completed")
    })?;
    let run_id = record["spec"]["recorded"]["runId"].as_str().context("a record without run id")?;
    ensure!(bed::sets_of(volume, run_id)?.len() == 1, "no set of run {run_id} on the volume");
    until("the times in the status to be right", SOON, || {
        let (status, cron_job) = (bed.backup_status(NAME)?, bed.get("cronjob", NAME)?.unwrap_or_default());
        let time = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (last, next) = (time(&status["lastScheduleTime"]), time(&status["nextScheduleTime"]));
        let succeeded = time(&status["lastSuccessfulTime"]);
        // Times of RFC 3339 in UTC with whole seconds sort as text.
        Ok(last == time(&cron_job["status"]["lastScheduleTime"])
            && last.ends_with(":00Z")
            && next.ends_with(":00Z")
            && last < next
            && !succeeded.is_empty())
    })?;
    println!("  {:#}", bed.backup_status(NAME)?);
    bed.says(NAME, "Scheduled", "True", "Scheduled", SOON).map(drop)
}

/// Without the operator a run that is due is made, verified and pruned, and so is one whose Job is deleted before the
/// operator is back; its id.
fn without_operator(bed: &Bed, volume: &Path) -> Result<String> {
    let known = bed::sets(volume)?;
    until("a run without the operator", NEXT_RUN, || Ok(bed::sets(volume)?.iter().any(|set| !known.contains(set))))?;
    let run_id = bed.start_run(NAME, "unseen")?;
    bed.kubectl(&["-n", NAMESPACE, "wait", "--for=condition=Complete", "job/unseen", "--timeout=90s"])?;
    let sets = bed::sets(volume)?;
    ensure!(sets.len() <= 2, "not pruned: {sets:?}");
    bed::verify(volume)?;
    bed.kubectl(&["-n", NAMESPACE, "delete", "job", "unseen"])?;
    Ok(run_id)
}

/// Each set of the volume is recorded, and nothing else. The schedule goes on meanwhile, so both are looked at anew.
fn matches_volume(bed: &Bed, volume: &Path) -> Result<()> {
    let mut seen = (Vec::new(), Vec::new());
    let matched = until("the records to match the volume", SOON, || {
        seen = (bed.recorded_sets(NAME)?, bed::set_names(volume)?);
        Ok(seen.0 == seen.1)
    });
    matched.with_context(|| format!("recorded and there: {seen:#?}"))
}
