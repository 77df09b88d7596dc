//! Writes the plugin's manual pages into a directory: `make man`.

use std::error::Error;
use std::path::PathBuf;

use clap::CommandFactory as _;
use etcd_backup_cli::Cli;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: man <directory>")?);
    std::fs::create_dir_all(&directory)?;
    clap_mangen::generate_to(Cli::command(), &directory)?;
    Ok(())
}
