//! Fills etcd with bytes, so that a backup takes long enough to be interrupted.

use std::fs;

use anyhow::{Context as _, Result};
use etcd_backup_testbed::Cluster;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use serde_json::Value;

/// The word by which this program, started inside a node, knows that it is to fill etcd.
pub const VERB: &str = "fill-etcd";
const PKI: &str = "/etc/kubernetes/pki/etcd";
const VALUE_BYTES: usize = 1_000_000;

/// Runs this very program inside node 0 with [`VERB`].
///
/// # Errors
/// If etcd cannot be filled.
pub fn fill(cluster: &Cluster, megabytes: usize) -> Result<()> {
    let program = std::env::current_exe()?;
    let program = program.to_str().context("the program's path is not UTF-8")?;
    cluster.node_exec(0, &[program, VERB, &megabytes.to_string()])?;
    Ok(())
}

/// Fills etcd until its database has that many bytes, if it has less.
///
/// # Errors
/// If etcd cannot be asked or filled.
pub fn grow_to(cluster: &Cluster, bytes: u64) -> Result<()> {
    let missing = bytes.saturating_sub(database_bytes(cluster)?);
    fill(cluster, usize::try_from(missing.div_ceil(VALUE_BYTES as u64))?)
}

/// Takes everything out that was filled in, and gives the disk back.
///
/// # Errors
/// If etcd refuses.
pub fn empty(cluster: &Cluster) -> Result<()> {
    cluster.etcdctl(&["del", "--prefix", "/fill/"])?;
    let revision = status(cluster)?["header"]["revision"].to_string();
    cluster.etcdctl(&["compact", "--physical", &revision])?;
    cluster.etcdctl(&["defrag", "--command-timeout=60s"])?;
    Ok(())
}

/// Bytes of the database's file, which is what a snapshot has.
///
/// # Errors
/// If etcd cannot be asked.
pub fn database_bytes(cluster: &Cluster) -> Result<u64> {
    status(cluster)?["dbSize"].as_u64().context("no dbSize")
}

fn status(cluster: &Cluster) -> Result<Value> {
    let status: Value = serde_json::from_str(&cluster.etcdctl(&["endpoint", "status", "-w", "json"])?.stdout)?;
    Ok(status[0]["Status"].clone())
}

/// Puts that many values of one megabyte, inside a node.
///
/// # Errors
/// If etcd refuses.
#[tokio::main(flavor = "current_thread")]
pub async fn run(megabytes: usize) -> Result<()> {
    let file = |name: &str| fs::read(format!("{PKI}/{name}")).with_context(|| format!("read {PKI}/{name}"));
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(file("ca.crt")?))
        .identity(Identity::from_pem(file("healthcheck-client.crt")?, file("healthcheck-client.key")?));
    let mut client = Client::connect(["https://127.0.0.1:2379"], Some(ConnectOptions::new().with_tls(tls))).await?;
    put(&mut client, "/fill/", megabytes).await
}

/// Puts values of one megabyte under numbered keys.
///
/// # Errors
/// If etcd refuses.
pub async fn put(client: &mut Client, prefix: &str, megabytes: usize) -> Result<()> {
    // Not all alike: a file of one repeated byte would be no test of reading it back.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for index in 0..megabytes {
        let value: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(VALUE_BYTES / 8)
        .flatten()
        .collect();
        client.put(format!("{prefix}{index:06}"), value, None).await?;
    }
    Ok(())
}
