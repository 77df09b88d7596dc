//! A database like that of a Kubernetes cluster.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use etcd_backup_testbed::Etcd;
use etcd_client::{Certificate, Client, CompactionOptions, ConnectOptions, Identity, TlsOptions, Txn, TxnOp};
use tokio::task::JoinSet;

use crate::size::Size;

/// Values that a transaction writes, and transactions under way at a time.
const VALUES: u64 = 16;
const IN_FLIGHT: usize = 16;

/// An etcd whose database is to have a size.
pub(crate) struct Database<'a> {
    pub(crate) etcd: &'a Etcd,
    /// etcd's version.
    pub(crate) version: &'a str,
    pub(crate) size: Size,
}

impl Database<'_> {
    /// Fills it, in a process of its own.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["fill", "--size", &self.size.to_string()]);
        command.args(["--endpoint", &self.etcd.endpoints()[0]]).arg("--ca").arg(self.etcd.ca());
        command.arg("--cert").arg(self.etcd.cert()).arg("--key").arg(self.etcd.key());
        let status = command.status().context("run this program again")?;
        ensure!(status.success(), "etcd could not be filled");
        Ok(())
    }
}

/// Fills an etcd.
#[derive(Debug, Args)]
pub(crate) struct Fill {
    #[arg(long)]
    size: Size,
    #[command(flatten)]
    access: Access,
}

/// How etcd is reached.
#[derive(Debug, Clone, Args)]
pub(crate) struct Access {
    #[arg(long)]
    endpoint: String,
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    cert: PathBuf,
    #[arg(long)]
    key: PathBuf,
}

impl Access {
    pub(crate) fn to(etcd: &Etcd) -> Self {
        Self { endpoint: etcd.endpoints()[0].clone(), ca: etcd.ca(), cert: etcd.cert(), key: etcd.key() }
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("read {}", path.display()));
        let identity = Identity::from_pem(read(&self.cert)?, read(&self.key)?);
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&self.ca)?)).identity(identity);
        Ok(Client::connect([&self.endpoint], Some(ConnectOptions::new().with_tls(tls))).await?)
    }
}

impl Fill {
    /// Writes until the database has its size: a fifth of the writes replace an object, one in fifty deletes one, and the
    /// older half of the history is compacted, as kube-apiserver does all the time.
    #[tokio::main(flavor = "current_thread")]
    pub(crate) async fn run(&self) -> Result<()> {
        let mut client = self.access.connect().await?;
        let mut under_way = JoinSet::new();
        let mut random = Random::default();
        let mut objects = 0;
        for transaction in 0_u64.. {
            if transaction.is_multiple_of(32) {
                let status = client.status().await?;
                if u64::try_from(status.db_size())? >= self.size.bytes() {
                    break;
                }
            }
            if under_way.len() == IN_FLIGHT
                && let Some(written) = under_way.join_next().await
            {
                written??;
            }
            let mut writes = vec![];
            for value in 0..VALUES {
                // Neighbours in a transaction must not write the same key.
                let again = value == 0 && objects > VALUES && random.below(100) < 80 + 4;
                let object = if again { random.below(objects - VALUES) } else { objects };
                objects += u64::from(!again);
                writes.push(match again && random.below(10) == 0 {
                    true => TxnOp::delete(key(object), None),
                    false => TxnOp::put(key(object), random.value(), None),
                });
            }
            let mut client = client.clone();
            under_way.spawn(async move { client.txn(Txn::new().and_then(writes)).await.map(drop) });
        }
        while let Some(written) = under_way.join_next().await {
            written??;
        }
        let revision = client.status().await?.header().map_or(0, |header| header.revision());
        client.compact(revision / 2, Some(CompactionOptions::new().with_physical())).await?;
        Ok(())
    }
}

fn key(object: u64) -> String {
    const KINDS: [&str; 5] = ["pods", "events", "secrets", "configmaps", "leases"];
    let kind = KINDS[(object % KINDS.len() as u64) as usize];
    format!("/registry/{kind}/namespace-{:03}/object-{object:08x}", object % 211)
}

/// Numbers that are the same in every run: xorshift64.
struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// An object as kube-apiserver stores it: mostly some kilobytes, now and then tens of them; the field names of its
    /// JSON over and over again, and a third that does not compress.
    fn value(&mut self) -> Vec<u8> {
        let bytes = match self.below(100) {
            0..30 => 400 + self.below(800),
            30..95 => 1_500 + self.below(6_000),
            _ => 20_000 + self.below(60_000),
        } as usize;
        let mut value = b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12".to_vec();
        while value.len() < bytes {
            value.extend_from_slice(br#""f:metadata":{"f:labels":{".":{},"f:app":{}}},"uid":""#);
            (0..4).for_each(|_| value.extend_from_slice(&self.next().to_le_bytes()));
        }
        value
    }
}
