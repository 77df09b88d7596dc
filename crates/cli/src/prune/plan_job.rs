//! The Job that shows a policy's plan: the pod of the schedule's own CronJob, with another verb and less of
//! everything. So it needs neither the operator's configuration nor the cluster's id. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;

use crate::error::Error;
use crate::jobs::CONTAINER;

/// What the Job is for, as a label: the operator knows its own by others, and takes no notice of it.
const COMPONENT: &str = "prune-plan";

/// Flags of `save` that `prune --dry-run` needs too.
const KEPT_FLAGS: [&str; 3] = ["--owner", "--cluster", "--policy"];

/// Volumes that it needs: the sets, and the policy.
const KEPT_VOLUMES: [&str; 2] = ["backup", "policy"];

/// Seconds after which the Job goes by itself, if whoever made it is not there any more.
const KEPT_SECONDS: i32 = 300;

/// Builds it. A plan that takes longer than `limit_seconds` is given up.
///
/// # Errors
/// [`Error::ForeignCronJob`] if the CronJob's pod is none of ours.
pub(super) fn build(cron_job: &CronJob, json: bool, limit_seconds: i64) -> Result<Job, Error> {
    let foreign = || Error::ForeignCronJob(cron_job.name_any());
    let template = cron_job.spec.as_ref().and_then(|spec| spec.job_template.spec.as_ref());
    let pod = template.and_then(|job| job.template.spec.as_ref()).ok_or_else(foreign)?;
    let container = pod.containers.iter().find(|container| container.name == CONTAINER).ok_or_else(foreign)?;
    let container = reading(container, json).ok_or_else(foreign)?;
    let volumes = pod.volumes.iter().flatten().filter(|volume| KEPT_VOLUMES.contains(&volume.name.as_str()));
    let pod = PodSpec {
        containers: vec![container],
        volumes: Some(volumes.cloned().collect()),
        // It talks to nobody, and nothing waits for it.
        host_network: None,
        dns_policy: None,
        priority_class_name: None,
        termination_grace_period_seconds: Some(0),
        ..pod.clone()
    };
    let metadata = ObjectMeta { labels: Some(labels()), ..ObjectMeta::default() };
    Ok(Job {
        metadata: ObjectMeta {
            generate_name: Some(prefix(&cron_job.name_any())),
            namespace: cron_job.namespace(),
            ..metadata.clone()
        },
        spec: Some(JobSpec {
            active_deadline_seconds: Some(limit_seconds),
            backoff_limit: Some(0),
            ttl_seconds_after_finished: Some(KEPT_SECONDS),
            template: PodTemplateSpec { metadata: Some(metadata), spec: Some(pod) },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// The container with the verb that only reads, on a volume that it could not change.
fn reading(container: &Container, json: bool) -> Option<Container> {
    let args = args(container.args.as_deref()?, json)?;
    let mounts = container.volume_mounts.iter().flatten().filter(|mount| KEPT_VOLUMES.contains(&mount.name.as_str()));
    let mounts = mounts.cloned().map(|mut mount| {
        mount.read_only = Some(true);
        mount
    });
    Some(Container { args: Some(args), volume_mounts: Some(mounts.collect()), ..container.clone() })
}

/// `prune /backup --owner .. --cluster .. --policy .. --dry-run` from the arguments of `save`.
fn args(save: &[String], json: bool) -> Option<Vec<String>> {
    let [verb, volume, flags @ ..] = save else { return None };
    if verb != "save" {
        return None;
    }
    let mut args = vec!["prune".to_owned(), volume.clone()];
    for name in KEPT_FLAGS {
        let value = flags.iter().skip_while(|flag| *flag != name).nth(1)?;
        args.extend([name.to_owned(), value.clone()]);
    }
    args.push("--dry-run".to_owned());
    if json {
        args.extend(["--output".to_owned(), "json".to_owned()]);
    }
    Some(args)
}

/// What the Job's name begins with; the API server adds five characters, and the pod's name six more.
fn prefix(cron_job: &str) -> String {
    let kept: String = cron_job.chars().take(40).collect();
    format!("{}-plan-", kept.trim_end_matches(['-', '.']))
}

fn labels() -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "etcd-backup"),
        ("app.kubernetes.io/component", COMPONENT),
        ("app.kubernetes.io/managed-by", "kubectl-etcd_backup"),
    ];
    labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the operator makes, as its own tests have it.
    fn cron_jobs() -> Vec<CronJob> {
        let kubeadm = include_str!("../../../operator/tests/golden/cronjob-kubeadm.yaml");
        let openshift = include_str!("../../../operator/tests/golden/cronjob-openshift.yaml");
        [kubeadm, openshift].map(|text| serde_yaml_ng::from_str(text).unwrap()).to_vec()
    }

    #[test]
    fn the_job_reads_what_the_schedules_runs_write() {
        for cron_job in cron_jobs() {
            let job = build(&cron_job, false, 300).unwrap();
            assert_eq!(job.metadata.generate_name.as_deref(), Some("nightly-plan-"));
            assert_eq!(job.metadata.namespace.as_deref(), Some("openshift-etcd"));
            let spec = job.spec.unwrap();
            assert_eq!((spec.backoff_limit, spec.ttl_seconds_after_finished), (Some(0), Some(KEPT_SECONDS)));
            let pod = spec.template.spec.unwrap();
            assert_eq!(
                pod.containers[0].args.as_ref().unwrap().join(" "),
                "prune /backup --owner Backup/nightly --cluster c1u5-7e12 --policy /policy/policy.json --dry-run"
            );
            let mounts = pod.containers[0].volume_mounts.as_ref().unwrap();
            assert!(mounts.len() == 2 && mounts.iter().all(|mount| mount.read_only == Some(true)), "{mounts:?}");
            let volumes: Vec<String> = pod.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
            assert_eq!(volumes, KEPT_VOLUMES);
            assert_eq!((pod.host_network, pod.priority_class_name), (None, None));
            assert!(pod.affinity.is_some() && pod.containers[0].security_context.is_some());
        }
    }

    #[test]
    fn the_operator_does_not_take_the_job_for_one_of_its_own() {
        let job = build(&cron_jobs()[0], true, 300).unwrap();
        let pod = job.spec.unwrap().template;
        for labels in [job.metadata.labels.unwrap(), pod.metadata.unwrap().labels.unwrap()] {
            assert_eq!(labels["app.kubernetes.io/component"], COMPONENT);
            assert!(!labels.contains_key("etcd-backup.io/backup") && !labels.contains_key("app"));
        }
        assert!(pod.spec.unwrap().containers[0].args.as_ref().unwrap().ends_with(&["--output".into(), "json".into()]));
    }

    #[test]
    fn a_foreign_cron_job_is_refused() {
        let mut cron_job = cron_jobs().remove(0);
        let pod = cron_job.spec.as_mut().unwrap().job_template.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
        pod.containers[0].args = Some(vec!["date".into()]);
        assert!(build(&cron_job, false, 300).is_err());
        cron_job.spec = None;
        assert!(build(&cron_job, false, 300).is_err());
    }
}
