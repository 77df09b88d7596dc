use std::path::PathBuf;

use tonic::Code;

use crate::snapshot::{self, Messages, Steps};

/// etcd's answer to `Maintenance.Status`.
pub type Status = etcd_client::proto::PbStatusResponse;
/// etcd's answer to `Cluster.MemberList`.
pub type MemberList = etcd_client::proto::PbMemberListResponse;
/// etcd's answer to `KV.Range`.
pub type Range = etcd_client::proto::PbRangeResponse;

type StatusChange = dyn Fn(usize, &mut Status) + Send + Sync;
type MemberListChange = dyn Fn(&mut MemberList) + Send + Sync;
type RangeChange = dyn Fn(&mut Range) -> Answer + Send + Sync;
type SnapshotChange = dyn Fn(Messages) -> Steps + Send + Sync;

/// What a [`HostileMember`](crate::HostileMember) does; unless told otherwise, what the real one does.
pub struct Behaviour {
    pub(crate) speech: Speech,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) status: Box<StatusChange>,
    pub(crate) member_list: Box<MemberListChange>,
    pub(crate) range: Box<RangeChange>,
    pub(crate) snapshot: Box<SnapshotChange>,
}

/// What comes out of a connection that it has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// gRPC.
    Grpc,
    /// Nothing, ever.
    Silence,
    /// An answer of HTTP/1.
    Http1,
    /// HTTP/2's 502, as a load balancer has it that finds nobody behind it.
    BadGateway,
    /// Bytes that are of no protocol.
    Garbage,
    /// HTTP/2's GOAWAY before any request.
    GoAway,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The answer, as it was changed.
    Given,
    /// An error in its place.
    Refused(Code, &'static str),
    /// None.
    Withheld,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            speech: Speech::Grpc,
            identity: None,
            status: Box::new(|_, _| ()),
            member_list: Box::new(|_| ()),
            range: Box::new(|_| Answer::Given),
            snapshot: Box::new(snapshot::honest),
        }
    }
}

impl Behaviour {
    /// Speaks like this.
    #[must_use]
    pub fn speaking(self, speech: Speech) -> Self {
        Self { speech, ..self }
    }

    /// Speaks TLS with this certificate and key, PEM, and asks no client for one.
    #[must_use]
    pub fn identity(self, (certificate, key): (PathBuf, PathBuf)) -> Self {
        Self { identity: Some((certificate, key)), ..self }
    }

    /// Changes what it says of itself. The number is how often it was asked before.
    #[must_use]
    pub fn status(self, change: impl Fn(usize, &mut Status) + Send + Sync + 'static) -> Self {
        Self { status: Box::new(change), ..self }
    }

    /// Changes what it says of the members.
    #[must_use]
    pub fn member_list(self, change: impl Fn(&mut MemberList) + Send + Sync + 'static) -> Self {
        Self { member_list: Box::new(change), ..self }
    }

    /// Changes what it says of keys.
    #[must_use]
    pub fn range(self, change: impl Fn(&mut Range) -> Answer + Send + Sync + 'static) -> Self {
        Self { range: Box::new(change), ..self }
    }

    /// Makes a snapshot's messages what is sent.
    #[must_use]
    pub fn snapshot(self, change: impl Fn(Messages) -> Steps + Send + Sync + 'static) -> Self {
        Self { snapshot: Box::new(change), ..self }
    }
}
