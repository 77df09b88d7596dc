//! What `kubectl get` prints.

use etcd_backup_testbed::Kubectl as _;
use serde_json::{Value, json};

use crate::api_server;

/// The only row of a table that `kubectl get` printed, each cell under its header.
fn row(table: &str) -> Vec<(&str, &str)> {
    let (header, row) = table.trim_end().split_once('\n').unwrap();
    let begins = |&at: &usize| !header[at..].starts_with(' ') && (at == 0 || header[..at].ends_with(' '));
    let starts: Vec<usize> = (0..header.len()).filter(begins).collect();
    let ends = starts.iter().skip(1).copied().chain([header.len().max(row.len())]);
    let cell = |line: &'_ str, start: usize, end: usize| (start.min(line.len()), end.min(line.len()));
    let cells = starts.iter().zip(ends).map(|(&start, end)| {
        let ((h0, h1), (r0, r1)) = (cell(header, start, end), cell(row, start, end));
        (header[h0..h1].trim(), row[r0..r1].trim())
    });
    cells.collect()
}

/// Creates an object, writes its status as the operator does, and prints it both ways.
fn print(resource: &str, mut object: Value, status: Value) -> [String; 2] {
    let server = api_server();
    server.kubectl_stdin(&["create", "-f", "-"], &object.to_string()).unwrap();
    object.as_object_mut().unwrap().remove("spec");
    object["status"] = status;
    let apply = ["apply", "--server-side", "--subresource=status", "--field-manager=etcd-backup-operator", "-f", "-"];
    server.kubectl_stdin(&apply, &object.to_string()).unwrap();
    let name = object["metadata"]["name"].as_str().unwrap();
    let tables = [vec![], vec!["-o", "wide"]].map(|output| {
        let get = [vec!["get", resource, name], output].concat();
        server.kubectl(&get).unwrap().stdout
    });
    server.kubectl(&["delete", resource, name]).unwrap();
    tables
}

/// The columns of `kubectl get etcdbackup -o wide`; without `-o wide` they end with the age.
fn columns(age: &str) -> [(&str, &str); 13] {
    [
        ("NAME", "columns"),
        ("STATUS", "Completed"),
        ("REVISION", "4711"),
        ("SIZE", "121 MiB"),
        ("VERIFIED", "True"),
        ("NODE", "master-0"),
        ("AGE", age),
        ("BACKUP", "nightly"),
        ("PVC", "etcd-backup-pvc"),
        ("LOCATION", "pvc://openshift-etcd/etcd-backup-pvc/backup-x"),
        ("ETCD", "3.6.4"),
        ("DURATION", "12s"),
        ("REASON", "Published"),
    ]
}

#[test]
fn an_etcd_backup_shows_its_state_and_where_the_set_is() {
    let object = json!({
        "apiVersion": "operator.openshift.io/v1alpha1", "kind": "EtcdBackup", "metadata": {"name": "columns"},
        "spec": {"pvcName": "etcd-backup-pvc", "recorded": {"backup": "nightly", "runId": "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11"}},
    });
    let verified = json!({
        "type": "Verified", "status": "True", "reason": "Proven", "message": "", "lastTransitionTime": "2026-01-02T03:04:17Z",
    });
    let status = json!({
        "phase": "Completed", "reason": "Published", "nodeName": "master-0", "size": "121 MiB", "duration": "12s",
        "location": "pvc://openshift-etcd/etcd-backup-pvc/backup-x", "conditions": [verified],
        "snapshot": {
            "revision": 4711, "sizeBytes": 126_877_728, "sha256": "ab", "etcdVersion": "3.6.4",
            "clusterId": "cdf818194e3a8c32", "memberId": "8e9e05c52164694d", "raftTerm": 2,
        },
    });
    let [narrow, wide] = print("etcdbackup", object, status);
    let (narrow, wide) = (row(&narrow), row(&wide));
    assert_eq!(narrow, columns(narrow[6].1)[..7]);
    assert_eq!(wide, columns(wide[6].1));
}

#[test]
fn a_backup_shows_its_schedule_and_what_is_kept() {
    let object = json!({
        "apiVersion": "config.openshift.io/v1alpha1", "kind": "Backup", "metadata": {"name": "columns"},
        "spec": {"etcd": {"schedule": "20 4 * * *", "suspend": true, "pvcName": "etcd-backup-pvc"}},
    });
    let ready = json!({"type": "Ready", "status": "True", "reason": "Scheduled", "message": "", "lastTransitionTime": "2026-01-02T03:04:17Z"});
    let status = json!({
        "lastSuccessfulTime": "2020-01-02T04:20:12Z", "nextScheduleTime": "2099-01-03T04:20:00Z", "conditions": [ready],
        "retained": {"count": 5, "sizeBytes": 1_288_490_188, "size": "1.2 GiB"},
    });
    let all =
        ["NAME", "SCHEDULE", "SUSPENDED", "LAST-SUCCESS", "NEXT", "RETAINED", "SIZE", "READY", "AGE", "PVC", "REASON"];
    for (table, shown) in print("backup", object, status).into_iter().zip([9, 11]) {
        let row = row(&table);
        let headers: Vec<&str> = row.iter().map(|(header, _)| *header).collect();
        assert_eq!(headers, all[..shown]);
        let cells: Vec<&str> = row.iter().map(|(_, cell)| *cell).collect();
        assert_eq!(cells[..3], ["columns", "20 4 * * *", "true"]);
        assert!(cells[3].ends_with('y') || cells[3].ends_with('d'), "an age: {}", cells[3]);
        assert_eq!(cells[4..8], ["2099-01-03T04:20:00Z", "5", "1.2 GiB", "True"]);
        assert!(cells[9..].is_empty() || cells[9..] == ["etcd-backup-pvc", "Scheduled"], "{cells:?}");
    }
}
