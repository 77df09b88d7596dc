//! Writes the manual pages of the three programs into a directory: `make man`.

use std::error::Error;
use std::path::PathBuf;

use clap::CommandFactory as _;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: man <directory>")?);
    std::fs::create_dir_all(&directory)?;
    clap_mangen::generate_to(etcd_backup_agent::Cli::command(), &directory)?;
    clap_mangen::generate_to(etcd_backup_operator::config::Config::command(), &directory)?;
    clap_mangen::generate_to(etcd_backup_cli::Cli::command(), &directory)?;
    Ok(())
}
