use std::{cmp::Reverse, fmt};

use etcd_backup_core::Warning;

use crate::{Alarm, EtcdError, Member, MemberState, MemberStatus, Survey};

/// Whether a backup needs the cluster to have a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// Yes: only it can prove that the data is not old.
    Required,
    /// No: a member without a leader will do. Somebody has asked for that by hand.
    NotRequired,
}

/// Which members to ask for the snapshot.
#[derive(Debug, Clone)]
pub struct Candidates {
    /// The best first.
    pub ordered: Vec<Candidate>,
    /// Who may not serve, and why.
    pub excluded: Vec<(Member, Exclusion)>,
}

/// A member that may serve a backup.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The cluster's id.
    pub cluster_id: u64,
    /// The member's id.
    pub member_id: u64,
    /// The member's name.
    pub name: String,
    /// What it said of itself, where it answered included.
    pub status: MemberStatus,
    /// The raft index that the cluster has reached: the highest that a member has applied. Its own
    /// may lag behind.
    pub raft_index: Option<u64>,
    /// Whether it runs on this host.
    pub is_local: bool,
    /// Whether it leads.
    pub is_leader: bool,
    /// What the reader of the backup should know.
    pub warnings: Vec<Warning>,
}

/// Why a member may not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exclusion {
    /// It does not answer, or not as this member.
    Unreachable(EtcdError),
    /// It does not vote yet, and may lack data.
    Learner,
    /// Its data may be corrupt.
    Corrupt,
    /// It knows of no leader.
    NoLeader,
    /// It complains.
    Errors(Vec<String>),
}

impl fmt::Display for Candidate {
    /// `name (id)`, with the id in hex as `etcdctl member list` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:x})", self.name, self.member_id)
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Learner => f.write_str("it is a learner"),
            Self::Corrupt => f.write_str("the alarm CORRUPT is raised for it"),
            Self::NoLeader => f.write_str("it has no leader"),
            Self::Errors(errors) => write!(f, "it reports {}", errors.join(", ")),
        }
    }
}

impl Exclusion {
    fn failure(&self) -> Option<EtcdError> {
        match self {
            Self::Unreachable(error) => Some(error.clone()),
            _ => None,
        }
    }
}

/// Chooses: the local member if it is a healthy voting follower, else another healthy voting
/// follower, else the leader. A follower is preferred because the leader has the more to do.
///
/// The alarm NOSPACE does not exclude, a snapshot only reads. Among members without a leader the
/// one that has applied most of the log comes first.
#[must_use]
pub fn candidates(survey: &Survey, quorum: Quorum) -> Candidates {
    let mut ordered = Vec::new();
    let mut excluded = Vec::new();
    for member in &survey.members {
        match consider(survey, member, quorum) {
            Ok(candidate) => ordered.push(candidate),
            Err(exclusion) => {
                tracing::info!(%member, why = %exclusion, "member may not serve the backup");
                excluded.push((member.clone(), exclusion));
            }
        }
    }
    ordered.sort_by_key(|candidate: &Candidate| {
        let status = &candidate.status;
        let leaderless = status.leader.is_none();
        let applied = if leaderless { status.raft_applied_index } else { 0 };
        (leaderless, candidate.is_leader, Reverse(applied), !candidate.is_local, candidate.member_id)
    });
    Candidates { ordered, excluded }
}

