//! The plugin `kubectl etcd-backup`: how the backups are, one more, and what became of it. It reads and
//! writes Kubernetes objects only, with the rights of whoever runs it.
//!
//! Each verb has a module: it fetches, a pure function judges or renders (the time is passed in), and the
//! result is printed. `docs/plugin.md` has the commands, their output, exit codes and rights.

#![forbid(unsafe_code)]

mod age;
mod cli;
mod cluster;
mod completion;
mod describe;
mod document;
mod error;
mod etcdbackup;
mod exit;
mod jobs;
mod list;
mod logs;
mod paint;
mod prune;
mod request;
mod status;
mod table;

use std::io::{self, Write as _};

use cli::Verb;
use cluster::Cluster;

pub use cli::Cli;
pub use error::Error;
pub use exit::Exit;

/// Does what was asked for. Results go to standard output, errors to standard error.
pub async fn run(cli: Cli) -> Exit {
    match execute(cli).await {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::Failed
        }
    }
}

async fn execute(cli: Cli) -> Result<Exit, Error> {
    let follows = matches!(&cli.verb, Verb::Logs(args) if args.follow);
    let connect = || Cluster::connect(&cli.connection, follows);
    match &cli.verb {
        Verb::Status(args) => status::run(&connect().await?, args).await,
        Verb::Run(args) => request::run(&connect().await?, args).await,
        Verb::List(args) => list::run(&connect().await?, args).await,
        Verb::Describe(args) => describe::run(&connect().await?, args).await,
        Verb::Logs(args) => logs::run(&connect().await?, args).await,
        Verb::Prune(args) => prune::run(&connect().await?, args).await,
        Verb::Completion(args) => Ok(completion::script(args.shell)),
        Verb::Complete(args) => Ok(completion::answer(&args.words).await),
    }
}

/// Prints to standard output, the last line ended; a reader that went away is no fault of ours.
fn print(text: &str) {
    let mut output = io::stdout().lock();
    let written = writeln!(output, "{}", text.trim_end_matches('\n')).and_then(|()| output.flush());
    drop(written);
}
