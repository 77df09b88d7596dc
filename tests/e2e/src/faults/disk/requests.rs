//! The kernel's requests, and the answers to them.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs,
    ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::Operation;
use super::files::{Answer, Files, attributes};

/// The kernel asks each time: nothing that it remembers may be wrong.
const NO_TIME: Duration = Duration::ZERO;

/// Answers a request that has no content.
fn done(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn entry(answer: Answer<FileAttr>, reply: ReplyEntry) {
    match answer {
        Ok(attributes) => reply.entry(&NO_TIME, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn opened(answer: Answer<FileHandle>, reply: ReplyOpen) {
    match answer {
        Ok(handle) => reply.opened(handle, FopenFlags::empty()),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Files {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(self.found(&self.child(parent, name)), reply);
    }

    fn getattr(&self, _: &Request, node: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        // A deleted file is still there for those who have it open.
        let of_handle = handle.and_then(|handle| self.file(handle).ok()).and_then(|(number, file)| {
            Some(attributes(number, &file.metadata().ok()?, self.table().unsynced.get(&number)))
        });
        match of_handle.map_or_else(|| self.found(&self.path(node)), Ok) {
            Ok(attributes) => reply.attr(&NO_TIME, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let path = self.path(node);
        let change = || {
            self.control.admit(Operation::Write, &path)?;
            if let Some(mode) = mode {
                fs::set_permissions(self.root.join(&path), Permissions::from_mode(mode & 0o7777))?;
            }
            if let Some(size) = size {
                self.resize(node.0, &OpenOptions::new().read(true).write(true).open(self.root.join(&path))?, size)?;
            }
            self.found(&path)
        };
        match change() {
            Ok(attributes) => reply.attr(&NO_TIME, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let path = self.child(parent, name);
        let make = || {
            self.control.admit(Operation::Any, &path)?;
            fs::create_dir(self.root.join(&path))?;
            fs::set_permissions(self.root.join(&path), Permissions::from_mode(mode & 0o7777))?;
            self.found(&path)
        };
        entry(make(), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.remove(&self.child(parent, name), fs::remove_file), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.remove(&self.child(parent, name), fs::remove_dir), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        done(self.move_to(&self.child(parent, name), &self.child(new_parent, new_name), flags), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.create_file(&self.child(parent, name), mode) {
            Ok((attributes, handle)) => {
                reply.created(&NO_TIME, &attributes, Generation(0), handle, FopenFlags::empty());
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, node: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        opened(self.open_file(node, flags), reply);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.read_file(handle, offset, size) {
            Ok(data) => reply.data(&data),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.write_file(handle, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.sync_file(handle), reply);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.table().files.remove(&handle.0);
        reply.ok();
    }

    fn opendir(&self, _: &Request, node: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        opened(self.list(node), reply);
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = self.table().listings.get(&handle.0).cloned().unwrap_or_default();
        for (index, (number, kind, name)) in (1..).zip(entries).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(number), index, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.table().listings.remove(&handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, node: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let path = self.path(node);
        let sync = || {
            self.control.admit(Operation::Any, &path)?;
            Ok(File::open(self.root.join(&path))?.sync_all()?)
        };
        done(sync(), reply);
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match rustix::fs::statvfs(&self.root) {
            Ok(found) => {
                let narrow = |size: u64| u32::try_from(size).unwrap_or(4096);
                let (block, fragment) = (narrow(found.f_bsize), narrow(found.f_frsize));
                reply.statfs(
                    found.f_blocks,
                    found.f_bfree,
                    found.f_bavail,
                    found.f_files,
                    found.f_ffree,
                    block,
                    255,
                    fragment,
                );
            }
            Err(error) => reply.error(Errno::from_i32(error.raw_os_error())),
        }
    }
}