fn consider(survey: &Survey, member: &Member, quorum: Quorum) -> Result<Candidate, Exclusion> {
    if member.is_learner {
        return Err(Exclusion::Learner);
    }
    let status = match &member.state {
        MemberState::Reachable(status) => status,
        MemberState::Unreachable(error) => return Err(Exclusion::Unreachable(error.clone())),
    };
    if member.alarms.contains(&Alarm::Corrupt) {
        return Err(Exclusion::Corrupt);
    }
    if status.leader.is_none() && quorum == Quorum::Required {
        return Err(Exclusion::NoLeader);
    }
    if !status.errors.is_empty() {
        return Err(Exclusion::Errors(status.errors.clone()));
    }
    let warnings = member.alarms.contains(&Alarm::NoSpace).then(|| {
        let message = format!(
            "the alarm NOSPACE is raised for etcd member {member}: etcd refuses writes. Compact and defragment it, then disarm the alarm."
        );
        Warning::new("NoSpaceAlarm", message)
    });
    Ok(Candidate {
        cluster_id: survey.cluster_id,
        member_id: member.id,
        name: member.name.clone(),
        status: status.clone(),
        raft_index: survey.members.iter().filter_map(Member::status).map(|status| status.raft_applied_index).max(),
        is_local: survey.local == Some(member.id),
        is_leader: status.leader == Some(member.id),
        warnings: warnings.into_iter().collect(),
    })
}

impl Candidates {
    /// Why there is nobody to ask, for a caller that found `ordered` empty.
    #[must_use]
    pub fn refusal(&self) -> EtcdError {
        let failures: Vec<EtcdError> = self.excluded.iter().filter_map(|(_, exclusion)| exclusion.failure()).collect();
        if failures.len() == self.excluded.len() {
            return EtcdError::NoMember { failures };
        }
        let excluded: Vec<String> = self.excluded.iter().map(|(member, why)| format!("{member}: {why}")).collect();
        let excluded = excluded.join("; ");
        if self.excluded.iter().any(|(_, exclusion)| *exclusion == Exclusion::NoLeader) {
            return EtcdError::NoQuorum { why: excluded };
        }
        EtcdError::NoHealthyMember { excluded }
    }
}

#[cfg(test)]
mod tests {
    use etcd_backup_core::Reason;

    use super::*;

    const LEADER: u64 = 1;

    fn status() -> MemberStatus {
        MemberStatus {
            endpoint: "https://10.0.0.1:2379".to_owned(),
            version: "3.6.4".to_owned(),
            storage_version: Some("3.6.0".to_owned()),
            leader: Some(LEADER),
            raft_term: 2,
            raft_applied_index: 10,
            db_size_bytes: 1 << 20,
            db_size_in_use_bytes: 1 << 20,
            quota_bytes: None,
            errors: Vec::new(),
        }
    }

    fn healthy(id: u64) -> Member {
        Member {
            id,
            name: format!("m{id}"),
            client_urls: vec!["https://10.0.0.1:2379".to_owned()],
            is_learner: false,
            alarms: Vec::new(),
            state: MemberState::Reachable(status()),
        }
    }

    fn saying(id: u64, change: impl FnOnce(&mut MemberStatus)) -> Member {
        let mut status = status();
        change(&mut status);
        Member { state: MemberState::Reachable(status), ..healthy(id) }
    }

    fn gone() -> EtcdError {
        EtcdError::Unreachable { endpoint: "https://10.0.0.9:2379".to_owned(), why: "gone".to_owned() }
    }

    fn denied() -> EtcdError {
        EtcdError::PermissionDenied { endpoint: "https://10.0.0.9:2379".to_owned(), why: "not you".to_owned() }
    }

    fn unreachable(id: u64, error: EtcdError) -> Member {
        Member { state: MemberState::Unreachable(error), ..healthy(id) }
    }

    fn learner(id: u64) -> Member {
        Member { is_learner: true, ..healthy(id) }
    }

    fn alarmed(id: u64, alarm: Alarm) -> Member {
        Member { alarms: vec![alarm], ..healthy(id) }
    }

    fn leaderless(id: u64, raft_applied_index: u64) -> Member {
        saying(id, |status| {
            status.leader = None;
            status.raft_applied_index = raft_applied_index;
        })
    }

    fn choose(members: Vec<Member>, local: Option<u64>, quorum: Quorum) -> Candidates {
        candidates(&Survey { cluster_id: 0xc, members, local }, quorum)
    }

