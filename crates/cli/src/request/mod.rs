//! `run`: asks for a backup, and with `--wait` shows how it goes.

mod progress;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use etcd_backup_api::{Backup, EtcdBackup, EtcdBackupSpec};
use jiff::Timestamp;
use kube::ResourceExt as _;
use tokio::time::sleep;

use crate::cli::RunArgs;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::exit::Exit;
use crate::paint::Paint;
use crate::print;
use progress::Progress;

/// How often the status is looked at. A watch would need one more right.
const PACE: Duration = Duration::from_millis(500);

/// Creates the EtcdBackup.
///
/// # Errors
/// If it cannot be created, or followed.
pub(crate) async fn run(cluster: &Cluster, args: &RunArgs) -> Result<Exit, Error> {
    let claim = match &args.pvc {
        Some(claim) => claim.clone(),
        None => claim_in_common(&cluster.backups().await?)?,
    };
    let name = args.name.clone().unwrap_or_else(|| name_at(Timestamp::now()));
    let wanted = EtcdBackup::new(&name, EtcdBackupSpec { pvc_name: claim, recorded: None });
    let created = cluster.create_etcd_backup(&wanted).await?;
    print(&format!(
        "etcdbackup.operator.openshift.io/{} created on claim {}",
        created.name_any(),
        wanted.spec.pvc_name
    ));
    if args.wait { follow(cluster, &name, args.timeout).await } else { Ok(Exit::Success) }
}

/// Shows each change until the backup has ended. That the API server is away for a moment ends nothing.
async fn follow(cluster: &Cluster, name: &str, limit: Duration) -> Result<Exit, Error> {
    let (began, paint) = (Instant::now(), Paint::of_stdout());
    let mut shown = Progress::default();
    loop {
        match cluster.etcd_backup(name).await {
            Ok(backup) => {
                let seen = Progress::of(&backup);
                if seen != shown {
                    print(&seen.line(began.elapsed(), paint));
                    shown = seen;
                }
                if let Some(exit) = shown.exit() {
                    if exit == Exit::Success {
                        print(&progress::summary(&backup));
                    }
                    return Ok(exit);
                }
            }
            Err(error) if error.may_pass() => eprintln!("{error}; asking again"),
            Err(error) => return Err(error),
        }
        if began.elapsed() >= limit {
            eprintln!(
                "it has not ended within {} s and goes on; see `kubectl etcd-backup describe {name}`",
                limit.as_secs()
            );
            return Ok(Exit::Unfinished);
        }
        sleep(PACE).await;
    }
}

/// The claim that all schedules name.
fn claim_in_common(schedules: &[Backup]) -> Result<String, Error> {
    let claims = schedules.iter().map(|schedule| schedule.spec.etcd.pvc_name.as_str());
    let claims: Vec<&str> = claims.filter(|claim| !claim.is_empty()).collect::<BTreeSet<_>>().into_iter().collect();
    match claims[..] {
        [claim] => Ok(claim.to_owned()),
        [] => Err(Error::ClaimUnknown("no Backup names a claim to choose".to_owned())),
        _ => Err(Error::ClaimUnknown(format!("the Backups name several: {}", claims.join(", ")))),
    }
}

/// `manual-2026-01-02-030405`: in the order of time, and no two in one second.
fn name_at(now: Timestamp) -> String {
    now.strftime("manual-%Y-%m-%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use etcd_backup_api::{BackupSpec, EtcdSpec};

    use super::*;

    #[test]
    fn a_claim_is_chosen_only_where_there_is_no_choice() {
        let schedule = |claim: &str| {
            let etcd = EtcdSpec { pvc_name: claim.to_owned(), ..EtcdSpec::default() };
            Backup::new("b", BackupSpec { etcd })
        };
        let choose = |claims: &[&str]| claim_in_common(&claims.iter().map(|claim| schedule(claim)).collect::<Vec<_>>());
        assert_eq!(choose(&["a", "", "a"]).unwrap(), "a");
        assert!(choose(&["b", "a"]).unwrap_err().to_string().ends_with("several: a, b"));
        assert!(choose(&[""]).is_err() && choose(&[]).is_err());
    }

    #[test]
    fn a_name_tells_the_time_in_utc() {
        assert_eq!(name_at("2026-01-02T03:04:05.9Z".parse().unwrap()), "manual-2026-01-02-030405");
    }
}
