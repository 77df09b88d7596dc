//! Fills etcd with bytes, so that a backup takes long enough to be interrupted.

use std::fs;

use anyhow::{Context as _, Result};
use etcd_backup_testbed::Cluster;
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

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
        client.put(format!("/fill/{index:06}"), value, None).await?;
    }
    Ok(())
}
