use std::fmt;

use etcd_client::StatusResponse;
use futures::future::{join, join_all};

use crate::{
    Alarm, Candidate, Connection, EtcdError, Exclusion,
    alarm::parse_alarm,
    client::{Client, identity, printable},
};

/// A cluster as it was just now.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The cluster's id. A restore changes it.
    pub cluster_id: u64,
    /// All members, by id.
    pub members: Vec<Member>,
    /// The id of the member that answers at the local endpoint.
    pub local: Option<u64>,
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty before it has started for the first time.
    pub name: String,
    /// The URLs that it offers to clients.
    pub client_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub is_learner: bool,
    /// Alarms raised for it. An alarm that names no member counts for every one.
    pub alarms: Vec<Alarm>,
    /// What it said of itself.
    pub state: MemberState,
}

/// Whether a member answers.
#[derive(Debug, Clone)]
pub enum MemberState {
    /// It does.
    Reachable(MemberStatus),
    /// It does not, or somebody else answers in its place.
    Unreachable(EtcdError),
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// Where it answered.
    pub endpoint: String,
    /// The server's version, such as `3.6.4`.
    pub version: String,
    /// The storage version, such as `3.6.0`; etcd before 3.6 has none.
    pub storage_version: Option<String>,
    /// The leader's id as far as this member knows; none without quorum.
    pub leader: Option<u64>,
    /// Its raft term.
    pub raft_term: u64,
    /// The raft index up to which it has applied the log.
    pub raft_applied_index: u64,
    /// Bytes of its database file.
    pub db_size_bytes: u64,
    /// Bytes of that in use.
    pub db_size_in_use_bytes: u64,
    /// Its quota in bytes. Unknown before etcd 3.6, and where etcd runs with its default.
    pub quota_bytes: Option<u64>,
    /// What it complains of, other than alarms and the lack of a leader.
    pub errors: Vec<String>,
}

impl Member {
    /// What it said of itself, if it answered.
    #[must_use]
    pub fn status(&self) -> Option<&MemberStatus> {
        match &self.state {
            MemberState::Reachable(status) => Some(status),
            MemberState::Unreachable { .. } => None,
        }
    }
}

impl fmt::Display for Member {
    /// `name (id)`, with the id in hex as `etcdctl member list` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "unnamed" } else { &self.name };
        write!(f, "{name} ({:x})", self.id)
    }
}

/// Asks the cluster for its members, and each of them how it is.
///
/// The list comes from the first endpoint that answers, as this member knows it; nothing here needs
/// a quorum. A member that does not answer is in the survey as unreachable.
///
/// # Errors
/// A TLS file that cannot be used, or no endpoint answers.
pub async fn survey(connection: &Connection) -> Result<Survey, EtcdError> {
    if let Some(files) = &connection.tls {
        files.read()?;
    }
    // At once: an endpoint that is silent costs its bound only once.
    let (local, list) = join(answer_at_local_endpoint(connection), member_list(connection)).await;
    let (cluster_id, listed) = list?;
    let answers = join_all(listed.iter().map(|member| async {
        match &local {
            Some(answer) if (answer.member_id, answer.cluster_id) == (member.id, cluster_id) => Ok(answer.clone()),
            _ => ask(connection, cluster_id, member).await,
        }
    }))
    .await;
    let local = local.filter(|answer| answer.cluster_id == cluster_id).map(|answer| answer.member_id);
    Ok(assemble(cluster_id, listed, answers, local))
}

/// A member as the list has it.
struct Listed {
    id: u64,
    name: String,
    client_urls: Vec<String>,
    is_learner: bool,
}

/// A member's answer to a Status request.
#[derive(Clone)]
struct Answer {
    member_id: u64,
    cluster_id: u64,
    alarms: Vec<(Option<u64>, Alarm)>,
    status: MemberStatus,
}

async fn answer_at_local_endpoint(connection: &Connection) -> Option<Answer> {
    let endpoint = connection.local_endpoint()?;
    answer_at(connection, endpoint)
        .await
        .inspect_err(|error| tracing::info!(endpoint, %error, "no member at the local endpoint"))
        .ok()
}

async fn answer_at(connection: &Connection, endpoint: &str) -> Result<Answer, EtcdError> {
    let response = connection.ask(endpoint, Client::status).await?;
    Ok(Answer::new(endpoint, &response))
}

async fn member_list(connection: &Connection) -> Result<(u64, Vec<Listed>), EtcdError> {
    let mut failures = Vec::new();
    for endpoint in &connection.endpoints {
        match list_at(connection, endpoint).await {
            Ok(list) => return Ok(list),
            Err(error) => {
                tracing::warn!(endpoint, %error, "an endpoint does not list the members");
                failures.push(error);
            }
        }
    }
    Err(EtcdError::NoMember { failures })
}

async fn list_at(connection: &Connection, endpoint: &str) -> Result<(u64, Vec<Listed>), EtcdError> {
    let response = connection.ask(endpoint, Client::members).await?;
    let (_, cluster_id) = identity(response.header());
    let mut listed: Vec<Listed> = response
        .members()
        .iter()
        .map(|member| Listed {
            id: member.id(),
            name: printable(member.name()),
            client_urls: member.client_urls().to_vec(),
            is_learner: member.is_learner(),
        })
        .collect();
    if listed.is_empty() {
        let why = "it lists no members, not even itself".to_owned();
        return Err(EtcdError::Unreachable { endpoint: endpoint.to_owned(), why });
    }
    listed.sort_by_key(|member| member.id);
    Ok((cluster_id, listed))
}

