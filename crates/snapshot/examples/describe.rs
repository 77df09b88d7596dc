//! Verifies a snapshot and prints what it holds as JSON: `cargo run --example describe -- snapshot.db`

use std::fs::File;
use std::process::ExitCode;

use etcd_backup_snapshot::verify;

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: describe FILE");
        return ExitCode::from(2);
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    match verify(&file).map(|description| serde_json::to_string_pretty(&description)) {
        Ok(Ok(json)) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Ok(Err(error)) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{}: {error} ({})", path.display(), error.reason());
            ExitCode::FAILURE
        }
    }
}
