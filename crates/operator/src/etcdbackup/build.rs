//! The Jobs of an EtcdBackup, typed.
//!
//! Rights of the pods: they run as root, because the control plane's keys are root's, with every
//! capability dropped. Root without `DAC_OVERRIDE` reads and writes what root owns, which is all
//! of /etc/kubernetes and a volume as provisioners make it; a volume whose root directory belongs
//! to another user is refused by the kernel, and the report says so (VolumeIo).

use std::collections::BTreeMap;

use etcd_backup_api::EtcdBackup;
use etcd_backup_core::{Destination, Layout, Request};
use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, HostPathVolumeSource, NodeAffinity,
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector, PersistentVolumeClaimVolumeSource,
    PodSpec, PodTemplateSpec, ResourceRequirements, SELinuxOptions, SeccompProfile, SecretVolumeSource,
    SecurityContext, Toleration, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names;
use crate::config::{Config, Platform};
use crate::endpoints;
use crate::nodes::ROLE_LABELS;

/// Name of the one container.
pub(crate) const CONTAINER: &str = "etcd-backup";

/// Where the agent's report goes; kubelet makes it the container's termination message.
const REPORT_FILE: &str = "/dev/termination-log";

/// The Job that makes the backup.
#[must_use]
pub(crate) fn save_job(backup: &EtcdBackup, request: &Request, name: &str, config: &Config) -> Job {
    let (mounts, tls) = match config.platform {
        Platform::Kubeadm => (kubeadm_mounts(), kubeadm_tls()),
        Platform::OpenShift => (openshift_mounts(), openshift_tls()),
    };
    let mut args = vec!["save".to_owned(), "/backup".to_owned()];
    args.extend(flag("run-id", request.run_id.as_str()));
    args.extend(flag("owner", &request.owner.to_string()));
    args.extend(request.owner.cluster.iter().flat_map(|cluster| flag("cluster", cluster)));
    args.extend(flag("layout", layout(request.source.layout)));
    args.extend(flag("kubernetes-dir", "/etc/kubernetes"));
    args.extend(flag("endpoints", "https://127.0.0.1:2379"));
    args.extend(flag("endpoints-dir", "/endpoints"));
    args.extend(tls);
    args.extend(flag("lock-timeout", &format!("{}s", config.limits.lock_timeout.as_secs())));
    args.extend(flag("deadline", &format!("{}s", config.limits.deadline.as_secs())));
    args.extend(flag("reserve-percent", &config.limits.reserve_percent.to_string()));
    args.extend(flag("report-file", REPORT_FILE));
    let (volumes, mounts) = mounts.into_iter().unzip();
    let mut pod = pod(container(args, config, mounts), config);
    pod.volumes = Some(volumes);
    pod.host_network = Some(true);
    pod.dns_policy = Some("Default".to_owned());
    pod.priority_class_name = Some("system-node-critical".to_owned());
    job(backup, request, name, names::SAVE, pod, config)
}

/// The Job that asks the volume what became of the run. It needs neither etcd nor the node.
#[must_use]
pub(crate) fn inventory_job(backup: &EtcdBackup, request: &Request, name: &str, config: &Config) -> Job {
    let mut args = vec!["inventory".to_owned(), "/backup".to_owned()];
    args.extend(flag("run-id", request.run_id.as_str()));
    args.extend(flag("lock-timeout", &format!("{}s", config.limits.lock_timeout.as_secs())));
    args.extend(flag("report-file", REPORT_FILE));
    let pod = pod(container(args, config, Vec::new()), config);
    job(backup, request, name, names::INVENTORY, pod, config)
}

fn flag(name: &str, value: &str) -> [String; 2] {
    [format!("--{name}"), value.to_owned()]
}

fn layout(layout: Layout) -> &'static str {
    match layout {
        Layout::OpenShift => "openshift",
        Layout::Kubeadm => "kubeadm",
    }
}

fn job(backup: &EtcdBackup, request: &Request, name: &str, component: &str, mut pod: PodSpec, config: &Config) -> Job {
    let labels = names::labels(backup, component);
    let claim = match &request.destination {
        Destination::Pvc { name, .. } => name.clone(),
        Destination::Directory { .. } => String::new(),
    };
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim, read_only: None };
    let backup_volume =
        Volume { name: "backup".to_owned(), persistent_volume_claim: Some(source), ..Volume::default() };
    pod.volumes.get_or_insert_default().insert(0, backup_volume);
    Job {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(config.backup_namespace.clone()),
            labels: Some(labels.clone()),
            owner_references: Some(vec![names::owner_reference(backup)]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(config.limits.job_deadline().as_secs()),
            backoff_limit: Some(2),
            completions: Some(1),
            parallelism: Some(1),
            // Never two attempts at once: the next pod only when the last one has ended for sure.
            pod_replacement_policy: Some("Failed".to_owned()),
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: Some(pod),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// A drained or evicted pod is no failed attempt. The agent's exit codes 2 (usage) and 4 (useless
/// until somebody changes something) end the Job at once.
fn failure_policy() -> PodFailurePolicy {
    let disrupted =
        PodFailurePolicyOnPodConditionsPattern { type_: "DisruptionTarget".to_owned(), status: "True".to_owned() };
    let useless = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.to_owned()),
        operator: "In".to_owned(),
        values: vec![2, 4],
    };
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![disrupted]),
                ..PodFailurePolicyRule::default()
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(useless),
                ..PodFailurePolicyRule::default()
            },
        ],
    }
}

