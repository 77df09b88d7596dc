//! Binary `etcd-backup`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    etcd_backup_agent::main()
}
