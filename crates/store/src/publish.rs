//! The order in which a set and the volume's own documents become visible and durable. All of it is
//! in this file: crash tests replay these calls, cut after each of them.
//!
//! A set:
//! 0. its sequence is noted in `sequence.json`, so that no later set gets the same;
//! 1. every file is fsynced through the very descriptor it was written with (a descriptor opened
//!    later might not be told of an error that happened before);
//! 2. `backup.json` is written and fsynced;
//! 3. the staged directory is fsynced: it now names all its files;
//! 4. one rename moves it to the volume's root, never over anything;
//! 5. the root, then `staging/`, are fsynced.
//!
//! A cut before 4 leaves a directory in `staging/`, which the next run sweeps; a cut after 4 leaves
//! a whole set, or the directory in `staging/`. An fsync that failed is not tried again, as the
//! kernel may have dropped the data and would then report success: everything is discarded.
//!
//! A deletion:
//! 1. one rename moves the set from the volume's root to `trash/`;
//! 2. the root, then `trash/`, are fsynced: the set is gone for good, whole. Unlinking before that
//!    could bring back half of it;
//! 3. its files and its directory are unlinked, and `trash/` is fsynced: the room is there for good.
//!
//! A cut before 2 leaves the whole set, at the root or in `trash/`; a cut after 2 leaves something in
//! `trash/` at most, which the next run sweeps.
//!
//! A document (identity, sequence, report, result of a verification): written and fsynced in
//! `staging/`, renamed to its place, and both directories fsynced.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcd_backup_core::{Manifest, ReportedSet, SetName};
use uuid::Uuid;

use crate::dir::{Dir, size};
use crate::lock::Held;
use crate::set::is_named_for;
use crate::{StoreError, sequence};

/// A set that is being built. Dropping it discards it.
#[derive(Debug)]
pub struct Staging {
    held: Arc<Held>,
    name: SetName,
    dir: Dir,
    files: Vec<(String, File)>,
    published: bool,
}

/// A set at the volume's root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedSet {
    /// Its directory's name.
    pub name: SetName,
    /// Its directory.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// Bytes of the manifest's own file.
    pub manifest_bytes: u64,
}

impl PublishedSet {
    /// The set as a report tells of it.
    #[must_use]
    pub fn reported(&self) -> ReportedSet {
        ReportedSet::new(self.name.clone(), &self.manifest, self.manifest_bytes)
    }
}

impl Staging {
    pub(crate) fn new(held: Arc<Held>, name: SetName) -> Result<Self, StoreError> {
        let dir = held.staging.create_dir(name.as_str())?;
        Ok(Self { held, name, dir, files: Vec::new(), published: false })
    }

    /// Name that the set will have.
    #[must_use]
    pub fn name(&self) -> &SetName {
        &self.name
    }

    /// The directory in which the set is being built.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Creates a file (0600) of the set, for writing and reading.
    ///
    /// # Errors
    /// [`StoreError::Io`], also if the file is there already.
    pub fn create(&mut self, name: &str) -> Result<File, StoreError> {
        let file = self.dir.create_file(name)?;
        let own = file.try_clone().map_err(|error| StoreError::io("open", self.dir.path_of(name), error))?;
        self.files.push((name.to_owned(), own));
        Ok(file)
    }

