//! `list`: the EtcdBackups, requests and records alike.

use etcd_backup_api::{EtcdBackup, conditions};
use jiff::Timestamp;
use kube::ResourceExt as _;

use crate::age::age;
use crate::cli::{ListArgs, Output};
use crate::cluster::Cluster;
use crate::document;
use crate::error::Error;
use crate::etcdbackup::{phase, schedule_of, time};
use crate::exit::Exit;
use crate::paint::{Paint, Tone};
use crate::print;
use crate::table::{Cell, table};

/// Lists what there is; an empty list is no error.
///
/// # Errors
/// If it cannot be read.
pub(crate) async fn run(cluster: &Cluster, args: &ListArgs) -> Result<Exit, Error> {
    let mut backups = cluster.etcd_backups().await?;
    if let Some(schedule) = &args.backup {
        backups.retain(|backup| schedule_of(backup) == Some(schedule.as_str()));
        // A name that is mistyped would otherwise look like a schedule without backups.
        if backups.is_empty() {
            cluster.backup(schedule).await?;
        }
    }
    backups.sort_by_key(|backup| (time(backup), backup.name_any()));
    match args.output {
        Output::Json | Output::Yaml => document::print_document(&document::list(&backups)?, args.output)?,
        Output::Table | Output::Wide if backups.is_empty() => eprintln!("there are no backups"),
        Output::Table => print(&text(&backups, false, Timestamp::now(), Paint::of_stdout())),
        Output::Wide => print(&text(&backups, true, Timestamp::now(), Paint::of_stdout())),
    }
    Ok(Exit::Success)
}

fn text(backups: &[EtcdBackup], wide: bool, now: Timestamp, paint: Paint) -> String {
    let mut heading = vec!["NAME", "STATUS", "BACKUP", "REVISION", "SIZE", "VERIFIED", "AGE"];
    if wide {
        heading.extend(["REASON", "NODE", "DURATION", "ETCD", "PVC", "LOCATION"]);
    }
    let rows: Vec<Vec<Cell>> = backups.iter().map(|backup| row(backup, wide, now)).collect();
    table(&heading, &rows, paint)
}

fn row(backup: &EtcdBackup, wide: bool, now: Timestamp) -> Vec<Cell> {
    let status = backup.status.clone().unwrap_or_default();
    let verified = conditions::get(&status.conditions, "Verified").map(|condition| condition.status.clone());
    let tone = if verified.as_deref() == Some("False") { Tone::Bad } else { Tone::Plain };
    let mut cells = vec![
        Cell::from(backup.name_any()),
        phase(status.phase.as_deref()),
        Cell::from(schedule_of(backup).unwrap_or_default()),
        Cell::from(status.snapshot.as_ref().map(|snapshot| snapshot.revision.to_string()).unwrap_or_default()),
        Cell::from(status.size.unwrap_or_default()),
        Cell::new(verified.unwrap_or_default(), tone),
        Cell::from(time(backup).map(|time| age(time, now)).unwrap_or_default()),
    ];
    if wide {
        let etcd = status.snapshot.and_then(|snapshot| snapshot.etcd_version);
        let more = [status.reason, status.node_name, status.duration, etcd, Some(backup.spec.pvc_name.clone())];
        cells.extend(more.into_iter().chain([status.location]).map(|text| Cell::from(text.unwrap_or_default())));
    }
    cells
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_and_records_are_listed_alike() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let record = json!({
            "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
            "metadata": {"name": "nightly-1", "creationTimestamp": "2026-01-01T23:59:00Z"},
            "spec": {"pvcName": "claim", "recorded": {"backup": "nightly", "runId": "0b8f6f53-run"}},
            "status": {
                "phase": "Completed", "reason": "Completed", "startTime": "2026-01-01T21:00:00Z", "duration": "2s", "size": "7.5 MiB",
                "nodeName": "master-0", "location": "pvc://openshift-etcd/claim/set",
                "conditions": [{"type": "Verified", "status": "True", "reason": "Verified", "message": "", "lastTransitionTime": "2026-01-01T21:00:02Z"}],
                "snapshot": {"revision": 2200, "sizeBytes": 1, "sha256": "", "clusterId": "1", "memberId": "2", "raftTerm": 3, "etcdVersion": "3.6.4"},
            },
        });
        let request = json!({
            "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
            "metadata": {"name": "now", "creationTimestamp": "2026-01-01T23:59:48Z"}, "spec": {"pvcName": "claim"},
        });
        let backups: Vec<EtcdBackup> = [record, request].map(|one| serde_json::from_value(one).unwrap()).to_vec();
        assert_eq!(
            text(&backups, false, now, Paint::OFF),
            "NAME        STATUS      BACKUP    REVISION   SIZE      VERIFIED   AGE\n\
             nightly-1   Completed   nightly   2200       7.5 MiB   True       3h\n\
             now         -           -         -          -         -          12s"
        );
        let wide = text(&backups, true, now, Paint::OFF);
        assert!(
            wide.contains("Completed   master-0   2s         3.6.4   claim   pvc://openshift-etcd/claim/set"),
            "{wide}"
        );
    }
}
