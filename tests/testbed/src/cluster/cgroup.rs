//! Control groups: one tree per bed, which is also the exact list of the bed's processes.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::process::{self, Input};

/// The controllers that kubelet and runc need on a machine with only cgroup v2.
const V2_CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// A bed's group, the same path in every mounted hierarchy: all of cgroup v1's with the unified one beside them
/// (hybrid), or the one of cgroup v2.
#[derive(Debug, Clone)]
pub(crate) struct ControlGroup {
    hierarchies: Vec<PathBuf>,
    v2_only: bool,
    name: String,
}

impl ControlGroup {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let hierarchies = hierarchies()?;
        let v2_only = hierarchies.iter().all(|root| root.join("cgroup.controllers").exists());
        Ok(Self { hierarchies, v2_only, name: name.to_owned() })
    }

    /// Names of all beds' groups on this machine.
    pub(crate) fn all(prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for root in hierarchies()? {
            let entries = fs::read_dir(&root).map_err(Error::io(format!("list {}", root.display())))?;
            names.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        names.retain(|name| name.starts_with(prefix));
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(crate) fn is_v2_only(&self) -> bool {
        self.v2_only
    }

    pub(crate) fn exists(&self) -> bool {
        self.hierarchies.iter().any(|root| root.join(&self.name).exists())
    }

    /// Makes the group `path` below the bed's, with its parents. A v1 cpuset takes no process before its CPUs and
    /// memory nodes are set; in v2 each parent must hand its controllers down.
    pub(crate) fn create(&self, path: &str) -> Result<()> {
        for root in &self.hierarchies {
            let mut group = root.clone();
            for part in Path::new(&self.name).join(path).iter() {
                if self.v2_only {
                    for controller in V2_CONTROLLERS {
                        write(&group.join("cgroup.subtree_control"), &format!("+{controller}"))?;
                    }
                }
                let parent = group.clone();
                group.push(part);
                fs::create_dir_all(&group).map_err(Error::io(format!("make cgroup {}", group.display())))?;
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    if !self.v2_only && group.join(file).exists() {
                        write(&group.join(file), &read(&parent.join(file))?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A command that runs in the group `path`: it cannot start once the group is gone.
    pub(crate) fn command(&self, path: &str, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        let enter =
            "while [ \"$1\" != -- ]; do echo $$ > \"$1/cgroup.procs\" || exit 125; shift; done; shift; exec \"$@\"";
        command.args(["-c", enter, "enter-cgroup"]);
        command.args(self.hierarchies.iter().map(|root| root.join(&self.name).join(path)));
        command.arg("--").arg(program);
        command
    }

    /// Starts a program in the group `path` that goes on when this process ends; its output goes to `log`.
    pub(crate) fn start(&self, path: &str, argv: &[&OsStr], log: &Path) -> Result<()> {
        let mut command = self.command(path, "sh");
        command.args(["-c", "log=$1; shift; exec setsid --fork \"$@\" </dev/null >>\"$log\" 2>&1", "start"]);
        command.arg(log).args(argv);
        process::run(&mut command, Input::Nothing, Duration::from_secs(10)).map(drop)
    }

    /// The ids of the processes in the group `path` and below.
    pub(crate) fn processes(&self, path: &str) -> Vec<Pid> {
        let mut pids = Vec::new();
        for group in self.groups(path) {
            let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            // 0 stands for a process outside of our pid namespace, which a bed has none of.
            pids.extend(listed.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
        }
        pids.sort_by_key(|pid| pid.as_raw_nonzero());
        pids.dedup();
        pids
    }

    /// Kills every process in the group `path` and below, and waits until they are gone.
    pub(crate) fn kill(&self, path: &str) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(20);
        let start = Instant::now();
        loop {
            let pids = self.processes(path);
            if pids.is_empty() {
                return Ok(());
            }
            if start.elapsed() > LIMIT {
                let last = pids.iter().map(|pid| describe(*pid)).collect::<Vec<_>>().join("; ");
                return Err(Error::Timeout {
                    what: format!("killed processes of {} to end", self.name),
                    limit: LIMIT,
                    last,
                });
            }
            for pid in pids {
                // It may have ended since the list was read.
                _ = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Removes the group `path` and those below, which must be empty of processes.
    pub(crate) fn remove(&self, path: &str) -> Result<()> {
        const LIMIT: Duration = Duration::from_secs(30);
        let start = Instant::now();
        for group in self.groups(path).into_iter().rev() {
            loop {
                match fs::remove_dir(&group) {
                    // The kernel lets go of a group a moment after its last process.
                    Err(error) if error.kind() == ErrorKind::ResourceBusy && start.elapsed() < LIMIT => {
                        thread::sleep(Duration::from_millis(20));
                    }
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(Error::io(format!("remove cgroup {}", group.display()))(error));
                    }
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// The group `path` in every hierarchy and all groups below, parents first.
    fn groups(&self, path: &str) -> Vec<PathBuf> {
        let mut groups: Vec<_> = self.hierarchies.iter().map(|root| root.join(&self.name).join(path)).collect();
        groups.retain(|group| group.is_dir());
        let mut next = 0;
        while next < groups.len() {
            let children = fs::read_dir(&groups[next]).into_iter().flatten().flatten();
            groups.extend(
                children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
            );
            next += 1;
        }
        groups
    }
}

/// Where control groups are mounted.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let found = mount_points(&mounts);
    if found.is_empty() {
        return Err(Error::Invalid("no cgroup hierarchy is mounted on this machine".to_owned()));
    }
    Ok(found)
}

/// The cgroup mounts of a mountinfo file (proc(5)): field 5 is the mount point, and the type follows a lone dash.
fn mount_points(mountinfo: &str) -> Vec<PathBuf> {
    let cgroup = |line: &&str| line.split(" - ").nth(1).is_some_and(|rest| rest.starts_with("cgroup"));
    mountinfo.lines().filter(cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

fn describe(pid: Pid) -> String {
    let pid = pid.as_raw_nonzero();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("{pid} {}", name.trim())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value.trim()).map_err(Error::io(format!("write {} to {}", value.trim(), path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_mounts_are_found_among_the_others() {
        let mountinfo = "27 1 254:0 / / rw - ext4 /dev/vda rw\n\
            31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu\n\
            33 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_points(mountinfo), ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/unified"].map(PathBuf::from));
    }
}
