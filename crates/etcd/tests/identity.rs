//! Who the client is, who the server is, and what etcd lets the client do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose setup fails must fail")]

mod support;

use etcd_backup_core::Reason;
use etcd_backup_etcd::{Quorum, candidates, linearizable_revision, survey};
use support::Bed;

#[tokio::test]
async fn both_sides_must_trust_each_other() {
    let (bed, other) = (Bed::start(1).await, Bed::start(1).await);
    let (ours, theirs) = (bed.tls(), other.tls());
    for (case, ca, (cert, key), says) in [
        ("a foreign server", &theirs.ca, (&ours.cert, &ours.key), "invalid peer certificate"),
        ("a foreign client", &ours.ca, (&theirs.cert, &theirs.key), "received fatal alert"),
        ("a key of another certificate", &ours.ca, (&ours.cert, &theirs.key), "do not fit"),
    ] {
        let mut connection = bed.connection();
        let files = connection.tls.as_mut().unwrap();
        (files.ca, files.cert, files.key) = (ca.clone(), cert.clone(), key.clone());
        let error = survey(&connection).await.unwrap_err();
        assert_eq!(error.reason(), Reason::Tls, "{case}: {error}");
        assert!(error.to_string().contains(says), "{case}: {error}");
    }
}

#[tokio::test]
async fn a_missing_key_is_named() {
    let bed = Bed::start(1).await;
    let mut connection = bed.connection();
    connection.tls.as_mut().unwrap().key = "/no/such/client.key".into();
    let error = survey(&connection).await.unwrap_err();
    assert_eq!(error.reason(), Reason::Tls, "{error}");
    assert!(error.to_string().contains("/no/such/client.key"), "{error}");
}

#[tokio::test]
async fn files_are_read_again_for_each_connection() {
    let bed = Bed::start(1).await;
    let directory = tempfile::tempdir().unwrap();
    let mut connection = bed.connection();
    let key = &mut connection.tls.as_mut().unwrap().key;
    let rotated = directory.path().join("client.key");
    std::fs::copy(&*key, &rotated).unwrap();
    *key = rotated.clone();
    survey(&connection).await.unwrap();
    std::fs::write(&rotated, "rotated away").unwrap();
    assert_eq!(survey(&connection).await.unwrap_err().reason(), Reason::Tls);
}

#[tokio::test]
async fn an_endpoint_without_tls_is_told_from_one_that_is_down() {
    let bed = Bed::start(1).await;
    let mut connection = bed.connection();
    connection.endpoints = vec![bed.etcd.endpoints()[0].replace("https:", "http:")];
    let error = survey(&connection).await.unwrap_err();
    assert_eq!(error.reason(), Reason::NoMember, "{error}");
}

#[tokio::test]
async fn without_the_role_root_etcd_refuses() {
    let bed = Bed::start(1).await;
    let connection = bed.connection();
    let candidate = bed.best(&connection).await;
    let mut client = bed.client().await;
    client.user_add("root", "secret", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();

    let error = linearizable_revision(&connection, &candidate).await.unwrap_err();
    assert_eq!(error.reason(), Reason::PermissionDenied, "{error}");
    let refused = match survey(&connection).await {
        Ok(survey) => candidates(&survey, Quorum::Required).refusal(),
        Err(error) => error,
    };
    assert_eq!(refused.reason(), Reason::PermissionDenied, "{refused}");
}
