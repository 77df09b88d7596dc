//! Looking at real clusters and choosing a member.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails must fail")]

mod support;

use std::time::{Duration, Instant};

use etcd_backup_core::Reason;
use etcd_backup_etcd::{Alarm, Exclusion, Quorum, candidates, linearizable_revision, survey};
use etcd_client::{AlarmAction, AlarmOptions, AlarmType};
use support::{Bed, until};

#[tokio::test]
async fn a_cluster_of_one_serves_as_the_leader() {
    let bed = Bed::start(1).await;
    let mut connection = bed.connection();
    connection.local_endpoint = None;
    let survey = survey(&connection).await.unwrap();
    let chosen = candidates(&survey, Quorum::Required);
    let [only] = chosen.ordered.as_slice() else { panic!("{chosen:?}") };
    assert_eq!(survey.local, Some(only.member_id), "its endpoint is on loopback");
    assert!(only.is_leader && only.is_local && only.warnings.is_empty(), "{only:?}");
    assert!(only.status.version.starts_with("3.") && only.status.db_size_bytes > 0, "{only:?}");
    assert!(only.cluster_id != 0 && only.status.raft_term > 0, "{only:?}");
}

#[tokio::test]
async fn the_revision_is_that_of_the_last_write() {
    let bed = Bed::start(3).await;
    let connection = bed.connection();
    let mut client = bed.client().await;
    for candidate in bed.ordered(&connection).await {
        let put = client.put("a", candidate.to_string(), None).await.unwrap();
        let written = put.header().unwrap().revision();
        assert_eq!(linearizable_revision(&connection, &candidate).await.unwrap(), written, "{candidate}");
    }
}

#[tokio::test]
async fn a_follower_is_preferred_and_the_local_one_most() {
    let bed = Bed::start(3).await;
    let mut connection = bed.connection();
    let ordered = bed.ordered(&connection).await;
    assert_eq!(ordered.iter().map(|candidate| candidate.is_leader).collect::<Vec<_>>(), [false, false, true]);

    for local in &ordered {
        connection.local_endpoint = Some(local.status.endpoint.clone());
        let best = bed.best(&connection).await;
        assert!(!best.is_leader, "{best}");
        if !local.is_leader {
            assert_eq!((best.member_id, best.is_local), (local.member_id, true));
        }
    }
}

#[tokio::test]
async fn a_member_that_hangs_and_a_learner_do_not_serve() {
    let mut bed = Bed::start(3).await;
    let connection = bed.connection();
    let hanging = bed.best(&connection).await;
    // etcd takes new members only once the old ones have been connected for some seconds.
    let learner = until("etcd takes a learner", async || bed.etcd.add_learner().ok()).await;
    let learner = bed.etcd.endpoints().swap_remove(learner);
    until("the learner is known to the others", async || {
        let survey = survey(&connection).await.unwrap();
        survey.members.iter().any(|member| member.client_urls.contains(&learner)).then_some(())
    })
    .await;
    bed.etcd.pause(bed.index(&hanging)).unwrap();

    let start = Instant::now();
    let chosen = candidates(&survey(&connection).await.unwrap(), Quorum::Required);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(chosen.ordered.len(), 2);
    for (member, exclusion) in &chosen.excluded {
        let as_expected = match exclusion {
            Exclusion::Learner => member.client_urls.contains(&learner) && member.status().is_some(),
            Exclusion::Unreachable { .. } => member.id == hanging.member_id,
            _ => false,
        };
        assert!(as_expected, "{member}: {exclusion}");
    }
    assert_eq!(chosen.excluded.len(), 2);
}

#[tokio::test]
async fn alarms_are_seen_through_any_member() {
    let bed = Bed::start(3).await;
    let connection = bed.connection();
    let ordered = bed.ordered(&connection).await;
    let mut client = bed.client().await;
    for (member, alarm) in [(&ordered[0], AlarmType::Corrupt), (&ordered[1], AlarmType::Nospace)] {
        let mut options = AlarmOptions::new();
        options.with_member(member.member_id);
        client.alarm(AlarmAction::Activate, alarm, Some(options)).await.unwrap();
    }
    let survey = until("both alarms are applied everywhere", async || {
        let survey = survey(&connection).await.unwrap();
        (survey.members.iter().map(|member| member.alarms.len()).sum::<usize>() == 2).then_some(survey)
    })
    .await;
    let alarms = |id| survey.members.iter().find(|member| member.id == id).unwrap().alarms.clone();
    assert_eq!(alarms(ordered[0].member_id), [Alarm::Corrupt]);
    assert_eq!(alarms(ordered[1].member_id), [Alarm::NoSpace]);
    let chosen = candidates(&survey, Quorum::Required);
    assert_eq!(chosen.ordered.len(), 2);
    assert_eq!(chosen.excluded[0].1, Exclusion::Corrupt);
}

#[tokio::test]
async fn without_quorum_nothing_proves_the_revision() {
    let mut bed = Bed::start(3).await;
    let connection = bed.connection();
    let ordered = bed.ordered(&connection).await;
    let survivor = &ordered[0];
    for lost in &ordered[1..] {
        bed.etcd.kill(bed.index(lost)).unwrap();
    }

    let start = Instant::now();
    let error = linearizable_revision(&connection, survivor).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NoQuorum, "{error}");
    assert!(start.elapsed() < connection.connect_timeout + connection.request_timeout, "{:?}", start.elapsed());

    until("the survivor notices", async || {
        let survey = survey(&connection).await.unwrap();
        let chosen = candidates(&survey, Quorum::Required);
        (chosen.ordered.is_empty() && chosen.refusal().reason() == Reason::NoQuorum).then_some(())
    })
    .await;
    let by_hand = candidates(&survey(&connection).await.unwrap(), Quorum::NotRequired);
    assert_eq!(by_hand.ordered[0].member_id, survivor.member_id);
}

#[tokio::test]
async fn nobody_answers() {
    let mut bed = Bed::start(1).await;
    bed.etcd.kill(0).unwrap();
    let error = survey(&bed.connection()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NoMember, "{error}");
    assert!(error.to_string().contains(&bed.etcd.endpoints()[0]), "{error}");
}
