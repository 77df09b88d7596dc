use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Version of a document, `major.minor`. A higher minor only adds fields and stays readable; a
/// higher major is not understood and makes a set *unreadable*, never *damaged*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaVersion {
    /// Incompatible changes.
    pub major: u32,
    /// Additions.
    pub minor: u32,
}

/// The manifest schema that this version writes.
pub const MANIFEST_SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };
/// The report schema that this version writes.
pub const REPORT_SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 1 };

impl SchemaVersion {
    /// Whether a reader of `self` understands a document of version `other`.
    #[must_use]
    pub fn reads(self, other: Self) -> bool {
        self.major == other.major
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for SchemaVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("schema version {text:?} is not major.minor");
        let (major, minor) = text.split_once('.').ok_or_else(invalid)?;
        Ok(Self { major: major.parse().map_err(|_| invalid())?, minor: minor.parse().map_err(|_| invalid())? })
    }
}

impl TryFrom<String> for SchemaVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SchemaVersion> for String {
    fn from(version: SchemaVersion) -> Self {
        version.to_string()
    }
}
