//! An etcd, a control plane's directory and a volume, and the agent run on them.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use etcd_backup_core::{MAX_REPORT_BYTES, Owner, OwnerKind, Policy, Report};
use etcd_backup_store::{OPERATION_LOG, Volume};
use etcd_backup_testbed::{Etcd, EtcdOptions, tool};
use tempfile::TempDir;

const COMPONENTS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// Longest that any run of the agent may take here.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) struct Bed {
    pub(crate) etcd: Etcd,
    dir: TempDir,
}

impl Bed {
    /// One member, a directory laid out as kubeadm does, an empty volume.
    pub(crate) fn new() -> Self {
        Self::with_members(1)
    }

    pub(crate) fn with_members(members: usize) -> Self {
        let etcd = Etcd::start(EtcdOptions { members, ..EtcdOptions::default() }).unwrap();
        etcd.etcdctl(&["put", "/registry/configmaps/default/a", "1"]).unwrap();
        etcd.etcdctl(&["put", "/registry/configmaps/default/b", "2"]).unwrap();
        etcd.etcdctl(&["del", "/registry/configmaps/default/b"]).unwrap();
        let bed = Self { etcd, dir: tempfile::tempdir().unwrap() };
        fs::create_dir(bed.volume()).unwrap();
        for component in COMPONENTS {
            let image = format!("registry.k8s.io/{component}:v1.34.4");
            bed.put(
                &format!("manifests/{component}.yaml"),
                &format!("spec: {{containers: [{{name: {component}, image: '{image}'}}]}}"),
            );
        }
        bed.put("pki/ca.crt", "certificate");
        bed
    }

    pub(crate) fn volume(&self) -> PathBuf {
        self.dir.path().join("volume")
    }

    pub(crate) fn kubernetes(&self) -> PathBuf {
        self.dir.path().join("kubernetes")
    }

    pub(crate) fn report_file(&self) -> PathBuf {
        self.dir.path().join("termination-log")
    }

