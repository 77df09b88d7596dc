//! The table of rights in docs/plugin.md is what each command needs: with it, it works; without any, it says so.

use std::collections::BTreeMap;
use std::thread::spawn;

use etcd_backup_testbed::Kubectl as _;
use serde_json::{Value, json};

use crate::bed::{Bed, NAMESPACE, completed, ended, etcd_backup};

/// A row of the table: command, verbs, resource, where.
type Row = [String; 4];

fn rows() -> Vec<Row> {
    let page = include_str!("../../../../docs/plugin.md");
    let (_, rest) = page.split_once("| Command | Verbs | Resource | Where | Why |\n|---|---|---|---|---|\n").unwrap();
    let rows = rest.lines().take_while(|line| line.starts_with('|'));
    let cell = |text: &str| text.trim().trim_matches('`').to_owned();
    rows.map(|line| {
        let cells: Vec<String> = line.trim_matches('|').split('|').map(cell).collect();
        [0, 1, 2, 3].map(|column| cells[column].clone())
    })
    .collect()
}

/// Gives a user what the table says that a command needs.
fn grant(bed: &Bed, user: &str, command: &str) {
    let mut places: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for [_, verbs, resource, place] in rows().into_iter().filter(|row| row[0] == command) {
        let (resource, group) = resource.split_once('.').unwrap_or((&resource, ""));
        let verbs: Vec<&str> = verbs.split(", ").collect();
        places.entry(place).or_default().push(json!({"apiGroups": [group], "resources": [resource], "verbs": verbs}));
    }
    assert!(!places.is_empty(), "docs/plugin.md has no rights of {command}");
    let mut objects = Vec::new();
    for (place, rules) in places {
        let (prefix, place) = if place == "cluster" { ("Cluster", None) } else { ("", Some(place)) };
        let namespace = place.map(|place| if place == "the backups' namespace" { NAMESPACE.to_owned() } else { place });
        let metadata = json!({"name": user, "namespace": namespace});
        let api = "rbac.authorization.k8s.io";
        let role = json!({"apiGroup": api, "kind": format!("{prefix}Role"), "name": user});
        let subjects = json!([{"apiGroup": api, "kind": "User", "name": user}]);
        let version = format!("{api}/v1");
        objects.push(
            json!({"apiVersion": version, "kind": format!("{prefix}Role"), "metadata": metadata, "rules": rules}),
        );
        objects.push(json!({"apiVersion": version, "kind": format!("{prefix}RoleBinding"), "metadata": metadata, "roleRef": role, "subjects": subjects}));
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    bed.server.kubectl_stdin(&["apply", "-f", "-"], &list).unwrap();
}

#[test]
fn each_command_works_with_the_rights_of_the_table_and_says_so_without() {
    let bed = Bed::new();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "etcd-backup-operator"}});
    bed.server.kubectl_stdin(&["apply", "-f", "-"], &namespace.to_string()).unwrap();
    bed.create(&etcd_backup("b"), &completed("2026-01-01T00:00:00Z"));
    bed.schedule();
    bed.ended_pod("etcd-backup-b");
    let commands: [(&str, &[&str]); 6] = [
        ("status", &["status"]),
        ("run", &["run", "--name", "r", "--wait", "--timeout", "1s"]),
        ("list", &["list", "--backup", "nightly"]),
        ("describe", &["describe", "b"]),
        ("logs", &["logs", "b"]),
        ("prune", &["prune", "nightly", "--dry-run"]),
    ];
    for (command, args) in commands {
        let user = format!("user-of-{command}");
        let kubeconfig = bed.nobody(&user);
        let refused = ended(&mut bed.command(&kubeconfig, args));
        assert_eq!(refused.code, Some(1), "{command}: {refused:?}");
        assert!(
            refused.stderr.contains("forbidden") && refused.stderr.contains("docs/plugin.md"),
            "{command}: {refused:?}"
        );
        grant(&bed, &user, command);
        let mut granted = bed.command(&kubeconfig, args);
        let running = spawn(move || ended(&mut granted));
        if command == "prune" {
            let job = bed.plan_job();
            bed.ended_pod(&job);
            bed.job_ends(&job, "Complete");
        }
        let allowed = running.join().unwrap();
        assert!(!format!("{allowed:?}").contains("forbidden"), "{command}: {allowed:?}");
    }
}
