//! `make bench`: a save and a verification against etcd's own tools, on databases of a real etcd.
//!
//! Ours and theirs run in turn, whole processes, in rounds whose order alternates; what counts are medians over the rounds
//! and the ratio of ours to theirs. docs/benchmarks.md says how the figures are made and what they do not say.

#![forbid(unsafe_code)]

mod contest;
mod database;
mod process;
mod put;
mod size;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Parser};
use etcd_backup_testbed::{Etcd, EtcdOptions, repository};

use database::Database;
use size::Size;
use tools::Tools;

/// Measures etcd-backup against etcdctl and etcdutl.
#[derive(Debug, Parser)]
enum Cli {
    /// Make databases and measure
    Run(Run),
    /// What `run` starts for each database, so that its own memory stays small: a child's peak begins at its parent's
    Fill(database::Fill),
}

#[derive(Debug, Args)]
struct Run {
    /// Sizes of the databases; the largest is also saved while somebody writes
    #[arg(long, value_delimiter = ' ', default_value = "10mb 100mb 1gb")]
    sizes: Vec<Size>,
    /// How often each is run
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The agent
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,
    /// Directory of etcdctl and etcdutl
    #[arg(long, value_name = "DIR")]
    tools: PathBuf,
    /// Servers to save from
    #[arg(long, value_name = "FILE", value_delimiter = ' ', required = true)]
    etcd: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse() {
        Cli::Run(run) => bench(&run),
        Cli::Fill(fill) => fill.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench(run: &Run) -> Result<()> {
    ensure!(run.rounds > 0, "no rounds were asked for");
    // On the disk of the repository: where there is memory behind /tmp, an fsync would cost nothing.
    let dir = repository().join("target/bench");
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    for server in &run.etcd {
        let version = tools::version(server)?;
        for size in &run.sizes {
            let args = vec!["--quota-backend-bytes=17179869184".to_owned()];
            let etcd = Etcd::start(EtcdOptions { members: 1, binary: Some(server.clone()), args })?;
            let tools = Tools { agent: &run.agent, go: &run.tools, etcd: &etcd };
            let database = Database { etcd: &etcd, version: &version, size: *size };
            database.fill()?;
            let contest = contest::Contest { tools: &tools, database: &database, dir: &dir, rounds: run.rounds };
            contest.save()?;
            contest.verify()?;
            if Some(size) == run.sizes.iter().max() {
                contest.put()?;
            }
        }
    }
    Ok(())
}
