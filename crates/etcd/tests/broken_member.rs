//! A member that does not keep to etcd's protocol: a server with scripted messages stands in, for no
//! real etcd does such things on demand.

#![expect(clippy::unwrap_used, reason = "a test whose setup fails must fail")]

use std::{
    fs::{self, File},
    io::{Read, Seek},
    pin::Pin,
    time::{Duration, Instant},
};

use etcd_backup_core::Reason;
use etcd_backup_etcd::{Candidate, Connection, EtcdError, Limits, MemberStatus, SnapshotStream, Streamed};
use etcd_client::proto::{
    PbAlarmRequest, PbAlarmResponse, PbDefragmentRequest, PbDefragmentResponse, PbDowngradeRequest,
    PbDowngradeResponse, PbHashKvRequest, PbHashKvResponse, PbHashRequest, PbHashResponse, PbMaintenanceServer,
    PbMaintenanceService, PbMoveLeaderRequest, PbMoveLeaderResponse, PbResponseHeader, PbSnapshotRequest,
    PbSnapshotResponse, PbStatusRequest, PbStatusResponse,
};
use futures::{Stream, StreamExt, future::join_all, stream};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

const MEMBER: u64 = 0xa;
const CLUSTER: u64 = 0xc;
const PAGE: usize = 4096;

/// What comes after the scripted messages.
#[derive(Clone, Copy)]
enum Then {
    End,
    Error,
    EmptyMessages,
    EmptyMessageEvery(Duration),
    Nothing,
}

struct Member {
    messages: Vec<PbSnapshotResponse>,
    then: Then,
}

fn message(remaining_bytes: usize, blob: &[u8]) -> PbSnapshotResponse {
    PbSnapshotResponse {
        header: None,
        remaining_bytes: remaining_bytes as u64,
        blob: blob.to_vec(),
        version: "3.6.0".to_owned(),
    }
}

/// Three pages of data in three messages, without the closing one.
fn data() -> Vec<PbSnapshotResponse> {
    (1..=3).map(|n: u8| message((3 - usize::from(n)) * PAGE, &[n; PAGE])).collect()
}

fn trailer_of(messages: &[PbSnapshotResponse]) -> PbSnapshotResponse {
    let hash = messages.iter().fold(Sha256::new(), |hash, message| hash.chain_update(&message.blob)).finalize();
    message(0, hash.as_slice())
}

fn with(mut messages: Vec<PbSnapshotResponse>, more: PbSnapshotResponse) -> Vec<PbSnapshotResponse> {
    messages.push(more);
    messages
}

fn whole() -> Vec<PbSnapshotResponse> {
    let data = data();
    let trailer = trailer_of(&data);
    with(data, trailer)
}

type Messages = Pin<Box<dyn Stream<Item = Result<PbSnapshotResponse, Status>> + Send>>;

#[tonic::async_trait]
impl PbMaintenanceService for Member {
    type SnapshotStream = Messages;

    async fn snapshot(&self, _: Request<PbSnapshotRequest>) -> Result<Response<Messages>, Status> {
        let remaining = self.messages.last().map_or(PAGE, |last| last.remaining_bytes as usize);
        let empty = move || Ok(message(remaining, &[]));
        let rest: Messages = match self.then {
            Then::End => Box::pin(stream::empty()),
            Then::Error => Box::pin(stream::iter([Err(Status::internal("disk on fire"))])),
            Then::EmptyMessages => Box::pin(stream::repeat_with(empty)),
            Then::EmptyMessageEvery(pause) => Box::pin(stream::repeat(()).then(move |()| async move {
                tokio::time::sleep(pause).await;
                empty()
            })),
            Then::Nothing => Box::pin(stream::pending()),
        };
        let scripted: Vec<_> = self.messages.iter().cloned().map(Ok).collect();
        Ok(Response::new(Box::pin(stream::iter(scripted).chain(rest))))
    }

    async fn status(&self, _: Request<PbStatusRequest>) -> Result<Response<PbStatusResponse>, Status> {
        let header = PbResponseHeader { cluster_id: CLUSTER, member_id: MEMBER, ..PbResponseHeader::default() };
        Ok(Response::new(PbStatusResponse { header: Some(header), ..PbStatusResponse::default() }))
    }

    async fn alarm(&self, _: Request<PbAlarmRequest>) -> Result<Response<PbAlarmResponse>, Status> {
        Err(not_asked())
    }

    async fn defragment(&self, _: Request<PbDefragmentRequest>) -> Result<Response<PbDefragmentResponse>, Status> {
        Err(not_asked())
    }

    async fn hash(&self, _: Request<PbHashRequest>) -> Result<Response<PbHashResponse>, Status> {
        Err(not_asked())
    }

