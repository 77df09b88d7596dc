use std::path::PathBuf;

use crate::StoreError;
use crate::dir::Dir;

/// Something that an earlier run left in a working directory and that has been removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// Where it was.
    pub path: PathBuf,
    /// Bytes of the files in it.
    pub bytes: u64,
}

/// Removes everything in a working directory, durably.
pub(crate) fn empty(dir: &Dir) -> Result<Vec<Swept>, StoreError> {
    let mut swept = Vec::new();
    for name in dir.names()? {
        let left = Swept { path: dir.path_of(&name), bytes: dir.remove(&name)? };
        tracing::info!(path = %left.path.display(), bytes = left.bytes, "swept what an earlier run left behind");
        swept.push(left);
    }
    if !swept.is_empty() {
        dir.sync()?;
    }
    Ok(swept)
}
