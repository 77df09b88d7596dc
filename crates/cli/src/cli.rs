use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;

/// Looks at the backups of etcd, and asks for one
#[derive(Debug, Parser)]
#[command(name = "kubectl-etcd_backup", bin_name = "kubectl etcd-backup", version)]
#[command(after_help = "Exit codes: 0 well, 1 could not be found out, 2 wrong usage, 3 not well, 4 --timeout passed.")]
pub struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Which cluster, and how it is asked.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Connection {
    /// Kubeconfig [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Longest wait for an answer of the API server; 0s waits for ever
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = parse_time)]
    pub(crate) request_timeout: Duration,
    /// Namespace of the claims and the Jobs
    #[arg(short, long, global = true, value_name = "NAME", default_value = "openshift-etcd")]
    pub(crate) namespace: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// How the backups are: schedules, one-shot backups, the operator, and what is wrong
    ///
    /// Exit code 0: all is well. 3: there are problems; each is shown with what to do.
    Status(StatusArgs),
    /// Make a backup now
    ///
    /// Creates an EtcdBackup. With --wait, exit code 0: it is completed; 3: it failed; 4: --timeout passed.
    Run(RunArgs),
    /// List the backups, the newest last
    List(ListArgs),
    /// Everything about one backup, and what to do
    Describe(NameArgs),
    /// The log of a backup's run
    Logs(LogsArgs),
    /// What a schedule's retention policy would delete now, and why
    ///
    /// Runs a Job of the schedule's image that reads the volume and changes nothing; it is deleted afterwards.
    Prune(PruneArgs),
    /// Print the completion script of a shell
    Completion(CompletionArgs),
    /// Answer kubectl, which asks what may come next
    #[command(name = "__complete", hide = true)]
    Complete(CompleteArgs),
}

/// What standard output is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For people, with more columns
    Wide,
    /// For programs
    Json,
    /// For programs
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// How long a one-shot backup that has ended is told of
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_time)]
    pub(crate) since: Duration,
    /// Namespace of the operator's Deployment
    #[arg(long, value_name = "NAME", default_value = "etcd-backup-operator")]
    pub(crate) operator_namespace: String,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// PersistentVolumeClaim that takes the backup [default: that of the schedules, if they have one in common]
    #[arg(long, value_name = "CLAIM")]
    pub(crate) pvc: Option<String>,
    /// Name of the EtcdBackup [default: manual-<UTC time>]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Wait until it has ended, and show how it goes
    #[arg(long)]
    pub(crate) wait: bool,
    /// Longest wait; the backup goes on after it
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time, requires = "wait")]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of this schedule
    #[arg(long, value_name = "BACKUP")]
    pub(crate) backup: Option<String>,
    /// How it is shown
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Name of the EtcdBackup
    #[arg(value_name = "ETCDBACKUP")]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Name of the EtcdBackup
    #[arg(value_name = "ETCDBACKUP")]
    pub(crate) name: String,
    /// Wait for the pod to start, and go on until it ends
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Name of the Backup (the schedule)
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: String,
    /// Must be given: the operator enforces the policy by itself, here it is only shown
    #[arg(long, required = true)]
    pub(crate) dry_run: bool,
    /// How it is shown; wide is the same as table
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Longest wait for the Job
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_time)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {
    /// What was typed; the last word is the one to complete
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) words: Vec<String>,
}

/// `30s`, `10m`, `1h 30m`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let time: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    time.try_into().map_err(|_| "must not be negative".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_policy_is_only_ever_shown() {
        let parse = |args: &[&str]| Cli::try_parse_from([&["kubectl-etcd_backup", "prune"], args].concat());
        assert!(parse(&["nightly"]).unwrap_err().to_string().contains("--dry-run"));
        assert!(matches!(parse(&["nightly", "--dry-run"]).unwrap().verb, Verb::Prune(args) if args.dry_run));
    }

    #[test]
    fn times_are_spelt_with_their_unit() {
        for (text, expected) in
            [("30s", Some(30)), ("1h 30m", Some(5400)), ("0s", Some(0)), ("10", None), ("-5s", None)]
        {
            assert_eq!(parse_time(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
    }
}