    fn order(candidates: &Candidates) -> Vec<u64> {
        candidates.ordered.iter().map(|candidate| candidate.member_id).collect()
    }

    #[test]
    fn the_local_follower_then_another_then_the_leader() {
        for (case, members, local, expected) in [
            ("a cluster of one", vec![healthy(1)], Some(1), vec![1]),
            ("local follower", vec![healthy(1), healthy(2), healthy(3)], Some(3), vec![3, 2, 1]),
            ("local leader", vec![healthy(1), healthy(2), healthy(3)], Some(1), vec![2, 3, 1]),
            ("nobody local", vec![healthy(1), healthy(2), healthy(3)], None, vec![2, 3, 1]),
            ("local learner", vec![healthy(1), healthy(2), learner(3)], Some(3), vec![2, 1]),
            ("local unreachable", vec![healthy(1), healthy(2), unreachable(3, gone())], Some(3), vec![2, 1]),
            ("local corrupt", vec![healthy(1), healthy(2), alarmed(3, Alarm::Corrupt)], Some(3), vec![2, 1]),
            ("local without room", vec![healthy(1), healthy(2), alarmed(3, Alarm::NoSpace)], Some(3), vec![3, 2, 1]),
            ("local without leader", vec![healthy(1), healthy(2), leaderless(3, 99)], Some(3), vec![2, 1]),
            ("local complains", vec![healthy(1), saying(2, |s| s.errors.push("oops".into()))], Some(2), vec![1]),
        ] {
            assert_eq!(order(&choose(members, local, Quorum::Required)), expected, "{case}");
        }
    }

    #[test]
    fn each_exclusion_says_why() {
        for (member, expected) in [
            (learner(2), Exclusion::Learner),
            (alarmed(2, Alarm::Corrupt), Exclusion::Corrupt),
            (leaderless(2, 1), Exclusion::NoLeader),
            (saying(2, |s| s.errors.push("oops".into())), Exclusion::Errors(vec!["oops".into()])),
            (unreachable(2, gone()), Exclusion::Unreachable(gone())),
        ] {
            let chosen = choose(vec![healthy(1), member], None, Quorum::Required);
            assert_eq!(chosen.excluded.iter().map(|(_, why)| why.clone()).collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn a_member_without_room_serves_with_a_warning() {
        let chosen = choose(vec![alarmed(1, Alarm::NoSpace), healthy(2)], None, Quorum::Required);
        let warnings: Vec<usize> = chosen.ordered.iter().map(|candidate| candidate.warnings.len()).collect();
        assert_eq!((order(&chosen), warnings), (vec![2, 1], vec![0, 1]));
    }

    #[test]
    fn without_quorum_the_freshest_member_serves_if_that_is_allowed() {
        let members = || vec![leaderless(1, 5), leaderless(2, 9), leaderless(3, 9), learner(4)];
        assert_eq!(order(&choose(members(), Some(3), Quorum::NotRequired)), [3, 2, 1]);
        assert_eq!(order(&choose(members(), Some(3), Quorum::Required)), [0_u64; 0]);
    }

    #[test]
    fn the_refusal_tells_what_matters() {
        for (members, expected) in [
            (vec![leaderless(1, 1), unreachable(2, gone())], Reason::NoQuorum),
            (vec![unreachable(1, gone()), unreachable(2, gone())], Reason::NoMember),
            (vec![unreachable(1, denied()), unreachable(2, gone())], Reason::PermissionDenied),
            (vec![alarmed(1, Alarm::Corrupt), unreachable(2, denied())], Reason::NoHealthyMember),
            (vec![alarmed(1, Alarm::Corrupt), learner(2)], Reason::NoHealthyMember),
        ] {
            let refusal = choose(members, None, Quorum::Required).refusal();
            assert_eq!(refusal.reason(), expected, "{refusal}");
        }
    }
}
