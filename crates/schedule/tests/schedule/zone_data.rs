use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chrono_tz::TZ_VARIANTS;
use serde_json::Value;
use tempfile::TempDir;

/// The tz database's files with zones and links, as chrono-tz's build names them.
const SOURCES: [&str; 9] =
    ["africa", "antarctica", "asia", "australasia", "backward", "etcetera", "europe", "northamerica", "southamerica"];

/// Every zone of chrono-tz as a file that Go reads, compiled by the system's own zic from the sources in
/// chrono-tz's package: the same release by construction, and not chrono-tz's own compilation of it.
pub(crate) struct ZoneData {
    dir: TempDir,
    /// Which release the sources say that they are.
    pub(crate) release: String,
}

impl ZoneData {
    pub(crate) fn compile() -> Self {
        let sources = sources();
        let dir = tempfile::tempdir().unwrap();
        // Debian has zic where only root looks.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap());
        let output = Command::new("zic")
            .env("PATH", path)
            .current_dir(&sources)
            .arg("-d")
            .arg(dir.path())
            .args(SOURCES)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("cannot run zic, the compiler of time zones (on Debian: libc-bin): {error}")
            });
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Go would go on to the system's zones.
        for zone in TZ_VARIANTS {
            assert!(dir.path().join(zone.name()).is_file(), "{zone} is not in the sources");
        }
        let news = std::fs::read_to_string(sources.join("NEWS")).unwrap();
        let release = news.lines().find_map(|line| line.strip_prefix("Release ")).unwrap();
        Self { dir, release: release.split(' ').next().unwrap().to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// The directory `tz` of chrono-tz's package.
fn sources() -> PathBuf {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--filter-platform=host-tuple", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|package| package["name"] == "chrono-tz").unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).with_file_name("tz")
}
