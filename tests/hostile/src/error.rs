use std::io;
use std::path::PathBuf;

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a hostile member cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// A certificate or key cannot be used.
    #[error("TLS file {}: {why}", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// The TLS library's words.
        why: String,
    },
    /// The real member cannot be reached by what the test bed says of it.
    #[error("the real member behind it: {0}")]
    Member(#[from] tonic::transport::Error),
}

impl Error {
    pub(crate) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
