//! Single keys, read through one member.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails must fail")]

mod support;

use etcd_backup_core::Reason;
use etcd_backup_etcd::{KeyReader, linearizable_revision};
use support::Bed;

#[tokio::test]
async fn a_key_is_read_as_it_was_at_the_revision() {
    let bed = Bed::start(1).await;
    let connection = bed.connection();
    let member = bed.best(&connection).await;
    bed.etcd.etcdctl(&["put", "/key", "then"]).unwrap();
    let revision = linearizable_revision(&connection, &member).await.unwrap();
    bed.etcd.etcdctl(&["put", "/key", "now"]).unwrap();

    let mut then = KeyReader::connect(&connection, &member, Some(revision)).await.unwrap();
    assert_eq!(then.get("/key").await.unwrap().as_deref(), Some(b"then".as_slice()));
    assert_eq!(then.get("/ke").await.unwrap(), None);
    let mut now = KeyReader::connect(&connection, &member, None).await.unwrap();
    assert_eq!(now.get("/key").await.unwrap().as_deref(), Some(b"now".as_slice()));

    bed.etcd.etcdctl(&["compact", &(revision + 1).to_string()]).unwrap();
    let error = then.get("/key").await.unwrap_err();
    assert!(error.to_string().contains("compacted"), "{error}");
}

#[tokio::test]
async fn another_member_in_the_place_of_the_candidate_is_not_believed() {
    let bed = Bed::start(1).await;
    let connection = bed.connection();
    let mut member = bed.best(&connection).await;
    member.member_id += 1;
    let error = KeyReader::connect(&connection, &member, None).await.unwrap().get("/key").await.unwrap_err();
    assert_eq!(error.reason(), Reason::NoMember, "{error}");
}

#[tokio::test]
async fn a_member_without_a_quorum_still_answers() {
    let mut bed = Bed::start(3).await;
    let connection = bed.connection();
    bed.etcd.etcdctl(&["put", "/key", "value"]).unwrap();
    let member = bed.best(&connection).await;
    linearizable_revision(&connection, &member).await.unwrap();
    let index = bed.index(&member);
    for other in (0..3).filter(|&other| other != index) {
        bed.etcd.kill(other).unwrap();
    }
    let mut reader = KeyReader::connect(&connection, &member, None).await.unwrap();
    assert_eq!(reader.get("/key").await.unwrap().as_deref(), Some(b"value".as_slice()));
}
