use std::process::ExitCode;

/// How a command ended. Wrong usage ends with 2, which is clap's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It was done, and what was looked at is well.
    Success = 0,
    /// It could not be done or found out.
    Failed = 1,
    /// It was found out, and it is not well: a problem in `status`, a backup that failed.
    Unwell = 3,
    /// `--timeout` passed; the backup goes on.
    Unfinished = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
