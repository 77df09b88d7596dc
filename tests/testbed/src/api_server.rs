//! One kube-apiserver on one etcd member, as plain processes, for tests that need an API and no nodes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::etcd::{Etcd, EtcdOptions, api_server_args, free_ports};
use crate::kubeconfig::{self, Kubectl};
use crate::pki::{Authority, write_token_key};
use crate::process::{self, Daemon};
use crate::temporary;
use crate::tools::tool;
use crate::wait::{self, Seen};

const READY: Duration = Duration::from_secs(60);
/// Kubeconfigs of an existing cluster to use instead, in this order.
const EXISTING: [&str; 2] = ["ETCD_BACKUP_TEST_KUBECONFIG", "KUBECONFIG"];

/// A Kubernetes API with RBAC and every default admission plugin but `ServiceAccount`, which would refuse pods as long
/// as no controller manager makes accounts. Gone when this is dropped.
///
/// With `ETCD_BACKUP_TEST_KUBECONFIG` or `KUBECONFIG` set, that cluster is used instead and nothing is started.
pub struct ApiServer {
    // Dropped in this order: the API server before the etcd it writes to, and both before their files.
    own: Option<(Daemon, Etcd)>,
    kubeconfig: PathBuf,
    dir: TempDir,
}

impl ApiServer {
    /// Starts etcd and the API server and waits until it is ready, about 4 s.
    ///
    /// # Errors
    /// When a program is not found or is not ready in time (its log's end is in the message).
    pub fn start() -> Result<Self> {
        let existing = EXISTING.iter().find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
        match existing {
            Some(kubeconfig) => {
                let server = Self { own: None, kubeconfig: kubeconfig.into(), dir: temporary::directory("api")? };
                server.kubectl(&["get", "--raw", "/readyz"])?;
                Ok(server)
            }
            None => Self::start_own(&[]),
        }
    }

    /// The same whatever cluster there is already, with more arguments for kube-apiserver: for tests of what it
    /// writes to its etcd.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_own(args: &[&str]) -> Result<Self> {
        let dir = temporary::directory("api")?;
        // Nothing of this outlives the test, so nothing needs to reach the disk.
        let etcd = Etcd::start(EtcdOptions { args: vec!["--unsafe-no-fsync".to_owned()], ..EtcdOptions::default() })?;
        let [port] = free_ports()?;
        let kubeconfig = write_credentials(dir.path(), port)?;
        let log = dir.path().join("kube-apiserver.log");
        let mut command = api_server(dir.path(), port, &etcd)?;
        command.args(args);
        let daemon = Daemon::start("kube-apiserver", command, &log)?;
        let mut server = Self { own: Some((daemon, etcd)), kubeconfig, dir };
        server.wait_ready(&log)?;
        Ok(server)
    }

    /// A kubeconfig with the rights of an administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The API server's etcd; none when an existing cluster is used.
    #[must_use]
    pub fn etcd(&self) -> Option<&Etcd> {
        self.own.as_ref().map(|(_, etcd)| etcd)
    }

    /// A kubeconfig with which every request is made as `user` in `groups`, for tests of permissions. A user without
    /// any RBAC binding may do nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn user_kubeconfig(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let path = self.dir.path().join(format!("{}.kubeconfig", user.replace(['/', ':'], "-")));
        kubeconfig::write_impersonating(&path, self, user, groups)?;
        Ok(path)
    }

    fn wait_ready(&mut self, log: &Path) -> Result<()> {
        wait::until("kube-apiserver to be ready", READY, || {
            if let Some((daemon, _)) = &mut self.own {
                daemon.check()?;
            }
            let ready = ["get", "--raw", "/readyz"];
            Ok(match self.kubectl_within(Duration::from_secs(5), &ready, "") {
                Ok(_) => Seen::Ready(()),
                Err(error) => Seen::NotYet(format!("{error}\n{}", process::tail(log))),
            })
        })
    }
}

impl Kubectl for ApiServer {
    fn kubectl_command(&self) -> Result<Command> {
        let mut command = Command::new(tool("kubectl")?);
        command.args(kubeconfig::arguments(&self.kubeconfig, self.dir.path()));
        Ok(command)
    }
}

/// Writes what the API server and its administrator identify themselves with; returns the administrator's kubeconfig.
fn write_credentials(dir: &Path, port: u16) -> Result<PathBuf> {
    let authority = Authority::new("kubernetes")?;
    fs::write(dir.join("ca.crt"), authority.certificate()).map_err(Error::io("write the API server's ca.crt"))?;
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned(), "kubernetes.default.svc".to_owned()];
    authority.issue("kube-apiserver", None, &names)?.write(&dir.join("apiserver"))?;
    write_token_key(&dir.join("sa"))?;
    let admin = authority.issue("kubernetes-admin", Some("system:masters"), &[])?;
    let kubeconfig = dir.join("admin.kubeconfig");
    kubeconfig::write(&kubeconfig, &format!("https://127.0.0.1:{port}"), &authority.certificate(), &admin)?;
    Ok(kubeconfig)
}

fn api_server(dir: &Path, port: u16, etcd: &Etcd) -> Result<Command> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut command = Command::new(tool("kube-apiserver")?);
    command.args(api_server_args(etcd));
    command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    command.arg(format!("--secure-port={port}"));
    command.arg(format!("--tls-cert-file={}", file("apiserver.crt")));
    command.arg(format!("--tls-private-key-file={}", file("apiserver.key")));
    command.arg(format!("--client-ca-file={}", file("ca.crt")));
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    command.arg(format!("--service-account-key-file={}", file("sa.pub")));
    command.arg(format!("--service-account-signing-key-file={}", file("sa.key")));
    command.args(["--service-cluster-ip-range=10.0.0.0/24", "--authorization-mode=RBAC", "--allow-privileged=true"]);
    command.args(["--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"]);
    Ok(command)
}
