//! `etcd-backup`: does all work on a backup's data, in a pod or by hand on a node.
//!
//! One module per verb: [`save`], [`list`], [`verify`], [`prune`], [`inventory`]. It needs no
//! Kubernetes API.

#![forbid(unsafe_code)]

mod catalogue;
mod cli;
mod exit;
mod inventory;
mod journal;
mod list;
mod lock;
mod logging;
mod output;
mod progress;
mod proof;
mod prune;
mod retention;
mod save;
mod static_resources;
mod stop;
mod table;
mod verify;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

pub use cli::Cli;
use cli::Verb;
use exit::Exit;
use stop::{Stop, Stopped};

/// The verifier, in manifests and results of verifications.
const VERSION: &str = concat!("etcd-backup ", env!("CARGO_PKG_VERSION"));

/// Does what the command line says, until it is done or a signal ends it.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = cli.check() {
        error.exit();
    }
    logging::start();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start: the system gives no event queue");
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(cli));
    // Work that was left behind ends with the process, not the process with that work.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> Exit {
    let stop = match Stop::on_signals() {
        Ok(stop) => stop,
        Err(error) => {
            tracing::error!(%error, "cannot start: the system takes no signal handlers");
            return Exit::Failed;
        }
    };
    match cli.verb {
        Verb::Save(args) => {
            let args = Arc::from(args);
            let report = save::run(Arc::clone(&args), &stop).await;
            output::deliver(&report, cli.output, args.run.report_file.as_deref());
            Exit::of(&report)
        }
        Verb::List(args) => to_its_end(&stop, move || Ok(list::run(&args, cli.output))).await,
        Verb::Verify(args) => {
            let own = stop.clone();
            to_its_end(&stop, move || verify::run(&args, cli.output, &own)).await
        }
        Verb::Prune(args) => prune::run(args, cli.output, &stop).await,
        Verb::Inventory(args) => inventory::run(args, cli.output, &stop).await,
    }
}

/// Runs a verb that only reads, unless a signal ends it.
async fn to_its_end(stop: &Stop, verb: impl FnOnce() -> Result<Exit, Stopped> + Send + 'static) -> Exit {
    match stop.blocking(verb).await.flatten() {
        Ok(exit) => exit,
        Err(stopped) => {
            tracing::error!(reason = %stopped.reason(), "{stopped}; nothing is concluded");
            Exit::of_failure(stopped.reason())
        }
    }
}
