use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use etcd_backup_core::{Layout, Warning};
use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::fs::OFlags;
use tar::{EntryType, Header};

use super::kubeadm::ENCRYPTION_FLAG;
use super::plan::{NamedFile, Place, Plan, Tree};
use super::reader::Watched;
use super::{Collected, StaticResourcesError};

/// Where OpenShift keeps kube-apiserver's encryption configuration in a revision's directory.
const OPENSHIFT_ENCRYPTION_CONFIG: &str = "secrets/encryption-config/encryption-config";

/// Directory in the archive of files from outside the Kubernetes directory, by their path on the node.
const HOST_PREFIX: &str = "host";

/// tar counts in blocks of this many bytes.
const BLOCK: u64 = 512;
/// A name of this many bytes or more does not fit into a header.
const IN_HEADER: u64 = 100;
/// Longest target of a symbolic link and its end, in bytes (Linux' `PATH_MAX`).
const LONGEST_TARGET: u64 = 4096;

/// One member of the archive.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    kind: Kind,
    /// Of a file: its size when it was selected. A file that is larger when it is read has changed.
    bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    Symlink,
    File,
    /// A file that kube-apiserver is told to read: it would follow links, so do we.
    NamedFile,
}

/// The members by their names in the archive, which is their order too: the same files always make
/// the same archive.
type Members = BTreeMap<PathBuf, Source>;

/// The files that an archive will hold, as they were just seen.
#[derive(Debug)]
pub(crate) struct Selection {
    members: Members,
    encryption_config: bool,
    cluster_version: Option<String>,
    warnings: Vec<Warning>,
}

impl Selection {
    pub(super) fn new(plan: Plan, kubernetes_dir: &Path) -> Result<Self, StaticResourcesError> {
        let mut warnings = plan.warnings;
        let mut members = Members::new();
        for tree in &plan.trees {
            add_tree(tree, kubernetes_dir, &mut members)?;
        }
        let mut encryption_config = members.keys().any(|name| name.ends_with(OPENSHIFT_ENCRYPTION_CONFIG));
        for named in plan.named_files {
            match add_named(&named, kubernetes_dir, &mut members) {
                Ok(()) => encryption_config |= named.flag == ENCRYPTION_FLAG,
                Err(message) => warnings.push(Warning::new("StaticFileMissing", message)),
            }
        }
        Ok(Self { members, encryption_config, cluster_version: plan.cluster_version, warnings })
    }

    /// Most bytes that the archive can have, however badly its content is compressed.
    pub(crate) fn most_bytes(&self) -> u64 {
        let end_of_archive = 2 * BLOCK;
        let members = self.members.iter().map(|(name, source)| source.most_bytes(name));
        most_compressed(members.fold(end_of_archive, u64::saturating_add))
    }

    /// Writes the archive into an empty file: a gzipped tar as cluster-backup.sh makes it.
    pub(crate) fn write(self, file: File) -> Result<Collected, StaticResourcesError> {
        let written = |source| StaticResourcesError::Write { source };
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, source) in &self.members {
            append(&mut tar, name, source)?;
        }
        let file = tar.into_inner().and_then(GzEncoder::finish).map_err(written)?;
        // What is read back to be proven has to come from the disk.
        file.sync_all().map_err(written)?;
        let files = self.members.values().filter(|source| source.kind != Kind::Directory).count();
        let Self { encryption_config, cluster_version, warnings, .. } = self;
        Ok(Collected { files, encryption_config, cluster_version, warnings })
    }
}

impl Source {
    /// Most bytes of this member in a tar that is not compressed: its header and content, and what a
    /// name or a link's target needs that does not fit into the header.
    fn most_bytes(&self, name: &Path) -> u64 {
        let with_header = |bytes: u64| bytes.div_ceil(BLOCK).saturating_add(1).saturating_mul(BLOCK);
        let name = name.as_os_str().len() as u64;
        let name = if name < IN_HEADER { 0 } else { with_header(name + 1) };
        let target = if self.kind == Kind::Symlink { with_header(LONGEST_TARGET) } else { 0 };
        with_header(self.bytes).saturating_add(name + target)
    }
}

/// Most bytes that gzip makes of this many: `mz_deflateBound` of miniz, and gzip's own header and
/// trailer.
fn most_compressed(bytes: u64) -> u64 {
    const GZIP: u64 = 10 + 8;
    bytes.saturating_add(bytes / 10).saturating_add(128 + GZIP)
}

