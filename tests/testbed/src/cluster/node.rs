//! The machines of a cluster, made of namespaces: a hub that holds the network, and the nodes plugged into it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Pid;

use super::bed::{Bed, remove_tree};
use super::cgroup::ControlGroup;
use crate::error::{Error, Result};
use crate::process::{self, Input};
use crate::tools::tool;
use crate::wait::{self, Seen};

/// The network of all nodes is 10.255.0.0/24 in a network namespace of the bed's own: beds do not see each other.
const GATEWAY: &str = "10.255.0.1";
/// The kubernetes Service, the first address of [`SERVICES`].
pub(crate) const SERVICE: &str = "10.96.0.1";
/// Addresses of services.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The node's directories that are plain directories from outside too.
const BINDS: [&str; 8] = [
    "/etc/kubernetes",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/etcd-backup",
    "/var/log",
    "/run",
    "/mnt",
];

const SHORT: Duration = Duration::from_secs(30);

pub(crate) fn name(index: usize) -> String {
    format!("master-{index}")
}

pub(crate) fn address(index: usize) -> String {
    format!("10.255.0.{}", 11 + index)
}

/// Addresses of the pods of a node.
pub(crate) fn pod_subnet(index: usize) -> String {
    format!("10.85.{index}.0/24")
}

/// Where a directory of a node is on this machine, if it is a plain directory here.
pub(crate) fn path(bed: &Bed, index: usize, path: &Path) -> Result<PathBuf> {
    let problem =
        || Error::Invalid(format!("{} is not one of the node's own directories: {}", path.display(), BINDS.join(" ")));
    let bound = BINDS.iter().any(|bind| path.starts_with(bind));
    let relative = path.strip_prefix("/").ok().filter(|_| bound).ok_or_else(problem)?;
    Ok(bed.disk(index).join(relative))
}

/// Where a path of a running node is seen from this machine, with what is mounted there in the node alone.
pub(crate) fn seen_from_outside(bed: &Bed, index: usize, path: &Path) -> Result<PathBuf> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    Ok(PathBuf::from(format!("/proc/{}/root", running(bed, index)?.as_raw_nonzero())).join(relative))
}

/// Starts the hub: a network namespace with a bridge, held by a process that does nothing.
pub(crate) fn start_hub(bed: &Bed) -> Result<()> {
    let group = bed.group()?;
    group.create("hub")?;
    group.create("visitors")?;
    group.start("hub", &["unshare", "--net", "sleep", "infinity"].map(OsStr::new), &bed.dir().join("hub.log"))?;
    wait::until_true("the hub's network namespace", SHORT, || Ok(hub(bed)?.is_some_and(has_own_network)))?;
    for args in [
        "link set lo up".to_owned(),
        "link add br0 type bridge".to_owned(),
        format!("address add {GATEWAY}/24 dev br0"),
        "link set br0 up".to_owned(),
    ] {
        hub_ip(bed, &args)?;
    }
    Ok(())
}

/// The process that holds the hub.
fn hub(bed: &Bed) -> Result<Option<Pid>> {
    Ok(bed.group()?.processes("hub").first().copied())
}

/// A command in the bed's network, with this machine's files.
pub(crate) fn hub_command(bed: &Bed, program: impl AsRef<OsStr>) -> Result<Command> {
    let hub = hub(bed)?.ok_or_else(|| Error::NotUp { name: bed.name().to_owned() })?;
    let mut command = bed.group()?.command("visitors", "nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", hub.as_raw_nonzero())).arg("--").arg(program);
    Ok(command)
}

fn hub_ip(bed: &Bed, args: &str) -> Result<()> {
    process::run(hub_command(bed, "ip")?.args(args.split(' ')), Input::Nothing, SHORT).map(drop)
}

/// Powers a node on; its disk is prepared. Returns as soon as it has a network: containerd and the kubelet follow.
pub(crate) fn power_on(bed: &Bed, index: usize, nodes: usize, images: &[PathBuf]) -> Result<()> {
    let (group, disk) = (bed.group()?, bed.disk(index));
    // As after a boot: nothing is left in memory.
    remove_tree(&disk.join("run"))?;
    group.create(&format!("n{index}/system"))?;
    let script = disk.join("node-init.sh");
    fs::write(&script, include_str!("node-init.sh")).map_err(Error::io(format!("write {}", script.display())))?;

    let others = (0..nodes).filter(|other| *other != index);
    let routes = others.map(|other| format!("{} {}", pod_subnet(other), address(other))).collect::<Vec<_>>().join("\n");
    let hosts = (0..nodes).map(|node| format!("{} {}", address(node), name(node)));
    let hosts = std::iter::once("127.0.0.1 localhost".to_owned()).chain(hosts).collect::<Vec<_>>().join("\n");
    let images = images.iter().map(|image| image.display().to_string()).collect::<Vec<_>>().join(" ");
    let environment = [
        format!("PATH={}", std::env::var("PATH").unwrap_or_default()),
        format!("NODE={}", name(index)),
        format!("ADDRESS={}", address(index)),
        format!("GATEWAY={GATEWAY}"),
        format!("SERVICE={SERVICE}"),
        format!("DISK={}", disk.display()),
        format!("BINDS={}", BINDS.join(" ")),
        format!("HOSTS={hosts}"),
        format!("ROUTES={routes}"),
        format!("IMAGES={images}"),
        format!("KUBE={}", tool("kube")?.display()),
    ];
    let unshare = "unshare --mount --propagation private --net --uts --ipc --pid --fork --kill-child --mount-proc sh";
    let mut argv: Vec<&OsStr> = ["env", "-i"].map(OsStr::new).to_vec();
    argv.extend(environment.iter().map(OsStr::new));
    argv.extend(unshare.split(' ').map(OsStr::new));
    argv.push(script.as_os_str());
    group.start(&format!("n{index}/system"), &argv, &bed.log(index, "init"))?;
    plug_in(bed, index)
}

