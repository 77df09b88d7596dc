use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use etcd_backup_core::{AcceptedLineage, Owner, OwnerKind, Policy, Retention, RunId};
use etcd_backup_etcd::{DEFAULT_LOCAL_ENDPOINT, Limits};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::exit::Exit;
use crate::output::Output;
use crate::progress::ProgressMode;
use crate::retention::PolicySource;

/// Backups of etcd that are proven before they count.
#[derive(Debug, Parser)]
#[command(name = "etcd-backup", version, after_help = Exit::table(), propagate_version = true)]
pub struct Cli {
    /// What standard output is: text for people, or JSON
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take a backup: snapshot and static pod resources, proven on the disk, published as one set
    #[command(after_help = Exit::table())]
    Save(Box<SaveArgs>),
    /// List the sets on a volume
    #[command(after_help = Exit::table())]
    List(ListArgs),
    /// Prove that a snapshot file, a set, or every set on a volume is sound
    #[command(after_help = Exit::table())]
    Verify(VerifyArgs),
    /// Delete what a policy does not keep of one owner's sets, or show what it would delete
    ///
    /// The newest verified set is never deleted, and before anything is, it is read and proven.
    #[command(after_help = Exit::table())]
    Prune(Box<PruneArgs>),
    /// List every set as one line of JSON, closed by what they add up to; or answer what became of a run
    ///
    /// With --run-id: its set, verified again, or its report. Success means that the question was
    /// answered, whatever the answer is.
    #[command(after_help = Exit::table())]
    Inventory(Box<InventoryArgs>),
}

impl Cli {
    /// What the parser cannot see by itself.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let owner = match &self.verb {
            Verb::Save(args) if args.policy.is_some() => &args.run.owner,
            Verb::Prune(args) => &args.owner,
            _ => return Ok(()),
        };
        if owner.kind == OwnerKind::EtcdBackup {
            let message = format!("{owner} is a one-shot backup: no policy deletes its sets");
            return Err(Self::command().error(ErrorKind::ArgumentConflict, message));
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Directory that keeps the sets, such as where a volume is mounted
    #[arg(value_name = "DIR")]
    pub(crate) volume: PathBuf,
    /// What to keep of the owner's sets: a policy.json, read again before anything is deleted
    ///
    /// One that cannot be read deletes nothing, and the backup is made all the same.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub(crate) policy: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto, help_heading = "Options")]
    pub(crate) progress: ProgressMode,
}

/// Which run it is and whose.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Identity of this run; a second run with the same one finds the first one's set and makes none [default: a random UUID]
    #[arg(long, env = "ETCD_BACKUP_RUN_ID", value_name = "UUID")]
    pub(crate) run_id: Option<RunId>,
    /// Whose set it becomes: Backup, EtcdBackup or Manual, and a name
    #[arg(long, value_name = "KIND/NAME", default_value = "Manual/manual", value_parser = parse_owner)]
    pub(crate) owner: Owner,
    /// The cluster's identity: uid of the namespace kube-system
    #[arg(long, value_name = "UID")]
    pub(crate) cluster: Option<String>,
    /// This node's name [default: the host's name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Also write the report to this file, in place
    #[arg(long, value_name = "FILE")]
    pub(crate) report_file: Option<PathBuf>,
}

/// How etcd is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "etcd")]
pub(crate) struct EtcdArgs {
    /// Where to ask for members first; the local one is preferred
    #[arg(long, value_name = "URL,...", value_delimiter = ',', default_value = DEFAULT_LOCAL_ENDPOINT)]
    pub(crate) endpoints: Vec<String>,
    /// Directory of which every file holds one more endpoint: address, host or URL (a mounted ConfigMap)
    #[arg(long, value_name = "DIR")]
    pub(crate) endpoints_dir: Option<PathBuf>,
    /// CA of etcd's servers, PEM [default: where the layout has it]
    #[arg(long, env = "ETCDCTL_CACERT", value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Client certificate, PEM [default: where the layout has it]
    #[arg(long, env = "ETCDCTL_CERT", value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,
    /// Key of the client certificate, PEM [default: where the layout has it]
    #[arg(long, env = "ETCDCTL_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Save even if there is no quorum to prove that the data is not old; the set is then not verified
    #[arg(long)]
    pub(crate) allow_no_quorum: bool,
    /// Save nothing while the cluster is being changed (a rollout, an update, a migration of encrypted values, its first
    /// certificates); without this it is saved with a warning
    #[arg(long)]
    pub(crate) require_settled: bool,
}

