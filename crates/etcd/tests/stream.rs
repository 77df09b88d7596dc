//! Snapshots of real members, whole and disturbed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails must fail")]

mod support;

use std::{
    fs::File,
    io::{PipeReader, Read, pipe},
    os::fd::OwnedFd,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use etcd_backup_core::Reason;
use etcd_backup_etcd::{Connection, EtcdError, Limits, SnapshotStream, linearizable_revision};
use sha2::{Digest, Sha256};
use support::Bed;
use tokio_util::sync::CancellationToken;

async fn open(bed: &Bed, connection: &Connection, limits: &Limits) -> SnapshotStream {
    let candidate = bed.best(connection).await;
    SnapshotStream::open(connection, &candidate, limits, &CancellationToken::new()).await.unwrap()
}

/// A file that takes nothing once the pipe is full, and the end that would make room.
fn stuck_file() -> (File, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    (File::from(OwnedFd::from(writer)), reader)
}

async fn within(limit: Duration, run: impl Future<Output = Result<impl Sized, EtcdError>>) -> EtcdError {
    let start = Instant::now();
    let error = run.await.map(|_| ()).unwrap_err();
    assert!(start.elapsed() < limit, "{error} after {:?}", start.elapsed());
    error
}

#[tokio::test]
async fn a_snapshot_comes_whole_and_etcdutl_reads_it() {
    let bed = Bed::start(3).await;
    bed.fill(8).await;
    let connection = bed.connection();
    let candidate = bed.best(&connection).await;
    let revision = linearizable_revision(&connection, &candidate).await.unwrap();
    let cancel = CancellationToken::new();
    let stream = SnapshotStream::open(&connection, &candidate, &Limits::default(), &cancel).await.unwrap();
    let announced = stream.size_bytes();
    assert!(stream.storage_version().is_some_and(|version| version.starts_with("3.")));

    let file = tempfile::NamedTempFile::new().unwrap();
    let mut seen = Vec::new();
    let streamed = stream.write_to(file.reopen().unwrap(), |bytes| seen.push(bytes)).await.unwrap();

    let content = std::fs::read(file.path()).unwrap();
    assert_eq!((streamed.bytes, announced, content.len() as u64), (announced, announced, announced));
    assert!(announced > 8 << 20 && announced % 512 == 32, "{announced}");
    let (data, trailer) = content.split_at(content.len() - 32);
    assert_eq!(Sha256::digest(data).as_slice(), trailer);
    assert!(seen.is_sorted() && seen.last() == Some(&announced), "{seen:?}");

    let mut etcdutl = Command::new(etcd_backup_testbed::tool("etcdutl").unwrap());
    let output = etcdutl.args(["snapshot", "status", "-w", "json"]).arg(file.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(&format!("\"revision\":{revision},")), "{text}");
}

#[tokio::test]
async fn a_member_that_hangs_stalls_the_stream() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    let limits = Limits { progress_timeout: Duration::from_secs(1), ..Limits::default() };
    let stream = open(&bed, &bed.connection(), &limits).await;
    bed.etcd.pause(0).unwrap();
    let error = within(Duration::from_secs(20), stream.write_to(tempfile::tempfile().unwrap(), |_| ())).await;
    assert_eq!(error.reason(), Reason::Stalled, "{error}");
}

#[tokio::test]
async fn a_member_that_dies_breaks_the_stream() {
    let mut bed = Bed::start(1).await;
    bed.fill(8).await;
    let stream = open(&bed, &bed.connection(), &Limits::default()).await;
    bed.etcd.kill(0).unwrap();
    let error = within(Duration::from_secs(20), stream.write_to(tempfile::tempfile().unwrap(), |_| ())).await;
    assert_eq!(error.reason(), Reason::StreamBroken, "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_says_why() {
    let bed = Bed::start(1).await;
    let full = File::options().write(true).open("/dev/full").unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    let read_only = File::open(path.path()).unwrap();
    for (file, expected) in [(full, Reason::NoSpace), (read_only, Reason::VolumeIo)] {
        let stream = open(&bed, &bed.connection(), &Limits::default()).await;
        let error = within(Duration::from_secs(20), stream.write_to(file, |_| ())).await;
        assert_eq!(error.reason(), expected, "{error}");
    }
    assert_eq!(path.as_file().metadata().unwrap().len(), 0);
}

#[tokio::test]
async fn a_file_that_takes_nothing_is_too_slow() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    let limits = Limits { sink_window: Duration::from_secs(1), ..Limits::default() };
    let (file, _reader) = stuck_file();
    let stream = open(&bed, &bed.connection(), &limits).await;
    let error = within(Duration::from_secs(30), stream.write_to(file, |_| ())).await;
    assert_eq!(error.reason(), Reason::SinkTooSlow, "{error}");
}

