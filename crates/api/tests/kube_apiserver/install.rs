//! The overlays of `config/`.

use std::fs;
use std::process::Command;

use etcd_backup_testbed::{ApiServer, Kubectl as _};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{ROOT, api_server, client};

const OPERATOR: &str = "system:serviceaccount:etcd-backup-operator:etcd-backup-operator";
const JOBS: &str = "system:serviceaccount:openshift-etcd:etcd-backup";

/// The objects that an overlay under `config` makes.
fn build(server: &ApiServer, config: &str, overlay: &str) -> Vec<Value> {
    let yaml = server.kubectl(&["kustomize", &format!("{config}/overlays/{overlay}")]).unwrap().stdout;
    serde_yaml_ng::Deserializer::from_str(&yaml).map(|document| Value::deserialize(document).unwrap()).collect()
}

fn deployment(objects: &[Value]) -> &Value {
    objects.iter().find(|object| object["kind"] == "Deployment").unwrap()
}

#[test]
fn installing_a_second_time_changes_nothing() {
    let server = api_server();
    let overlay = format!("{ROOT}/config/overlays/kubernetes");
    // kubectl diff fails if there is a difference.
    server.kubectl(&["diff", "--server-side", "-k", &overlay]).unwrap();
    server.kubectl(&["apply", "--dry-run=server", "-k", &overlay]).unwrap();
}

#[test]
fn the_operator_pod_is_restricted_on_both_platforms() {
    let server = api_server();
    for (overlay, platform, user) in [("kubernetes", "kubeadm", json!(65532)), ("openshift", "openshift", Value::Null)]
    {
        let objects = build(&server, &format!("{ROOT}/config"), overlay);
        let pod = &deployment(&objects)["spec"]["template"]["spec"];
        assert_eq!(pod["containers"][0]["args"][0], format!("--platform={platform}"));
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]),
            (&json!(true), &user)
        );

        // Pod Security is enforced on pods, not on Deployments, so this is the pod.
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": pod});
        pod["metadata"] = json!({"name": "operator", "namespace": "etcd-backup-operator"});
        server.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &pod.to_string()).unwrap();
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = json!(true);
        let refused = server.kubectl_stdin(&["create", "--dry-run=server", "-f", "-"], &pod.to_string()).unwrap_err();
        assert!(refused.to_string().contains("PodSecurity \"restricted"), "{refused}");
    }
}

#[test]
fn the_openshift_overlay_holds_what_any_kubernetes_takes() {
    let server = api_server();
    let objects = build(&server, &format!("{ROOT}/config"), "openshift");
    let (constraints, others): (Vec<_>, Vec<_>) =
        objects.into_iter().partition(|object| object["kind"] == "SecurityContextConstraints");
    assert_eq!(constraints.len(), 1);
    assert!(
        others.iter().all(|object| object["kind"] != "Namespace" || object["metadata"]["name"] != "openshift-etcd")
    );
    for object in others {
        server
            .kubectl_stdin(
                &["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"],
                &object.to_string(),
            )
            .unwrap();
    }
}

#[test]
fn the_image_is_named_in_one_place() {
    let server = api_server();
    let copy = tempfile::tempdir().unwrap();
    let status = Command::new("cp").arg("-R").arg(format!("{ROOT}/config")).arg(copy.path()).status().unwrap();
    assert!(status.success());
    let config = copy.path().join("config");
    for overlay in ["kubernetes", "openshift"] {
        let file = config.join("overlays").join(overlay).join("kustomization.yaml");
        let edited = fs::read_to_string(&file)
            .unwrap()
            .replace("newName: localhost/etcd-backup", "newName: registry.example.com/etcd-backup")
            .replace("newTag: dev", "newTag: 1.2.3");
        fs::write(&file, edited).unwrap();
        let objects = build(&server, config.to_str().unwrap(), overlay);
        let container = &deployment(&objects)["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example.com/etcd-backup:1.2.3");
        assert_eq!(
            container["env"][0],
            json!({"name": "AGENT_IMAGE", "value": "registry.example.com/etcd-backup:1.2.3"})
        );
    }
}

/// Whether a user may do something; `resource` is `<group>/<resource>[/<subresource>]`.
async fn may(client: &Client, user: &str, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let mut parts = resource.split('/').map(str::to_owned);
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            groups: Some(vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()]),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: parts.next(),
                resource: parts.next(),
                subresource: parts.next(),
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let review = Api::all(client.clone()).create(&PostParams::default(), &review).await.unwrap();
    review.status.unwrap().allowed
}

#[tokio::test]
async fn the_operator_may_do_what_it_needs_and_no_more() {
    let server = api_server();
    let client = client(&server).await;
    let needed = [
        ("operator.openshift.io/etcdbackups", "", "", "get list watch create delete"),
        ("operator.openshift.io/etcdbackups/status", "", "", "patch"),
        ("operator.openshift.io/etcdbackups/recorded", "", "", "create"),
        ("config.openshift.io/backups", "", "", "get list watch"),
        ("config.openshift.io/backups/status", "", "", "patch"),
        ("/nodes", "", "", "list watch"),
        ("/persistentvolumes", "", "", "get"),
        ("storage.k8s.io/storageclasses", "", "", "list watch"),
        ("/namespaces", "", "kube-system", "get"),
        ("events.k8s.io/events", "default", "", "create patch"),
        ("batch/jobs", "openshift-etcd", "", "get list watch create delete"),
        ("/pods", "openshift-etcd", "", "list watch delete"),
        ("/pods/log", "openshift-etcd", "", "get"),
        ("/persistentvolumeclaims", "openshift-etcd", "", "list watch"),
        ("batch/cronjobs", "openshift-etcd", "", "get list watch create patch delete"),
        ("/configmaps", "openshift-etcd", "", "get list watch create patch"),
    ];
    let never = [
        ("operator.openshift.io/etcdbackups", "", "", "update patch"),
        ("config.openshift.io/backups", "", "", "create update patch delete"),
        ("/nodes", "", "", "patch update delete"),
        ("/namespaces", "", "", "list watch create delete"),
        ("/secrets", "openshift-etcd", "", "get list watch"),
        ("/secrets", "kube-system", "", "get list watch"),
        ("/configmaps", "openshift-etcd", "etcd-endpoints", "update delete"),
        ("/configmaps", "kube-system", "", "get create patch"),
        ("batch/cronjobs", "kube-system", "", "get create patch delete"),
        ("/pods", "openshift-etcd", "", "create patch update"),
        ("/pods/exec", "openshift-etcd", "", "create get"),
        ("/persistentvolumeclaims", "openshift-etcd", "", "create patch update delete"),
        ("batch/jobs", "kube-system", "", "get create delete"),
        ("batch/jobs", "openshift-etcd", "", "patch update"),
    ];
    for (rows, allowed) in [(&needed[..], true), (&never[..], false)] {
        for (resource, namespace, name, verbs) in rows {
            for verb in verbs.split(' ') {
                assert_eq!(
                    may(&client, OPERATOR, verb, resource, namespace, name).await,
                    allowed,
                    "{verb} {resource} {namespace} {name}"
                );
            }
        }
    }
    for (resource, namespace, _, verbs) in needed {
        for verb in verbs.split(' ') {
            assert!(!may(&client, JOBS, verb, resource, namespace, "").await, "the Jobs' pods may {verb} {resource}");
        }
    }
}
