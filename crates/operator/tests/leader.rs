//! Of several operators one works: against a real API server, with the RBAC that we ship.

#![allow(clippy::unwrap_used, reason = "clippy knows only functions marked #[test] as tests, not what they call")]

#[allow(dead_code, reason = "each program uses a part of it")]
mod bed;

use std::time::{Duration, Instant};

use bed::{Bed, OPERATOR_NAMESPACE, Operator, eventually};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

const NAME: &str = "etcd-backup-operator";

/// How long the Lease of these tests is left to its holder.
const LEASE: Duration = Duration::from_secs(6);

/// Operators that compete for the Lease.
struct Rivals {
    bed: Bed,
    leases: Api<Lease>,
}

impl Rivals {
    async fn new(test: &str) -> Self {
        let bed = Bed::new(test).await;
        let leases: Api<Lease> = Api::namespaced(bed.client.clone(), OPERATOR_NAMESPACE);
        leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        Self { bed, leases }
    }

    async fn operator(&self, identity: &str) -> Operator {
        let times = ["--lease-duration=6s", "--lease-renew-deadline=4s", "--lease-renew-period=1s"];
        self.bed.operator_on("kubeadm", &[&["--identity", identity], &times[..]].concat()).await
    }

    async fn lease(&self) -> LeaseSpec {
        self.leases.get_opt(NAME).await.unwrap().and_then(|lease| lease.spec).unwrap_or_default()
    }

    async fn holder(&self) -> String {
        self.lease().await.holder_identity.unwrap_or_default()
    }

    async fn held_by(&self, identity: &str) {
        eventually(&format!("{identity} holds the Lease"), || async { self.holder().await == identity }).await;
    }

    async fn patch(&self, patch: serde_json::Value) {
        self.leases.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// A backup is started, by whoever works, once.
    async fn works(&self, name: &str) {
        self.bed.backup(name, "claim").await;
        self.bed.until(name, "Pending/Starting").await;
        let jobs = self.bed.jobs_of("save").await;
        let prefix = format!("etcd-backup-{name}-");
        assert_eq!(jobs.iter().filter(|job| job.starts_with(&prefix)).count(), 1, "{jobs:?}");
    }
}

#[tokio::test]
async fn the_other_one_takes_over_at_once_from_one_that_stops() {
    let rivals = Rivals::new("handover").await;
    let first = rivals.operator("first").await;
    rivals.held_by("first").await;
    let second = rivals.operator("second").await;
    rivals.works("before").await;
    let stopped = Instant::now();
    first.stop().await;
    rivals.held_by("second").await;
    assert!(stopped.elapsed() < LEASE, "it waited for the end of a Lease that was released");
    assert_eq!(rivals.lease().await.lease_transitions, Some(1));
    rivals.bed.claim("other", "Bound").await;
    rivals.bed.backup("after", "other").await;
    rivals.bed.until("after", "Pending/Starting").await;
    assert_eq!(rivals.bed.jobs_of("save").await.len(), 2);
    second.stop().await;
    assert_eq!(rivals.holder().await, "");
}

#[tokio::test]
async fn a_lease_is_left_to_its_holder_until_it_gives_no_sign_any_more() {
    let rivals = Rivals::new("expiry").await;
    let first = rivals.operator("first").await;
    rivals.held_by("first").await;
    let second = rivals.operator("second").await;
    // Longer than the Lease lasts without a renewal.
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    assert_eq!(rivals.holder().await, "first", "it renews");
    let killed = Instant::now();
    first.kill().await;
    rivals.held_by("second").await;
    // Up to one period of renewal was over when it was killed.
    assert!(killed.elapsed() + Duration::from_secs(2) > LEASE, "taken after {:?}", killed.elapsed());
    rivals.works("expiry").await;
    second.stop().await;
}

#[tokio::test]
async fn an_earlier_process_of_the_same_pod_is_not_waited_for() {
    let rivals = Rivals::new("same-pod").await;
    let first = rivals.operator("same").await;
    rivals.held_by("same").await;
    first.kill().await;
    let renewed = rivals.lease().await.renew_time;
    let again = Instant::now();
    let second = rivals.operator("same").await;
    eventually("it is renewed", || async { rivals.lease().await.renew_time != renewed }).await;
    assert!(again.elapsed() < LEASE, "it waited for itself");
    assert_eq!(rivals.lease().await.lease_transitions, Some(0));
    rivals.works("same-pod").await;
    second.stop().await;
}

#[tokio::test]
async fn one_that_lost_the_lease_ends() {
    let rivals = Rivals::new("lost").await;
    let operator = rivals.operator("first").await;
    rivals.held_by("first").await;
    rivals.patch(json!({"spec": {"holderIdentity": "thief"}})).await;
    let why = operator.ends().await;
    assert!(why.contains("taken by thief"), "{why}");
    assert_eq!(rivals.holder().await, "thief", "what is somebody else's is not released");
}

#[tokio::test]
async fn one_that_cannot_renew_ends_before_another_one_begins() {
    let rivals = Rivals::new("deadline").await;
    let operator = rivals.operator("first").await;
    rivals.held_by("first").await;
    let binding = ["-n", OPERATOR_NAMESPACE, "delete", "rolebinding", "etcd-backup-operator-lease"];
    rivals.bed.kubectl(&binding);
    let cut = Instant::now();
    let why = operator.ends().await;
    assert!(why.contains("could not be renewed for 4 s"), "{why}");
    assert!(cut.elapsed() < LEASE, "it went on for {:?}", cut.elapsed());
    assert_eq!(rivals.holder().await, "first");
}

#[tokio::test]
async fn what_people_do_to_the_lease_does_no_harm() {
    let rivals = Rivals::new("people").await;
    let operator = rivals.operator("first").await;
    rivals.held_by("first").await;
    let renewal = |old: LeaseSpec| {
        let rivals = &rivals;
        async move { eventually("a renewal", || async { rivals.lease().await.renew_time > old.renew_time }).await }
    };
    rivals.patch(json!({"metadata": {"labels": {"looked": "at"}}})).await;
    renewal(rivals.lease().await).await;
    rivals.patch(json!({"spec": {"holderIdentity": null}})).await;
    rivals.held_by("first").await;
    rivals.leases.delete(NAME, &DeleteParams::default()).await.unwrap();
    rivals.held_by("first").await;
    rivals.works("people").await;
    operator.stop().await;
}
