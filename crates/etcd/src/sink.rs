use std::{
    fs::File,
    io::{self, IoSlice, Write},
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self as blocking, Receiver},
    },
    thread,
};

use etcd_client::SnapshotResponse;
use rustix::fs::Advice;
use tokio::sync::{mpsc, oneshot};

/// Messages that are handed over and written together, 256 KiB of etcd's 32 KiB each: waking a thread
/// and calling the system for each of them would cost more than the writing.
pub(crate) const BATCH: usize = 8;

/// Batches between the stream and the file. Enough to even out small hiccups, and little memory.
const QUEUE: usize = 4;

/// Bytes that are sent on their way to the disk together.
const WRITE_BACK_BYTES: u64 = 8 << 20;

/// Messages with data, in their order; the closing one is data of the file too.
pub(crate) type Batch = Vec<SnapshotResponse>;

/// A thread that writes the messages to the file.
///
/// A thread of its own, not one of tokio's blocking threads: a write to a dead NFS server may never
/// return, and the runtime would wait for it at its end.
pub(crate) struct Sink {
    queue: mpsc::Sender<Batch>,
    written: Arc<AtomicU64>,
    outcome: oneshot::Receiver<io::Result<u32>>,
}

/// The thread takes nothing more; why is its outcome.
pub(crate) struct Gone;

impl Sink {
    pub(crate) fn start(file: File) -> io::Result<Self> {
        let (queue, batches) = mpsc::channel(QUEUE);
        let (report, outcome) = oneshot::channel();
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let (to_disk, written_ends) = blocking::channel();
        let own = file.try_clone()?;
        thread::Builder::new().name("write-back".to_owned()).spawn(move || write_back(&own, &written_ends))?;
        thread::Builder::new().name("snapshot-sink".to_owned()).spawn(move || {
            // Nobody listens any more if the stream was dropped.
            let _ = report.send(write(file, batches, &counter, &to_disk));
        })?;
        Ok(Self { queue, written, outcome })
    }

    pub(crate) async fn send(&self, batch: Batch) -> Result<(), Gone> {
        self.queue.send(batch).await.map_err(|_| Gone)
    }

    /// Bytes written so far.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether the stream is ahead of the file, so that etcd may have to wait for the file.
    pub(crate) fn is_behind(&self) -> bool {
        self.queue.capacity() < QUEUE / 2
    }

    /// Waits until all that was sent is written; the CRC-32C of it.
    pub(crate) async fn finish(self) -> io::Result<u32> {
        drop(self.queue);
        self.outcome.await.map_err(|_| io::Error::other("the writing thread died"))?
    }
}

fn write(
    mut file: File,
    mut batches: mpsc::Receiver<Batch>,
    written: &AtomicU64,
    to_disk: &blocking::Sender<u64>,
) -> io::Result<u32> {
    let (mut crc, mut end, mut announced) = (0, 0, 0);
    while let Some(batch) = batches.blocking_recv() {
        write_batch(&mut file, &batch)?;
        for message in &batch {
            crc = crc32c::crc32c_append(crc, message.blob());
            end += message.blob().len() as u64;
        }
        written.store(end, Ordering::Relaxed);
        if end - announced >= WRITE_BACK_BYTES {
            announced = end;
            // It only hastens what fsync does in any case.
            let _ = to_disk.send(end);
        }
    }
    Ok(crc)
}

fn write_batch(file: &mut File, batch: &Batch) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = batch.iter().map(|message| IoSlice::new(message.blob())).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Sends what has been written on its way to the disk while more comes, so that the fsync at the end is
/// short, and gives up the page cache's memory of what has arrived there.
///
/// Linux begins to write dirty pages of which it is told that they are not needed, and waits for none;
/// but it waits when the disk's queue is full, and in this thread nobody waits with it: a slow disk must
/// not hold up etcd while there is memory.
fn write_back(file: &File, written_ends: &Receiver<u64>) {
    let mut begun = 0;
    while let Ok(mut end) = written_ends.recv() {
        end = written_ends.try_iter().last().unwrap_or(end);
        // Once more from the piece before: by now most of it is on the disk.
        let from = u64::saturating_sub(begun, WRITE_BACK_BYTES);
        if rustix::fs::fadvise(file, from, NonZeroU64::new(end - from), Advice::DontNeed).is_err() {
            return;
        }
        begun = end;
    }
}
