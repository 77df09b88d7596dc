use std::{fs::File, io, mem, os::unix::fs::FileExt, time::Duration};

use etcd_client::{SnapshotResponse, SnapshotStreaming};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{
    Candidate, Connection, EtcdError, Limits,
    client::in_words,
    framing::{Framing, Part, TRAILER_BYTES},
    sink::{BATCH, Gone, Sink},
    survey::{bytes, confirm},
    watch::{Baseline, Pace, database_growth, end_of_run, rate, slow_sink},
};

/// So many messages without data in a row are no accident: etcd fails to read its own database.
const MAX_EMPTY_MESSAGES: u32 = 1000;

/// A member's status has its database's size as of the last commit, some 100 ms ago, and a snapshot
/// begins with a commit; more than this is not written in between.
const MAX_UNCOMMITTED_BYTES: u64 = 256 << 20;

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
    /// The member it is from.
    pub member: String,
    /// Bytes of the file, the 32-byte trailer included.
    pub bytes: u64,
    /// CRC-32C of the file.
    pub crc32c: u32,
}

impl Streamed {
    /// Whether it is the member's fault that the file is not sound: it holds what came, and that has
    /// another SHA-256 than the trailer says. Reads all of the file.
    ///
    /// Nothing computes that SHA-256 while the snapshot comes: it must be computed of what is on the
    /// disk, and twice is a quarter of a backup's work. A CRC tells the member from the disk as well.
    ///
    /// # Errors
    /// Those of reading.
    pub fn is_broken_in(&self, file: &File) -> io::Result<Option<EtcdError>> {
        let (mut crc, mut hash) = (0, Sha256::new());
        let mut block = vec![0; 1 << 20];
        let (mut offset, content_bytes) = (0, self.bytes - TRAILER_BYTES);
        while offset < content_bytes {
            let piece = &mut block[..(content_bytes - offset).min(1 << 20) as usize];
            file.read_exact_at(piece, offset)?;
            crc = crc32c::crc32c_append(crc, piece);
            hash.update(&*piece);
            offset += piece.len() as u64;
        }
        let mut trailer = [0; TRAILER_BYTES as usize];
        file.read_exact_at(&mut trailer, content_bytes)?;
        let content = hash.finalize();
        if crc32c::crc32c_append(crc, &trailer) != self.crc32c || content[..] == trailer {
            return Ok(None);
        }
        let why = format!("the data that came has SHA-256 {}, the member sent {}", hex(&content), hex(&trailer));
        let (member, received) = (self.member.clone(), self.bytes);
        Ok(Some(EtcdError::StreamBroken { member, received, size: received, why }))
    }
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
        let status = confirm(connection, &mut client, candidate).await?;
        let quota_bytes = Some(bytes(status.db_size_quota())).filter(|&quota| quota > 0).or(limits.quota_bytes);
        let broken = |why: String| EtcdError::StreamBroken { member: candidate.to_string(), received: 0, size: 0, why };
        let (messages, first) = match timeout(limits.progress_timeout, client.snapshot()).await {
            Err(_) => {
                let why = format!("no data came for {:?}", limits.progress_timeout);
                return Err(EtcdError::Stalled { member, received: 0, size: 0, why });
            }
            // It has just given its status, so it is there, and it is the snapshot that it does not give.
            Ok(Err(EtcdError::Unreachable { why, .. })) => return Err(broken(why)),
            Ok(result) => result?,
        };
        let first = first.ok_or_else(|| broken("it ended before its first message".to_owned()))?;
        let framing = Framing::announced_by(first.remaining_bytes(), first.blob().len()).map_err(&broken)?;
        let baseline = Baseline { db_size_bytes: framing.content_bytes(), quota_bytes };
        let told = Some(bytes(status.db_size())).filter(|&told| told > 0);
        // Room is made for what is announced, so a lie must not get as far as that.
        if let Some(told) = told.filter(|&told| baseline.db_size_bytes.saturating_sub(told) > MAX_UNCOMMITTED_BYTES) {
            return Err(broken(format!("it announces {} bytes of a database of {told}", baseline.db_size_bytes)));
        }
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
    /// One of the limits is passed, the stream breaks or does not keep to etcd's protocol, or the file
    /// cannot be written. The file's content is then worthless.
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
        let floor = limits.floor_bytes_per_second;
        let allowed = limits.sink_window + Duration::from_secs(left_bytes / floor.max(1));
        let crc32c = tokio::select! {
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
        Ok(Streamed { member, bytes: framing.size_bytes(), crc32c })
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
        let mut batch = Vec::with_capacity(BATCH);
        let mut empty_in_a_row = 0;
        let mut patience = Instant::now() + self.limits.progress_timeout;
        let mut pace = Pace::default();
        loop {
            let accepted = self.framing.accept(message.remaining_bytes(), message.blob().len());
            if accepted.map_err(|why| self.broken(why))? == Part::Empty {
                empty_in_a_row += 1;
                if empty_in_a_row == MAX_EMPTY_MESSAGES {
                    return Err(self.stalled("it sends only messages without data, so it cannot read its own database"));
                }
            } else {
                batch.push(message);
                if batch.len() == BATCH
                    && let Err(Gone) = sink.send(mem::take(&mut batch)).await
                {
                    return Ok(());
                }
                progress(self.framing.received_bytes());
                pace.came(self.framing.received_bytes(), self.limits).map_err(|why| self.stalled(&why))?;
                empty_in_a_row = 0;
                // Anew after the sink has taken it: its slowness is not etcd's.
                patience = Instant::now() + self.limits.progress_timeout;
            }
            let asked = Instant::now();
            let next = timeout_at(patience, self.messages.message()).await;
            pace.waited(asked.elapsed());
            message = match next {
                Err(_) => {
                    return Err(self.stalled(&format!("no data came for {:?}", self.limits.progress_timeout)));
                }
                Ok(Err(error)) => return Err(self.broken(in_words(&error))),
                Ok(Ok(None)) => {
                    self.framing.end().map_err(|why| self.broken(why))?;
                    // If it is gone, its outcome says why.
                    let (Ok(()) | Err(Gone)) = sink.send(batch).await;
                    return Ok(());
                }
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file of that content with that trailer, and what was told of it when it came.
    fn saved(content: &[u8], trailer: &[u8]) -> (File, Streamed) {
        let whole = [content, trailer].concat();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole).unwrap();
        let crc32c = crc32c::crc32c(&whole);
        (file, Streamed { member: "m0".to_owned(), bytes: whole.len() as u64, crc32c })
    }

    #[test]
    fn a_members_fault_is_told_from_the_disks() {
        let content = vec![7; (1 << 20) + 512];
        let right = Sha256::digest(&content);
        let (file, streamed) = saved(&content, &right);
        assert_eq!(streamed.is_broken_in(&file).unwrap(), None, "sound");
        file.write_all_at(&[8], 1 << 20).unwrap();
        assert_eq!(streamed.is_broken_in(&file).unwrap(), None, "not what came");
        file.set_len(1 << 20).unwrap();
        assert!(streamed.is_broken_in(&file).is_err(), "cut");

        let (file, streamed) = saved(&content, &[9; 32]);
        let error = streamed.is_broken_in(&file).unwrap().unwrap();
        let expected = format!("the data that came has SHA-256 {}, the member sent {}", hex(&right), "09".repeat(32));
        assert!(error.to_string().contains(&expected), "{error}");
    }
}
