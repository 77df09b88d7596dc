//! etcd members that the agent reaches through proxies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::{Etcd, EtcdOptions, Proxy};
use etcd_client::{AlarmAction, AlarmOptions, AlarmType, Certificate, Client, ConnectOptions, Identity, TlsOptions};
use serde_json::Value;
use tempfile::TempDir;

use super::agent::{Ended, Run, Volume, agent};
use crate::fill;

/// Bytes per second of a stream until a fault is caused, and while it is.
const SLOW: u64 = 10 << 20;
const HELD: u64 = 2 << 20;
/// Whose sets they are.
const OWNER: &str = "Manual/faults";
/// Longest that a run may take, or anything else that is waited for.
pub(super) const LIMIT: Duration = Duration::from_secs(90);

/// Everything that the faults are caused in.
pub struct Bed {
    /// The members.
    pub etcd: Etcd,
    /// Bytes of the database when it was filled.
    pub database_bytes: u64,
    /// In front of each member's client port, in the members' order.
    pub proxies: Vec<Proxy>,
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
}

impl Bed {
    /// Starts the members, puts so many values of one megabyte, and makes the backup that no fault may cost.
    ///
    /// # Errors
    /// If etcd does not start or no backup can be made.
    pub fn start(members: usize, megabytes: usize) -> Result<Self> {
        let dir = TempDir::with_prefix("etcd-backup-faults-")?;
        // Long enough that a member which is cut off still believes in its leader when the agent asks it.
        let args = ["--election-timeout=3000", "--heartbeat-interval=200", "--unsafe-no-fsync"].map(str::to_owned);
        let options = EtcdOptions { members, args: args.to_vec(), ..EtcdOptions::default() };
        let etcd = Etcd::start_partitionable(options)?;
        let port =
            |url: &String| url.rsplit(':').next().and_then(|port| port.parse().ok()).context("a URL without a port");
        let proxies = etcd.endpoints().iter().map(|url| Ok(Proxy::start(port(url)?)?)).collect::<Result<Vec<_>>>()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut bed = Self { etcd, database_bytes: 0, proxies, runtime, dir };
        bed.put_megabytes("/registry/big/", megabytes)?;
        bed.database_bytes = bed.status(0)?["dbSize"].as_u64().context("no dbSize")?;
        for component in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
            let manifest =
                format!("spec: {{containers: [{{name: {component}, image: 'registry.k8s.io/{component}:v1.34.4'}}]}}");
            bed.write(&format!("kubernetes/manifests/{component}.yaml"), &manifest)?;
        }
        bed.write("kubernetes/pki/ca.crt", "certificate")?;
        let good = bed.path("last-good");
        fs::create_dir(&good)?;
        let ended = bed.save(&good, 0, &[])?.wait()?;
        ensure!(ended.words() == "Completed", "no backup can be made: {}\n{}", ended.report, ended.log);
        Ok(bed)
    }

    /// A path of that name in the bed's directory.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().context("a file without a directory")?)?;
        Ok(fs::write(path, content)?)
    }

    /// A volume at that path, with the last good set on it.
    ///
    /// # Errors
    /// If it cannot be copied.
    pub fn volume(&self, path: &Path) -> Result<Volume> {
        fs::create_dir_all(path)?;
        command("cp", &["-a", &format!("{}/.", self.path("last-good").display()), &path.display().to_string()])?;
        // It is to be an older set: a fault may only cost what is not durable yet.
        command("sync", &["--file-system", &path.display().to_string()])?;
        Ok(Volume { path: path.to_owned() })
    }

    /// The agent's endpoints: this member through its proxy, as if it were the one of this host, then the others.
    fn seeds(&self, first: usize) -> String {
        let url = |member: usize| format!("https://127.0.0.1:{}", self.proxies[member].port());
        let others = (0..self.proxies.len()).filter(|&member| member != first);
        std::iter::once(first).chain(others).map(url).collect::<Vec<_>>().join(",")
    }

    /// `etcd-backup save` from this member first, as an administrator runs it, with more arguments.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn save(&self, volume: &Path, member: usize, args: &[&str]) -> Result<Run> {
        let mut save = self.save_command(volume, member)?;
        save.args(["--progress-timeout", "4s"]).args(args);
        Run::start(save)
    }

    /// The same, to be started.
    ///
    /// # Errors
    /// If the agent is not built.
    pub fn save_command(&self, volume: &Path, member: usize) -> Result<Command> {
        let mut save = agent("save")?;
        save.arg(volume).args(["--endpoints", &self.seeds(member), "--layout", "kubeadm", "--kubernetes-dir"]);
        save.arg(self.path("kubernetes"))
            .args(["--owner", OWNER, "--cluster", "faults"])
            .arg("--cacert")
            .arg(self.etcd.ca());
        save.arg("--cert").arg(self.etcd.cert()).arg("--key").arg(self.etcd.key());
        // How full the disk of this machine is must not matter.
        save.args(["--reserve-percent", "0"]);
        Ok(save)
    }

    /// A run that is streaming from this member, a quarter of it so far. The rest comes very slowly until
    /// [`Streaming::go_on`], so that a fault surely happens during the stream.
    ///
    /// # Errors
    /// If it does not get that far.
    pub fn streaming(&self, volume: &Path, member: usize) -> Result<Streaming> {
        self.streaming_with(volume, member, |_| Ok(()))
    }

    /// The same with something done to the command before.
    ///
    /// # Errors
    /// As [`streaming`](Self::streaming).
    pub fn streaming_with(
        &self,
        volume: &Path,
        member: usize,
        prepare: impl FnOnce(&mut Command) -> Result<()>,
    ) -> Result<Streaming> {
        let proxy = &self.proxies[member];
        proxy.limit(Some(SLOW));
        let before = proxy.bytes_to_clients();
        let mut save = self.save_command(volume, member)?;
        save.args(["--progress-timeout", "4s"]);
        prepare(&mut save)?;
        let mut run = Run::start(save)?;
        run.until("a quarter of the stream", || proxy.bytes_to_clients() - before > self.database_bytes / 4)?;
        proxy.limit(Some(HELD));
        Ok(Streaming { run, member, before })
    }

    /// All members run, hear each other and have a leader; every stream is fast.
    ///
    /// # Errors
    /// If it does not come to that.
    pub fn recover(&mut self) -> Result<()> {
        for member in 0..self.proxies.len() {
            self.proxies[member].resume();
            self.proxies[member].limit(None);
            // One that does not run has nobody to resume.
            if self.etcd.resume(member).is_err() {
                self.etcd.restart(member)?;
            }
        }
        self.etcd.rejoin();
        self.until_healthy()
    }

    fn until_healthy(&self) -> Result<()> {
        until("all members to be healthy", || Ok(self.etcd.etcdctl(&["endpoint", "health"]).is_ok()))
    }

    /// What a member says of itself.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn status(&self, member: usize) -> Result<Value> {
        let status = self.etcd.etcdctl(&["endpoint", "status", "-w", "json"])?;
        let all: Vec<Value> = serde_json::from_str(&status.stdout)?;
        let endpoint = &self.etcd.endpoints()[member];
        let own = all.iter().find(|answer| answer["Endpoint"] == endpoint.as_str());
        Ok(own.context("the member did not answer")?["Status"].clone())
    }

    /// A member's id.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn member_id(&self, member: usize) -> Result<u64> {
        self.status(member)?["header"]["member_id"].as_u64().context("a member without an id")
    }

    /// Waits until a member has heard of a leader that runs.
    ///
    /// # Errors
    /// If it does not.
    pub fn until_led(&self, member: usize) -> Result<()> {
        until("a leader", || Ok(self.put_through(member).is_ok()))
    }

    /// The leader; all members must run.
    ///
    /// # Errors
    /// If there is none.
    pub fn leader(&self) -> Result<usize> {
        let leads =
            |&member: &usize| self.status(member).is_ok_and(|status| status["leader"] == status["header"]["member_id"]);
        (0..self.proxies.len()).find(leads).context("there is no leader")
    }

    /// A member that does not lead; all members must run.
    ///
    /// # Errors
    /// If there is none.
    pub fn follower(&self) -> Result<usize> {
        Ok(if self.leader()? == 0 { 1 } else { 0 })
    }

    /// Puts values of one megabyte.
    ///
    /// # Errors
    /// If etcd refuses.
    pub fn put_megabytes(&self, prefix: &str, values: usize) -> Result<()> {
        self.put_megabytes_through(self.leader()?, prefix, values)
    }

    /// The same through one member.
    ///
    /// # Errors
    /// If etcd refuses.
    pub fn put_megabytes_through(&self, member: usize, prefix: &str, values: usize) -> Result<()> {
        let endpoint = self.etcd.endpoints()[member].clone();
        self.runtime.block_on(async { fill::put(&mut self.client(vec![endpoint]).await?, prefix, values).await })
    }

    /// Puts a key through one member, and gives its revision.
    ///
    /// # Errors
    /// If etcd refuses.
    pub fn put_through(&self, member: usize) -> Result<i64> {
        let endpoint = self.etcd.endpoints()[member].clone();
        self.runtime.block_on(async {
            let answer = self.client(vec![endpoint]).await?.put("/registry/small", "1", None).await?;
            Ok(answer.header().context("an answer without a header")?.revision())
        })
    }

    /// Raises or disarms an alarm for a member, as etcd itself does by the same proposal.
    ///
    /// # Errors
    /// If etcd refuses.
    pub fn alarm(&self, action: AlarmAction, alarm: AlarmType, member: usize) -> Result<()> {
        let id = self.member_id(member)?;
        self.runtime.block_on(async {
            let mut options = AlarmOptions::new();
            options.with_member(id);
            Ok(self.client(self.etcd.endpoints()).await?.alarm(action, alarm, Some(options)).await.map(drop)?)
        })
    }

    async fn client(&self, endpoints: Vec<String>) -> Result<Client> {
        let tls = TlsOptions::new()
            .ca_certificate(Certificate::from_pem(fs::read(self.etcd.ca())?))
            .identity(Identity::from_pem(fs::read(self.etcd.cert())?, fs::read(self.etcd.key())?));
        let options = ConnectOptions::new().with_tls(tls);
        Ok(Client::connect(endpoints, Some(options)).await?)
    }
}