    /// A file in the control plane's directory.
    pub(crate) fn put(&self, name: &str, content: &str) {
        let path = self.kubernetes().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces the control plane's directory by one laid out as OpenShift does.
    pub(crate) fn make_openshift(&self) {
        fs::rename(self.kubernetes(), self.dir.path().join("kubeadm")).unwrap();
        for component in COMPONENTS {
            let manifest = format!(
                r#"{{"spec":{{"containers":[],"volumes":[{{"name":"resource-dir","hostPath":{{"path":"/etc/kubernetes/static-pod-resources/{component}-pod-3"}}}}]}}}}"#
            );
            self.put(&format!("manifests/{component}-pod.yaml"), &manifest);
            self.put(&format!("static-pod-resources/{component}-pod-3/{component}-pod.yaml"), &manifest);
            self.put(&format!("static-pod-resources/{component}-pod-4/{component}-pod.yaml"), "a later revision");
        }
    }

    /// So many values of 1 MiB, which take a moment to stream.
    pub(crate) fn load(&self, values: usize) {
        self.load_at(0, values);
    }

    /// The same under keys of their own for each place.
    pub(crate) fn load_at(&self, place: usize, values: usize) {
        let file = self.dir.path().join("value");
        fs::write(&file, "x".repeat(1 << 20)).unwrap();
        for value in 0..values {
            let mut put = Command::new(tool("etcdctl").unwrap());
            put.args(["--endpoints", &self.etcd.endpoints()[0], "put", &format!("/registry/big/{place}-{value}")]);
            put.arg("--cacert").arg(self.etcd.ca()).arg("--cert").arg(self.etcd.cert());
            put.arg("--key").arg(self.etcd.key()).stdin(File::open(&file).unwrap());
            assert!(put.output().unwrap().status.success());
        }
    }

    /// `etcd-backup save` on the volume, as it finds this bed.
    pub(crate) fn save(&self) -> Agent {
        self.save_from(&self.etcd.endpoints().join(","))
    }

    /// The same from these endpoints.
    pub(crate) fn save_from(&self, endpoints: &str) -> Agent {
        let agent = self.save_without_tls_files(endpoints);
        agent.arg("--cacert").arg(self.etcd.ca()).arg("--cert").arg(self.etcd.cert()).arg("--key").arg(self.etcd.key())
    }

    /// `etcd-backup save` of a schedule's run, by the policy in [`Self::policy_file`].
    pub(crate) fn scheduled_save(&self) -> Agent {
        self.save().args(["--owner", "Backup/nightly", "--cluster", CLUSTER]).arg("--policy").arg(self.policy_file())
    }

    /// `etcd-backup prune` of the same schedule.
    pub(crate) fn prune(&self) -> Agent {
        prune(&self.volume())
    }

    /// The policy that is to be enforced from now on.
    pub(crate) fn set_policy(&self, policy: &Policy) {
        fs::write(self.policy_file(), serde_json::to_vec(policy).unwrap()).unwrap();
    }

    pub(crate) fn policy_file(&self) -> PathBuf {
        self.dir.path().join("policy.json")
    }

    /// Identity of the volume.
    pub(crate) fn volume_id(&self) -> String {
        Volume::open(self.volume()).unwrap().id().unwrap().unwrap().to_string()
    }

    /// The same without TLS files.
    pub(crate) fn save_without_tls_files(&self, endpoints: &str) -> Agent {
        let agent = self.agent("save").arg(self.volume()).args(["--endpoints", endpoints, "--node", "master-0"]);
        agent.arg("--kubernetes-dir").arg(self.kubernetes()).arg("--report-file").arg(self.report_file())
    }

    /// `etcd-backup VERB` with JSON on standard output.
    pub(crate) fn agent(&self, verb: &str) -> Agent {
        Agent::new(verb)
    }

    /// Names of what is at the volume's root, other than the volume's own directory.
    pub(crate) fn sets(&self) -> Vec<String> {
        names(&self.volume()).into_iter().filter(|name| name != ".etcd-backup").collect()
    }

    /// The only set's directory.
    pub(crate) fn set(&self) -> PathBuf {
        let sets = self.sets();
        assert_eq!(sets.len(), 1, "{sets:?}");
        self.volume().join(&sets[0])
    }

    /// The file of the only set that ends like this.
    pub(crate) fn file_of_set(&self, end: &str) -> PathBuf {
        let set = self.set();
        set.join(names(&set).into_iter().find(|name| name.ends_with(end)).unwrap())
    }

    /// What is being staged.
    pub(crate) fn staged(&self) -> Vec<String> {
        names(&self.volume().join(".etcd-backup/staging"))
    }

    /// Bytes of the snapshot that is being staged.
    pub(crate) fn staged_snapshot_bytes(&self) -> u64 {
        let staging = self.volume().join(".etcd-backup/staging");
        let bytes = |set: &String| {
            let files = fs::read_dir(staging.join(set)).into_iter().flatten().flatten();
            let snapshots = files.filter(|file| file.file_name().to_string_lossy().ends_with(".db"));
            snapshots.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum::<u64>()
        };
        names(&staging).iter().map(bytes).sum()
    }

    /// The report in the file that was asked for; whoever reads it reads at most 4,096 bytes.
    pub(crate) fn reported(&self) -> Report {
        let text = fs::read_to_string(self.report_file()).unwrap();
        assert!(text.len() <= MAX_REPORT_BYTES);
        serde_json::from_str(&text).unwrap()
    }
}

/// The cluster that the schedule belongs to.
pub(crate) const CLUSTER: &str = "8c4d6a5e-cluster";

/// The schedule that [`Bed::scheduled_save`] runs for.
pub(crate) fn schedule() -> Owner {
    Owner { cluster: Some(CLUSTER.into()), kind: OwnerKind::Backup, name: "nightly".into() }
}

/// `etcd-backup prune` of the schedule's sets on a volume.
pub(crate) fn prune(volume: &Path) -> Agent {
    Agent::new("prune").arg(volume).args(["--owner", "Backup/nightly", "--cluster", CLUSTER])
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A command line of the agent.
pub(crate) struct Agent {
    command: Command,
    output: &'static str,
    log: Option<File>,
}

/// What a run of the agent left.
pub(crate) struct Ran {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Agent {
    pub(crate) fn new(verb: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-backup"));
        command.arg(verb).stdin(Stdio::null());
        for variable in ["ETCD_BACKUP_RUN_ID", "NODE_NAME", "RUST_LOG", "ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY"]
        {
            command.env_remove(variable);
        }
        Self { command, output: "json", log: None }
    }

    /// Text for people on standard output instead of JSON.
    pub(crate) fn text(self) -> Self {
        Self { output: "text", ..self }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    /// Standard error goes to a file, and has the store's operations alone.
    pub(crate) fn operations_to(mut self, file: &Path) -> Self {
        self.command.env("RUST_LOG", format!("{OPERATION_LOG}=debug"));
        self.log = Some(File::options().read(true).write(true).create(true).truncate(true).open(file).unwrap());
        self
    }

    pub(crate) fn run(self) -> Ran {
        self.start().wait()
    }

    pub(crate) fn start(mut self) -> Running {
        // Files, because a pipe that nobody reads yet would hold the agent up.
        let stdout = tempfile::tempfile().unwrap();
        let stderr = self.log.unwrap_or_else(|| tempfile::tempfile().unwrap());
        self.command.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
        self.command.args(["--output", self.output]);
        Running { child: self.command.spawn().unwrap(), stdout, stderr, started: Instant::now() }
    }
}

/// The agent while it runs; killed when a test ends before it.
pub(crate) struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    started: Instant,
}

impl Running {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = self.child.id();
        let pid = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the agent has brought the world to a state.
    pub(crate) fn until(&mut self, state: &str, reached: impl Fn() -> bool) {
        while !reached() {
            assert!(self.started.elapsed() < LIMIT, "waited in vain for {state}");
            if let Some(status) = self.child.try_wait().unwrap() {
                let Ran { stdout, stderr, .. } = self.ran(status);
                panic!("the agent ended with {status} before {state}:\n{stdout}\n{stderr}");
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// The end of the run.
    pub(crate) fn wait(mut self) -> Ran {
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return self.ran(status);
            }
            if self.started.elapsed() > LIMIT {
                self.child.kill().unwrap();
                let status = self.child.wait().unwrap();
                let Ran { stdout, stderr, .. } = self.ran(status);
                panic!("the agent did not end within {LIMIT:?}:\n{stdout}\n{stderr}");
            }
            sleep(Duration::from_millis(2));
        }
    }

    fn ran(&mut self, status: ExitStatus) -> Ran {
        let text = |file: &mut File| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let took = self.started.elapsed();
        Ran { exit: status.code(), stdout: text(&mut self.stdout), stderr: text(&mut self.stderr), took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ran {
    /// The run's end, which must be this one; the report is what standard output has.
    pub(crate) fn ended(&self, exit: i32) -> Report {
        assert_eq!(self.exit, Some(exit), "{}\n{}", self.stdout, self.stderr);
        self.report()
    }

    pub(crate) fn report(&self) -> Report {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }

    /// Standard output as JSON of no fixed type.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// Replaces bytes of a file.
pub(crate) fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// A file with this content.
pub(crate) fn file(path: &Path, content: &[u8]) {
    File::create(path).unwrap().write_all(content).unwrap();
}
