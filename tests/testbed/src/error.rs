//! What can go wrong in a test bed, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the test bed itself, as opposed to one of what it tests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A test program (etcd, kube-apiserver, ...) was not found.
    #[error("program {name} not found in {}: run `make tools` in the repository, or point KUBEBUILDER_ASSETS to a directory that has it", list(.searched))]
    Tool {
        /// The program's file name.
        name: String,
        /// The directories searched, in order.
        searched: Vec<PathBuf>,
    },

    /// This machine cannot run a cluster as it is.
    #[error("this machine cannot run a test cluster:\n  - {}", .0.join("\n  - "))]
    Preconditions(Vec<String>),

    /// A file or system operation failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried, on which object.
        action: String,
        /// The system's answer.
        source: io::Error,
    },

    /// A command ended with a failure.
    #[error("`{command}` failed ({status}): {}", .stderr.trim_end())]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to standard error; standard output when that is empty.
        stderr: String,
    },

    /// Something did not happen in time.
    #[error("{what}: not within {}s{}", .limit.as_secs(), detail(.last))]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
        /// The last thing seen: an error, or a log's end.
        last: String,
    },

    /// A long-lived process ended by itself.
    #[error("{process} ended ({status}); the end of its log {}:\n{tail}", .log.display())]
    Ended {
        /// The process.
        process: String,
        /// How it ended.
        status: ExitStatus,
        /// Its log, which is gone once the test bed is dropped.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },

    /// A certificate or key could not be made.
    #[error("cannot issue certificate {subject}: {source}")]
    Certificate {
        /// The certificate's subject.
        subject: String,
        /// The library's answer.
        source: rcgen::Error,
    },

    /// A program's output, or a state file, is not what was expected.
    #[error("cannot read {what}: {problem}")]
    Unexpected {
        /// What was read.
        what: String,
        /// Why it does not make sense.
        problem: String,
    },

    /// The caller asked for something that cannot be.
    #[error("{0}")]
    Invalid(String),

    /// Another process is bringing this bed up or down.
    #[error("bed {name} is being brought up or down by another process ({} is locked): wait for it, or choose another name", .lock.display())]
    Busy {
        /// The bed.
        name: String,
        /// The lock file.
        lock: PathBuf,
    },

    /// There is no such bed.
    #[error("bed {name} is not up: run `testbed up --name {name}`")]
    NotUp {
        /// The bed.
        name: String,
    },

    /// SIGINT or SIGTERM arrived while a bed was being brought up.
    #[error("interrupted")]
    Interrupted,

    /// A bed went down but something of it is still there.
    #[error("bed {name} left something behind: {}", .left.join("; "))]
    Leftover {
        /// The bed.
        name: String,
        /// What is still there.
        left: Vec<String>,
    },
}

impl Error {
    /// Wraps an [`io::Error`]: `.map_err(Error::io(format!("read {path}")))`.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action: action.into(), source }
    }

    pub(crate) fn unexpected(what: impl Into<String>, problem: impl ToString) -> Self {
        Self::Unexpected { what: what.into(), problem: problem.to_string() }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn detail(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!("; last seen: {}", last.trim_end()) }
}