    async fn hash_kv(&self, _: Request<PbHashKvRequest>) -> Result<Response<PbHashKvResponse>, Status> {
        Err(not_asked())
    }

    async fn move_leader(&self, _: Request<PbMoveLeaderRequest>) -> Result<Response<PbMoveLeaderResponse>, Status> {
        Err(not_asked())
    }

    async fn downgrade(&self, _: Request<PbDowngradeRequest>) -> Result<Response<PbDowngradeResponse>, Status> {
        Err(not_asked())
    }
}

fn not_asked() -> Status {
    Status::unimplemented("a backup does not ask for this")
}

fn candidate(endpoint: &str) -> Candidate {
    Candidate {
        cluster_id: CLUSTER,
        member_id: MEMBER,
        name: "m0".to_owned(),
        status: MemberStatus {
            endpoint: endpoint.to_owned(),
            version: "3.6.4".to_owned(),
            storage_version: None,
            leader: Some(MEMBER),
            raft_term: 2,
            raft_applied_index: 1,
            db_size_bytes: 0,
            db_size_in_use_bytes: 0,
            quota_bytes: None,
            errors: Vec::new(),
        },
        raft_index: None,
        is_local: true,
        is_leader: true,
        warnings: Vec::new(),
    }
}

/// Takes a snapshot of what the member sends.
async fn save(messages: Vec<PbSnapshotResponse>, then: Then, file: File) -> Result<Streamed, EtcdError> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", incoming.local_addr().unwrap());
    let service = PbMaintenanceServer::new(Member { messages, then });
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));

    let connection = Connection::new(vec![endpoint.clone()], None);
    let limits = Limits { progress_timeout: Duration::from_secs(2), ..Limits::default() };
    let stream = SnapshotStream::open(&connection, &candidate(&endpoint), &limits, &CancellationToken::new()).await?;
    stream.write_to(file, |_| ()).await
}

#[tokio::test]
async fn what_keeps_to_the_protocol_is_written_as_it_came() {
    let mut file = tempfile::tempfile().unwrap();
    let streamed = save(whole(), Then::End, file.try_clone().unwrap()).await.unwrap();
    let expected: Vec<u8> = whole().into_iter().flat_map(|message| message.blob).collect();
    let mut content = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, expected);
    let sha256: String = Sha256::digest(&expected).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(streamed, Streamed { bytes: expected.len() as u64, sha256 });
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_refused() {
    let mut flipped = whole();
    flipped[1].blob[7] ^= 1;
    let mut cut = data();
    cut.pop();
    for (case, messages, then, says) in [
        ("no message at all", vec![], Then::End, "before its first message"),
        ("no database", vec![message(0, &[])], Then::End, "announces 0 bytes"),
        ("cut in the data", cut.clone(), Then::End, "without the closing message"),
        ("cut before the closing message", data(), Then::End, "without the closing message"),
        ("an error of the server", cut, Then::Error, "disk on fire"),
        ("a flipped bit", flipped, Then::End, "the data that came has SHA-256"),
        ("a wrong hash", with(data(), message(0, &[0; 32])), Then::End, "the data that came has SHA-256"),
        ("a short hash", with(data(), message(0, &[0; 31])), Then::End, "has 31 bytes"),
        ("more after the end", with(whole(), message(0, &[1])), Then::End, "after the closing one"),
    ] {
        let error = save(messages, then, tempfile::tempfile().unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::StreamBroken, "{case}: {error}");
        assert!(error.to_string().contains(says), "{case}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_without_progress_stalls() {
    let mut first = data();
    first.truncate(1);
    let drip = Then::EmptyMessageEvery(Duration::from_millis(50));
    let cases = [
        ("silence from the start", vec![], Then::Nothing, "no data came for 2s"),
        ("silence in the middle", first.clone(), Then::Nothing, "no data came for 2s"),
        ("silence instead of the end", whole(), Then::Nothing, "no data came for 2s"),
        ("now and then an empty message", first.clone(), drip, "no data came for 2s"),
        ("a flood of empty messages", first, Then::EmptyMessages, "cannot read its own database"),
    ];
    let start = Instant::now();
    join_all(cases.map(|(case, messages, then, says)| async move {
        let error = save(messages, then, tempfile::tempfile().unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::Stalled, "{case}: {error}");
        assert!(error.to_string().contains(says), "{case}: {error}");
    }))
    .await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_says_why() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let path = tempfile::NamedTempFile::new().unwrap();
    let read_only = File::open(path.path()).unwrap();
    for (file, expected) in [(full, Reason::NoSpace), (read_only, Reason::VolumeIo)] {
        let error = save(whole(), Then::End, file).await.unwrap_err();
        assert_eq!(error.reason(), expected, "{error}");
    }
    assert_eq!(fs::metadata(path.path()).unwrap().len(), 0);
}
