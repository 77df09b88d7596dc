//! The manifests of OpenShift's documentation apply as they are.

use std::fs;

use etcd_backup_api::{Backup, EtcdBackup};
use etcd_backup_testbed::{ApiServer, Kubectl as _};
use serde_json::Value;

use crate::{ROOT, api_server};

/// Every manifest by its file's name. The documentation tells the reader to replace the node's name.
fn manifests() -> Vec<(String, String)> {
    let files = fs::read_dir(format!("{ROOT}/tests/manifests")).unwrap().map(|entry| entry.unwrap().path());
    let mut manifests: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.file_name().unwrap().display().to_string(), fs::read_to_string(path).unwrap()))
        .map(|(name, text)| (name, text.replace("<example_master_node>", "master-0")))
        .collect();
    manifests.sort();
    assert_eq!(manifests.len(), 8);
    manifests
}

fn stored(server: &ApiServer, manifest: &str) -> Value {
    serde_json::from_str(&server.kubectl_stdin(&["get", "-f", "-", "-o", "json"], manifest).unwrap().stdout).unwrap()
}

fn delete(server: &ApiServer, manifest: &str) {
    server.kubectl_stdin(&["delete", "--wait=false", "-f", "-"], manifest).unwrap();
    // Nobody runs the controller that releases claims and volumes. What is gone already cannot be patched.
    _ = server
        .kubectl_stdin(&["patch", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#, "-f", "-"], manifest);
    server.kubectl_stdin(&["wait", "--for=delete", "--timeout=30s", "-f", "-"], manifest).unwrap();
}

#[test]
fn every_way_to_apply_takes_them_and_a_second_time_changes_nothing() {
    let server = api_server();
    for (name, manifest) in manifests() {
        server.kubectl_stdin(&["apply", "-f", "-"], &manifest).unwrap();
        let again = server.kubectl_stdin(&["apply", "-f", "-"], &manifest).unwrap().stdout;
        assert!(again.trim_end().ends_with("unchanged"), "{name}: {again}");
        delete(&server, &manifest);

        server.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &manifest).unwrap();
        let first = stored(&server, &manifest);
        server.kubectl_stdin(&["apply", "--server-side", "-f", "-"], &manifest).unwrap();
        assert_eq!(
            stored(&server, &manifest)["metadata"]["resourceVersion"],
            first["metadata"]["resourceVersion"],
            "{name}"
        );
        delete(&server, &manifest);

        server.kubectl_stdin(&["create", "-f", "-"], &manifest).unwrap();
        delete(&server, &manifest);
    }
}

#[test]
fn ours_are_stored_as_written_and_read_as_our_types() {
    let server = api_server();
    let mut seen = 0;
    for (name, manifest) in manifests() {
        let written: Value = serde_yaml_ng::from_str(&manifest).unwrap();
        // A dry run returns the object as it would be stored, defaults and all.
        let create = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
        let stored = || -> Value {
            let output = server.kubectl_stdin(&create, &manifest).unwrap();
            serde_json::from_str(&output.stdout).unwrap()
        };
        let spec = match written["kind"].as_str().unwrap() {
            "EtcdBackup" => serde_json::to_value(serde_json::from_value::<EtcdBackup>(stored()).unwrap().spec).unwrap(),
            "Backup" => serde_json::to_value(serde_json::from_value::<Backup>(stored()).unwrap().spec).unwrap(),
            _ => continue,
        };
        let stored = stored();
        assert_eq!(stored["spec"], written["spec"], "{name}");
        assert_eq!(spec, written["spec"], "{name}");
        assert_eq!(stored["metadata"]["namespace"], Value::Null, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}
