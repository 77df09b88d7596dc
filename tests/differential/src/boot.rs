//! A real etcd on a restored data directory.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use etcd_backup_testbed::{Daemon, Error, free_ports};
use etcd_client::{Client, ConnectOptions};
use tokio::time::{sleep, timeout};

use crate::content::Content;
use crate::etcdutl::{NAME, PEER_URL, Verdict, gist};
use crate::version::Version;

/// Far above what a sound member needs to serve, and what its answers take.
pub(crate) const PATIENT: Duration = Duration::from_secs(30);
/// For one that need not serve: damage makes some wait for ever.
pub(crate) const IMPATIENT: Duration = Duration::from_secs(4);
const READ_LIMIT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(20);

/// The user that may read everything, in databases where clients must authenticate.
pub(crate) const USER: &str = "root";
pub(crate) const PASSWORD: &str = "secret";

/// Boots etcd on `data_dir` and reads all that it holds; it must serve within `limit`.
///
/// If nobody can log in, because the password is what was damaged, it has still booted: then there is no content.
pub(crate) async fn boot(version: &Version, data_dir: &Path, limit: Duration) -> Result<Verdict<Option<Content>>> {
    // Another process may take a port before etcd does; it is not etcd's fault then.
    for _ in 0..3 {
        match attempt(version, data_dir, limit).await? {
            Err(why) if why.contains("address already in use") => {}
            verdict => return Ok(verdict),
        }
    }
    bail!("no port was free three times in a row")
}

async fn attempt(version: &Version, data_dir: &Path, limit: Duration) -> Result<Verdict<Option<Content>>> {
    let [client_port, peer_port] = free_ports()?;
    let url = format!("http://127.0.0.1:{client_port}");
    let mut command = Command::new(version.etcd()?);
    command.args(["--name", NAME]).arg("--data-dir").arg(data_dir);
    command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
    command.args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer_port}")]);
    command.args(["--initial-advertise-peer-urls", PEER_URL, "--initial-cluster", &format!("{NAME}={PEER_URL}")]);
    command.args(["--heartbeat-interval", "10", "--election-timeout", "100"]);
    if version.can_leave_out_fsync() {
        command.arg("--unsafe-no-fsync");
    }
    let log = data_dir.with_extension("log");
    // The log of an earlier attempt must not be taken for this one's.
    std::fs::write(&log, "").with_context(|| format!("empty {}", log.display()))?;
    let mut etcd = Daemon::start("etcd", command, &log)?;
    if let Err(why) = serves(&mut etcd, &url, &log, limit).await? {
        return Ok(Err(why));
    }
    match timeout(READ_LIMIT, read(&url)).await {
        Err(_) => Ok(Err(format!("not everything could be read within {READ_LIMIT:?}"))),
        Ok(Err(error)) => Ok(Err(format!("it boots, but reading fails: {error:#}"))),
        Ok(Ok(content)) => Ok(Ok(content)),
    }
}

/// Waits until a linearizable read is answered.
async fn serves(etcd: &mut Daemon, url: &str, log: &Path, limit: Duration) -> Result<Verdict<()>> {
    let began = Instant::now();
    while began.elapsed() < limit {
        match etcd.check() {
            Ok(()) => {}
            Err(Error::Ended { status, .. }) => return Ok(Err(format!("{status}: {}", last_words(log)))),
            Err(error) => return Err(error.into()),
        }
        let asked = async { Client::connect([url], None).await?.get("serving", None).await };
        match timeout(Duration::from_secs(2), asked).await {
            Ok(Ok(_)) => return Ok(Ok(())),
            Ok(Err(error)) if authentication_is_on(&error) => return Ok(Ok(())),
            _ => sleep(INTERVAL).await,
        }
    }
    Ok(Err(format!("it did not serve within {limit:?}: {}", last_words(log))))
}

async fn read(url: &str) -> Result<Option<Content>> {
    let mut client = Client::connect([url], None).await?;
    match Content::read(&mut client, None).await {
        Err(error) if error.downcast_ref().is_some_and(authentication_is_on) => {}
        result => return result.map(Some),
    }
    match Client::connect([url], Some(ConnectOptions::new().with_user(USER, PASSWORD))).await {
        Ok(mut client) => Content::read(&mut client, None).await.map(Some),
        Err(_) => Ok(None),
    }
}

fn authentication_is_on(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status) if status.message().contains("user name is empty"))
}

fn last_words(log: &Path) -> String {
    gist(&String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()))
}
