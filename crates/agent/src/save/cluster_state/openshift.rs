//! What OpenShift's own objects say of the cluster, read from etcd.
//!
//! OpenShift's kube-apiserver keeps everything below `/kubernetes.io`, and custom resources as JSON
//! under `<group>/<plural>/<name>`. The kinds are those of github.com/openshift/api, the conditions
//! those that github.com/openshift/library-go sets; only the fields that are looked at are here.

use std::collections::BTreeMap;

use etcd_backup_core::Warning;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// There is one in every OpenShift cluster, and in no other.
const CLUSTER_VERSION: &str = "config.openshift.io/clusterversions/version";

/// The static pods of a control plane: the ClusterOperator of each, and the plural of its operator's
/// own kind.
const CONTROL_PLANE: [(&str, &str); 4] = [
    ("etcd", "etcds"),
    ("kube-apiserver", "kubeapiservers"),
    ("kube-controller-manager", "kubecontrollermanagers"),
    ("kube-scheduler", "kubeschedulers"),
];

/// The API servers that encrypt values in etcd, and the plurals of their operators' kinds.
const ENCRYPTING: [(&str, &str); 3] = [
    ("kube-apiserver", "kubeapiservers"),
    ("openshift-apiserver", "openshiftapiservers"),
    ("oauth-apiserver", "authentications"),
];

/// The certificates that the installer made are rotated so long after it.
const FIRST_ROTATION: SignedDuration = SignedDuration::from_hours(24);

/// The one warning that says nothing of the cluster itself.
pub(super) const UNKNOWN: &str = "ClusterStateUnknown";

/// Most characters of an operator's own words in a message.
const MAX_WORDS: usize = 120;

/// How the Kubernetes API server marks an encrypted value.
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// OpenShift's objects as far as they were found.
#[derive(Debug, Default)]
pub(super) struct Objects {
    is_openshift: bool,
    version: ClusterVersion,
    operators: BTreeMap<String, Operator>,
    unreadable: Vec<String>,
}