/// Asks one member at each of its URLs until one answers.
async fn ask(connection: &Connection, cluster_id: u64, member: &Listed) -> Result<Answer, EtcdError> {
    let mut failures = Vec::new();
    for url in &member.client_urls {
        match answer_at(connection, url).await {
            Ok(answer) if (answer.member_id, answer.cluster_id) == (member.id, cluster_id) => return Ok(answer),
            Ok(answer) => failures.push(stranger(url, answer.member_id, answer.cluster_id)),
            Err(error) => failures.push(error),
        }
    }
    Err(match failures.pop() {
        Some(last) if failures.is_empty() => last,
        Some(last) => {
            failures.push(last);
            EtcdError::NoMember { failures }
        }
        None => EtcdError::Unreachable {
            endpoint: format!("member {:x}", member.id),
            why: "it lists no client URL, so it has not started yet".to_owned(),
        },
    })
}

/// Somebody else answers where a member should.
pub(crate) fn stranger(endpoint: &str, member_id: u64, cluster_id: u64) -> EtcdError {
    EtcdError::Stranger { endpoint: endpoint.to_owned(), member_id, cluster_id }
}

/// The status of a member that was chosen, over a new connection to it: it is still this member, and
/// nothing has come to speak against it. Its leader is not looked at: without one, no revision would
/// have been had through it.
pub(crate) async fn confirm(
    connection: &Connection,
    client: &mut Client,
    candidate: &Candidate,
) -> Result<StatusResponse, EtcdError> {
    let status = match client.status().await {
        Err(error) => return Err(connection.blame(client.endpoint(), error).await),
        Ok(status) => status,
    };
    let (member_id, cluster_id) = identity(status.header());
    if (member_id, cluster_id) != (candidate.member_id, candidate.cluster_id) {
        return Err(stranger(client.endpoint(), member_id, cluster_id));
    }
    match objection(member_id, &status) {
        Some(objection) => Err(EtcdError::Unfit { member: candidate.to_string(), why: objection.to_string() }),
        None => Ok(status),
    }
}

fn objection(member_id: u64, status: &StatusResponse) -> Option<Exclusion> {
    let mut alarms = status.errors().iter().filter_map(|error| parse_alarm(error));
    let corrupt = alarms.any(|(member, alarm)| alarm == Alarm::Corrupt && member.is_none_or(|id| id == member_id));
    if status.is_learner() {
        Some(Exclusion::Learner)
    } else if corrupt {
        Some(Exclusion::Corrupt)
    } else {
        None
    }
}

impl Answer {
    fn new(endpoint: &str, response: &StatusResponse) -> Self {
        let (member_id, cluster_id) = identity(response.header());
        let mut alarms = Vec::new();
        let mut errors = Vec::new();
        for error in response.errors() {
            match parse_alarm(error) {
                Some(alarm) => alarms.push(alarm),
                // Said by the leader's id already.
                None if error == "etcdserver: no leader" => {}
                None => errors.push(printable(error)),
            }
        }
        let status = MemberStatus {
            endpoint: endpoint.to_owned(),
            version: printable(response.version()),
            storage_version: Some(printable(response.storage_version())).filter(|version| !version.is_empty()),
            leader: Some(response.leader()).filter(|&id| id != 0),
            raft_term: response.raft_term(),
            raft_applied_index: response.raft_applied_index(),
            db_size_bytes: bytes(response.db_size()),
            db_size_in_use_bytes: bytes(response.raft_used_db_size()),
            quota_bytes: Some(bytes(response.db_size_quota())).filter(|&quota| quota > 0),
            errors,
        };
        Self { member_id, cluster_id, alarms, status }
    }
}

/// A size as protobuf has it; below zero it says nothing, such as the quota -1 of "no quota".
pub(crate) fn bytes(size: i64) -> u64 {
    u64::try_from(size).unwrap_or(0)
}

fn assemble(
    cluster_id: u64,
    listed: Vec<Listed>,
    answers: Vec<Result<Answer, EtcdError>>,
    local: Option<u64>,
) -> Survey {
    let raised: Vec<(Option<u64>, Alarm)> =
        answers.iter().flatten().flat_map(|answer| answer.alarms.iter().copied()).collect();
    let alarms_of = |id: u64| {
        let mut alarms: Vec<Alarm> = Vec::new();
        for (member, alarm) in &raised {
            if member.is_none_or(|member| member == id) && !alarms.contains(alarm) {
                alarms.push(*alarm);
            }
        }
        alarms
    };
    let members: Vec<Member> = listed
        .into_iter()
        .zip(answers)
        .map(|(member, answer)| Member {
            alarms: alarms_of(member.id),
            id: member.id,
            name: member.name,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
            state: match answer {
                Ok(answer) => MemberState::Reachable(answer.status),
                Err(error) => MemberState::Unreachable(error),
            },
        })
        .collect();
    let local = local.filter(|id| members.iter().any(|member| member.id == *id));
    Survey { cluster_id, members, local }
}
