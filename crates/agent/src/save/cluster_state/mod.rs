//! What the cluster is going through while it is backed up: changes that an administrator should
//! know of before the backup is relied on.
//!
//! The agent cannot ask Kubernetes' API, so it reads named keys from etcd, through the member that
//! will stream. Nothing here ever fails a backup: what cannot be read is not known.

mod last_set;
mod openshift;

use std::time::Duration;

use etcd_backup_core::Warning;
use etcd_backup_etcd::{Candidate, EtcdError, KeyReader, Member, Survey};
use jiff::Timestamp;
use tokio::time::timeout;

use super::Context;
use super::error::SaveError;
use crate::stop::Stopped;
pub(super) use last_set::continues_last_set;
use openshift::Objects;

/// Bound for all the reads of a run through one member.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// What was found out of the cluster.
#[derive(Debug, Default)]
pub(super) struct ClusterState {
    /// The version that OpenShift says the cluster has.
    pub(super) version: Option<String>,
    /// What keeps the cluster from being settled.
    pub(super) warnings: Vec<Warning>,
}

/// Reads the state of the cluster as it was at a revision, through a member.
pub(super) async fn look(
    context: &Context<'_>,
    candidate: &Candidate,
    revision: Option<i64>,
) -> Result<ClusterState, Stopped> {
    let mut objects = Objects::default();
    let reading = timeout(READ_LIMIT, read(context, candidate, revision, &mut objects));
    let failure = match context.stop.or(reading).await? {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("etcd member {candidate} did not answer within {READ_LIMIT:?}")),
    };
    if let Some(why) = failure {
        tracing::info!(member = %candidate, why, "the cluster's state cannot be read from etcd");
        objects.missed(why);
    }
    Ok(ClusterState { version: objects.version(), warnings: objects.warnings(Timestamp::now()) })
}

async fn read(
    context: &Context<'_>,
    candidate: &Candidate,
    revision: Option<i64>,
    objects: &mut Objects,
) -> Result<(), EtcdError> {
    let mut reader = KeyReader::connect(&context.connection, candidate, revision).await?;
    let first = openshift::first_key();
    if let Some(value) = reader.get(&first).await? {
        objects.add(first, &value);
    }
    if !objects.is_openshift() {
        return Ok(());
    }
    for key in openshift::further_keys() {
        if let Some(value) = reader.get(&key).await? {
            objects.add(key, &value);
        }
    }
    Ok(())
}

/// Whether members run different versions of etcd, as they do during an update.
pub(super) fn mixed_versions(survey: &Survey) -> Option<Warning> {
    let of = |member: &Member| Some((member.status()?.version.clone(), member.to_string()));
    mixed(survey.members.iter().filter_map(of).collect())
}

/// `versions` has the version and the name of each member that answers.
fn mixed(mut versions: Vec<(String, String)>) -> Option<Warning> {
    versions.sort_unstable();
    if versions.first()?.0 == versions.last()?.0 {
        return None;
    }
    let listed: Vec<String> = versions.iter().map(|(version, member)| format!("{member} {version}")).collect();
    let message = format!(
        "etcd's members run different versions: an update is under way, or was left halfway. Bring all to one version and take another backup ({})",
        listed.join(", ")
    );
    Some(Warning::new("MixedEtcdVersions", message))
}

/// Refuses to go on if anything keeps the cluster from being settled, where that was asked for.
pub(super) fn require_settled<'a>(
    context: &Context<'_>,
    warnings: impl IntoIterator<Item = &'a Warning>,
) -> Result<(), SaveError> {
    // A backup is worth more than none, so what is not known refuses nothing.
    let known = |warning: &&Warning| warning.reason != openshift::UNKNOWN;
    match warnings.into_iter().find(known) {
        Some(warning) if context.require_settled => {
            Err(SaveError::NotSettled { reason: warning.reason.clone(), why: warning.message.clone() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_different_versions_are_named() {
        for (versions, named) in [
            (&[][..], None),
            (&["3.6.4"], None),
            (&["3.6.4", "3.6.4"], None),
            (&["3.6.4", "3.5.21", "3.6.4"], Some("(m1 3.5.21, m0 3.6.4, m2 3.6.4)")),
        ] {
            let of = |(at, version): (usize, &&str)| ((*version).to_owned(), format!("m{at}"));
            let warning = mixed(versions.iter().enumerate().map(of).collect());
            assert_eq!(warning.is_some(), named.is_some(), "{versions:?}");
            assert!(warning.is_none_or(|warning| warning.message.ends_with(named.unwrap())), "{versions:?}");
        }
    }
}