/// `ClusterVersion` of config.openshift.io/v1.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ClusterVersion {
    metadata: Metadata,
    status: VersionStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    creation_timestamp: Option<Timestamp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct VersionStatus {
    /// The newest first. The oldest is the installation, which outlives the pruning of others
    /// (github.com/openshift/enhancements, clusterversion-history-pruning).
    history: Vec<Update>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Update {
    /// `Completed` or `Partial`.
    state: String,
    version: String,
    started_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
}

/// `ClusterOperator` of config.openshift.io/v1, and the operators' own kinds of operator.openshift.io/v1:
/// what is looked at is alike in all of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Operator {
    status: OperatorStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct OperatorStatus {
    conditions: Vec<Condition>,
    /// The newest revision of the static pod; 0 where there is no such thing.
    latest_available_revision: u64,
    node_statuses: Vec<NodeStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct NodeStatus {
    current_revision: u64,
    /// The revision that is being installed; 0 if none is.
    target_revision: u64,
}

/// The key of the object that tells whether this is OpenShift.
pub(super) fn first_key() -> String {
    key(CLUSTER_VERSION)
}

/// The keys of all other objects.
pub(super) fn further_keys() -> Vec<String> {
    let of_control_plane = CONTROL_PLANE.iter().flat_map(|(name, plural)| [cluster_operator(name), operator(plural)]);
    let mut keys: Vec<String> = of_control_plane.chain(ENCRYPTING.iter().map(|(_, plural)| operator(plural))).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn key(object: &str) -> String {
    format!("/kubernetes.io/{object}")
}

fn cluster_operator(name: &str) -> String {
    key(&format!("config.openshift.io/clusteroperators/{name}"))
}

fn operator(plural: &str) -> String {
    key(&format!("operator.openshift.io/{plural}/cluster"))
}

impl Objects {
    /// Whether there is a ClusterVersion, so that the other objects are worth asking for.
    pub(super) fn is_openshift(&self) -> bool {
        self.is_openshift
    }

    /// Takes note of the value of a key.
    pub(super) fn add(&mut self, key: String, value: &[u8]) {
        let taken = if key == first_key() {
            self.is_openshift = true;
            parse(value).map(|version| self.version = version)
        } else {
            parse(value).map(|operator| drop(self.operators.insert(key.clone(), operator)))
        };
        if let Err(why) = taken {
            self.missed(format!("{key} {why}"));
        }
    }

    /// Takes note of what cannot be known.
    pub(super) fn missed(&mut self, why: String) {
        self.unreadable.push(why);
    }

    /// The version that the cluster has completely.
    pub(super) fn version(&self) -> Option<String> {
        let history = &self.version.status.history;
        let complete = history.iter().find(|update| update.is_complete()).or(history.first())?;
        Some(complete.version.clone()).filter(|version| !version.is_empty())
    }

    /// What an administrator should know of a backup that is made now.
    pub(super) fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        if !self.is_openshift {
            return Vec::new();
        }
        let found = [self.certificates(now), self.update(), self.rollout(), self.migration(), self.unknown()];
        found.into_iter().flatten().collect()
    }

    /// "Do not take an etcd backup before the first certificate rotation completes, which occurs 24 hours
    /// after installation, otherwise the backup will contain expired certificates." (OpenShift's
    /// documentation, Backing up etcd)
    fn certificates(&self, now: Timestamp) -> Option<Warning> {
        let installation = self.version.status.history.last();
        let installed = installation
            .and_then(|update| update.completion_time.or(update.started_time))
            .or(self.version.metadata.creation_timestamp)?;
        let rotated = installed.checked_add(FIRST_ROTATION).ok().filter(|rotated| now < *rotated)?;
        let message = format!(
            "the cluster's first certificate rotation is not over: it was installed at {installed}, and what is restored from this backup would run with expired certificates. Take another one after {rotated}"
        );
        Some(Warning::new("CertificatesNotRotated", message))
    }

    fn update(&self) -> Option<Warning> {
        let history = &self.version.status.history;
        let (to, from) = (history.first()?, history.get(1)?);
        if to.is_complete() {
            return None;
        }
        let message = format!(
            "the cluster is being updated to {}: a restore needs a backup of the very version that runs ({} was complete before). Take another one when `oc get clusterversion` says that it is over",
            to.version,
            self.version().unwrap_or_else(|| from.version.clone())
        );
        Some(Warning::new("ClusterUpdateInProgress", message))
    }

    /// cluster-backup.sh refuses a backup for the first of these signs.
    fn rollout(&self) -> Option<Warning> {
        let rolling: Vec<(&str, String)> = CONTROL_PLANE
            .iter()
            .filter_map(|(name, plural)| {
                let said = self.operators.get(&cluster_operator(name)).and_then(Operator::progressing);
                let seen = || self.operators.get(&operator(plural)).and_then(Operator::revisions);
                Some((*name, said.or_else(seen)?))
            })
            .collect();
        let names: Vec<&str> = rolling.iter().map(|(name, _)| *name).collect();
        let details: Vec<String> = rolling.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        (!rolling.is_empty()).then(|| {
            let message = format!(
                "{} being rolled out, so the data and the static pods may be of different revisions. Take another backup when `oc get clusteroperators` says that it is over ({})",
                are(&names),
                details.join("; ")
            );
            Warning::new("RolloutInProgress", message)
        })
    }

    /// "Do not back up etcd resources until the initial encryption process is completed. If the encryption
    /// process is not completed, the backup might be only partially encrypted." (OpenShift's
    /// documentation, Encrypting etcd data)
    fn migration(&self) -> Option<Warning> {
        let migrating = ENCRYPTING.iter().filter_map(|(name, plural)| {
            let why = self.operators.get(&operator(plural))?.migrates()?;
            Some(format!("{name}: {why}"))
        });
        let migrating: Vec<String> = migrating.collect();
        (!migrating.is_empty()).then(|| {
            let message = format!(
                "values in etcd are being encrypted anew, so only a part of this backup is encrypted with the newest key. Take another one when that is over ({})",
                migrating.join("; ")
            );
            Warning::new("EncryptionMigrationInProgress", message)
        })
    }

    fn unknown(&self) -> Option<Warning> {
        let first = self.unreadable.first()?;
        let more = match self.unreadable.len() {
            1 => String::new(),
            count => format!(", and {} more like it", count - 1),
        };
        let message = format!(
            "it is not known whether the control plane is settled: {first}{more}. See `oc get clusterversion,clusteroperators`"
        );
        Some(Warning::new(UNKNOWN, message))
    }
}

impl Update {
    fn is_complete(&self) -> bool {
        self.state == "Completed"
    }
}

impl Operator {
    fn condition(&self, wanted: impl Fn(&Condition) -> bool) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| wanted(condition))
    }

    /// The words of a ClusterOperator that is progressing, unless it only tells of an encryption
    /// migration: each line is a condition of the operator's own kind and its message.
    fn progressing(&self) -> Option<String> {
        let progressing = self.condition(|condition| condition.type_ == "Progressing" && condition.is_true())?;
        let mut lines = progressing.message.lines().filter(|line| !line.trim().is_empty()).peekable();
        let only_migrates = lines.peek().is_some() && lines.all(|line| line.starts_with("Encryption"));
        (!only_migrates).then(|| progressing.words())
    }

    /// Nodes that do not run the newest revision, or on which one is being installed.
    fn revisions(&self) -> Option<String> {
        let OperatorStatus { latest_available_revision: latest, node_statuses: nodes, .. } = &self.status;
        let behind = |node: &&NodeStatus| {
            let installs = node.target_revision != 0 && node.target_revision != node.current_revision;
            installs || node.current_revision < *latest
        };
        let behind = nodes.iter().filter(behind).count();
        (behind > 0).then(|| format!("{behind} of {} nodes not yet at revision {latest}", nodes.len()))
    }

    /// The words of an operator that encrypts or decrypts values.
    fn migrates(&self) -> Option<String> {
        let controller = |condition: &Condition| {
            let of_encryption = condition.type_.starts_with("Encryption") && condition.type_.ends_with("Progressing");
            of_encryption && condition.is_true()
        };
        let state = |condition: &Condition| {
            condition.type_ == "Encrypted"
                && ["EncryptionInProgress", "DecryptionInProgress"].contains(&condition.reason.as_str())
        };
        self.condition(controller).or_else(|| self.condition(state)).map(Condition::words)
    }
}

impl Condition {
    fn is_true(&self) -> bool {
        self.status == "True"
    }

    /// The message's first line, not too long.
    fn words(&self) -> String {
        let line = self.message.lines().find(|line| !line.trim().is_empty());
        let line = line.or(Some(self.reason.as_str())).filter(|line| !line.is_empty()).unwrap_or(&self.type_);
        match line.char_indices().nth(MAX_WORDS) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => line.to_owned(),
        }
    }
}

fn parse<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    if value.starts_with(ENCRYPTED) {
        return Err("is encrypted".to_owned());
    }
    serde_json::from_slice(value).map_err(|error| format!("cannot be read ({error})"))
}

/// `a is`, `a and b are`, `a, b and c are`.
fn are(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, first)) if !first.is_empty() => format!("{} and {last} are", first.join(", ")),
        _ => format!("{} is", names.concat()),
    }
}

#[cfg(test)]
mod tests;
