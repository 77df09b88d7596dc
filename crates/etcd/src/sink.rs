use std::{
    fs::File,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use etcd_client::SnapshotResponse;
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

/// Messages between the stream and the file: 1 MiB of etcd's 32 KiB each. Enough to even out small
/// hiccups, and little memory.
const QUEUE: usize = 32;

/// A thread that writes the messages to the file and hashes them on the way.
///
/// A thread of its own, not one of tokio's blocking threads: a write to a dead NFS server may never
/// return, and the runtime would wait for it at its end.
pub(crate) struct Sink {
    queue: mpsc::Sender<Chunk>,
    written: Arc<AtomicU64>,
    outcome: oneshot::Receiver<io::Result<Digests>>,
}

/// Something to write.
pub(crate) enum Chunk {
    /// Data.
    Data(SnapshotResponse),
    /// The closing message with etcd's hash of all data.
    Trailer(SnapshotResponse),
}

/// What was written, hashed.
pub(crate) struct Digests {
    /// Of the data.
    pub(crate) content: [u8; 32],
    /// What the trailer says of the data, if it came.
    pub(crate) trailer: Vec<u8>,
    /// Of the whole file.
    pub(crate) file: [u8; 32],
}

/// The thread takes nothing more; why is its outcome.
pub(crate) struct Gone;

impl Sink {
    pub(crate) fn start(file: File) -> io::Result<Self> {
        let (queue, chunks) = mpsc::channel(QUEUE);
        let (report, outcome) = oneshot::channel();
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        thread::Builder::new().name("snapshot-sink".to_owned()).spawn(move || {
            // Nobody listens any more if the stream was dropped.
            let _ = report.send(write(file, chunks, &counter));
        })?;
        Ok(Self { queue, written, outcome })
    }

    pub(crate) async fn send(&self, chunk: Chunk) -> Result<(), Gone> {
        self.queue.send(chunk).await.map_err(|_| Gone)
    }

    /// Bytes written so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the stream is ahead of the file, so that etcd may have to wait for the file.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.capacity() < QUEUE / 2
    }

    /// Waits until all that was sent is written.
    pub(crate) async fn finish(self) -> io::Result<Digests> {
        drop(self.queue);
        self.outcome.await.map_err(|_| io::Error::other("the writing thread died"))?
    }
}

fn write(mut file: File, mut chunks: mpsc::Receiver<Chunk>, written: &AtomicU64) -> io::Result<Digests> {
    let mut hash = Sha256::new();
    let mut content = None;
    let mut trailer = Vec::new();
    while let Some(chunk) = chunks.blocking_recv() {
        let message = match &chunk {
            Chunk::Data(message) => message,
            Chunk::Trailer(message) => {
                content = Some(hash.clone());
                trailer = message.blob().to_vec();
                message
            }
        };
        file.write_all(message.blob())?;
        hash.update(message.blob());
        written.fetch_add(message.blob().len() as u64, Ordering::Relaxed);
    }
    let content = content.unwrap_or_else(|| hash.clone()).finalize().into();
    Ok(Digests { content, trailer, file: hash.finalize().into() })
}