/// Adds a tree, which must be there. Symbolic links stay links and are not followed.
fn add_tree(tree: &Tree, kubernetes_dir: &Path, members: &mut Members) -> Result<(), StaticResourcesError> {
    if let Some(component) = tree.component {
        let manifest = kubernetes_dir.join(&tree.path).join(component.manifest(Layout::OpenShift));
        if !manifest.is_file() {
            return Err(StaticResourcesError::ResourceMissing { component: component.as_str(), path: manifest });
        }
    }
    let mut pending = vec![tree.path.clone()];
    while let Some(name) = pending.pop() {
        let path = kubernetes_dir.join(&name);
        let failed = |source| read_failed(&path, source);
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_symlink() => Kind::Symlink,
            kind if kind.is_file() => Kind::File,
            // Sockets, pipes and devices are a process's, not a restore's.
            _ => continue,
        };
        if kind == Kind::Directory {
            for entry in fs::read_dir(&path).map_err(failed)? {
                pending.push(name.join(entry.map_err(failed)?.file_name()));
            }
        }
        let bytes = if kind == Kind::File { metadata.len() } else { 0 };
        members.insert(name, Source { path, kind, bytes });
    }
    Ok(())
}

/// Adds a named file's content, unless a tree brings it already. The error is a warning's message.
fn add_named(named: &NamedFile, kubernetes_dir: &Path, members: &mut Members) -> Result<(), String> {
    let (path, name) = match &named.place {
        Place::KubernetesDir(below) => (kubernetes_dir.join(below), below.clone()),
        Place::Elsewhere(path) => (path.clone(), Path::new(HOST_PREFIX).join(path.strip_prefix("/").unwrap_or(path))),
    };
    let seen = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
        true => Ok(metadata.len()),
        false => Err(io::Error::other("not a regular file")),
    });
    let bytes = seen.map_err(|error| {
        format!(
            "kube-apiserver's {} names {}, which cannot be seen from here ({error}): it is not in the archive; keep a copy of it apart",
            named.flag,
            path.display(),
        )
    })?;
    match members.entry(name) {
        MapEntry::Occupied(taken) if taken.get().kind == Kind::File => {}
        MapEntry::Occupied(mut link) => _ = link.insert(Source { path, kind: Kind::NamedFile, bytes }),
        MapEntry::Vacant(free) => _ = free.insert(Source { path, kind: Kind::NamedFile, bytes }),
    }
    Ok(())
}

fn append<W: Write>(tar: &mut tar::Builder<W>, name: &Path, source: &Source) -> Result<(), StaticResourcesError> {
    let failed = |error| read_failed(&source.path, error);
    let written = |error| StaticResourcesError::Write { source: error };
    match source.kind {
        Kind::Directory => {
            let metadata = fs::symlink_metadata(&source.path).map_err(failed)?;
            tar.append_data(&mut header(&metadata, EntryType::Directory), name, io::empty()).map_err(written)
        }
        Kind::Symlink => {
            let metadata = fs::symlink_metadata(&source.path).map_err(failed)?;
            let target = fs::read_link(&source.path).map_err(failed)?;
            tar.append_link(&mut header(&metadata, EntryType::Symlink), name, target).map_err(written)
        }
        Kind::File | Kind::NamedFile => append_file(tar, name, source),
    }
}

fn append_file<W: Write>(tar: &mut tar::Builder<W>, name: &Path, source: &Source) -> Result<(), StaticResourcesError> {
    let failed = |error| read_failed(&source.path, error);
    let changing = || StaticResourcesError::Changing { path: source.path.clone() };
    // What was a regular file a moment ago may be a pipe by now, whose opening would wait for ever.
    let follow = if source.kind == Kind::File { OFlags::NOFOLLOW } else { OFlags::empty() };
    let flags = (OFlags::NONBLOCK | follow).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&source.path).map_err(failed)?;
    let before = file.metadata().map_err(failed)?;
    if !before.is_file() || before.len() > source.bytes {
        return Err(changing());
    }
    let mut content = Watched::new((&file).take(before.len()));
    let appended = tar.append_data(&mut header(&before, EntryType::Regular), name, &mut content);
    if let Some(error) = content.error.take() {
        return Err(failed(error));
    }
    appended.map_err(|error| StaticResourcesError::Write { source: error })?;
    let after = file.metadata().map_err(failed)?;
    let still = |metadata: &Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    // A file that was replaced by rename is whole in either version, but the other files may be of
    // the newer one; by then its link count is 0.
    if content.bytes == before.len() && still(&before) == still(&after) && after.nlink() > 0 {
        Ok(())
    } else {
        Err(changing())
    }
}

fn header(metadata: &Metadata, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(metadata.mtime().try_into().unwrap_or(0));
    header.set_size(if kind == EntryType::Regular { metadata.len() } else { 0 });
    header
}

/// What vanishes between being seen and being read was changed by somebody.
fn read_failed(path: &Path, source: io::Error) -> StaticResourcesError {
    match source.kind() {
        io::ErrorKind::NotFound => StaticResourcesError::Changing { path: path.to_owned() },
        _ => StaticResourcesError::Read { path: path.to_owned(), source },
    }
}
