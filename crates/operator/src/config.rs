//! Flags of the operator, each with an environment variable, and what they default to.

use clap::{Parser, ValueEnum};
use etcd_backup_core::Layout;
use jiff::SignedDuration;

/// Turns EtcdBackup objects into Jobs, and the agent's reports into status, events and metrics.
#[derive(Debug, Clone, Parser)]
#[command(name = "etcd-backup-operator", version)]
pub struct Config {
    /// How the control plane lays out its files and certificates
    #[arg(long, env = "PLATFORM", value_enum)]
    pub platform: Platform,
    /// Namespace of the PersistentVolumeClaims and the Jobs
    #[arg(long, env = "BACKUP_NAMESPACE", value_name = "NAME", default_value = "openshift-etcd")]
    pub backup_namespace: String,
    /// Image of the Jobs; it must hold /etcd-backup
    #[arg(long, env = "AGENT_IMAGE", value_name = "IMAGE")]
    pub image: String,
    /// When a node pulls the image of a Job
    #[arg(long, env = "IMAGE_PULL_POLICY", value_enum, default_value_t = PullPolicy::IfNotPresent)]
    pub image_pull_policy: PullPolicy,
    /// ServiceAccount of the Jobs, in the backup namespace; it needs no rights
    #[arg(long, env = "JOB_SERVICE_ACCOUNT", value_name = "NAME", default_value = "etcd-backup")]
    pub job_service_account: String,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would replace the command's help")]
    pub limits: Limits,
    #[command(flatten)]
    #[allow(missing_docs, reason = "a doc comment here would replace the command's help")]
    pub election: LeaderElection,
    /// Fail backups while the cluster is being changed, instead of making them with a warning
    #[arg(long, env = "REQUIRE_SETTLED")]
    pub require_settled: bool,
    /// Port of /healthz, /readyz and /metrics
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
    /// What the Jobs log, such as info,etcd_backup_store::operation=debug [default: what the agent logs by itself]
    #[arg(long, env = "AGENT_LOG", value_name = "FILTER")]
    pub agent_log: Option<String>,
}

/// What bounds a backup.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// Longest wait for another run on the same volume
    #[arg(long, env = "LOCK_TIMEOUT", value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub lock_timeout: SignedDuration,
    /// Longest time for a backup after that wait
    #[arg(long, env = "DEADLINE", value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub deadline: SignedDuration,
    /// How long a backup that cannot start stays pending before it fails
    #[arg(long, env = "START_LIMIT", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub start_limit: SignedDuration,
    /// How long after a scheduled run was due it is still started, if it could not be started then;
    /// never less than a run may take
    #[arg(long, env = "STARTING_DEADLINE", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub starting_deadline: SignedDuration,
    /// Share of the volume's file system that stays free, in percent
    #[arg(long, env = "RESERVE_PERCENT", value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=99))]
    pub reserve_percent: u8,
}

impl Limits {
    /// `activeDeadlineSeconds` of a Job: waiting for the lock, the run itself, and room for image
    /// and retries.
    #[must_use]
    pub fn job_deadline(&self) -> SignedDuration {
        self.lock_timeout + self.deadline + SignedDuration::from_secs(300)
    }
}

/// How one of several operators is chosen to work.
#[derive(Debug, Clone, clap::Args)]
pub struct LeaderElection {
    /// Work only while holding the Lease etcd-backup-operator in the own namespace; false for an
    /// operator that is run by hand, while no other one runs
    #[arg(long, env = "LEADER_ELECT", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub leader_elect: bool,
    /// Name under which the Lease is held, unlike that of any other operator [default: a random one]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,
    /// How long after the last renewal that was seen another operator takes the Lease
    #[arg(long, env = "LEASE_DURATION", value_name = "TIME", default_value = "45s", value_parser = parse_duration)]
    pub lease_duration: SignedDuration,
    /// How long after its last renewal the holder goes on trying, before it stops working and ends
    #[arg(long, env = "LEASE_RENEW_DEADLINE", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub lease_renew_deadline: SignedDuration,
    /// How often the holder renews the Lease
    #[arg(long, env = "LEASE_RENEW_PERIOD", value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    pub lease_renew_period: SignedDuration,
}

/// The platforms whose control plane the agent knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Platform {
    /// Static pods in /etc/kubernetes/manifests, etcd's certificates in /etc/kubernetes/pki/etcd
    Kubeadm,
    /// Static pods by revision, etcd's certificates in Secret etcd-client of openshift-etcd
    #[value(name = "openshift")]
    OpenShift,
}

impl From<Platform> for Layout {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Kubeadm => Self::Kubeadm,
            Platform::OpenShift => Self::OpenShift,
        }
    }
}

/// Kubernetes' `imagePullPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// Before each start
    Always,
    /// Only if the node does not have it
    IfNotPresent,
    /// Never: the image was put on the node by hand
    Never,
}

impl PullPolicy {
    /// The word as a pod spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// For people
    Text,
}

/// `30s`, `10m`, `1h 30m`; more than nothing and at most a week, so that adding it to a time of
/// the cluster never overflows.
fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let week = SignedDuration::from_hours(24 * 7);
    if duration.as_secs() < 1 || duration > week {
        return Err("must be between 1s and 168h".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        let base = ["etcd-backup-operator", "--platform", "kubeadm", "--image", "example.org/etcd-backup:1"];
        Config::try_parse_from(base.iter().chain(args))
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.backup_namespace, "openshift-etcd");
        assert_eq!(config.limits.lock_timeout, SignedDuration::from_secs(600));
        assert_eq!(config.limits.deadline, SignedDuration::from_secs(900));
        assert_eq!(config.limits.start_limit, SignedDuration::from_secs(3600));
        assert_eq!(config.limits.starting_deadline, SignedDuration::from_secs(3600));
        assert_eq!(config.limits.job_deadline(), SignedDuration::from_secs(1800));
        assert_eq!(config.image_pull_policy.as_str(), "IfNotPresent");
        let election = config.election;
        let times = [election.lease_duration, election.lease_renew_deadline, election.lease_renew_period];
        assert_eq!((election.leader_elect, times.map(|time| time.as_secs())), (true, [45, 30, 15]));
        assert!(!parse(&["--leader-elect=false"]).unwrap().election.leader_elect);
        assert!(parse(&["--leader-elect"]).unwrap().election.leader_elect);
    }

    #[test]
    fn durations_that_make_no_sense_are_refused() {
        for bad in ["0s", "-5m", "10", "9999h", "soon"] {
            assert!(parse(&["--deadline", bad]).is_err(), "{bad} was accepted");
        }
        assert!(parse(&["--deadline", "1h 30m"]).is_ok());
        assert!(parse(&["--reserve-percent", "100"]).is_err());
    }

    #[test]
    fn words_are_spelt_as_kubernetes_and_the_agent_spell_them() {
        let config = parse(&["--image-pull-policy", "Never", "--platform", "openshift"]);
        assert!(config.is_err(), "a flag given twice must be refused");
        let config = parse(&["--image-pull-policy", "Never"]).unwrap();
        assert_eq!(config.image_pull_policy, PullPolicy::Never);
        assert_eq!(serde_json::to_value(Layout::from(Platform::OpenShift)).unwrap(), "openshift");
        assert_eq!(serde_json::to_value(Layout::from(Platform::Kubeadm)).unwrap(), "kubeadm");
    }
}
