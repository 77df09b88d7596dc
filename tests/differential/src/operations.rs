//! Random changes to a member's database.

use anyhow::Result;
use etcd_client::{Client, CompactionOptions, DeleteOptions, LeaseGrantOptions, PutOptions, Txn, TxnOp};
use fastrand::Rng;

use crate::life::Kind;

const LEASE_SECONDS: i64 = 24 * 3600;

/// Changes in the order of a seed. All keys are taken from a small range, so that most are written more than once.
pub(crate) struct Operations {
    kind: Kind,
    rng: Rng,
    leases: Vec<i64>,
    next_lease: i64,
}

impl Operations {
    pub(crate) fn new(kind: Kind, rng: Rng) -> Self {
        Self { kind, rng, leases: Vec::new(), next_lease: 1 }
    }

    pub(crate) async fn run(&mut self, client: &mut Client, count: usize) -> Result<()> {
        for _ in 0..count {
            self.one(client).await?;
        }
        if self.kind == Kind::Deletions && self.rng.bool() {
            client.delete("/", Some(DeleteOptions::new().with_prefix())).await?;
            if self.rng.bool() {
                self.compact(client).await?;
            }
        }
        Ok(())
    }

    /// Puts that go on beside something else, for a while.
    pub(crate) async fn write_on(&mut self, mut client: Client) -> Result<()> {
        for _ in 0..30 {
            client.put(self.key(), self.value(), None).await?;
        }
        Ok(())
    }

    async fn one(&mut self, client: &mut Client) -> Result<()> {
        match (self.kind, self.rng.u8(..100)) {
            (Kind::Deletions, 0..40) | (_, 0..10) => {
                client.delete(self.key(), None).await?;
            }
            (Kind::Deletions, 40..50) | (_, 10..12) => {
                let prefix = format!("/registry/{}", self.rng.u8(..6));
                client.delete(prefix, Some(DeleteOptions::new().with_prefix())).await?;
            }
            (_, 50..60) => {
                client.txn(self.transaction()).await?;
            }
            (_, 60..66) => self.lease(client).await?,
            (_, 66..69) => self.compact(client).await?,
            _ => {
                client.put(self.key(), self.value(), None).await?;
            }
        }
        Ok(())
    }

    /// Several changes at one revision, each of a key of its own, as etcd demands.
    fn transaction(&mut self) -> Txn {
        let count = self.rng.usize(2..100);
        let changes = (0..count).map(|index| {
            let key = format!("/registry/{}/txn-{index}", self.rng.u8(..6));
            let value = vec![0; self.rng.usize(..300)];
            if self.rng.u8(..5) == 0 { TxnOp::delete(key, None) } else { TxnOp::put(key, value, None) }
        });
        Txn::new().and_then(changes.collect::<Vec<_>>())
    }

    async fn lease(&mut self, client: &mut Client) -> Result<()> {
        if let Some(lease) = self.rng.choice(self.leases.clone()).filter(|_| self.rng.u8(..4) == 0) {
            client.lease_revoke(lease).await?;
            self.leases.retain(|&other| other != lease);
            return Ok(());
        }
        // Ids over the whole range, negative ones excepted: 0 is for etcd to choose one.
        let lease = self.next_lease;
        self.next_lease = lease.wrapping_mul(37).wrapping_add(i64::from(self.rng.u16(1..))) & i64::MAX;
        client.lease_grant(LEASE_SECONDS, Some(LeaseGrantOptions::new().with_id(lease))).await?;
        self.leases.push(lease);
        for _ in 0..self.rng.usize(..4) {
            client.put(self.key(), self.value(), Some(PutOptions::new().with_lease(lease))).await?;
        }
        Ok(())
    }

    /// Compacts up to a revision of the newest ones, or the very newest.
    async fn compact(&mut self, client: &mut Client) -> Result<()> {
        let status = client.status().await?;
        let newest = status.header().map_or(0, etcd_client::ResponseHeader::revision);
        let revision = newest - i64::from(self.rng.u8(..10));
        let physical = self.rng.bool().then(|| CompactionOptions::new().with_physical());
        match client.compact(revision, physical).await {
            // It is compacted already.
            Err(etcd_client::Error::GRpcStatus(status)) if status.code() as i32 == OUT_OF_RANGE => {}
            result => {
                result?;
            }
        }
        Ok(())
    }

    fn key(&mut self) -> String {
        let group = self.rng.u8(..6);
        match self.rng.u8(..20) {
            // Kubernetes' are seldom longer than some hundred bytes; etcd has no limit of its own.
            0 => format!("/registry/{group}/{}", "long".repeat(self.rng.usize(1..500))),
            _ => format!("/registry/{group}/item-{}", self.rng.u16(..200)),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let bytes = match (self.kind, rng.u8(..100)) {
            (_, 0..5) => 0,
            (Kind::Large, 98..100) => rng.usize(1_000_000..1_500_000),
            (Kind::Large, 90..98) => rng.usize(10_000..200_000),
            (_, 5..60) => rng.usize(1..100),
            (_, 60..90) => rng.usize(100..2000),
            // About a page.
            (_, 90..97) => rng.usize(4000..4200),
            _ => rng.usize(4200..20_000),
        };
        let mut value = vec![0; bytes];
        if rng.bool() {
            rng.fill(&mut value);
        }
        if rng.u8(..20) == 0 {
            value.splice(..0, *b"k8s:enc:aescbc:v1:key1:");
        }
        value
    }
}

/// gRPC's code for it.
const OUT_OF_RANGE: i32 = 11;
