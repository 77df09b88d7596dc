use etcd_backup_core::{Owner, OwnerKind, SetName};

use crate::dir::kind;
use crate::publish::discard_published;
use crate::set::{Look, look_in};
use crate::{LockedVolume, StoreError, verified};

impl LockedVolume {
    /// Deletes a set of this owner, with everything in its directory, and gives the bytes
    /// (`st_size`) of its files.
    ///
    /// The set disappears first, durably, and only then are its files unlinked: whatever cuts this
    /// short, the next run that locks the volume ends it. Also after an error the set may have
    /// disappeared; its remaining bytes are then in [`LockedVolume::working_bytes`].
    ///
    /// # Errors
    /// [`StoreError::Refused`] for anything but a set whose manifest, read again now, names this very
    /// owner; [`StoreError::Io`].
    pub fn delete(&self, set: &SetName, owner: &Owner) -> Result<u64, StoreError> {
        self.require_set_of(set, owner)?;
        let bytes = discard_published(&self.held, set)?;
        tracing::info!(%set, %owner, bytes, "deleted");
        if let Err(error) = verified::forget(&self.held.verified, set) {
            tracing::warn!(%error, "the result of a verification outlives its set; the next run removes it");
        }
        Ok(bytes)
    }

    /// The last gate before data is gone: whatever was planned, and on whatever grounds.
    fn require_set_of(&self, set: &SetName, owner: &Owner) -> Result<(), StoreError> {
        let root = &self.volume().root;
        let refused = |why| StoreError::Refused { path: root.path_of(set.as_str()), why };
        if !kind(&root.stat(set.as_str())?).is_dir() {
            return Err(refused("it is not a directory".to_owned()));
        }
        let manifest = match look_in(&root.open_dir(set.as_str())?, Some(set)).1 {
            Look::Consistent { manifest, .. } | Look::Damaged { manifest, .. } => manifest,
            Look::Unreadable { why, .. } => return Err(refused(why)),
            Look::Foreign { why } => return Err(refused(format!("it is no set: {why}"))),
        };
        // All kinds of a newer version read as the same one.
        if manifest.owner == *owner && owner.kind != OwnerKind::Other {
            return Ok(());
        }
        let of = |owner: &Owner| format!("{owner} in cluster {}", owner.cluster.as_deref().unwrap_or("(unknown)"));
        Err(refused(format!("it is a set of {}, not of {}", of(&manifest.owner), of(owner))))
    }
}
