use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identifies one run for ever: the EtcdBackup's uid, the Job's uid of a scheduled run, or a random
/// UUID by hand. A run id becomes part of file names, so its alphabet is `[a-z0-9-]`, 8 to 63 long.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// The text is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "run id {0:?} must be 8 to 63 characters of a-z, 0-9 and '-', beginning and ending with a letter or digit; a UUID always is"
)]
pub struct InvalidRunId(String);

impl RunId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight characters, which end a set's name.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, InvalidRunId> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bytes = text.as_bytes();
        let edges = bytes.first().copied().is_some_and(plain) && bytes.last().copied().is_some_and(plain);
        if edges && (8..=63).contains(&bytes.len()) && bytes.iter().all(|&c| plain(c) || c == b'-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRunId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, InvalidRunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_safe_in_a_file_name_is_a_run_id() {
        let uuid = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";
        assert_eq!(uuid.parse::<RunId>().unwrap().short(), "0b8f6f53");
        for bad in [
            "",
            "short",
            "../../../etc/passwd",
            "UPPERCASE-1",
            "-leading-dash",
            "trailing-dash-",
            "dots.are.out",
            "ä23456789",
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad:?} was accepted");
        }
        assert!("a".repeat(64).parse::<RunId>().is_err());
    }

    #[test]
    fn a_stored_run_id_is_checked_too() {
        assert!(serde_json::from_str::<RunId>("\"../escape\"").is_err());
    }
}
