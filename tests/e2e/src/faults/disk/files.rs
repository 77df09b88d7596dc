//! The file system itself: inodes, handles, and everything that a backup does with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo, OpenFlags, RenameFlags};

use super::{Cache, Control, Operation};

/// `O_TRUNC` of open(2) on Linux.
const TRUNCATE: i32 = 0o1000;

pub(super) type Answer<T> = Result<T, Errno>;

pub(super) struct Files {
    pub(super) root: PathBuf,
    cache: Cache,
    pub(super) control: Arc<Control>,
    table: Mutex<Table>,
}

#[derive(Default)]
pub(super) struct Table {
    /// Below the root. Numbers are those of the directory's own file system.
    paths: HashMap<u64, PathBuf>,
    /// Whole contents of files that are not durable.
    pub(super) unsynced: HashMap<u64, Vec<u8>>,
    pub(super) files: HashMap<u64, (u64, Arc<File>)>,
    pub(super) listings: HashMap<u64, Vec<(u64, FileType, OsString)>>,
    last_handle: u64,
}

impl Table {
    fn handle(&mut self) -> u64 {
        self.last_handle += 1;
        self.last_handle
    }
}

impl Files {
    pub(super) fn new(root: &Path, cache: Cache, control: Arc<Control>) -> io::Result<Self> {
        let mut table = Table::default();
        table.paths.insert(INodeNo::ROOT.0, PathBuf::new());
        Ok(Self { root: root.canonicalize()?, cache, control, table: Mutex::new(table) })
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path below the root; of a file that was deleted, none.
    pub(super) fn path(&self, node: INodeNo) -> PathBuf {
        self.table().paths.get(&node.0).cloned().unwrap_or_default()
    }

    pub(super) fn child(&self, parent: INodeNo, name: &OsStr) -> PathBuf {
        self.path(parent).join(name)
    }

    fn number(&self, metadata: &Metadata, path: &Path) -> u64 {
        if path.as_os_str().is_empty() { INodeNo::ROOT.0 } else { metadata.ino() }
    }

    /// Finds what is at a path, and remembers that it is there.
    pub(super) fn found(&self, path: &Path) -> Answer<FileAttr> {
        let metadata = fs::symlink_metadata(self.root.join(path))?;
        let number = self.number(&metadata, path);
        let mut table = self.table();
        table.paths.insert(number, path.to_owned());
        Ok(attributes(number, &metadata, table.unsynced.get(&number)))
    }

    pub(super) fn file(&self, handle: FileHandle) -> Answer<(u64, Arc<File>)> {
        self.table().files.get(&handle.0).cloned().ok_or(Errno::EBADF)
    }

    fn keep_open(&self, number: u64, file: File) -> FileHandle {
        let mut table = self.table();
        let handle = table.handle();
        table.files.insert(handle, (number, Arc::new(file)));
        FileHandle(handle)
    }

    pub(super) fn open_file(&self, node: INodeNo, flags: OpenFlags) -> Answer<FileHandle> {
        let file = OpenOptions::new().read(true).write(true).open(self.root.join(self.path(node)))?;
        if flags.0 & TRUNCATE != 0 {
            self.control.admit(Operation::Write, &self.path(node))?;
            self.resize(node.0, &file, 0)?;
        }
        Ok(self.keep_open(node.0, file))
    }

    pub(super) fn create_file(&self, path: &Path, mode: u32) -> Answer<(FileAttr, FileHandle)> {
        self.control.admit(Operation::Any, path)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(mode).open(self.root.join(path))?;
        let attributes = self.found(path)?;
        Ok((attributes, self.keep_open(attributes.ino.0, file)))
    }

    pub(super) fn read_file(&self, handle: FileHandle, offset: u64, size: u32) -> Answer<Vec<u8>> {
        let (number, file) = self.file(handle)?;
        self.control.admit(Operation::Read, &self.path(INodeNo(number)))?;
        if let Some(content) = self.table().unsynced.get(&number) {
            let from = usize::try_from(offset).map_or(content.len(), |offset| offset.min(content.len()));
            return Ok(content[from..].iter().take(size as usize).copied().collect());
        }
        let mut data = vec![0; size as usize];
        let mut read = 0;
        loop {
            match file.read_at(&mut data[read..], offset + read as u64)? {
                0 => break,
                bytes => read += bytes,
            }
        }
        data.truncate(read);
        Ok(data)
    }

    pub(super) fn write_file(&self, handle: FileHandle, offset: u64, data: &[u8]) -> Answer<()> {
        let (number, file) = self.file(handle)?;
        self.control.admit(Operation::Write, &self.path(INodeNo(number)))?;
        if self.cache == Cache::Through {
            return Ok(file.write_all_at(data, offset)?);
        }
        let mut table = self.table();
        let content = unsynced(&mut table, number, &file)?;
        let from = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        content.resize(content.len().max(from + data.len()), 0);
        content[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }

    pub(super) fn resize(&self, number: u64, file: &File, size: u64) -> Answer<()> {
        if self.cache == Cache::Through {
            return Ok(file.set_len(size)?);
        }
        let size = usize::try_from(size).map_err(|_| Errno::EFBIG)?;
        unsynced(&mut self.table(), number, file)?.resize(size, 0);
        Ok(())
    }

    pub(super) fn sync_file(&self, handle: FileHandle) -> Answer<()> {
        let (number, file) = self.file(handle)?;
        self.control.admit(Operation::Fsync, &self.path(INodeNo(number)))?;
        if let Some(content) = self.table().unsynced.remove(&number) {
            file.set_len(0)?;
            file.write_all_at(&content, 0)?;
        }
        Ok(file.sync_all()?)
    }

    pub(super) fn remove(&self, path: &Path, remove: impl FnOnce(PathBuf) -> io::Result<()>) -> Answer<()> {
        self.control.admit(Operation::Any, path)?;
        let metadata = fs::symlink_metadata(self.root.join(path))?;
        remove(self.root.join(path))?;
        self.table().paths.remove(&metadata.ino());
        Ok(())
    }

    /// Moves, and remembers that what is below has moved as well.
    pub(super) fn move_to(&self, from: &Path, to: &Path, flags: RenameFlags) -> Answer<()> {
        self.control.admit(Operation::Rename, to)?;
        if flags.contains(RenameFlags::RENAME_NOREPLACE) && fs::symlink_metadata(self.root.join(to)).is_ok() {
            return Err(Errno::EEXIST);
        }
        fs::rename(self.root.join(from), self.root.join(to))?;
        for path in self.table().paths.values_mut() {
            if let Ok(below) = path.strip_prefix(from) {
                *path = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
            }
        }
        Ok(())
    }

    pub(super) fn list(&self, node: INodeNo) -> Answer<FileHandle> {
        let path = self.path(node);
        let mut entries = vec![
            (node.0, FileType::Directory, OsString::from(".")),
            (INodeNo::ROOT.0, FileType::Directory, OsString::from("..")),
        ];
        for entry in fs::read_dir(self.root.join(&path))? {
            let entry = entry?;
            let kind = FileType::from_std(entry.file_type()?).ok_or(Errno::EIO)?;
            entries.push((entry.metadata()?.ino(), kind, entry.file_name()));
        }
        let mut table = self.table();
        let handle = table.handle();
        table.listings.insert(handle, entries);
        Ok(FileHandle(handle))
    }
}

/// The content of a file as it is now; from here on it is in memory until it is fsynced.
fn unsynced<'a>(table: &'a mut Table, number: u64, file: &File) -> io::Result<&'a mut Vec<u8>> {
    Ok(match table.unsynced.entry(number) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(vacant) => {
            let mut content = vec![0; usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?];
            file.read_exact_at(&mut content, 0)?;
            vacant.insert(content)
        }
    })
}

pub(super) fn attributes(number: u64, metadata: &Metadata, unsynced: Option<&Vec<u8>>) -> FileAttr {
    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let size = unsynced.map_or(metadata.len(), |content| content.len() as u64);
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: FileType::from_std(metadata.file_type()).unwrap_or(FileType::RegularFile),
        perm: u16::try_from(metadata.mode() & 0o7777).unwrap_or(0),
        nlink: u32::try_from(metadata.nlink()).unwrap_or(1),
        uid: metadata.uid(),
        gid: metadata.gid(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
