//! The machine under the beds: what it must have, and what must be put back when the last bed is gone.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::bed::PREFIX;
use super::cgroup::ControlGroup;
use crate::error::{Error, Result};
use crate::tools::tool;

/// CNI plugins, where Debian's containernetworking-plugins puts them.
pub(crate) const CNI_PLUGINS: &str = "/usr/lib/cni";

/// Programs by the Debian package that has them.
const PROGRAMS: [(&str, &[&str]); 7] = [
    ("containerd", &["containerd", "containerd-shim-runc-v2", "ctr"]),
    ("runc", &["runc"]),
    ("iptables", &["iptables"]),
    ("iproute2", &["ip"]),
    ("util-linux", &["unshare", "nsenter", "setsid", "mount"]),
    ("procps", &["sysctl"]),
    ("e2fsprogs", &["mkfs.ext4"]),
];

/// Settings of the whole kernel that a kubelet changes (pkg/kubelet/cm, `setupKernelTunables`).
const SYSCTLS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

/// Values to put back, kept where they end with the boot that they belong to.
const RECORD: &str = "/run/etcd-backup-testbed.json";
const LOCK: &str = "/run/etcd-backup-testbed.lock";

/// Everything that this machine lacks to run a cluster, in words; empty when nothing is missing.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing = Vec::new();
    if !rustix::process::geteuid().is_root() {
        missing.push("not running as root: clusters use namespaces, control groups and mounts".to_owned());
    }
    let mut packages = Vec::new();
    for (package, programs) in PROGRAMS {
        let absent: Vec<_> = programs.iter().filter(|name| !in_path(name)).copied().collect();
        if !absent.is_empty() {
            missing.push(format!("no {} in PATH", absent.join(", ")));
            packages.push(package);
        }
    }
    if !["bridge", "host-local", "loopback"].iter().all(|plugin| Path::new(CNI_PLUGINS).join(plugin).is_file()) {
        missing.push(format!("no CNI plugins in {CNI_PLUGINS}"));
        packages.push("containernetworking-plugins");
    }
    if !packages.is_empty() {
        missing.push(format!("on Debian or Ubuntu: apt-get install --no-install-recommends {}", packages.join(" ")));
    }
    missing.extend(["kube", "pause"].iter().filter_map(|name| tool(name).err()).map(|error| error.to_string()));
    if let Err(error) = ControlGroup::all(PREFIX) {
        missing.push(error.to_string());
    }
    missing
}

/// Fails with one message that lists everything missing.
pub(crate) fn check() -> Result<()> {
    let missing = missing();
    if missing.is_empty() { Ok(()) } else { Err(Error::Preconditions(missing)) }
}

fn in_path(program: &str) -> bool {
    env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|directory| directory.join(program).is_file())
}

/// Runs `create`, which makes a bed's control group, after recording the kernel settings if this is the only bed.
pub(crate) fn enter(create: impl FnOnce() -> Result<()>) -> Result<()> {
    let _lock = lock()?;
    if !Path::new(RECORD).exists() {
        let values: BTreeMap<_, _> = SYSCTLS.iter().filter_map(|name| Some((*name, read(name)?))).collect();
        let json = serde_json::to_vec(&values).map_err(|error| Error::unexpected("kernel settings", error))?;
        fs::write(RECORD, json).map_err(Error::io(format!("write {RECORD}")))?;
    }
    create()
}

/// Puts the kernel settings back if no bed is left.
pub(crate) fn leave() -> Result<()> {
    let _lock = lock()?;
    if !Path::new(RECORD).exists() || !ControlGroup::all(PREFIX)?.is_empty() {
        return Ok(());
    }
    let json = fs::read(RECORD).map_err(Error::io(format!("read {RECORD}")))?;
    let values: BTreeMap<String, String> =
        serde_json::from_slice(&json).map_err(|error| Error::unexpected(RECORD, error))?;
    for (name, value) in values {
        if SYSCTLS.contains(&name.as_str()) && read(&name).as_ref() != Some(&value) {
            fs::write(sysctl(&name), &value).map_err(Error::io(format!("set {name} back to {value}")))?;
        }
    }
    fs::remove_file(RECORD).map_err(Error::io(format!("remove {RECORD}")))
}

fn lock() -> Result<File> {
    let file = File::create(LOCK).map_err(Error::io(format!("open {LOCK}")))?;
    file.lock().map_err(Error::io(format!("lock {LOCK}")))?;
    Ok(file)
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(sysctl(name)).ok().map(|value| value.trim().to_owned())
}

fn sysctl(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name)
}