/// A run in the middle of its stream.
pub struct Streaming {
    run: Run,
    member: usize,
    /// Bytes that this member's proxy had passed on before.
    before: u64,
}

impl Streaming {
    /// Lets the stream come at full speed, and waits for the end of the run.
    ///
    /// # Errors
    /// If the stream was over already, or the run does not end as [`Run::wait`] demands.
    pub fn go_on(self, bed: &Bed) -> Result<Ended> {
        let proxy = &bed.proxies[self.member];
        let streamed = proxy.bytes_to_clients() - self.before;
        let size = bed.database_bytes;
        ensure!(streamed < size / 10 * 9, "the fault came too late: {streamed} of {size} bytes had been streamed");
        proxy.limit(None);
        self.run.wait()
    }
}

/// Runs a program of the system; what it prints.
///
/// # Errors
/// With what it says if it fails.
pub fn command(program: &str, args: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(args).stdin(Stdio::null()).output().with_context(|| format!("run {program}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {}: {stderr}", args.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for something, for a bounded time.
///
/// # Errors
/// If it does not come.
pub fn until(what: &str, reached: impl Fn() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !reached()? {
        ensure!(began.elapsed() < LIMIT, "waited in vain for {what}");
        sleep(Duration::from_millis(50));
    }
    Ok(())
}
