//! `kubectl-etcd_backup`, which kubectl and oc run as `kubectl etcd-backup`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use etcd_backup_cli::{Cli, Exit, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives no event queue: {error}");
            return Exit::Failed.into();
        }
    };
    runtime.block_on(run(cli)).into()
}
