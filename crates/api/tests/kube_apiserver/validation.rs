//! What the API server accepts and refuses by itself.

use etcd_backup_api::{Backup, EtcdBackup};
use etcd_backup_testbed::{ApiServer, Kubectl as _};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{api_server, client};

/// Both kinds, whatever the objects hold.
struct Kinds {
    backups: Api<DynamicObject>,
    etcd_backups: Api<DynamicObject>,
}

impl Kinds {
    async fn of(server: &ApiServer) -> Self {
        let client = client(server).await;
        Self {
            backups: Api::all_with(client.clone(), &ApiResource::erase::<Backup>(&())),
            etcd_backups: Api::all_with(client, &ApiResource::erase::<EtcdBackup>(&())),
        }
    }

    /// What the API server says to a Backup with this `spec.etcd`: nothing, or why it refuses.
    async fn backup(&self, etcd: &Value) -> Result<(), String> {
        verdict(&self.backups, backup(etcd)).await
    }

    /// What the API server says to an EtcdBackup with this `spec`.
    async fn etcd_backup(&self, spec: &Value) -> Result<(), String> {
        verdict(&self.etcd_backups, etcd_backup("validation", spec)).await
    }
}

async fn verdict(api: &Api<DynamicObject>, object: Value) -> Result<(), String> {
    let object = serde_json::from_value(object).unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    api.create(&dry_run, &object).await.map(drop).map_err(|error| error.to_string())
}

fn backup(etcd: &Value) -> Value {
    json!({
        "apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup",
        "metadata": {"name": "validation"}, "spec": {"etcd": etcd},
    })
}

fn etcd_backup(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup",
        "metadata": {"name": name}, "spec": spec,
    })
}

#[tokio::test]
async fn schedules_and_policies_that_mean_something_are_accepted() {
    let server = api_server();
    let kinds = Kinds::of(&server).await;
    let schedules = [
        "",
        "@annually",
        "@yearly",
        "@monthly",
        "@weekly",
        "@daily",
        "@midnight",
        "@hourly",
        "@every 5m",
        "@every 1h30m",
        "20 4 * * *",
        "*/5 0-23/2 1,15 * *",
        "0 0 ? * ?",
        "0 3 * JAN-MAR MON,WED",
        "0 3 * jan sun",
        "0  3\t* * 6",
        " 0 3 * * 0 ",
    ];
    let zones = [
        "",
        "UTC",
        "Etc/UTC",
        "Europe/Berlin",
        "America/Argentina/Buenos_Aires",
        "America/Port-au-Prince",
        "Etc/GMT+12",
        "EST5EDT",
        "GMT-0",
    ];
    let policies = [
        json!({}),
        json!({"retentionType": ""}),
        json!({"retentionType": "RetentionNumber"}),
        json!({"retentionType": "RetentionSize"}),
        json!({"retentionType": "RetentionNumber", "retentionNumber": {"maxNumberOfBackups": 1}}),
        json!({"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": 20}}),
        // No opinion on the type is RetentionNumber, so a number may come with it.
        json!({"retentionType": "", "retentionNumber": {"maxNumberOfBackups": 5_000_000_000_i64}}),
        json!({"retentionNumber": {"maxNumberOfBackups": 5}}),
    ];
    let rows = schedules.map(|schedule| json!({"schedule": schedule})).into_iter();
    let rows = rows.chain(zones.map(|zone| json!({"schedule": "@daily", "timeZone": zone})));
    let rows = rows.chain(policies.map(|policy| json!({"schedule": "@daily", "retentionPolicy": policy})));
    let rows = rows.chain([json!({}), json!({"suspend": true}), json!({"pvcName": "etcd-backup.pvc-2"})]);
    for etcd in rows {
        assert_eq!(kinds.backup(&etcd).await, Ok(()), "{etcd}");
    }
    for spec in [json!({}), json!({"pvcName": ""}), json!({"pvcName": "etcd-backup-pvc"})] {
        assert_eq!(kinds.etcd_backup(&spec).await, Ok(()), "{spec}");
    }
}

