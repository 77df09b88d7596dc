use std::path::Path;

use etcd_backup_core::{Report, RunId, SchemaVersion, SetName};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::dir::{Dir, kind};
use crate::set::{FoundSet, Look, look_in};
use crate::verified::Results;
use crate::{StoreError, runs};

/// The volume's own directory.
pub(crate) const STATE: &str = ".etcd-backup";
pub(crate) const IDENTITY: &str = "volume.json";
pub(crate) const STAGING: &str = "staging";
pub(crate) const TRASH: &str = "trash";
pub(crate) const RUNS: &str = "runs";
pub(crate) const VERIFIED: &str = "verified";

const VOLUME_SCHEMA: SchemaVersion = SchemaVersion { major: 1, minor: 0 };
const MAX_IDENTITY_BYTES: u64 = 64 * 1024;

/// A directory that holds backup sets: the mount point of a PersistentVolume, or any directory.
///
/// Opening and reading it creates nothing and needs no lock; [`Volume::lock`] is the way to write.
#[derive(Debug)]
pub struct Volume {
    pub(crate) root: Dir,
}

/// `volume.json`: which volume this is. Written once; another id later means another volume.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    schema_version: SchemaVersion,
    id: Uuid,
    created_time: Timestamp,
}

impl Volume {
    /// Opens an existing directory as a volume. Creates nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it is not a directory or cannot be opened.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, StoreError> {
        Ok(Self { root: Dir::open(root.as_ref())? })
    }

    /// The volume's directory, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.root.path()
    }

    /// The volume's identity; `None` before the first run has locked it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if there is one that cannot be understood, or something else stands
    /// in its place; [`StoreError::Io`] if it cannot be read.
    pub fn id(&self) -> Result<Option<Uuid>, StoreError> {
        match self.root.open_own_dir(STATE) {
            Ok(state) => read_identity(&state),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everything on the volume that is called like a set, in the order of the sets' sequence; what
    /// has no readable sequence comes first. Other directories are not looked at.
    ///
    /// This is a light look: sizes are compared, contents are not read ([`crate::verify_files`]
    /// does); damage that a later verification found is taken into account. A set that cannot be read
    /// is told as such and hides no other.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the volume's directory itself cannot be read.
    pub fn sets(&self) -> Result<Vec<FoundSet>, StoreError> {
        let mut sets: Vec<FoundSet> = self.each(|_| true)?.collect();
        sets.sort_by(|a, b| (a.sequence(), &a.name).cmp(&(b.sequence(), &b.name)));
        Ok(sets)
    }

    /// The same, in the same order, for a volume of very many sets: each is looked at twice, and no
    /// more than one manifest is in memory.
    ///
    /// # Errors
    /// As [`Volume::sets`].
    pub fn sets_one_by_one(&self) -> Result<impl Iterator<Item = FoundSet>, StoreError> {
        let mut order: Vec<_> = self.each(|_| true)?.map(|set| (set.sequence(), set.name)).collect();
        order.sort_unstable();
        let results = Results::open(&self.root);
        Ok(order.into_iter().filter_map(move |(_, name)| self.find_set(name, &results)))
    }

    /// What is called like a wanted set, in no order.
    pub fn each(&self, wanted: impl Fn(&SetName) -> bool) -> Result<impl Iterator<Item = FoundSet>, StoreError> {
        let names = self.root.names()?;
        let results = Results::open(&self.root);
        let names = names.into_iter().filter_map(|name| SetName::parse(name.to_str()?));
        Ok(names.filter(move |name| wanted(name)).filter_map(move |name| self.find_set(name, &results)))
    }

    /// `None` if there is no directory of that name (any more).
    fn find_set(&self, name: SetName, results: &Results) -> Option<FoundSet> {
        let path = self.root.path_of(name.as_str());
        let opened = match self.root.stat(name.as_str()) {
            Ok(stat) if !kind(&stat).is_dir() => return None,
            Ok(_) => self.root.open_dir(name.as_str()),
            Err(error) => Err(error),
        };
        let dir = match opened {
            Ok(dir) => dir,
            Err(error) if error.is_not_found() => return None,
            Err(error) => return Some(FoundSet::unreadable(name, path, &error)),
        };
        let (size_bytes, state) = look_in(&dir, Some(&name));
        let state = match state {
            Look::Consistent { manifest, manifest_bytes } => match results.damage(&name, &path, &manifest.run_id) {
                Some(damage) => Look::Damaged { manifest, manifest_bytes, damage },
                None => Look::Consistent { manifest, manifest_bytes },
            },
            other => other,
        };
        let found = FoundSet { name, path, size_bytes, state };
        // Without the lock a set may be deleted under our eyes: that is no damage.
        let gone = !found.is_consistent() && !self.root.knows(found.name.as_str(), &dir);
        (!gone).then_some(found)
    }

    /// The report that a run left on the volume, if it is one of the latest runs.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if there is one that cannot be understood; [`StoreError::Io`].
    pub fn read_report(&self, run: &RunId) -> Result<Option<Report>, StoreError> {
        let runs = match self.root.open_own_dir(STATE).and_then(|state| state.open_own_dir(RUNS)) {
            Ok(runs) => runs,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        runs::read(&runs, run)
    }
}

/// The identity in the volume's own directory. One that is there but not understood is an error: a
/// new one in its place would let everything believe in another volume.
pub(crate) fn read_identity(state: &Dir) -> Result<Option<Uuid>, StoreError> {
    let invalid = |what| StoreError::Invalid {
        path: state.path_of(IDENTITY),
        what,
        advice: "restore the file, or move it away to give the volume a new identity (the operator will then report VolumeChanged)",
    };
    let bytes = match state.read(IDENTITY, MAX_IDENTITY_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let identity: Identity =
        serde_json::from_slice(&bytes).map_err(|error| invalid(format!("is not a volume's identity ({error})")))?;
    if !VOLUME_SCHEMA.reads(identity.schema_version) {
        return Err(invalid(format!("is of the newer version {}", identity.schema_version)));
    }
    Ok(Some(identity.id))
}

/// A new identity, and the document to be written.
pub(crate) fn new_identity() -> Result<(Uuid, Vec<u8>), serde_json::Error> {
    let id = Uuid::new_v4();
    let identity = Identity { schema_version: VOLUME_SCHEMA, id, created_time: Timestamp::now() };
    Ok((id, serde_json::to_vec(&identity)?))
}
