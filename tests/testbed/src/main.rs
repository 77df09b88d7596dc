//! `testbed`: real Kubernetes clusters on this machine, up and down from the command line.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use etcd_backup_testbed::{Cluster, ClusterOptions, Error, Image, Kubectl, Result, default_dir, missing};

#[derive(Parser)]
#[command(about = "Real Kubernetes clusters on this machine, for tests and the demo")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Bring a cluster up and leave it running; one of the same name is taken down first
    Up {
        #[command(flatten)]
        bed: BedArgs,
        /// Control-plane nodes, each with an etcd member
        #[arg(long, default_value_t = 1)]
        nodes: usize,
        /// One more argument for kube-controller-manager; may be repeated
        #[arg(long = "controller-manager-arg", value_name = "ARG", allow_hyphen_values = true)]
        controller_manager_args: Vec<String>,
    },
    /// End a cluster and remove everything of it, also one that was never fully up
    Down(BedArgs),
    /// Show a cluster's nodes and control plane
    Status(BedArgs),
    /// Run kubectl as the cluster's administrator: testbed kubectl -- get nodes
    Kubectl {
        #[command(flatten)]
        bed: BedArgs,
        /// kubectl's arguments
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run a program of this machine on a node: testbed exec 0 -- crictl ps
    Exec {
        #[command(flatten)]
        bed: BedArgs,
        /// The node's number, from 0
        node: usize,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        argv: Vec<OsString>,
    },
    /// Cut the power of a node
    Stop {
        #[command(flatten)]
        bed: BedArgs,
        /// The node's number, from 0
        node: usize,
    },
    /// Power a node on again, on the disk it had
    Start {
        #[command(flatten)]
        bed: BedArgs,
        /// The node's number, from 0
        node: usize,
    },
    /// Import an image archive on every node of a cluster
    Load {
        #[command(flatten)]
        bed: BedArgs,
        /// The archive, as `testbed image` or `docker save` writes it
        archive: PathBuf,
    },
    /// Pack static programs into an image archive
    Image {
        /// A name of the image, registry/repository:tag; may be repeated
        #[arg(long = "tag", required = true)]
        tags: Vec<String>,
        /// The archive to write
        #[arg(long)]
        out: PathBuf,
        /// A file and its path in the image; may be repeated
        #[arg(long = "file", value_name = "SOURCE=PATH", value_parser = source_and_path, required = true)]
        files: Vec<(PathBuf, String)>,
        /// The program that a container runs
        #[arg(long)]
        entrypoint: String,
        /// User and group that a container runs as, such as 65532:65532; empty means root
        #[arg(long, default_value = "")]
        user: String,
    },
    /// Say what this machine lacks to run a cluster
    Doctor,
}

#[derive(Args)]
struct BedArgs {
    /// The cluster's name; its files are in target/testbed/NAME
    #[arg(long, default_value = "default")]
    name: String,
}

impl BedArgs {
    fn attach(&self) -> Result<Cluster> {
        Cluster::attach(&default_dir(&self.name))
    }
}

fn main() -> ExitCode {
    let ansi = io::stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(ansi).with_target(false).without_time().init();
    match run(Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    let start = Instant::now();
    match verb {
        Verb::Up { bed, nodes, controller_manager_args } => {
            let options = ClusterOptions { nodes, controller_manager_args, ..ClusterOptions::new(&bed.name) };
            let mut cluster = Cluster::up(&options)?;
            cluster.leave_running();
            let (seconds, kubectl) = (start.elapsed().as_secs_f32(), cluster.dir().join("kubectl"));
            print(&format!(
                "cluster {} with {nodes} node(s) is up after {seconds:.1}s; try: {} get nodes",
                bed.name,
                kubectl.display()
            ))
        }
        Verb::Down(bed) => {
            Cluster::down(&default_dir(&bed.name))?;
            print(&format!(
                "cluster {} is down after {:.1}s; nothing of it is left",
                bed.name,
                start.elapsed().as_secs_f32()
            ))
        }
        Verb::Status(bed) => {
            let cluster = bed.attach()?;
            print(cluster.kubectl(&["get", "nodes", "-o", "wide"])?.stdout.trim_end())?;
            print(cluster.kubectl(&["get", "pods", "--all-namespaces", "-o", "wide"])?.stdout.trim_end())
        }
        Verb::Kubectl { bed, args } => Err(exec(bed.attach()?.kubectl_command()?.args(args))),
        Verb::Exec { bed, node, argv } => {
            let (program, args) = argv.split_first().ok_or_else(|| Error::Invalid("no program to run".to_owned()))?;
            Err(exec(bed.attach()?.node_command(node, program)?.args(args)))
        }
        Verb::Stop { bed, node } => bed.attach()?.stop_node(node),
        Verb::Start { bed, node } => bed.attach()?.start_node(node),
        Verb::Load { bed, archive } => bed.attach()?.import_image(&archive),
        Verb::Image { tags, out, files, entrypoint, user } => {
            let id = Image { tags, entrypoint: vec![entrypoint], user, files, links: Vec::new() }.write(&out)?;
            print(&format!("{id} {}", out.display()))
        }
        Verb::Doctor => match missing() {
            missing if missing.is_empty() => print("this machine can run a cluster"),
            missing => Err(Error::Preconditions(missing)),
        },
    }
}

/// Becomes the command, so that signals, the terminal and the exit status are the command's own. Returns only errors.
fn exec(command: &mut std::process::Command) -> Error {
    let action = format!("run {}", command.get_program().display());
    Error::Io { action, source: command.exec() }
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout(), "{text}")
        .map_err(|source| Error::Io { action: "write to standard output".to_owned(), source })
}

fn source_and_path(value: &str) -> std::result::Result<(PathBuf, String), String> {
    match value.split_once('=') {
        Some((source, path)) if path.starts_with('/') => Ok((source.into(), path.to_owned())),
        _ => Err("expected SOURCE=/ABSOLUTE/PATH".to_owned()),
    }
}