fn plug_in(bed: &Bed, index: usize) -> Result<()> {
    let log = bed.log(index, "init");
    let pid = wait::until(&format!("node {} to start", name(index)), SHORT, || {
        let pid = init(bed, index)?.filter(|pid| has_own_network(*pid));
        Ok(pid.map_or_else(|| Seen::NotYet(process::tail(&log)), Seen::Ready))
    })?;
    hub_ip(bed, &format!("link add v{index} type veth peer name eth0 netns {}", pid.as_raw_nonzero()))?;
    hub_ip(bed, &format!("link set v{index} master br0 up"))
}

/// Cuts a node's power: nothing on it gets to do anything any more.
pub(crate) fn power_off(bed: &Bed, index: usize) -> Result<()> {
    let group = bed.group()?;
    group.kill(&format!("n{index}"))?;
    // The kernel takes the cable away with the node's namespace, but in its own time: sometimes many seconds later. An
    // error here means that it is gone already.
    _ = hub_ip(bed, &format!("link delete v{index}"));
    wait::until_true(&format!("the network cable of {} to go", name(index)), SHORT, || {
        Ok(hub_ip(bed, &format!("link show v{index}")).is_err())
    })?;
    // A kubelet that finds groups of pods that died with the power looks after each of them for seconds.
    group.remove(&format!("n{index}"))
}

pub(crate) fn is_on(bed: &Bed, index: usize) -> Result<bool> {
    Ok(init(bed, index)?.is_some())
}

/// A command in all of a node's namespaces.
pub(crate) fn command(bed: &Bed, index: usize, program: impl AsRef<OsStr>) -> Result<Command> {
    let pid = running(bed, index)?.as_raw_nonzero();
    let mut command = bed.group()?.command(&format!("n{index}/system"), "nsenter");
    command.arg(format!("--target={pid}")).args(["--mount", "--net", "--pid", "--uts", "--ipc", "--"]).arg(program);
    Ok(command)
}

/// The first process of a node that is on.
fn running(bed: &Bed, index: usize) -> Result<Pid> {
    init(bed, index)?.ok_or_else(|| Error::Invalid(format!("node {} of bed {} is not on", name(index), bed.name())))
}

/// The node's first process, seen from this machine.
fn init(bed: &Bed, index: usize) -> Result<Option<Pid>> {
    let group: ControlGroup = bed.group()?;
    let is_init = |pid: &Pid| {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
        is_first_of_namespace(&status)
    };
    Ok(group.processes(&format!("n{index}/system")).into_iter().find(is_init))
}

/// Whether a process is pid 1 of a pid namespace below ours: the last number of `NSpid` in proc(5)'s status file.
fn is_first_of_namespace(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let ids: Vec<_> = ids.split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

fn has_own_network(pid: Pid) -> bool {
    let link = |process: &str| fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let theirs = link(&pid.as_raw_nonzero().to_string());
    theirs.is_some() && theirs != link("self")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pid_1_of_another_namespace_is_a_nodes_init() {
        assert!(is_first_of_namespace("Name:\tsh\nNSpid:\t4711\t1\n"));
        assert!(!is_first_of_namespace("Name:\tsh\nNSpid:\t4711\t17\n"));
        assert!(!is_first_of_namespace("Name:\tinit\nNSpid:\t1\n"));
    }

    #[test]
    fn paths_of_a_node_are_directories_of_its_disk() {
        let bed = Bed::new(Path::new("/a/demo")).unwrap();
        assert_eq!(path(&bed, 1, Path::new("/mnt/x")).unwrap(), Path::new("/a/demo/n1/mnt/x"));
        assert!(path(&bed, 1, Path::new("/tmp/x")).is_err());
        assert!(path(&bed, 1, Path::new("/var/lib/etcdctl")).is_err());
    }
}
