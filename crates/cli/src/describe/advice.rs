//! What to do about a backup. Pure.

use etcd_backup_api::{EtcdBackup, conditions};
use kube::ResourceExt as _;

use crate::etcdbackup::{message, schedule_of, seen};

/// What somebody should do now, a sentence each; the conditions' messages say what is particular.
pub(super) fn advice(backup: &EtcdBackup) -> Vec<String> {
    let name = backup.name_any();
    let Some(status) = seen(backup) else {
        return vec![
            "The operator has not seen it yet: if that stays so, see `kubectl etcd-backup status`.".to_owned(),
        ];
    };
    let said = Some(message(status).to_owned()).filter(|message| !message.is_empty());
    match status.phase.as_deref().unwrap_or_default() {
        "Failed" => said
            .into_iter()
            .chain([format!("Log, if its pod is still there: kubectl etcd-backup logs {name}"), again(backup)])
            .collect(),
        "Completed" => completed(backup),
        _ => {
            let reason = status.reason.as_deref().unwrap_or_default();
            let watch = format!("It goes on by itself if it can; its log: kubectl etcd-backup logs -f {name}");
            said.map(|said| format!("{reason}: {said}")).into_iter().chain([watch]).collect()
        }
    }
}

fn completed(backup: &EtcdBackup) -> Vec<String> {
    let status = backup.status.clone().unwrap_or_default();
    let mut advice = Vec::new();
    match conditions::get(&status.conditions, "Verified") {
        Some(verified) if verified.status != "True" => {
            advice.push(format!("Do not rely on it ({}): {}", verified.reason, verified.message));
            advice.push(again(backup));
        }
        _ => advice.push("Nothing: it was proven, and nothing is known against it since.".to_owned()),
    }
    if !status.warnings.is_empty() {
        advice.push("docs/operations/warnings.md tells what each warning means and what to do.".to_owned());
    }
    advice
}

/// How another one is made.
fn again(backup: &EtcdBackup) -> String {
    match schedule_of(backup) {
        Some(schedule) => format!(
            "The next run of Backup {schedule} tries again; a backup now: kubectl etcd-backup run --pvc {} --wait",
            backup.spec.pvc_name
        ),
        None => format!(
            "Another one, once the cause is gone: kubectl etcd-backup run --pvc {} --wait",
            backup.spec.pvc_name
        ),
    }
}
