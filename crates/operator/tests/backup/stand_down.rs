//! Where somebody else answers to the same resources nothing is started, and everything goes on by
//! itself afterwards. The CRDs and the FeatureGate are of OpenShift's published shape.

use k8s_openapi::api::batch::v1::CronJob;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::bed::eventually;
use crate::schedules::Schedules;

const GATE: &str = "AutomatedEtcdBackup";

fn file(path: &str) -> String {
    format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"))
}

impl Schedules {
    /// Makes OpenShift's kinds and a FeatureGate.
    async fn on_openshift(&self, gate: bool) {
        self.bed.kubectl(&["apply", "-f", &file("tests/openshift/crds.yaml")]);
        self.bed.kubectl(&["wait", "--for=condition=Established", "crd/featuregates.config.openshift.io"]);
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("config.openshift.io", "v1", "FeatureGate"));
        let gates: Api<DynamicObject> = Api::all_with(self.bed.client.clone(), &kind);
        eventually("the kind is served", || async { gates.list(&Default::default()).await.is_ok() }).await;
        let object = json!({"apiVersion": "config.openshift.io/v1", "kind": "FeatureGate", "metadata": {"name": "cluster"}, "spec": {}});
        self.bed.kubectl_stdin(&["apply", "-f", "-"], &object.to_string());
        self.gate(gate);
    }

    fn gate(&self, on: bool) {
        let (gate, other) = (json!([{"name": GATE}]), json!([{"name": "ExternalOIDC"}]));
        let (enabled, disabled) = if on { (gate, other) } else { (other, gate) };
        let gates = json!([{"version": "4.19.3", "enabled": enabled, "disabled": disabled}]);
        let patch = json!({"status": {"featureGates": gates}}).to_string();
        self.bed.kubectl(&["patch", "featuregate", "cluster", "--subresource=status", "--type=merge", "-p", &patch]);
    }

    async fn suspended(&self, name: &str, suspended: bool) -> CronJob {
        let is = |found: &CronJob| found.spec.as_ref().and_then(|spec| spec.suspend) == Some(suspended);
        self.cron_job(name, &format!("suspend is {suspended}"), is).await
    }

    /// Whatever could start something does not: a new request, a Job of the schedule, an edit.
    async fn starts_nothing(&self, name: &str) {
        let cron_job = self.suspended(name, true).await;
        let before = (self.bed.jobs_of("save").await.len(), self.bed.jobs_of("catalogue").await.len());
        let waits = self.bed.backup(&format!("{name}-waits"), "claim").await;
        let status = self.bed.until(&waits.name_any(), "Pending/StandDown").await;
        assert!(etcd_backup_api::conditions::is_true(&status.conditions, "Stalled"), "{status:#?}");
        assert_eq!(self.bed.events(&waits.name_any()), ["StandDown"]);
        self.bed.stays(&waits.name_any(), "Pending/StandDown").await;
        let after = (self.bed.jobs_of("save").await.len(), self.bed.jobs_of("catalogue").await.len());
        assert_eq!(after, before, "Jobs were created");
        assert_eq!(self.cron_jobs.get(name).await.unwrap().resource_version(), cron_job.resource_version());
    }

    /// The request that waited is started now, and so are the runs of the schedule.
    async fn goes_on(&self, name: &str) {
        self.says(name, "Ready", "True Ready").await;
        self.says(name, "Scheduled", "True Scheduled").await;
        self.suspended(name, false).await;
        let status = self.bed.until(&format!("{name}-waits"), "Pending/Starting").await;
        assert!(!etcd_backup_api::conditions::is_true(&status.conditions, "Stalled"), "{status:#?}");
    }
}

#[tokio::test]
async fn the_gate_of_openshifts_own_operator() {
    let bed = Schedules::new("gate").await;
    bed.on_openshift(false).await;
    let operator = bed.bed.operator_on("openshift", &["--leader-elect=false"]).await;
    bed.create("gated", json!({})).await;
    bed.says("gated", "Ready", "True Ready").await;
    let made = bed.suspended("gated", false).await;

    bed.gate(true);
    let why = bed.says("gated", "Ready", "False StandDown").await;
    assert!(why.contains(GATE) && why.contains("turn the gate off"), "{why}");
    bed.says("gated", "Stalled", "True StandDown").await;
    bed.starts_nothing("gated").await;
    assert_eq!(bed.bed.events("gated").last().map(String::as_str), Some("StandDown"));
    // One write for each generation, whatever happens to what is there.
    bed.rests("gated").await;
    let by_hand = json!({"spec": {"suspend": false}}).to_string();
    bed.bed.kubectl(&["-n", &bed.bed.namespace, "patch", "cronjob", "gated", "--type=merge", "-p", &by_hand]);
    bed.suspended("gated", true).await;
    bed.edit("gated", json!({"schedule": "@daily"})).await;
    bed.until("gated", "the edit is seen", |status| status.observed_generation == Some(2)).await;
    bed.says("gated", "Ready", "False StandDown").await;
    bed.rests("gated").await;

    bed.gate(false);
    bed.goes_on("gated").await;
    let resumed = bed.cron_job("gated", "the edit is taken up", |found| {
        found.spec.as_ref().is_some_and(|spec| spec.schedule == "@daily")
    });
    assert_eq!(resumed.await.uid(), made.uid());
    operator.stop().await;
}

#[tokio::test]
async fn an_operator_that_starts_while_the_gate_is_on_starts_nothing() {
    let bed = Schedules::new("gate-before").await;
    bed.on_openshift(true).await;
    let operator = bed.bed.operator_on("openshift", &["--leader-elect=false"]).await;
    bed.create("early", json!({})).await;
    bed.says("early", "Ready", "False StandDown").await;
    assert_eq!(bed.cron_jobs.get_opt("early").await.unwrap(), None);
    bed.bed.kubectl(&["delete", "crd", "featuregates.config.openshift.io"]);
    // Without the kind there is no gate: the watch ends with it and says so.
    bed.says("early", "Ready", "True Ready").await;
    operator.stop().await;
}

#[tokio::test]
async fn crds_that_are_not_ours() {
    let bed = Schedules::new("schema").await;
    let operator = bed.bed.operator(&[]).await;
    bed.create("schema", json!({})).await;
    bed.says("schema", "Ready", "True Ready").await;
    bed.suspended("schema", false).await;

    // As OpenShift does it: our annotations stay.
    bed.bed.kubectl(&[
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        &file("tests/openshift/technology_preview.yaml"),
    ]);
    let suspended = bed.suspended("schema", true).await;
    bed.bed.backup("unheard", "claim").await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(bed.bed.jobs_of("save").await, Vec::<String>::new());
    assert_eq!(bed.cron_jobs.get("schema").await.unwrap().resource_version(), suspended.resource_version());
    assert!(bed.bed.events("unheard").contains(&"StandDown".to_owned()), "{:?}", bed.bed.events("unheard"));

    let ours: Vec<Value> = etcd_backup_api::crds().iter().map(|crd| serde_json::to_value(crd).unwrap()).collect();
    for crd in &ours {
        let name = crd["metadata"]["name"].as_str().unwrap();
        bed.bed.kubectl(&[
            "annotate",
            "crd",
            name,
            "include.release.openshift.io/ibm-cloud-managed-",
            "include.release.openshift.io/self-managed-high-availability-",
            "release.openshift.io/feature-set-",
        ]);
        bed.bed.kubectl_stdin(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &crd.to_string());
    }
    bed.says("schema", "Ready", "True Ready").await;
    bed.suspended("schema", false).await;
    bed.bed.until("unheard", "Pending/Starting").await;
    operator.stop().await;
}
