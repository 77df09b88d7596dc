use std::{fs::File, io, time::Duration};

use etcd_client::{SnapshotResponse, SnapshotStreaming};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    Candidate, Connection, EtcdError, Limits,
    client::{identity, in_words},
    framing::{Framing, Part},
    sink::{Chunk, Digests, Gone, Sink},
    survey::{bytes, stranger},
    watch::{Baseline, database_growth, end_of_run, rate, slow_sink},
};

/// So many messages without data in a row are no accident: etcd fails to read its own database.
const MAX_EMPTY_MESSAGES: u32 = 1000;

/// How long the writing thread may take to notice that a failed stream is over.
const SINK_GRACE: Duration = Duration::from_secs(5);

/// A snapshot that a member has begun to send.
///
/// While this lives, etcd holds a read transaction and its database can only grow. Dropping it ends
/// the RPC at once.
pub struct SnapshotStream {
    member: String,
    endpoint: String,
    connection: Connection,
    limits: Limits,
    cancel: CancellationToken,
    baseline: Baseline,
    messages: SnapshotStreaming,
    first: SnapshotResponse,
    framing: Framing,
}

/// A snapshot as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streamed {
    /// Bytes of the file, the 32-byte trailer included.
    pub bytes: u64,
    /// SHA-256 of the file in lower-case hex, as `sha256sum` prints it.
    pub sha256: String,
}

impl SnapshotStream {
    /// Asks the candidate for a snapshot and waits for the first message, which says how large it is.
    ///
    /// # Errors
    /// The candidate does not answer or refuses, sends nothing for the progress timeout, or the run
    /// is over.
    pub async fn open(
        connection: &Connection,
        candidate: &Candidate,
        limits: &Limits,
        cancel: &CancellationToken,
    ) -> Result<Self, EtcdError> {
        let member = candidate.to_string();
        tokio::select! {
            biased;
            error = end_of_run(&member, limits, cancel) => Err(error),
            stream = Self::begin(connection, candidate, limits, cancel) => stream,
        }
    }

    async fn begin(
        connection: &Connection,
        candidate: &Candidate,
        limits: &Limits,
        cancel: &CancellationToken,
    ) -> Result<Self, EtcdError> {
        let member = candidate.to_string();
        let mut client = connection.connect(&candidate.status.endpoint).await?;
        // The snapshot's messages do not say who sends them, a status over the same connection does.
        let status = client.status().await?;
        let (member_id, cluster_id) = identity(status.header());
        if (member_id, cluster_id) != (candidate.member_id, candidate.cluster_id) {
            return Err(stranger(client.endpoint(), member_id, cluster_id));
        }
        let quota_bytes = Some(bytes(status.db_size_quota())).filter(|&quota| quota > 0).or(limits.quota_bytes);
        let baseline = Baseline { db_size_bytes: bytes(status.db_size()), quota_bytes };

        let broken = |why: String| EtcdError::StreamBroken { member: candidate.to_string(), received: 0, size: 0, why };
        let (messages, first) = match timeout(limits.progress_timeout, client.snapshot()).await {
            Err(_) => {
                let why = format!("no data came for {:?}", limits.progress_timeout);
                return Err(EtcdError::Stalled { member, received: 0, size: 0, why });
            }
            Ok(result) => result?,
        };
        let first = first.ok_or_else(|| broken("it ended before its first message".to_owned()))?;
        let framing = Framing::announced_by(first.remaining_bytes(), first.blob().len()).map_err(broken)?;
        tracing::info!(member, endpoint = client.endpoint(), size_bytes = framing.size_bytes(), "snapshot begins");
        Ok(Self {
            member,
            endpoint: client.endpoint().to_owned(),
            connection: connection.clone(),
            limits: limits.clone(),
            cancel: cancel.clone(),
            baseline,
            messages,
            first,
            framing,
        })
    }