#[tokio::test]
async fn mistakes_are_refused_by_the_name_of_their_field() {
    let server = api_server();
    let kinds = Kinds::of(&server).await;
    let policy = |policy: Value| json!({"schedule": "@daily", "retentionPolicy": policy});
    let number = |value: Value| policy(json!({"retentionNumber": {"maxNumberOfBackups": value}}));
    let size = |value: Value| {
        policy(json!({"retentionType": "RetentionSize", "retentionSize": {"maxSizeOfBackupsGb": value}}))
    };
    let schedule = |schedule: &str| json!({"schedule": schedule});
    let rows = [
        (
            policy(json!({"retentionType": "RetentionNumbr"})),
            r#"retentionPolicy.retentionType: Unsupported value: "RetentionNumbr""#,
        ),
        (
            policy(json!({"retentionType": "RetentionNumber", "retentionSize": {"maxSizeOfBackupsGb": 5}})),
            "retentionSize is forbidden unless",
        ),
        (policy(json!({"retentionSize": {"maxSizeOfBackupsGb": 5}})), "retentionSize is forbidden unless"),
        (
            policy(json!({"retentionType": "RetentionSize", "retentionNumber": {"maxNumberOfBackups": 5}})),
            "retentionNumber is forbidden when",
        ),
        (policy(json!({"retentionNumber": {}})), "retentionNumber.maxNumberOfBackups: Required"),
        (number(json!(0)), "retentionNumber.maxNumberOfBackups: Invalid value: 0"),
        (number(json!(-3)), "retentionNumber.maxNumberOfBackups: Invalid value: -3"),
        (number(json!("5")), "retentionNumber.maxNumberOfBackups: Invalid value"),
        (size(json!(0)), "retentionSize.maxSizeOfBackupsGb: Invalid value: 0"),
        (size(json!(-1)), "retentionSize.maxSizeOfBackupsGb: Invalid value: -1"),
        (size(json!(1.5)), "retentionSize.maxSizeOfBackupsGb: Invalid value"),
        (schedule("0 20 4 * * *"), "spec.etcd.schedule: Invalid value: \"string\": schedule must have five fields"),
        (schedule("20 4 * *"), "spec.etcd.schedule: Invalid value: \"string\": schedule must have five fields"),
        (schedule("@reboot"), "schedule must have five fields"),
        (schedule("@dailyy"), "schedule must have five fields"),
        (schedule("@every"), "schedule must have five fields"),
        (schedule("nightly"), "schedule must have five fields"),
        (schedule("TZ=UTC 20 4 * * *"), "schedule must not contain TZ="),
        (schedule("CRON_TZ=Europe/Berlin 20 4 * * *"), "schedule must not contain TZ="),
        (
            json!({"schedule": "@daily", "timeZone": "Not a zone!"}),
            "spec.etcd.timeZone: Invalid value: \"string\": timeZone must be",
        ),
        (json!({"schedule": "@daily", "timeZone": "../../etc/passwd"}), "timeZone must be"),
        (json!({"schedule": "@daily", "timeZone": "+02:00"}), "timeZone must be"),
        (json!({"schedule": "@daily", "timeZone": "Local"}), "timeZone must be"),
        (json!({"schedule": "@daily", "timeZone": "x".repeat(65)}), "spec.etcd.timeZone: Too long"),
        (json!({"pvcName": "Etcd-Backup"}), "spec.etcd.pvcName: Invalid value: \"string\": pvcName must be"),
        (json!({"suspend": "yes"}), "spec.etcd.suspend: Invalid value"),
    ];
    for (etcd, expected) in rows {
        let message = kinds.backup(&etcd).await.expect_err(&etcd.to_string());
        assert!(message.contains(expected), "{etcd}: {message}");
    }
    let rows = [
        (json!({"pvcName": "Etcd-Backup"}), "spec.pvcName: Invalid value: \"string\": pvcName must be"),
        (json!({"pvcName": "claim/../x"}), "spec.pvcName: Invalid value"),
        (json!({"pvcName": "x".repeat(254)}), "spec.pvcName: Too long"),
        (json!({"recorded": {"backup": "nightly"}}), "spec.recorded.runId: Required"),
    ];
    for (spec, expected) in rows {
        let message = kinds.etcd_backup(&spec).await.expect_err(&spec.to_string());
        assert!(message.contains(expected), "{spec}: {message}");
    }
}

#[test]
fn kubectl_names_a_misspelt_field() {
    let server = api_server();
    let policy = json!({"retentionTyp": "RetentionNumber"});
    let rows = [
        (backup(&json!({"shedule": "@daily"})), r#"unknown field "spec.etcd.shedule""#),
        (backup(&json!({"retentionPolicy": policy})), r#"unknown field "spec.etcd.retentionPolicy.retentionTyp""#),
        (etcd_backup("validation", &json!({"pvcname": "a"})), r#"unknown field "spec.pvcname""#),
    ];
    for (object, expected) in rows {
        let answer = server.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &object.to_string());
        let message = answer.expect_err(expected).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn a_spec_never_changes() {
    const RUN: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";
    let server = api_server();
    let plain = etcd_backup("immutable", &json!({"pvcName": "a"}));
    let record =
        etcd_backup("immutable-record", &json!({"pvcName": "a", "recorded": {"backup": "nightly", "runId": RUN}}));
    for object in [&plain, &record] {
        server.kubectl_stdin(&["create", "-f", "-"], &object.to_string()).unwrap();
    }
    let rows = [
        (&plain, json!({"pvcName": "b"}), "spec.pvcName: Invalid value: \"string\": pvcName is immutable"),
        (&plain, json!({"pvcName": null}), "pvcName and recorded cannot be changed, added or removed"),
        (
            &plain,
            json!({"recorded": {"backup": "nightly", "runId": RUN}}),
            "pvcName and recorded cannot be changed, added or removed",
        ),
        (&record, json!({"recorded": null}), "pvcName and recorded cannot be changed, added or removed"),
        (
            &record,
            json!({"recorded": {"backup": "weekly"}}),
            "spec.recorded: Invalid value: \"object\": recorded is immutable",
        ),
    ];
    for (object, change, expected) in rows {
        let patch = json!({"spec": change}).to_string();
        let answer = server.kubectl_stdin(&["patch", "--type=merge", "-p", &patch, "-f", "-"], &object.to_string());
        let message = answer.expect_err(&patch).to_string();
        assert!(message.contains(expected), "{patch}: {message}");
    }
    for object in [&plain, &record] {
        let label = ["label", "-f", "-", "changes=allowed"];
        server.kubectl_stdin(&label, &object.to_string()).unwrap();
        server.kubectl_stdin(&["delete", "-f", "-"], &object.to_string()).unwrap();
    }
}