#[tokio::test]
async fn a_file_that_takes_too_little_is_too_slow_and_one_above_the_floor_is_not() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    for (floor, too_slow) in [(64 << 20, true), (64 << 10, false)] {
        let limits =
            Limits { sink_window: Duration::from_millis(500), floor_bytes_per_second: floor, ..Limits::default() };
        // 64 KiB every 20 ms, some 3 MiB/s.
        let (file, mut reader) = stuck_file();
        let reading = thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let stream = open(&bed, &bed.connection(), &limits).await;
        let result = stream.write_to(file, |_| ()).await;
        assert_eq!(result.as_ref().err().map(EtcdError::reason), too_slow.then_some(Reason::SinkTooSlow), "{result:?}");
        reading.join().unwrap();
    }
}

#[tokio::test]
async fn a_cancelled_run_is_interrupted_and_a_late_one_ended() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    let connection = bed.connection();
    let candidate = bed.best(&connection).await;
    for (allowed, expected) in [(None, Reason::Interrupted), (Some(2), Reason::DeadlineExceeded)] {
        let cancel = CancellationToken::new();
        let deadline = allowed.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let limits = Limits { deadline, ..Limits::default() };
        let stream = SnapshotStream::open(&connection, &candidate, &limits, &cancel).await.unwrap();
        if deadline.is_none() {
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                cancel.cancel();
            });
        }
        let (file, reader) = stuck_file();
        // Once the stream is over, the thread that is stuck in a write may go.
        let free = thread::spawn(move || {
            thread::sleep(Duration::from_secs(3));
            drop(reader);
        });
        let error = within(Duration::from_secs(20), stream.write_to(file, |_| ())).await;
        assert_eq!(error.reason(), expected, "{error}");
        free.join().unwrap();
    }

    let cancel = CancellationToken::new();
    cancel.cancel();
    let error =
        within(Duration::from_secs(20), SnapshotStream::open(&connection, &candidate, &Limits::default(), &cancel))
            .await;
    assert_eq!(error.reason(), Reason::Interrupted, "{error}");
}

#[tokio::test]
async fn a_database_that_grows_meanwhile_ends_the_stream() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    let limits =
        Limits { growth_allowance_bytes: 4 << 20, status_interval: Duration::from_millis(200), ..Limits::default() };
    let connection = bed.connection();
    let stream = open(&bed, &connection, &limits).await;
    let (file, reader) = stuck_file();
    let free = thread::spawn(move || {
        thread::sleep(Duration::from_secs(10));
        drop(reader);
    });
    let (error, ()) = tokio::join!(within(Duration::from_secs(30), stream.write_to(file, |_| ())), bed.fill(16));
    assert_eq!(error.reason(), Reason::DatabaseGrowth, "{error}");
    free.join().unwrap();
}

#[tokio::test]
async fn a_dropped_stream_frees_the_member_at_once() {
    let bed = Bed::start(1).await;
    bed.fill(8).await;
    let connection = bed.connection();
    let stream = open(&bed, &connection, &Limits::default()).await;
    let mut client = bed.client().await;
    // etcd cannot defragment while a snapshot's read transaction is open.
    let held = tokio::time::timeout(Duration::from_secs(1), client.defragment()).await;
    assert!(held.is_err(), "the snapshot was sent before it was read: {held:?}");
    drop(stream);
    tokio::time::timeout(Duration::from_secs(5), client.defragment()).await.unwrap().unwrap();
}