fn pod(container: Container, config: &Config) -> PodSpec {
    PodSpec {
        affinity: Some(control_plane_affinity()),
        automount_service_account_token: Some(false),
        containers: vec![container],
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(config.job_service_account.clone()),
        termination_grace_period_seconds: Some(30),
        tolerations: Some(tolerations()),
        ..PodSpec::default()
    }
}

/// Either role label will do, so these are two terms; nodeName would go around the scheduler and
/// with it around the volume's own place.
fn control_plane_affinity() -> Affinity {
    let terms = ROLE_LABELS.map(|label| NodeSelectorTerm {
        match_expressions: Some(vec![NodeSelectorRequirement {
            key: label.to_owned(),
            operator: "Exists".to_owned(),
            values: None,
        }]),
        match_fields: None,
    });
    Affinity {
        node_affinity: Some(NodeAffinity {
            required_during_scheduling_ignored_during_execution: Some(NodeSelector {
                node_selector_terms: terms.to_vec(),
            }),
            preferred_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

/// Control-plane taints always; a lost node for a minute. Not disk pressure: a backup on such a
/// node would add to it.
fn tolerations() -> Vec<Toleration> {
    let role = ROLE_LABELS.map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    });
    let lost = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(|key| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(60),
        ..Toleration::default()
    });
    role.into_iter().chain(lost).collect()
}

fn container(args: Vec<String>, config: &Config, mounts: Vec<VolumeMount>) -> Container {
    let backup = VolumeMount { name: "backup".to_owned(), mount_path: "/backup".to_owned(), ..VolumeMount::default() };
    let node_name = EnvVarSource {
        field_ref: Some(ObjectFieldSelector { field_path: "spec.nodeName".to_owned(), api_version: None }),
        ..EnvVarSource::default()
    };
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.image_pull_policy.as_str().to_owned()),
        command: Some(vec!["/etcd-backup".to_owned()]),
        args: Some(args),
        env: Some(vec![EnvVar { name: "NODE_NAME".to_owned(), value_from: Some(node_name), ..EnvVar::default() }]),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "10m"), ("memory", "32Mi")])),
            // Ten times what the agent needs: the rest is page cache, which the kernel takes back.
            limits: Some(quantities(&[("memory", "256Mi")])),
            claims: None,
        }),
        security_context: Some(security_context(config.platform)),
        termination_message_path: Some(REPORT_FILE.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        volume_mounts: Some([backup].into_iter().chain(mounts).collect()),
        ..Container::default()
    }
}

/// Every field is set, so that nothing depends on what an admission plugin would add. On OpenShift
/// the type spc_t at level s0 lets the container read the host's files and share a volume between
/// nodes; it is not privileged.
fn security_context(platform: Platform) -> SecurityContext {
    let se_linux =
        SELinuxOptions { type_: Some("spc_t".to_owned()), level: Some("s0".to_owned()), ..SELinuxOptions::default() };
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { add: None, drop: Some(vec!["ALL".to_owned()]) }),
        privileged: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(0),
        run_as_non_root: Some(false),
        run_as_user: Some(0),
        se_linux_options: (platform == Platform::OpenShift).then_some(se_linux),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..SecurityContext::default()
    }
}

type Mounts = Vec<(Volume, VolumeMount)>;

fn kubeadm_tls() -> Vec<String> {
    let file = |name: &str| format!("/etc/kubernetes/pki/etcd/{name}");
    let flags = [
        flag("cacert", &file("ca.crt")),
        flag("cert", &file("healthcheck-client.crt")),
        flag("key", &file("healthcheck-client.key")),
    ];
    flags.concat()
}

fn kubeadm_mounts() -> Mounts {
    vec![host_path("kubernetes", "/etc/kubernetes"), config_map("endpoints", endpoints::CONFIG_MAP, "/endpoints", true)]
}

fn openshift_tls() -> Vec<String> {
    let flags = [
        flag("cacert", "/etcd-ca-bundle/ca-bundle.crt"),
        flag("cert", "/etcd-client/tls.crt"),
        flag("key", "/etcd-client/tls.key"),
    ];
    flags.concat()
}

/// Only the two directories with static pods, never all of /etc/kubernetes.
fn openshift_mounts() -> Mounts {
    let secret = SecretVolumeSource { secret_name: Some("etcd-client".to_owned()), ..SecretVolumeSource::default() };
    vec![
        host_path("manifests", "/etc/kubernetes/manifests"),
        host_path("static-pod-resources", "/etc/kubernetes/static-pod-resources"),
        mounted(Volume { name: "etcd-client".to_owned(), secret: Some(secret), ..Volume::default() }, "/etcd-client"),
        config_map("etcd-ca-bundle", "etcd-ca-bundle", "/etcd-ca-bundle", false),
        config_map("endpoints", "etcd-endpoints", "/endpoints", true),
    ]
}

fn host_path(name: &str, path: &str) -> (Volume, VolumeMount) {
    let source = HostPathVolumeSource { path: path.to_owned(), type_: Some("Directory".to_owned()) };
    mounted(Volume { name: name.to_owned(), host_path: Some(source), ..Volume::default() }, path)
}

/// An optional ConfigMap does not keep the pod from starting: without further endpoints the local
/// member is asked.
fn config_map(name: &str, config_map: &str, path: &str, optional: bool) -> (Volume, VolumeMount) {
    let source = ConfigMapVolumeSource {
        name: config_map.to_owned(),
        optional: Some(optional),
        ..ConfigMapVolumeSource::default()
    };
    mounted(Volume { name: name.to_owned(), config_map: Some(source), ..Volume::default() }, path)
}

fn mounted(volume: Volume, path: &str) -> (Volume, VolumeMount) {
    let mount = VolumeMount {
        name: volume.name.clone(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}

#[cfg(test)]
mod tests;
