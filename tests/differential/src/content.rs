//! What a member serves, in a form that two members can be compared by.

use anyhow::Result;
use etcd_client::{Client, GetOptions};
use sha2::{Digest as _, Sha256};

/// Keys asked for at once.
const PAGE_KEYS: i64 = 200;

/// All keys at one revision with their values, revisions and leases, and all leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// The revision of the store.
    pub(crate) revision: i64,
    keys: usize,
    leases: usize,
    sha256: String,
}

impl Content {
    /// Reads everything at `revision`, or at the current one.
    pub(crate) async fn read(client: &mut Client, revision: Option<i64>) -> Result<Self> {
        let mut kv = client.kv_client().max_decoding_message_size(usize::MAX);
        let (mut hash, mut keys, mut next, mut at) = (Sha256::new(), 0, vec![0], revision.unwrap_or(0));
        loop {
            let options = GetOptions::new().with_from_key().with_limit(PAGE_KEYS).with_revision(at);
            let page = kv.get(next.clone(), Some(options)).await?;
            if at == 0 {
                at = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            }
            for entry in page.kvs() {
                for bytes in [entry.key(), entry.value()] {
                    hash.update((bytes.len() as u64).to_be_bytes());
                    hash.update(bytes);
                }
                for number in [entry.create_revision(), entry.mod_revision(), entry.version(), entry.lease()] {
                    hash.update(number.to_be_bytes());
                }
                keys += 1;
            }
            match page.kvs().last() {
                Some(last) if page.more() => next = [last.key(), &[0]].concat(),
                _ => break,
            }
        }
        let mut leases: Vec<i64> = client.leases().await?.leases().iter().map(etcd_client::LeaseStatus::id).collect();
        leases.sort_unstable();
        for &lease in &leases {
            hash.update(lease.to_be_bytes());
            hash.update(client.lease_time_to_live(lease, None).await?.granted_ttl().to_be_bytes());
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { revision: at, keys, leases: leases.len(), sha256 })
    }
}
