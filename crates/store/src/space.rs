use crate::{LockedVolume, StoreError, Volume};

/// The size of a volume's file system and what is free of it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The whole file system.
    pub total_bytes: u64,
    /// What this process may still write.
    pub available_bytes: u64,
}

impl Space {
    /// Bytes that may be written so that `reserve_percent` of the file system stay free.
    #[must_use]
    pub fn room_bytes(self, reserve_percent: u8) -> u64 {
        let reserve = u128::from(self.total_bytes) * u128::from(reserve_percent) / 100;
        // A reserve over 100 % may not fit u64; no room is then right.
        self.available_bytes.saturating_sub(u64::try_from(reserve).unwrap_or(u64::MAX))
    }
}

impl Volume {
    /// The volume's space, now.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn space(&self) -> Result<Space, StoreError> {
        let vfs = self.root.statvfs()?;
        Ok(Space {
            total_bytes: vfs.f_blocks.saturating_mul(vfs.f_frsize),
            available_bytes: vfs.f_bavail.saturating_mul(vfs.f_frsize),
        })
    }

    /// Refuses what would leave less than `reserve_percent` of the volume free.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], with all the numbers; [`StoreError::Io`].
    pub fn require_room(&self, needed_bytes: u64, reserve_percent: u8) -> Result<(), StoreError> {
        let space = self.space()?;
        let room_bytes = space.room_bytes(reserve_percent);
        if needed_bytes <= room_bytes {
            return Ok(());
        }
        Err(StoreError::NoSpace {
            path: self.path().to_owned(),
            needed_bytes,
            available_bytes: space.available_bytes,
            room_bytes,
            reserve_percent,
        })
    }
}

impl LockedVolume {
    /// Bytes (`st_size`) of every file in the working directories: of what is being staged, and of
    /// what a deletion could not unlink.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn working_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.held.staging.size_bytes()?.saturating_add(self.held.trash.size_bytes()?))
    }
}

#[cfg(test)]
mod tests {
    use etcd_backup_core::Reason;

    use super::*;

    #[test]
    fn the_reserve_is_of_the_whole_disk() {
        for (total, available, percent, room) in [
            (1000, 500, 10, 400),
            (1000, 100, 10, 0),
            (1000, 50, 10, 0),
            (1000, 500, 0, 500),
            (1000, 1000, 100, 0),
            (u64::MAX, u64::MAX, 255, 0),
        ] {
            let space = Space { total_bytes: total, available_bytes: available };
            assert_eq!(space.room_bytes(percent), room, "{space:?} {percent}");
        }
    }

    #[test]
    fn a_short_disk_is_said_with_its_numbers() {
        let root = tempfile::tempdir().unwrap();
        let volume = Volume::open(root.path()).unwrap();
        let space = volume.space().unwrap();
        assert!(space.total_bytes > 0 && space.available_bytes <= space.total_bytes);
        volume.require_room(0, 0).unwrap();
        let error = volume.require_room(1 << 60, 10).unwrap_err();
        assert_eq!(error.reason(), Reason::NoSpace);
        assert!(error.to_string().contains(&(1_u64 << 60).to_string()), "{error}");
    }
}
