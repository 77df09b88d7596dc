use std::time::Duration;

use etcd_client::GetOptions;
use tokio::time::{sleep, timeout};
use tonic::Code;

use crate::{
    Candidate, Connection, EtcdError,
    client::{Client, failed_request, identity, in_words},
    survey::stranger,
};

/// Nobody has this key. Reading one key is the least that asks for a linearizable read.
const NO_SUCH_KEY: &str = "etcd-backup/linearizable-read";

const PAUSE: Duration = Duration::from_millis(250);

/// The cluster's revision now, by a linearizable read through the candidate.
///
/// Once it answers, the candidate itself has applied everything up to that revision, so a snapshot
/// taken from it afterwards holds at least that. A change of leaders is waited for.
///
/// # Errors
/// [`EtcdError::NoQuorum`] if nothing proves within `request_timeout` that the answer is not old;
/// that may be true of this candidate alone. Whatever keeps the candidate from answering at all.
pub async fn linearizable_revision(connection: &Connection, candidate: &Candidate) -> Result<i64, EtcdError> {
    let mut client = connection.connect(&candidate.status.endpoint).await?;
    let mut last = format!("nothing was heard for {:?}", connection.request_timeout);
    let read = read_until_quorum(&mut client, candidate, &mut last);
    match timeout(connection.request_timeout, read).await {
        Ok(Err(error)) => Err(connection.blame(&candidate.status.endpoint, error).await),
        Ok(revision) => revision,
        Err(_) => Err(EtcdError::NoQuorum { why: format!("a linearizable read through {candidate} failed: {last}") }),
    }
}

async fn read_until_quorum(client: &mut Client, candidate: &Candidate, last: &mut String) -> Result<i64, EtcdError> {
    loop {
        let error = match client.get(NO_SUCH_KEY, GetOptions::new().with_count_only()).await {
            Ok(response) => {
                let header = response.header();
                let (member_id, cluster_id) = identity(header);
                if (member_id, cluster_id) != (candidate.member_id, candidate.cluster_id) {
                    return Err(stranger(client.endpoint(), member_id, cluster_id));
                }
                return match header.map(etcd_client::ResponseHeader::revision) {
                    // An empty etcd is at 1; anything below would let every snapshot pass for fresh.
                    Some(revision @ 1..) => Ok(revision),
                    _ => Err(unfit(candidate, "it answers a linearizable read without a revision")),
                };
            }
            Err(error) => error,
        };
        if is_learner(&error) {
            return Err(unfit(candidate, "it has become a learner"));
        }
        match waits_for_quorum(&error) {
            Some(why) => {
                tracing::debug!(member = %candidate, why, "no linearizable read yet");
                *last = why;
            }
            None => return Err(failed_request(client.endpoint(), "a linearizable read", error)),
        }
        sleep(PAUSE).await;
    }
}

fn unfit(candidate: &Candidate, why: &str) -> EtcdError {
    EtcdError::Unfit { member: candidate.to_string(), why: why.to_owned() }
}

/// What a learner answers to a linearizable read (`ErrGPRCNotSupportedForLearner` of etcd's rpctypes).
fn is_learner(error: &etcd_client::Error) -> bool {
    matches!(error, etcd_client::Error::GRpcStatus(status) if status.message().contains("rpc not supported for learner"))
}

/// What etcd itself says while there is no quorum, or while leaders change. An Unavailable that comes
/// from below, such as a connection that broke, is none of that.
fn waits_for_quorum(error: &etcd_client::Error) -> Option<String> {
    match error {
        etcd_client::Error::GRpcStatus(status)
            if status.code() == Code::Unavailable && status.message().starts_with("etcdserver: ") =>
        {
            Some(in_words(error))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;

    #[test]
    fn only_etcd_itself_says_that_there_is_no_quorum() {
        for (status, expected) in [
            (Status::unavailable("etcdserver: no leader"), true),
            (Status::unavailable("etcdserver: leader changed"), true),
            (Status::unavailable("etcdserver: request timed out"), true),
            (Status::unavailable("error trying to connect: tcp connect error"), false),
            (Status::permission_denied("etcdserver: permission denied"), false),
        ] {
            let error = etcd_client::Error::GRpcStatus(status);
            assert_eq!(waits_for_quorum(&error).is_some(), expected, "{error}");
        }
    }
}
