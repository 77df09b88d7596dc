//! Pods and Jobs that run the agent: what every one of them has, whoever asked for it.
//!
//! Rights of the pods: they run as root, because the control plane's keys are root's, with every
//! capability dropped. Root without `DAC_OVERRIDE` reads and writes what root owns, which is all
//! of /etc/kubernetes and a volume as provisioners make it; a volume whose root directory belongs
//! to another user is refused by the kernel, and the report says so (VolumeIo).

pub(crate) mod save;

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
    PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, NodeAffinity, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSpec,
    PodTemplateSpec, ResourceRequirements, SELinuxOptions, SeccompProfile, SecurityContext, Toleration, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::config::{Config, Platform};
use crate::nodes::ROLE_LABELS;

/// Name of the one container.
pub(crate) const CONTAINER: &str = "etcd-backup";

/// Where the agent's report goes; kubelet makes it the container's termination message.
const REPORT_FILE: &str = "/dev/termination-log";

/// Volumes, each with its mount.
pub(crate) type Mounts = Vec<(Volume, VolumeMount)>;

/// What a pod of the agent does.
#[derive(Debug, Default)]
pub(crate) struct Command {
    /// The verb, the volume and the flags, without `--report-file`.
    pub(crate) args: Vec<String>,
    /// What is mounted besides the claim.
    pub(crate) mounts: Mounts,
    /// Environment besides NODE_NAME.
    pub(crate) env: Vec<EnvVar>,
}

impl Command {
    /// A verb on the mounted claim.
    #[must_use]
    pub(crate) fn new(verb: &str) -> Self {
        Self { args: vec![verb.to_owned(), "/backup".to_owned()], ..Self::default() }
    }

    /// Adds a flag that has no value.
    #[must_use]
    pub(crate) fn switch(mut self, name: &str) -> Self {
        self.args.push(format!("--{name}"));
        self
    }

    /// Adds a flag with its value.
    #[must_use]
    pub(crate) fn flag(mut self, name: &str, value: impl Into<String>) -> Self {
        self.args.extend([format!("--{name}"), value.into()]);
        self
    }

    /// Makes the Job's uid the run id: known to the API server alone when the pod is made, and the
    /// same for every attempt of the Job.
    #[must_use]
    pub(crate) fn run_id_of_job(mut self) -> Self {
        self.env.push(field("ETCD_BACKUP_RUN_ID", "metadata.labels['batch.kubernetes.io/controller-uid']"));
        self
    }
}

/// The Job's spec for a command on a claim.
#[must_use]
pub(crate) fn job_spec(pod: PodSpec, metadata: ObjectMeta, config: &Config) -> JobSpec {
    JobSpec {
        active_deadline_seconds: Some(config.limits.job_deadline().as_secs()),
        backoff_limit: Some(2),
        completions: Some(1),
        parallelism: Some(1),
        // Never two attempts at once: the next pod only when the last one has ended for sure.
        pod_replacement_policy: Some("Failed".to_owned()),
        pod_failure_policy: Some(failure_policy()),
        template: PodTemplateSpec { metadata: Some(metadata), spec: Some(pod) },
        ..JobSpec::default()
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

/// A pod that runs a command with the claim at /backup. It needs neither the node nor its network.
#[must_use]
pub(crate) fn pod(command: Command, claim: &str, config: &Config) -> PodSpec {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.to_owned(), read_only: None };
    let backup_volume =
        Volume { name: "backup".to_owned(), persistent_volume_claim: Some(source), ..Volume::default() };
    let Command { args, mounts, env } = command;
    let (volumes, mounts): (Vec<Volume>, Vec<VolumeMount>) = mounts.into_iter().unzip();
    PodSpec {
        affinity: Some(control_plane_affinity()),
        automount_service_account_token: Some(false),
        containers: vec![container(args, env, mounts, config)],
        enable_service_links: Some(false),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(config.job_service_account.clone()),
        termination_grace_period_seconds: Some(30),
        tolerations: Some(tolerations()),
        volumes: Some([backup_volume].into_iter().chain(volumes).collect()),
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

fn container(mut args: Vec<String>, env: Vec<EnvVar>, mounts: Vec<VolumeMount>, config: &Config) -> Container {
    args.extend(["--report-file".to_owned(), REPORT_FILE.to_owned()]);
    let backup = VolumeMount { name: "backup".to_owned(), mount_path: "/backup".to_owned(), ..VolumeMount::default() };
    let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned()))).collect()
    };
    Container {
        name: CONTAINER.to_owned(),
        image: Some(config.image.clone()),
        image_pull_policy: Some(config.image_pull_policy.as_str().to_owned()),
        command: Some(vec!["/etcd-backup".to_owned()]),
        args: Some(args),
        env: Some([field("NODE_NAME", "spec.nodeName")].into_iter().chain(log_filter(config)).chain(env).collect()),
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

/// What the agent logs, if somebody wants more than it does by itself.
fn log_filter(config: &Config) -> Option<EnvVar> {
    let filter = config.agent_log.clone()?;
    Some(EnvVar { name: "RUST_LOG".to_owned(), value: Some(filter), ..EnvVar::default() })
}

/// An environment variable with a field of the pod.
fn field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value_from: Some(source), ..EnvVar::default() }
}

/// An optional ConfigMap does not keep the pod from starting when it is not there.
#[must_use]
pub(crate) fn config_map(name: &str, config_map: &str, path: &str, optional: bool) -> (Volume, VolumeMount) {
    let source = ConfigMapVolumeSource {
        name: config_map.to_owned(),
        optional: Some(optional),
        ..ConfigMapVolumeSource::default()
    };
    mounted(Volume { name: name.to_owned(), config_map: Some(source), ..Volume::default() }, path)
}

/// A volume, mounted for reading.
fn mounted(volume: Volume, path: &str) -> (Volume, VolumeMount) {
    let mount = VolumeMount {
        name: volume.name.clone(),
        mount_path: path.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    };
    (volume, mount)
}
