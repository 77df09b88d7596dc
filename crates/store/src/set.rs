use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use etcd_backup_core::{
    CatalogueEntry, MANIFEST_SCHEMA, Manifest, Origin, ReportedSet, RunId, SchemaVersion, SetFile, SetName, SetState,
};
use rustix::fs::Stat;
use serde::Deserialize;

use crate::dir::{Dir, is_plain, kind, size};
use crate::{Damage, StoreError, hash_file};

/// A manifest has a few kilobytes.
const MAX_MANIFEST_BYTES: u64 = 1024 * 1024;

/// A directory at the volume's root that is called like a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSet {
    /// Its name.
    pub name: SetName,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes (`st_size`) of every file in it, as far as it can be read.
    pub size_bytes: u64,
    /// What a light look says of it.
    pub state: Look,
}

/// What a light look at a set's directory says: the manifest is read, of the other files the size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// Every file is there, with the size that the manifest says.
    Consistent {
        /// The manifest.
        manifest: Box<Manifest>,
        /// Bytes of the manifest's own file.
        manifest_bytes: u64,
    },
    /// A file is missing or has another size than the manifest says, or a later verification found
    /// one with another content.
    Damaged {
        /// The manifest.
        manifest: Box<Manifest>,
        /// Bytes of the manifest's own file.
        manifest_bytes: u64,
        /// The first difference.
        damage: Damage,
    },
    /// It may be a good set, but this version cannot tell: no access, a manifest that is garbled or
    /// of a newer version, something other than a file in a file's place.
    Unreadable {
        /// The sequence, if the manifest tells at least that.
        sequence: Option<u64>,
        /// Why.
        why: String,
    },
    /// No set: it has no manifest, or is a copy of a set under another name.
    Foreign {
        /// Why.
        why: String,
    },
}

impl FoundSet {
    pub(crate) fn unreadable(name: SetName, path: PathBuf, error: &StoreError) -> Self {
        Self { name, path, size_bytes: 0, state: Look::unreadable(None, error.to_string()) }
    }

    pub(crate) fn is_consistent(&self) -> bool {
        matches!(self.state, Look::Consistent { .. })
    }

    /// Place of the set in the volume's order, if it is known.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        match &self.state {
            Look::Consistent { manifest, .. } | Look::Damaged { manifest, .. } => Some(manifest.sequence),
            Look::Unreadable { sequence, .. } => *sequence,
            Look::Foreign { .. } => None,
        }
    }

    /// The set as a catalogue tells of it.
    #[must_use]
    pub fn entry(&self) -> CatalogueEntry {
        let (state, why) = match &self.state {
            Look::Consistent { manifest, .. } if manifest.verification.complete() => (SetState::Verified, None),
            Look::Consistent { manifest, .. } => {
                let waived = manifest.verification.waived.join(", ");
                (SetState::Unverified, Some(format!("not proven when it was made: {waived}")))
            }
            Look::Damaged { damage, .. } => (SetState::Damaged, Some(damage.to_string())),
            Look::Unreadable { why, .. } => (SetState::Unreadable, Some(why.clone())),
            Look::Foreign { why } => (SetState::Foreign, Some(why.clone())),
        };
        let origin = match &self.state {
            Look::Consistent { manifest, manifest_bytes } | Look::Damaged { manifest, manifest_bytes, .. } => {
                Some(Box::new(Origin {
                    owner: manifest.owner.clone(),
                    run_id: manifest.run_id.clone(),
                    start_time: manifest.start_time,
                    completion_time: manifest.completion_time,
                    node: manifest.node.clone(),
                    set: ReportedSet::new(self.name.clone(), manifest, *manifest_bytes),
                    warnings: manifest.warnings.clone(),
                }))
            }
            Look::Unreadable { .. } | Look::Foreign { .. } => None,
        };
        CatalogueEntry { name: self.name.clone(), state, size_bytes: self.size_bytes, why, origin }
    }
}

impl Look {
    fn unreadable(sequence: Option<u64>, why: impl Into<String>) -> Self {
        Self::Unreadable { sequence, why: why.into() }
    }
}

/// A light look at one set's directory, wherever it is and whatever it is called.
///
/// # Errors
/// [`StoreError::Io`] if it is not a directory or cannot be opened.
pub fn look(set: &Path) -> Result<Look, StoreError> {
    Ok(look_in(&Dir::open(set)?, None).1)
}

/// Opens a file of a set's directory for reading, by its plain name. A symbolic link in its place is
/// refused: what it leads to is not in the set.
///
/// # Errors
/// [`StoreError::Io`]; [`StoreError::Invalid`] if it is not a regular file.
pub fn open_file(set: &Path, name: &str) -> Result<File, StoreError> {
    Dir::open(set)?.open_file(name)
}

/// The set's bytes and state. `name` is the one that the directory has on a volume.
pub(crate) fn look_in(dir: &Dir, name: Option<&SetName>) -> (u64, Look) {
    (dir.readable_size_bytes(), state_of(dir, name).unwrap_or_else(|error| Look::unreadable(None, error.to_string())))
}

