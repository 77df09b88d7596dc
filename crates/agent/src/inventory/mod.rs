//! `etcd-backup inventory`: what is on a volume, or what became of one run, from the volume alone.

mod all_sets;
mod one_run;

use std::io;

use etcd_backup_core::Reason;
use etcd_backup_store::StoreError;

use crate::cli::InventoryArgs;
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::proof::ProofError;
use crate::stop::{Stop, Stopped};

/// Answers on standard output: one report about a run, or one line for each set.
pub(crate) async fn run(args: Box<InventoryArgs>, output: Output, stop: &Stop) -> Exit {
    match &args.run_id {
        Some(run_id) => {
            let answer = one_run::run(&args, run_id, stop).await;
            output::deliver(&answer.report, output, args.report_file.as_deref());
            answer.exit
        }
        None => {
            let report = all_sets::run(&args, stop).await;
            output::write_report(&report, args.report_file.as_deref());
            Exit::of(&report)
        }
    }
}

/// Why the question could not be answered.
#[derive(Debug, thiserror::Error)]
enum InventoryError {
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(ProofError),
    #[error(
        "the list cannot be written to standard output ({0}); nothing is concluded from a part of it: run it again"
    )]
    Output(#[from] io::Error),
}

impl InventoryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Stopped(stopped) => stopped.reason(),
            Self::Store(error) => error.reason(),
            Self::Unreadable(error) => error.reason(),
            Self::Output(_) => Reason::Interrupted,
        }
    }
}
