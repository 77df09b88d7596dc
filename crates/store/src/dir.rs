use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::StoreError;
use crate::operation::Operation;

/// An open directory. Everything in it is reached by one plain name through the open descriptor and
/// never through a symbolic link, so nothing can be swapped in between. Whatever changes the volume
/// is a method of this, and told in the operation log.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

type Result<T, E = StoreError> = std::result::Result<T, E>;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// `NONBLOCK`: opening a named pipe that somebody left there must not wait for its other end.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl Dir {
    /// Opens the directory that a person named; this path alone may go through symbolic links.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let fd = rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())
            .map_err(|error| StoreError::io("open the directory", path, error))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Opens a directory in this one.
    pub(crate) fn open_dir(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let path = self.path_of(&name);
        let fd = rustix::fs::openat(&self.fd, plain(&name)?, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| StoreError::io("open the directory", &path, error))?;
        Ok(Self { fd, path })
    }

    /// Makes a directory (0700) that must not exist yet.
    pub(crate) fn create_dir(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        rustix::fs::mkdirat(&self.fd, plain(&name)?, PRIVATE_DIRECTORY)
            .map_err(|error| StoreError::io("make the directory", self.path_of(&name), error))?;
        Operation::Mkdir.log(&self.path_of(&name));
        self.open_dir(name)
    }

    /// Opens a directory of the volume's own, and makes it (0700) if it is not there.
    pub(crate) fn ensure_dir(&self, name: &str) -> Result<Self> {
        match rustix::fs::mkdirat(&self.fd, plain(name)?, PRIVATE_DIRECTORY) {
            Ok(()) => Operation::Mkdir.log(&self.path_of(name)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(StoreError::io("make the directory", self.path_of(name), error)),
        }
        self.open_own_dir(name)
    }

    /// Opens a directory of the volume's own. A symbolic link or a file in its place is refused.
    pub(crate) fn open_own_dir(&self, name: &str) -> Result<Self> {
        self.open_dir(name).map_err(|error| match error {
            StoreError::Io { source, .. }
                if matches!(Errno::from_io_error(&source), Some(Errno::NOTDIR | Errno::LOOP)) =>
            {
                self.misplaced(name, "a directory")
            }
            other => other,
        })
    }

    /// Creates a file (0600) that must not exist yet, for writing and reading.
    pub(crate) fn create_file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        let file = self.open_with(name.as_ref(), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, "create")?;
        Operation::Create.log(&self.path_of(name));
        Ok(file)
    }

    /// Writes a small file that must not exist yet, durable but for its entry in this directory.
    pub(crate) fn write_new(&self, name: &str, content: &[u8]) -> Result<()> {
        let mut file = self.create_file(name)?;
        file.write_all(content).map_err(|error| StoreError::io("write", self.path_of(name), error))?;
        Operation::Write { bytes: content.len() as u64 }.log(&self.path_of(name));
        self.sync_file(name, &file)
    }

    /// Makes a file's content durable. `file` is the descriptor it was written with: one opened later
    /// might not be told of an error that happened before.
    pub(crate) fn sync_file(&self, name: impl AsRef<OsStr>, file: &File) -> Result<()> {
        let path = self.path_of(name);
        let bytes = file.sync_all().and_then(|()| file.metadata()).map(|metadata| metadata.len());
        let bytes = bytes.map_err(|error| StoreError::io("fsync", &path, error))?;
        Operation::Fsync { bytes }.log(&path);
        Ok(())
    }

    /// Opens a file for reading and writing, and makes it (0600) if it is not there.
    pub(crate) fn ensure_file(&self, name: &str) -> Result<File> {
        self.open_with(name.as_ref(), OFlags::RDWR | OFlags::CREATE, "open")
    }

    /// Opens a file for reading.
    pub(crate) fn open_file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        self.open_with(name.as_ref(), OFlags::RDONLY, "open")
    }

    fn open_with(&self, name: &OsStr, flags: OFlags, action: &'static str) -> Result<File> {
        let failed = |error: io::Error| StoreError::io(action, self.path_of(name), error);
        let fd = match rustix::fs::openat(&self.fd, plain(name)?, FILE | flags, PRIVATE_FILE) {
            Err(Errno::LOOP) => return Err(self.misplaced(name, "a regular file")),
            opened => opened.map_err(|error| failed(error.into()))?,
        };
        let file = File::from(fd);
        if file.metadata().map_err(failed)?.is_file() { Ok(file) } else { Err(self.misplaced(name, "a regular file")) }
    }

    fn misplaced(&self, name: impl AsRef<OsStr>, expected: &str) -> StoreError {
        StoreError::Invalid {
            path: self.path_of(name),
            what: format!("is not {expected}"),
            advice: "find out who put it there (it may be a symbolic link) and move it away",
        }
    }

    /// The content of a small file; more than `limit` bytes are refused.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let failed = |error: io::Error| StoreError::io("read", self.path_of(name), error);
        let mut bytes = Vec::new();
        self.open_file(name)?.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(self.misplaced(name, &format!("a file of at most {limit} bytes")));
        }
        Ok(bytes)
    }

    /// The names of everything in the directory, in no order.
    pub(crate) fn names(&self) -> Result<Vec<OsString>> {
        let failed = |error| StoreError::io("list the directory", &self.path, error);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// What is there by this name; a symbolic link is told as such.
    pub(crate) fn stat(&self, name: impl AsRef<OsStr>) -> Result<Stat> {
        rustix::fs::statat(&self.fd, plain(&name)?, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| StoreError::io("look at", self.path_of(&name), error))
    }

    /// Whether an open file or directory is what this directory knows by that name.
    pub(crate) fn knows(&self, name: impl AsRef<OsStr>, open: impl AsFd) -> bool {
        match (rustix::fs::fstat(open), self.stat(name)) {
            (Ok(own), Ok(there)) => (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino),
            _ => false,
        }
    }

    /// Bytes (`st_size`) of every file below this directory.
    pub(crate) fn size_bytes(&self) -> Result<u64> {
        let mut bytes: u64 = 0;
        for name in self.names()? {
            bytes = bytes.saturating_add(self.size_of(&name)?);
        }
        Ok(bytes)
    }

    /// The same, as far as it can be read: what cannot be is left out, and the rest is not.
    pub(crate) fn readable_size_bytes(&self) -> u64 {
        let names = self.names().unwrap_or_default();
        names.iter().map(|name| self.size_of(name).unwrap_or(0)).fold(0, u64::saturating_add)
    }

    fn size_of(&self, name: &OsStr) -> Result<u64> {
        let stat = self.stat(name)?;
        match kind(&stat) {
            FileType::RegularFile => Ok(size(&stat)),
            FileType::Directory => self.open_dir(name)?.size_bytes(),
            _ => Ok(0),
        }
    }

    /// Deletes a file, or a directory with all that is in it, and returns the bytes (`st_size`) of
    /// the files among it. A symbolic link is deleted, not followed.
    pub(crate) fn remove(&self, name: impl AsRef<OsStr>) -> Result<u64> {
        let stat = self.stat(&name)?;
        let (bytes, flags, operation) = match kind(&stat) {
            FileType::Directory => {
                let dir = self.open_dir(&name)?;
                let mut bytes = 0;
                for inner in dir.names()? {
                    bytes += dir.remove(inner)?;
                }
                (bytes, AtFlags::REMOVEDIR, Operation::Rmdir)
            }
            other => {
                let bytes = if other.is_file() { size(&stat) } else { 0 };
                (bytes, AtFlags::empty(), Operation::Unlink { bytes })
            }
        };
        let path = self.path_of(&name);
        rustix::fs::unlinkat(&self.fd, plain(&name)?, flags).map_err(|error| StoreError::io("delete", &path, error))?;
        operation.log(&path);
        Ok(bytes)
    }

    /// Moves a file of `bytes` to another directory, over whatever file has that name there.
    pub(crate) fn replace(&self, name: &str, target: &Self, new_name: &str, bytes: u64) -> Result<()> {
        let to = target.path_of(new_name);
        rustix::fs::renameat(&self.fd, plain(name)?, &target.fd, plain(new_name)?)
            .map_err(|error| StoreError::io("rename a file to", &to, error))?;
        Operation::Rename { to: &to, bytes }.log(&self.path_of(name));
        Ok(())
    }

    /// Moves a directory with files of `bytes` to another one, where nothing has that name yet.
    pub(crate) fn move_dir(&self, name: &str, target: &Self, bytes: u64) -> Result<()> {
        self.rename_dir(name, target)?;
        Operation::Rename { to: &target.path_of(name), bytes }.log(&self.path_of(name));
        Ok(())
    }

    fn rename_dir(&self, name: &str, target: &Self) -> Result<()> {
        let failed = |error| StoreError::io("rename a directory to", target.path_of(name), error);
        let plain = plain(name)?;
        match rustix::fs::renameat_with(&self.fd, plain, &target.fd, plain, RenameFlags::NOREPLACE) {
            // NFS, CIFS and some FUSE file systems do not know the flag. Only runs that hold the
            // lock make names here, so looking first is as good.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match target.stat(name) {
                Ok(_) => Err(failed(Errno::EXIST)),
                Err(error) if error.is_not_found() => {
                    rustix::fs::renameat(&self.fd, plain, &target.fd, plain).map_err(failed)
                }
                Err(error) => Err(error),
            },
            done => done.map_err(failed),
        }
    }

    /// Makes the directory's entries durable.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).map_err(|error| StoreError::io("fsync", &self.path, error))?;
        Operation::FsyncDir.log(&self.path);
        Ok(())
    }

    /// The file system's numbers.
    pub(crate) fn statvfs(&self) -> Result<rustix::fs::StatVfs> {
        rustix::fs::fstatvfs(&self.fd).map_err(|error| StoreError::io("ask the free space of", &self.path, error))
    }
}