/// Whether a set of this name can be one of this run. Names hold only the beginning of the run id.
pub(crate) fn is_named_for(name: &SetName, run: &RunId) -> bool {
    name.as_str().strip_suffix(run.short()).is_some_and(|rest| rest.ends_with('-'))
}

/// What can be read of every manifest, also of one that a newer version wrote.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    schema_version: SchemaVersion,
    sequence: Option<u64>,
}

fn state_of(dir: &Dir, name: Option<&SetName>) -> Result<Look, StoreError> {
    let entries: HashMap<OsString, Stat> =
        dir.names()?.into_iter().map(|name| Ok((name.clone(), dir.stat(&name)?))).collect::<Result<_, StoreError>>()?;
    if !entries.contains_key(OsStr::new(Manifest::FILE)) {
        return Ok(Look::Foreign { why: format!("it has no {}", Manifest::FILE) });
    }
    let document = dir.read(Manifest::FILE, MAX_MANIFEST_BYTES)?;
    let manifest_bytes = document.len() as u64;
    let manifest = match parse(&document) {
        Ok(manifest) => manifest,
        Err((sequence, why)) => return Ok(Look::unreadable(sequence, why)),
    };
    if name.is_some_and(|name| !is_named_for(name, &manifest.run_id)) {
        return Ok(Look::Foreign { why: format!("it is a renamed copy of a set of run {}", manifest.run_id) });
    }
    for file in &manifest.files {
        let path = dir.path_of(&file.name);
        let what = match entries.get(OsStr::new(&file.name)) {
            Some(stat) if !kind(stat).is_file() => {
                return Ok(Look::unreadable(
                    Some(manifest.sequence),
                    format!("{} is not a regular file", path.display()),
                ));
            }
            Some(stat) if size(stat) == file.size_bytes => continue,
            Some(stat) => format!("it has {} bytes, its manifest says {}", size(stat), file.size_bytes),
            None => "it is missing".to_owned(),
        };
        let damage = Damage { path, role: file.role, what };
        return Ok(Look::Damaged { manifest: Box::new(manifest), manifest_bytes, damage });
    }
    Ok(Look::Consistent { manifest: Box::new(manifest), manifest_bytes })
}

/// The manifest, or what is known of the sequence and why it cannot be read.
fn parse(document: &[u8]) -> Result<Manifest, (Option<u64>, String)> {
    let outline: Outline =
        serde_json::from_slice(document).map_err(|error| (None, format!("{} is garbled: {error}", Manifest::FILE)))?;
    let unreadable = |why: String| (outline.sequence, format!("{} {why}", Manifest::FILE));
    if !MANIFEST_SCHEMA.reads(outline.schema_version) {
        return Err(unreadable(format!(
            "is of version {}, and {MANIFEST_SCHEMA} is what this version of etcd-backup reads",
            outline.schema_version
        )));
    }
    let manifest: Manifest =
        serde_json::from_slice(document).map_err(|error| unreadable(format!("is garbled: {error}")))?;
    match manifest.files.iter().find(|file| !is_plain(OsStr::new(&file.name))) {
        Some(file) => Err(unreadable(format!("names the file {:?}, which is not in the set", file.name))),
        None => Ok(manifest),
    }
}

/// Reads every file of a set from the disk and compares size and SHA-256 with the manifest.
/// `progress` is told the bytes of each block read, and may end the work.
///
/// # Errors
/// [`StoreError::Damaged`] for a proven difference; [`StoreError::Interrupted`] if `progress` ended
/// the work; [`StoreError::Io`] if something cannot be read, from which nothing is concluded.
pub fn verify_files(
    set: &Path,
    manifest: &Manifest,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<(), StoreError> {
    let dir = Dir::open(set)?;
    for file in &manifest.files {
        if let Some(what) = difference(&dir, file, &mut progress)? {
            return Err(Damage { path: dir.path_of(&file.name), role: file.role, what }.into());
        }
    }
    Ok(())
}

fn difference(
    dir: &Dir,
    file: &SetFile,
    progress: impl FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<String>, StoreError> {
    let path = dir.path_of(&file.name);
    let opened = match dir.open_file(&file.name) {
        Ok(opened) => opened,
        Err(error) if error.is_not_found() => return Ok(Some("it is missing".to_owned())),
        Err(error) => return Err(error),
    };
    let (sha256, bytes) = hash_file(&opened, progress).map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted => StoreError::Interrupted { doing: "reading", path: path.clone() },
        _ => StoreError::io("read", &path, error),
    })?;
    Ok(if bytes != file.size_bytes {
        Some(format!("it has {bytes} bytes, its manifest says {}", file.size_bytes))
    } else if sha256 != file.sha256 {
        Some(format!("its SHA-256 is {sha256}, its manifest says {}", file.sha256))
    } else {
        None
    })
}