    /// The exact size of the file in bytes, the 32-byte trailer included.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.framing.size_bytes()
    }

    /// The version of the storage, such as `3.6.0`; etcd before 3.6 does not say.
    #[must_use]
    pub fn storage_version(&self) -> Option<&str> {
        Some(self.first.version()).filter(|version| !version.is_empty())
    }

    /// Writes the snapshot to `file` from its current position, in a thread of its own, and tells
    /// `progress` the bytes received so far.
    ///
    /// Nothing is synchronised to the disk here: that can wait until etcd is free again.
    ///
    /// # Errors
    /// One of the limits is passed, the stream breaks or does not keep to etcd's protocol, its
    /// content does not match etcd's own hash, or the file cannot be written. The file's content is
    /// then worthless.
    pub async fn write_to(self, file: File, mut progress: impl FnMut(u64)) -> Result<Streamed, EtcdError> {
        let Self { member, endpoint, connection, limits, cancel, baseline, messages, first, framing } = self;
        let sink = Sink::start(file).map_err(|error| sink_failed(&error))?;
        let mut transfer = Transfer { member: &member, limits: &limits, messages, framing };
        let ended = tokio::select! {
            biased;
            error = end_of_run(&member, &limits, &cancel) => Err(error),
            error = database_growth(&member, &limits, &connection, &endpoint, baseline) => Err(error),
            error = slow_sink(&member, &limits, &sink) => Err(error),
            result = transfer.run(first, &sink, &mut progress) => result,
        };
        let Transfer { messages, framing, .. } = transfer;
        // First etcd, whatever the file does.
        drop(messages);
        if let Err(error) = ended {
            // The caller will remove the file or write to it again: nobody else should by then.
            if timeout(SINK_GRACE, sink.finish()).await.is_err() {
                tracing::warn!(member, "a write to the volume does not return");
            }
            return Err(error);
        }
        let left_bytes = framing.received_bytes() - sink.written_bytes();
        let floor = limits.sink_floor_bytes_per_second;
        let allowed = limits.sink_window + Duration::from_secs(left_bytes / floor.max(1));
        let digests = tokio::select! {
            biased;
            error = end_of_run(&member, &limits, &cancel) => return Err(error),
            finished = timeout(allowed, sink.finish()) => match finished {
                Ok(outcome) => outcome.map_err(|error| sink_failed(&error))?,
                Err(_) => return Err(EtcdError::SinkTooSlow {
                    member,
                    // At most: it has not even taken all that was left.
                    bytes_per_second: rate(left_bytes, allowed),
                    floor_bytes_per_second: floor,
                }),
            },
        };
        check(&member, &framing, &digests)?;
        Ok(Streamed { bytes: framing.size_bytes(), sha256: hex(&digests.file) })
    }
}

/// The stream from etcd to the sink.
struct Transfer<'a> {
    member: &'a str,
    limits: &'a Limits,
    messages: SnapshotStreaming,
    framing: Framing,
}

impl Transfer<'_> {
    /// Ends well at the stream's end, and if the sink takes nothing more: why is the sink's to say.
    async fn run(
        &mut self,
        first: SnapshotResponse,
        sink: &Sink,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), EtcdError> {
        let mut message = first;
        let mut empty_in_a_row = 0;
        let mut patience = Instant::now() + self.limits.progress_timeout;
        loop {
            let accepted = self.framing.accept(message.remaining_bytes(), message.blob().len());
            let chunk = match accepted.map_err(|why| self.broken(why))? {
                Part::Data => Some(Chunk::Data(message)),
                Part::Trailer => Some(Chunk::Trailer(message)),
                Part::Empty => None,
            };
            if let Some(chunk) = chunk {
                if let Err(Gone) = sink.send(chunk).await {
                    return Ok(());
                }
                progress(self.framing.received_bytes());
                empty_in_a_row = 0;
                // Anew after the sink has taken it: its slowness is not etcd's.
                patience = Instant::now() + self.limits.progress_timeout;
            } else {
                empty_in_a_row += 1;
                if empty_in_a_row == MAX_EMPTY_MESSAGES {
                    return Err(self.stalled("it sends only messages without data, so it cannot read its own database"));
                }
            }
            message = match timeout_at(patience, self.messages.message()).await {
                Err(_) => {
                    return Err(self.stalled(&format!("no data came for {:?}", self.limits.progress_timeout)));
                }
                Ok(Err(error)) => return Err(self.broken(in_words(&error))),
                Ok(Ok(None)) => return self.framing.end().map_err(|why| self.broken(why)),
                Ok(Ok(Some(message))) => message,
            };
        }
    }

    fn broken(&self, why: String) -> EtcdError {
        broken(self.member, &self.framing, why)
    }

    fn stalled(&self, why: &str) -> EtcdError {
        EtcdError::Stalled {
            member: self.member.to_owned(),
            received: self.framing.received_bytes(),
            size: self.framing.size_bytes(),
            why: why.to_owned(),
        }
    }
}

/// The content must have etcd's own hash, in whole.
fn check(member: &str, framing: &Framing, digests: &Digests) -> Result<(), EtcdError> {
    if digests.trailer != digests.content {
        let why = format!(
            "the data that came has SHA-256 {}, the member sent {}",
            hex(&digests.content),
            hex(&digests.trailer)
        );
        return Err(broken(member, framing, why));
    }
    Ok(())
}

fn broken(member: &str, framing: &Framing, why: String) -> EtcdError {
    EtcdError::StreamBroken {
        member: member.to_owned(),
        received: framing.received_bytes(),
        size: framing.size_bytes(),
        why,
    }
}

fn sink_failed(error: &io::Error) -> EtcdError {
    EtcdError::Sink {
        why: error.to_string(),
        no_space: matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