/// Where the control plane's files are.
#[derive(Debug, Args)]
#[command(next_help_heading = "Static pod resources")]
pub(crate) struct SourceArgs {
    /// How the node lays out its static pods; none makes a set of the snapshot alone, which is not verified
    #[arg(long, value_enum, default_value_t = LayoutChoice::Auto)]
    pub(crate) layout: LayoutChoice,
    /// The node's Kubernetes directory
    #[arg(long, value_name = "DIR", default_value = "/etc/kubernetes")]
    pub(crate) kubernetes_dir: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutChoice {
    /// What the Kubernetes directory looks like
    Auto,
    /// static-pod-resources/<component>-pod-<revision>
    Openshift,
    /// manifests, pki, *.conf
    Kubeadm,
    /// No static pod resources
    None,
}

/// What bounds a run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Longest wait for another run on this volume
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lock_timeout: Duration,
    /// Longest time for all of the run after that wait
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub(crate) deadline: Duration,
    /// Longest time without a byte from etcd, and over which its rate is measured
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) progress_timeout: Duration,
    /// Slowest that the stream may be, whether etcd or the volume holds it up
    #[arg(long, value_name = "BYTES/S", default_value_t = Limits::default().floor_bytes_per_second)]
    pub(crate) min_rate: u64,
    /// Share of the disk that stays free
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) reserve_percent: u8,
    /// Warn if the volume is another one than this
    #[arg(long, value_name = "UUID")]
    pub(crate) expect_volume: Option<Uuid>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Directory that keeps the sets
    #[arg(value_name = "DIR")]
    pub(crate) volume: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A snapshot file, a set's directory, or a directory that keeps sets
    #[arg(value_name = "DIR|FILE")]
    pub(crate) path: PathBuf,
    /// Count the live keys exactly, by comparing keys and not only their hashes; takes longer
    #[arg(long)]
    pub(crate) exact_keys: bool,
    /// How progress is shown on standard error
    #[arg(long, value_enum, default_value_t = ProgressMode::Auto)]
    pub(crate) progress: ProgressMode,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Directory that keeps the sets
    #[arg(value_name = "DIR")]
    pub(crate) volume: PathBuf,
    /// Whose sets: Backup or Manual, and a name
    #[arg(long, value_name = "KIND/NAME", value_parser = parse_owner)]
    owner: Owner,
    /// The cluster's identity: uid of the namespace kube-system
    #[arg(long, value_name = "UID")]
    cluster: String,
    #[command(flatten)]
    limit: LimitChoice,
    /// Go on although etcd was restored or rebuilt after this place in the volume's order
    #[arg(long, value_name = "VOLUME/SEQUENCE", value_parser = parse_accepted, conflicts_with = "expect_policy")]
    accept_lineage: Option<AcceptedLineage>,
    /// Fail unless the policy file is the one of this hash
    #[arg(long, value_name = "HASH", conflicts_with_all = ["keep", "max_size"])]
    pub(crate) expect_policy: Option<String>,
    /// Only show what would be deleted; changes nothing and waits for nobody
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
    /// Longest wait for another run on this volume
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lock_timeout: Duration,
    /// Identity of this run [default: a random UUID]
    #[arg(long, env = "ETCD_BACKUP_RUN_ID", value_name = "UUID")]
    pub(crate) run_id: Option<RunId>,
    /// This node's name [default: the host's name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Also write the report to this file, in place
    #[arg(long, value_name = "FILE")]
    pub(crate) report_file: Option<PathBuf>,
}

/// What to keep: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct LimitChoice {
    /// What a policy.json says; read again before anything is deleted
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// So many verified sets
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    keep: Option<u64>,
    /// So many bytes, such as 10GiB
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    max_size: Option<u64>,
}

impl PruneArgs {
    /// Whose sets.
    pub(crate) fn owner(&self) -> Owner {
        Owner { cluster: Some(self.cluster.clone()), ..self.owner.clone() }
    }

    /// What to keep of them.
    pub(crate) fn policy(&self) -> PolicySource {
        let accepted = self.accept_lineage.clone();
        let retention = match &self.limit {
            LimitChoice { policy: Some(path), .. } => return PolicySource::File { path: path.clone(), accepted },
            LimitChoice { max_size: Some(max_bytes), .. } => Retention::Size { max_bytes: *max_bytes },
            LimitChoice { keep, .. } => Retention::Number { max_sets: keep.unwrap_or(u64::MAX) },
        };
        PolicySource::Flags(Policy { accepted_lineage: accepted, ..Policy::new(retention) })
    }
}

