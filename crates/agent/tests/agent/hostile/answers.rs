//! Members that stream well and answer other questions strangely.

use std::time::Duration;

use etcd_backup_core::Reason;
use etcd_backup_hostile::snapshot::trickle;
use etcd_backup_hostile::{Answer, Behaviour, Code, Range, Status};

use super::{Case, Then, check};

fn says_of_itself(name: &'static str, reason: Reason, says: &'static str, change: fn(usize, &mut Status)) -> Case {
    Case::new(name, reason, says, move || Behaviour::default().status(change))
}

fn says_of_keys(name: &'static str, reason: Reason, says: &'static str, change: fn(&mut Range) -> Answer) -> Case {
    Case::new(name, reason, says, move || Behaviour::default().range(change))
}

fn raise_corrupt(status: &mut Status) {
    let member = status.header.as_ref().map_or(0, |header| header.member_id);
    status.errors.push(format!("memberID:{member} alarm:CORRUPT "));
}

#[test]
fn a_member_that_is_not_fit_is_not_asked() {
    check(&[
        says_of_itself("another-cluster-answers", Reason::NoMember, "another etcd member answers", |_, status| {
            status.header.iter_mut().for_each(|header| header.cluster_id ^= 1);
        })
        .then(Then::Another),
        says_of_itself("another-member-answers", Reason::NoMember, "another etcd member answers", |_, status| {
            status.header.iter_mut().for_each(|header| header.member_id ^= 1);
        })
        .then(Then::Another),
        says_of_itself("corrupt", Reason::NoHealthyMember, "CORRUPT", |_, status| raise_corrupt(status))
            .then(Then::Another),
        says_of_itself("no-leader", Reason::NoQuorum, "it has no leader", |_, status| status.leader = 0)
            .then(Then::Another),
        says_of_itself("complains-at-length", Reason::NoHealthyMember, "it reports \u{fffd}[2Joops", |_, status| {
            status.errors.push(format!("\u{1b}[2J{}", "oops".repeat(100_000)));
        })
        .then(Then::Another),
        Case::new("learner", Reason::NoHealthyMember, "it is a learner", || {
            Behaviour::default().member_list(|list| {
                let own = list.header.as_ref().map(|header| header.member_id);
                list.members.iter_mut().for_each(|member| member.is_learner |= Some(member.id) == own);
            })
        })
        .then(Then::Another),
    ]);
}

#[test]
fn a_member_that_changes_after_the_look_at_it_is_dropped() {
    check(&[
        says_of_itself("turns-learner", Reason::NoHealthyMember, "it is a learner", |before, status| {
            status.is_learner = before > 0;
        }),
        says_of_keys("turns-learner-before-the-read", Reason::NoHealthyMember, "become a learner", |_| {
            Answer::Refused(Code::Unavailable, "etcdserver: rpc not supported for learner")
        }),
        says_of_itself("turns-corrupt", Reason::NoHealthyMember, "CORRUPT", |before, status| {
            if before > 0 {
                raise_corrupt(status);
            }
        }),
        says_of_itself("turns-into-another", Reason::NoMember, "another etcd member answers", |before, status| {
            status.header.iter_mut().for_each(|header| header.cluster_id ^= u64::from(before > 0));
        }),
        says_of_keys("loses-its-leader", Reason::NoQuorum, "etcdserver: no leader", |_| {
            Answer::Refused(Code::Unavailable, "etcdserver: no leader")
        }),
        says_of_keys("read-without-an-answer", Reason::NoQuorum, "nothing was heard", |_| Answer::Withheld),
        says_of_keys("read-denied", Reason::PermissionDenied, "must be a user with the role root", |_| {
            Answer::Refused(Code::PermissionDenied, "etcdserver: permission denied")
        }),
        says_of_keys("read-of-another-cluster", Reason::NoMember, "another etcd member answers", |range| {
            range.header.iter_mut().for_each(|header| header.cluster_id ^= 1);
            Answer::Given
        }),
        says_of_keys("read-without-a-revision", Reason::NoHealthyMember, "without a revision", |range| {
            range.header.iter_mut().for_each(|header| header.revision = 0);
            Answer::Given
        }),
        says_of_keys("read-of-the-future", Reason::SnapshotStale, "this member lags behind", |range| {
            range.header.iter_mut().for_each(|header| header.revision = i64::MAX);
            Answer::Given
        }),
        // Writes reach every member, so another one would grow as well.
        Case::new("database-grows", Reason::DatabaseGrowth, "use a faster volume or a quieter hour", || {
            Behaviour::default()
                .status(|before, status| status.db_size <<= if before > 1 { 8 } else { 0 })
                .snapshot(|sent| trickle(sent, 32 << 10, Duration::from_millis(200)))
        })
        .args(&["--min-rate", "1"])
        .then(Then::Ends),
    ]);
}
