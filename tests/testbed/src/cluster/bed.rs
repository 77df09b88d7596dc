//! A bed: the name, files and control group of one cluster, up or down.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cgroup::ControlGroup;
use super::host;
use crate::error::{Error, Result};
use crate::tools::repository;

/// Every bed's control group starts with this.
pub(crate) const PREFIX: &str = "ebt-";

/// The name, files and control group of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bed {
    dir: PathBuf,
    name: String,
}

/// What a bed was brought up as, kept in its directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) nodes: usize,
    pub(crate) controller_manager_args: Vec<String>,
    #[serde(default)]
    pub(crate) audited_users: Vec<String>,
}

impl Bed {
    /// The bed that lives in `dir`. Its name is the directory's.
    pub(crate) fn new(dir: &Path) -> Result<Self> {
        let dir = std::path::absolute(dir).map_err(Error::io(format!("resolve {}", dir.display())))?;
        // Without a trailing slash, so that one directory is one bed however it is spelt.
        let dir: PathBuf = dir.components().collect();
        if let Some(parent) = ["/etc", "/var", "/run"].iter().find(|parent| dir.starts_with(parent)) {
            let problem = format!("bed directory {} must not lie under {parent}: nodes have their own", dir.display());
            return Err(Error::Invalid(problem));
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(allowed) {
            return Err(Error::Invalid(format!("bed name {name:?} must be 1 to 40 characters of a-z, 0-9 and -")));
        }
        Ok(Self { dir, name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The disk of node `index`, as a directory of this machine.
    pub(crate) fn disk(&self, index: usize) -> PathBuf {
        self.dir.join(format!("n{index}"))
    }

    /// The logs of node `index` itself; its pods' are in /var/log of its disk.
    pub(crate) fn log(&self, index: usize, name: &str) -> PathBuf {
        self.disk(index).join("log").join(name)
    }

    /// The name of the bed's control group. Two checkouts may have beds of one name, so the directory is in it.
    pub(crate) fn group_name(&self) -> String {
        let digest = Sha256::digest(self.dir.as_os_str().as_encoded_bytes());
        let hex: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{PREFIX}{}-{hex}", self.name)
    }

    pub(crate) fn group(&self) -> Result<ControlGroup> {
        ControlGroup::new(&self.group_name())
    }

    /// Keeps other processes from bringing this bed up or down meanwhile.
    pub(crate) fn lock(&self) -> Result<File> {
        let lock = self.dir.with_file_name(format!(".{}.lock", self.name));
        let action = || format!("lock {}", lock.display());
        if let Some(parent) = lock.parent() {
            fs::create_dir_all(parent).map_err(Error::io(action()))?;
        }
        let file = File::create(&lock).map_err(Error::io(action()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Error::Busy { name: self.name.clone(), lock }),
            Err(TryLockError::Error(error)) => Err(Error::io(action())(error)),
        }
    }

    pub(crate) fn write_state(&self, state: &State) -> Result<()> {
        let path = self.dir.join("bed.json");
        let json = serde_json::to_vec(state).map_err(|error| Error::unexpected("the bed's state", error))?;
        fs::write(&path, json).map_err(Error::io(format!("write {}", path.display())))
    }

    pub(crate) fn state(&self) -> Result<State> {
        let path = self.dir.join("bed.json");
        match fs::read(&path) {
            Ok(json) => {
                serde_json::from_slice(&json).map_err(|error| Error::unexpected(path.display().to_string(), error))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::NotUp { name: self.name.clone() }),
            Err(error) => Err(Error::io(format!("read {}", path.display()))(error)),
        }
    }

    /// Ends the bed and removes all of it but the lock file beside it: safe to call at any time and in any state.
    pub(crate) fn down(&self) -> Result<()> {
        let _lock = self.lock()?;
        self.clear()
    }

    /// [`down`](Self::down) for who holds the lock.
    pub(crate) fn clear(&self) -> Result<()> {
        self.power_off()?;
        remove_tree(&self.dir)
    }

    /// Ends all processes, and with them the namespaces, mounts and network; the files stay.
    pub(crate) fn power_off(&self) -> Result<()> {
        let group = self.group()?;
        group.kill("")?;
        group.remove("")?;
        host::leave()?;
        let left = self.leftovers()?;
        if left.is_empty() { Ok(()) } else { Err(Error::Leftover { name: self.name.clone(), left }) }
    }

    /// What of a bed that is down is still there: its control group, and processes with a directory of the bed mounted.
    pub(crate) fn leftovers(&self) -> Result<Vec<String>> {
        let mut left = Vec::new();
        if self.group()?.exists() {
            left.push(format!("control group {}", self.group_name()));
        }
        let needle = format!("{}/", self.dir.display());
        let processes = fs::read_dir("/proc").map_err(Error::io("list /proc"))?;
        for entry in processes.flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid.parse::<u32>().is_err() {
                continue;
            }
            // A process that ends meanwhile has no such files any more.
            let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
            if mounts.contains(&needle) {
                left.push(format!("process {pid} sees mounts of the bed"));
            }
        }
        Ok(left)
    }
}

/// The directory of a bed in this repository.
#[must_use]
pub fn default_dir(name: &str) -> PathBuf {
    repository().join("target/testbed").join(name)
}

/// Removes a directory with everything in it, if it is there.
#[expect(clippy::disallowed_methods, reason = "a bed's own directory, which the caller has just seen no mount in")]
pub(crate) fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(format!("remove {}", dir.display()))(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bed_is_named_after_its_directory_and_its_group_after_both() {
        let (a, b) = (Bed::new(Path::new("/a/demo")).unwrap(), Bed::new(Path::new("/b/demo")).unwrap());
        assert_eq!((a.name(), b.name()), ("demo", "demo"));
        assert!(a.group_name().starts_with("ebt-demo-"));
        assert_ne!(a.group_name(), b.group_name());
        assert_eq!(a.group_name(), Bed::new(Path::new("/a/demo/")).unwrap().group_name());
    }

    #[test]
    fn names_and_places_that_cannot_work_are_refused() {
        for dir in ["/", "/a/Demo", "/a/de mo", "/var/lib/demo", "/run/demo", "/etc/demo"] {
            assert!(Bed::new(Path::new(dir)).is_err(), "{dir}");
        }
    }
}