#[derive(Debug, Args)]
pub(crate) struct InventoryArgs {
    /// Directory that keeps the sets
    #[arg(value_name = "DIR")]
    pub(crate) volume: PathBuf,
    /// The run that is asked for, instead of a list of all sets
    #[arg(long, env = "ETCD_BACKUP_RUN_ID", value_name = "UUID")]
    pub(crate) run_id: Option<RunId>,
    /// Longest wait for another run on this volume, which may be the one that is asked for
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_duration)]
    pub(crate) lock_timeout: Duration,
    /// This node's name [default: the host's name]
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Also write the report to this file, in place
    #[arg(long, value_name = "FILE")]
    pub(crate) report_file: Option<PathBuf>,
}

/// `KIND/NAME`; the cluster comes from its own flag.
fn parse_owner(text: &str) -> Result<Owner, String> {
    let (kind, name) = text.split_once('/').ok_or("expected KIND/NAME, such as Manual/before-upgrade")?;
    let kind = [OwnerKind::Backup, OwnerKind::EtcdBackup, OwnerKind::Manual]
        .into_iter()
        .find(|known| known.as_str() == kind)
        .ok_or("the kind must be Backup, EtcdBackup or Manual")?;
    if name.is_empty() {
        return Err("the name must not be empty".to_owned());
    }
    Ok(Owner { cluster: None, kind, name: name.to_owned() })
}

/// `30s`, `10m`, `1h 30m`; more than nothing.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than nothing, such as 30s or 10m".to_owned()),
    }
}

/// `<volume id>/<sequence>`, as a report tells it.
fn parse_accepted(text: &str) -> Result<AcceptedLineage, String> {
    AcceptedLineage::try_from(text.to_owned())
}

/// Bytes, or a number of KiB, MiB, GiB or TiB.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text[digits.len()..].trim_start() {
        "" => Some(1),
        unit => ["KiB", "MiB", "GiB", "TiB"]
            .iter()
            .zip(1..)
            .find(|(known, _)| **known == unit)
            .map(|(_, at)| 1 << (10 * at)),
    };
    let bytes = digits.parse().ok().zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor));
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "expected a number of bytes, KiB, MiB, GiB or TiB, such as 10GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_owner_is_a_known_kind_and_a_name() {
        let owner = parse_owner("Backup/nightly").unwrap();
        assert_eq!((owner.kind, owner.name.as_str()), (OwnerKind::Backup, "nightly"));
        for wrong in ["nightly", "Backup/", "Restore/x", "backup/x", ""] {
            assert!(parse_owner(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_positive() {
        assert_eq!(parse_duration("1h 30m").unwrap(), Duration::from_secs(5400));
        assert_eq!(parse_duration("30s").unwrap(), Duration::from_secs(30));
        for wrong in ["30", "0s", "-1s", "soon", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        for (text, bytes) in [("1", 1), ("10GiB", 10 << 30), ("512 MiB", 512 << 20), ("2TiB", 2 << 40)] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "0", "GiB", "10GB", "10 gib", "-1", "1.5GiB", "99999999999TiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_policy_is_for_the_sets_of_a_schedule_or_an_administrator() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).and_then(|cli| cli.check());
        let prune = "etcd-backup prune /d --cluster c --owner";
        for (line, ok) in [
            (format!("{prune} Backup/a --keep 3"), true),
            (format!("{prune} Manual/a --max-size 1GiB --accept-lineage v/3"), true),
            (format!("{prune} Backup/a --policy p --expect-policy h --yes"), true),
            (format!("{prune} EtcdBackup/a --keep 3"), false),
            (format!("{prune} Backup/a"), false),
            (format!("{prune} Backup/a --keep 3 --max-size 1GiB"), false),
            (format!("{prune} Backup/a --keep 0"), false),
            (format!("{prune} Backup/a --keep 3 --expect-policy h"), false),
            (format!("{prune} Backup/a --keep 3 --yes --dry-run"), false),
            ("etcd-backup prune /d --owner Backup/a --keep 3".to_owned(), false),
            ("etcd-backup save /d --policy p --cluster c".to_owned(), true),
            ("etcd-backup save /d --policy p".to_owned(), false),
            ("etcd-backup save /d --policy p --cluster c --owner EtcdBackup/a".to_owned(), false),
            ("etcd-backup save /d --owner EtcdBackup/a".to_owned(), true),
        ] {
            assert_eq!(parse(&line).is_ok(), ok, "{line}");
        }
    }
}
