//! Container images without a registry or a build tool: a `docker save` archive (the format that
//! `ctr images import` reads) with one layer of given files. The same files always give the same bytes.

use std::collections::BTreeSet;
use std::env::consts::ARCH;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::error::{Error, Result};

/// What an image is made of. Programs must be static: there is nothing else in the image, no shell either.
#[derive(Debug, Clone, Default)]
pub struct Image {
    /// Names under which it is imported, `registry/repository:tag`.
    pub tags: Vec<String>,
    /// The command that a container runs unless its pod says otherwise.
    pub entrypoint: Vec<String>,
    /// User and group that a container runs as unless its pod says otherwise, such as `65532:65532`; empty means root.
    pub user: String,
    /// Files of this machine and their absolute paths in the image; all are executable.
    pub files: Vec<(PathBuf, String)>,
    /// Symbolic links: absolute path in the image, target.
    pub links: Vec<(String, String)>,
}

impl Image {
    /// Writes the archive; returns the image's id, `sha256:` and 64 hex digits.
    ///
    /// # Errors
    /// When a file cannot be read, is dynamically linked, or the archive cannot be written.
    pub fn write(&self, archive: &Path) -> Result<String> {
        let layer = self.layer()?;
        let layer_digest = digest(&layer);
        let config = json!({
            "architecture": match ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"User": self.user, "Entrypoint": self.entrypoint, "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
        })
        .to_string();
        let id = digest(config.as_bytes());
        let (config_name, layer_name) = (format!("{id}.json"), format!("{layer_digest}.tar"));
        let manifest: Value = json!([{"Config": config_name, "RepoTags": self.tags, "Layers": [layer_name]}]);

        let write = || {
            if let Some(parent) = archive.parent() {
                fs::create_dir_all(parent)?;
            }
            let mut tar = Builder::new(BufWriter::new(File::create(archive)?));
            let manifest = manifest.to_string();
            for (name, content) in [
                (config_name.as_str(), config.as_bytes()),
                (layer_name.as_str(), &layer),
                ("manifest.json", manifest.as_bytes()),
            ] {
                append(&mut tar, EntryType::Regular, name, 0o644, content)?;
            }
            tar.into_inner()?.flush()
        };
        write().map_err(Error::io(format!("write image {}", archive.display())))?;
        Ok(format!("sha256:{id}"))
    }

    /// The image's file system as a tar: directories, then files, then links, each in order of their paths.
    fn layer(&self) -> Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        let whole = || Error::io("write an image layer");
        for directory in self.directories() {
            append(&mut tar, EntryType::Directory, &directory, 0o755, &[]).map_err(whole())?;
        }
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(_, target)| target);
        for (source, target) in files {
            let content = read_static(source)?;
            append(&mut tar, EntryType::Regular, relative(target), 0o755, &content).map_err(whole())?;
        }
        let mut links: Vec<_> = self.links.iter().collect();
        links.sort();
        for (path, target) in links {
            let mut header = header(EntryType::Symlink, 0o777, 0);
            tar.append_link(&mut header, relative(path), target).map_err(whole())?;
        }
        tar.into_inner().map_err(whole())
    }

    /// Every directory that a file or link needs, parents first.
    fn directories(&self) -> BTreeSet<String> {
        let targets = self.files.iter().map(|(_, target)| target).chain(self.links.iter().map(|(path, _)| path));
        let parents = targets.flat_map(|target| Path::new(relative(target)).ancestors().skip(1));
        parents.map(|parent| parent.display().to_string()).filter(|parent| !parent.is_empty()).collect()
    }
}

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// A program's bytes. A dynamically linked one is refused here, because in an image without a loader the kernel only
/// says "no such file or directory", about a file that is there.
fn read_static(path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut content))
        .map_err(Error::io(format!("read {} for an image", path.display())))?;
    if has_interpreter(&content) {
        let how = "Go: CGO_ENABLED=0, Rust: -C target-feature=+crt-static";
        return Err(Error::Invalid(format!("{} is dynamically linked: build it static ({how})", path.display())));
    }
    Ok(content)
}

/// Whether a 64-bit little-endian ELF file has a program header of type `PT_INTERP` (elf(5)).
fn has_interpreter(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let headers = || {
        let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        Some((0..count).filter_map(move |index| usize::try_from(offset.checked_add(index * size)?).ok()))
    };
    elf.starts_with(b"\x7fELF\x02\x01") && headers().into_iter().flatten().any(|at| number(at, 4) == Some(PT_INTERP))
}

fn append(
    tar: &mut Builder<impl Write>,
    kind: EntryType,
    path: &str,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    tar.append_data(&mut header(kind, mode, content.len() as u64), path, content)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(dir: &Path) -> Image {
        let (a, b) = (dir.join("a"), dir.join("b"));
        fs::write(&a, "program a").unwrap();
        fs::write(&b, "program b").unwrap();
        Image {
            tags: vec!["example.test/a:1".to_owned(), "example.test/b:1".to_owned()],
            entrypoint: vec!["/usr/bin/a".to_owned()],
            user: "65532:65532".to_owned(),
            files: vec![(b, "/usr/bin/b".to_owned()), (a, "/usr/bin/a".to_owned())],
            links: vec![("/bin/c".to_owned(), "/usr/bin/a".to_owned())],
        }
    }

    fn entries(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    #[test]
    fn the_archive_names_its_parts_by_their_digests() {
        let dir = tempfile::tempdir().unwrap();
        let archive = dir.path().join("image.tar");
        let id = image(dir.path()).write(&archive).unwrap();
        let parts = entries(&fs::read(&archive).unwrap());
        let part = |name: &str| &parts.iter().find(|(path, _)| path == name).unwrap().1;

        let manifest: Value = serde_json::from_slice(part("manifest.json")).unwrap();
        assert_eq!(manifest[0]["RepoTags"], json!(["example.test/a:1", "example.test/b:1"]));
        let config = part(manifest[0]["Config"].as_str().unwrap());
        assert_eq!(id, format!("sha256:{}", digest(config)));
        let layer = part(manifest[0]["Layers"][0].as_str().unwrap());
        let config: Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", digest(layer)));
        assert_eq!(config["config"]["Entrypoint"], json!(["/usr/bin/a"]));

        let paths: Vec<_> = entries(layer).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["bin", "usr", "usr/bin", "usr/bin/a", "usr/bin/b", "bin/c"]);
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&one, &two] {
            image(dir.path()).write(&dir.path().join("image.tar")).unwrap();
        }
        let read = |dir: &tempfile::TempDir| fs::read(dir.path().join("image.tar")).unwrap();
        assert_eq!(read(&one), read(&two));
    }

    #[test]
    fn a_dynamically_linked_program_is_refused() {
        let error = read_static(Path::new("/bin/sh")).unwrap_err().to_string();
        assert!(error.contains("/bin/sh is dynamically linked"), "{error}");
    }

    #[test]
    fn a_broken_elf_header_is_no_interpreter() {
        assert!(!has_interpreter(b"\x7fELF\x02\x01"));
        assert!(!has_interpreter(&[&b"\x7fELF\x02\x01"[..], &[0xff; 100]].concat()));
    }
}