/// What kind of thing it is.
pub(crate) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Size in bytes.
pub(crate) fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Whether a name stays in the directory it is used in.
pub(crate) fn is_plain(name: &OsStr) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.as_bytes().contains(&b'/')
}

/// The name, if it is plain: manifests are read from the disk, so their names are not to be trusted.
fn plain<N: AsRef<OsStr> + ?Sized>(name: &N) -> Result<&OsStr> {
    let name = name.as_ref();
    if is_plain(name) { Ok(name) } else { Err(StoreError::io("use the name", Path::new(name), Errno::INVAL)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("outside"), b"x").unwrap();
        let dir = Dir::open(root.path()).unwrap().create_dir("inside").unwrap();
        for name in ["../outside", "..", ".", "", "/etc/passwd", "a/b"] {
            assert!(dir.open_file(name).is_err(), "{name:?}");
            assert!(dir.remove(name).is_err(), "{name:?}");
        }
        assert!(root.path().join("outside").exists());
    }

    #[test]
    fn a_directory_is_never_moved_over_another() {
        let root = tempfile::tempdir().unwrap();
        let root = Dir::open(root.path()).unwrap();
        let (a, b) = (root.create_dir("a").unwrap(), root.create_dir("b").unwrap());
        a.create_dir("set").unwrap();
        b.create_dir("set").unwrap();
        assert!(a.move_dir("set", &b, 0).is_err());
        b.remove("set").unwrap();
        a.move_dir("set", &b, 0).unwrap();
        assert!(a.stat("set").unwrap_err().is_not_found());
        b.stat("set").unwrap();
    }

    #[test]
    fn a_pipe_in_a_files_place_is_refused_without_waiting() {
        let root = tempfile::tempdir().unwrap();
        let made = std::process::Command::new("mkfifo").arg(root.path().join("pipe")).status().unwrap();
        assert!(made.success());
        let error = Dir::open(root.path()).unwrap().open_file("pipe").unwrap_err();
        assert!(error.to_string().contains("is not a regular file"), "{error}");
    }
}
