use etcd_client::GetOptions;

use crate::{
    Candidate, Connection, EtcdError,
    client::{Client, identity},
    survey::stranger,
};

/// Reads single keys through one member, over one connection.
///
/// The member answers from its own data (serializable reads), so this needs no quorum and costs the
/// others nothing. All keys are read as they were at one revision if that is given.
///
/// An answer above 4 MiB, tonic's limit for a message, is an error; etcd itself takes values up to
/// 1.5 MiB unless `--max-request-bytes` says otherwise.
pub struct KeyReader<'a> {
    client: Client,
    candidate: &'a Candidate,
    revision: Option<i64>,
}

impl<'a> KeyReader<'a> {
    /// Connects to the candidate. `revision` must be one that it has reached.
    ///
    /// # Errors
    /// Whatever keeps the candidate from being connected to.
    pub async fn connect(
        connection: &Connection,
        candidate: &'a Candidate,
        revision: Option<i64>,
    ) -> Result<Self, EtcdError> {
        let client = connection.connect(&candidate.status.endpoint).await?;
        Ok(Self { client, candidate, revision })
    }

    /// The value of a key; `None` if there is no such key.
    ///
    /// # Errors
    /// [`EtcdError::PermissionDenied`]; [`EtcdError::Unreachable`] if no answer comes in time, if it is
    /// too large, if the revision was compacted meanwhile, or if another member answers.
    pub async fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, EtcdError> {
        let options = GetOptions::new().with_serializable().with_revision(self.revision.unwrap_or(0));
        let mut response = self.client.read(key, options).await?;
        let (member_id, cluster_id) = identity(response.header());
        if (member_id, cluster_id) != (self.candidate.member_id, self.candidate.cluster_id) {
            return Err(stranger(self.client.endpoint(), member_id, cluster_id));
        }
        Ok(response.take_kvs().pop().map(|entry| entry.into_key_value().1))
    }
}
