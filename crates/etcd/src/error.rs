use std::{path::PathBuf, time::Duration};

use etcd_backup_core::Reason;

/// Why etcd gave no snapshot: which endpoint or member, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// A TLS file cannot be used.
    #[error("TLS file {}: {why}; give a readable PEM file", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Client and server do not agree on TLS.
    #[error(
        "TLS with {endpoint} failed: {why}; check that the CA file signed the server's certificate, that this \
         certificate names the endpoint's host, that etcd trusts the client certificate, and that neither has expired"
    )]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// The TLS library's words.
        why: String,
    },
    /// An endpoint is not one.
    #[error("etcd endpoint {endpoint:?}: {why}; give it as https://host:2379")]
    InvalidEndpoint {
        /// The endpoint as given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// etcd refused the client's identity.
    #[error(
        "etcd at {endpoint} refused the request: {why}; where etcd's auth is on, the client certificate's common name must be a user with the role root"
    )]
    PermissionDenied {
        /// The endpoint.
        endpoint: String,
        /// etcd's words.
        why: String,
    },
    /// One endpoint gave no usable answer.
    #[error(
        "no answer from etcd at {endpoint}: {why}; check that the member runs, that this host reaches it, and that this is \
         its client URL, usually port 2379"
    )]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What was tried and what happened.
        why: String,
    },
    /// Somebody else answers where a member should, such as a load balancer's choice.
    #[error(
        "another etcd member answers at {endpoint}: {member_id:x} of cluster {cluster_id:x}; give the endpoints of one cluster, \
         and check that the client URLs in `etcdctl member list` lead to the members themselves"
    )]
    Stranger {
        /// The endpoint.
        endpoint: String,
        /// Who answered.
        member_id: u64,
        /// The cluster of the one that answered.
        cluster_id: u64,
    },
    /// None of the endpoints, or none of the members, gave a usable answer.
    #[error("no etcd member could be used: {}", list(failures))]
    NoMember {
        /// One failure for each endpoint or member.
        failures: Vec<EtcdError>,
    },
    /// Members answer, but none of them may serve a backup.
    #[error("no etcd member may serve a backup: {excluded}; bring a voting member back to health first")]
    NoHealthyMember {
        /// Each member with the reason against it.
        excluded: String,
    },
    /// A member was fit when the cluster was looked at, and is not any more.
    #[error("etcd member {member} may not serve a backup any more: {why}; bring it back to health")]
    Unfit {
        /// The member.
        member: String,
        /// What has changed.
        why: String,
    },
    /// Nothing can prove that the data is not old.
    #[error(
        "etcd has no quorum: {why}; bring a majority of the members back, or accept a backup of unproven freshness"
    )]
    NoQuorum {
        /// Who said so, in which words.
        why: String,
    },
    /// The stream made no progress, or too little.
    #[error(
        "snapshot from {member} stalled {}: {why}; look at this member's log, disk and network",
        place(*received, *size)
    )]
    Stalled {
        /// The member.
        member: String,
        /// Bytes received.
        received: u64,
        /// Bytes announced, 0 if nothing was.
        size: u64,
        /// What was seen instead of progress.
        why: String,
    },
    /// The file takes the stream too slowly.
    #[error(
        "the volume takes only {bytes_per_second} bytes/s of the snapshot from {member}, at least \
         {floor_bytes_per_second} are needed so as not to burden etcd; use a faster volume"
    )]
    SinkTooSlow {
        /// The member.
        member: String,
        /// What it took lately.
        bytes_per_second: u64,
        /// What it must take.
        floor_bytes_per_second: u64,
    },
    /// The file cannot be written.
    #[error("cannot write the snapshot: {why}{}", if *no_space { "; make room on the volume" } else { "; check the volume" })]
    Sink {
        /// The operating system's words.
        why: String,
        /// Whether the volume, or a quota on it, is full.
        no_space: bool,
    },
    /// The member's database grew too much while it was read.
    #[error(
        "the database of {member} grew from {before_bytes} to {now_bytes} bytes while the snapshot was read{}; \
         the run was ended to protect etcd: use a faster volume or a quieter hour",
        quota_bytes.map(|quota| format!(" (quota {quota})")).unwrap_or_default()
    )]
    DatabaseGrowth {
        /// The member.
        member: String,
        /// Bytes when the stream began.
        before_bytes: u64,
        /// Bytes now.
        now_bytes: u64,
        /// The member's quota in bytes where it is known.
        quota_bytes: Option<u64>,
    },
    /// The stream broke, or did not keep to etcd's protocol.
    #[error(
        "snapshot from {member} broke {}: {why}; look at this member's log, then try again",
        place(*received, *size)
    )]
    StreamBroken {
        /// The member.
        member: String,
        /// Bytes received.
        received: u64,
        /// Bytes announced, 0 if nothing was.
        size: u64,
        /// What happened.
        why: String,
    },
    /// The run took longer than it may.
    #[error("the deadline passed during the snapshot from {member}; allow more time or use a faster volume")]
    DeadlineExceeded {
        /// The member.
        member: String,
    },
    /// The run was ended from outside.
    #[error("the snapshot from {member} was interrupted from outside; run it again")]
    Interrupted {
        /// The member.
        member: String,
    },
}