    /// Opens a file of the set for reading.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn open(&self, name: &str) -> Result<File, StoreError> {
        self.dir.open_file(name)
    }

    /// Deletes a file of the set, to write it anew.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove(&mut self, name: &str) -> Result<(), StoreError> {
        self.files.retain(|(own, _)| own != name);
        self.dir.remove(name).map(drop)
    }

    /// Makes all files durable, which must come before they are read back to be verified.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the set is then discarded.
    pub fn sync(self) -> Result<Self, StoreError> {
        for (name, file) in &self.files {
            self.dir.sync_file(name, file)?;
        }
        Ok(self)
    }

    /// Publishes the set: it appears at the volume's root, whole and durable.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`] if the manifest tells of other files than were staged;
    /// [`StoreError::Io`]. The set is then discarded and nothing is published.
    pub fn publish(self, manifest: &Manifest) -> Result<PublishedSet, StoreError> {
        self.check(manifest)?;
        let document = self.document(manifest)?;
        let bytes = manifest.files.iter().map(|file| file.size_bytes).sum::<u64>() + document.len() as u64;

        sequence::raise(&self.held.state, &self.held.staging, manifest.sequence)?; // 0
        let mut staged = self.sync()?; // 1
        staged.dir.write_new(Manifest::FILE, &document)?; // 2
        staged.dir.sync()?; // 3
        let root = &staged.held.volume.root;
        staged.held.staging.move_dir(staged.name.as_str(), root, bytes)?; // 4
        root.sync()?; // 5
        staged.held.staging.sync()?;

        staged.published = true;
        let path = staged.held.volume.root.path_of(staged.name.as_str());
        tracing::info!(set = %path.display(), sequence = manifest.sequence, bytes, "published");
        Ok(PublishedSet {
            name: staged.name.clone(),
            path,
            manifest: manifest.clone(),
            manifest_bytes: document.len() as u64,
        })
    }

    fn document(&self, manifest: &Manifest) -> Result<Vec<u8>, StoreError> {
        let mut document = serde_json::to_vec_pretty(manifest)
            .map_err(|error| self.mismatch(Manifest::FILE, format!("the manifest cannot be written ({error})")))?;
        document.push(b'\n');
        Ok(document)
    }

    /// What is published must be found again, and must be exactly what its manifest says.
    fn check(&self, manifest: &Manifest) -> Result<(), StoreError> {
        if !is_named_for(&self.name, &manifest.run_id) {
            return Err(self.mismatch("", format!("its name is not one of run {}", manifest.run_id)));
        }
        let mut named: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
        let mut staged: Vec<&str> = self.files.iter().map(|(name, _)| name.as_str()).collect();
        named.sort_unstable();
        staged.sort_unstable();
        if named != staged {
            return Err(self.mismatch("", format!("the manifest names {named:?} and staged are {staged:?}")));
        }
        for file in &manifest.files {
            let staged = size(&self.dir.stat(&file.name)?);
            if staged != file.size_bytes {
                let why = format!("the manifest says {} bytes and it has {staged}", file.size_bytes);
                return Err(self.mismatch(&file.name, why));
            }
        }
        Ok(())
    }

    fn mismatch(&self, name: &str, why: String) -> StoreError {
        StoreError::Mismatch { path: self.dir.path_of(name), why }
    }

    /// Takes the set away, from wherever a failed publication has left it.
    fn discard(&self) -> Result<(), StoreError> {
        if self.held.volume.root.knows(self.name.as_str(), &self.dir) {
            discard_published(&self.held, &self.name).map(drop)
        } else {
            self.held.staging.remove(self.name.as_str()).map(drop)
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        // NFS keeps a deleted file in its directory for as long as it is open.
        self.files.clear();
        if let Err(error) = self.discard() {
            tracing::warn!(set = %self.name, %error, "cannot discard the staged set; the next run sweeps it");
        }
    }
}

/// Takes a set away from the volume's root and gives the bytes of its files.
pub(crate) fn discard_published(held: &Held, name: &SetName) -> Result<u64, StoreError> {
    let Held { volume, trash, .. } = held;
    let bytes = volume.root.open_dir(name.as_str())?.readable_size_bytes();
    volume.root.move_dir(name.as_str(), trash, bytes)?; // 1
    volume.root.sync()?; // 2
    trash.sync()?;
    let bytes = trash.remove(name.as_str())?; // 3
    trash.sync()?;
    Ok(bytes)
}

/// Writes a document to `target`, in place of one of that name, whole and durable or not at all.
pub(crate) fn write_durably(staging: &Dir, target: &Dir, name: &str, document: &[u8]) -> Result<(), StoreError> {
    let temporary = format!("{name}.{}", Uuid::new_v4());
    let written = staging
        .write_new(&temporary, document)
        .and_then(|()| staging.replace(&temporary, target, name, document.len() as u64))
        .and_then(|()| target.sync())
        .and_then(|()| staging.sync());
    if written.is_err() {
        // Best effort: the next run sweeps it.
        let _ = staging.remove(&temporary);
    }
    written
}