impl EtcdError {
    /// The one word for metric label, event and condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::TlsFile { .. } | Self::Tls { .. } => Reason::Tls,
            Self::PermissionDenied { .. } => Reason::PermissionDenied,
            Self::InvalidEndpoint { .. } | Self::Unreachable { .. } | Self::Stranger { .. } => Reason::NoMember,
            Self::NoMember { failures } => most_telling(failures.iter().map(Self::reason)).unwrap_or(Reason::NoMember),
            Self::NoHealthyMember { .. } | Self::Unfit { .. } => Reason::NoHealthyMember,
            Self::NoQuorum { .. } => Reason::NoQuorum,
            Self::Stalled { .. } => Reason::Stalled,
            Self::SinkTooSlow { .. } => Reason::SinkTooSlow,
            Self::Sink { no_space: true, .. } => Reason::NoSpace,
            Self::Sink { no_space: false, .. } => Reason::VolumeIo,
            Self::DatabaseGrowth { .. } => Reason::DatabaseGrowth,
            Self::StreamBroken { .. } => Reason::StreamBroken,
            Self::DeadlineExceeded { .. } => Reason::DeadlineExceeded,
            Self::Interrupted { .. } => Reason::Interrupted,
        }
    }

    pub(crate) fn timed_out(endpoint: &str, what: &str, after: Duration) -> Self {
        Self::Unreachable { endpoint: endpoint.to_owned(), why: format!("{what} took longer than {after:?}") }
    }
}

/// Of several failures the one that somebody can act on: members may be down for many reasons, but
/// a refusal says that the client is set up wrongly.
fn most_telling(reasons: impl Iterator<Item = Reason>) -> Option<Reason> {
    let rank = |reason: &Reason| match reason {
        Reason::PermissionDenied => 0,
        Reason::Tls => 1,
        _ => 2,
    };
    reasons.min_by_key(rank)
}

/// How far a stream came, in words.
fn place(received: u64, size: u64) -> String {
    if size == 0 { "before it began".to_owned() } else { format!("after {received} of {size} bytes") }
}

fn list(failures: &[EtcdError]) -> String {
    if failures.is_empty() {
        return "no endpoints were given; name at least one".to_owned();
    }
    failures.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_outranks_members_that_are_down() {
        let down = EtcdError::Unreachable { endpoint: "https://a:2379".into(), why: "connection refused".into() };
        let tls = EtcdError::Tls { endpoint: "https://b:2379".into(), why: "unknown issuer".into() };
        let denied = EtcdError::PermissionDenied { endpoint: "https://c:2379".into(), why: "permission denied".into() };
        for (failures, expected) in [
            (vec![], Reason::NoMember),
            (vec![down.clone()], Reason::NoMember),
            (vec![down.clone(), tls.clone()], Reason::Tls),
            (vec![down, tls, denied], Reason::PermissionDenied),
        ] {
            assert_eq!(EtcdError::NoMember { failures }.reason(), expected);
        }
    }
}
