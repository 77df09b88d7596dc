//! The operator's own state, as its Deployment tells. Pure.

use k8s_openapi::api::apps::v1::Deployment;
use serde::Serialize;

use crate::error::Error;

/// Name of the operator's Deployment, however it was installed.
pub(super) const NAME: &str = "etcd-backup-operator";

/// The operator's Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Operator {
    /// Where it was looked for.
    pub(super) namespace: String,
    /// How it is.
    pub(super) state: State,
    /// Replicas that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ready: Option<i32>,
    /// Replicas that should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) wanted: Option<i32>,
    /// What is wrong or unknown, and what to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

/// How the operator is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum State {
    /// At least one replica is ready.
    Ready,
    /// None is.
    NotReady,
    /// There is no such Deployment.
    Missing,
    /// Whoever asks may not see it.
    Unknown,
}

impl Operator {
    /// Reads the Deployment, if it was found.
    pub(super) fn of(namespace: &str, deployment: Option<&Deployment>) -> Self {
        let Some(deployment) = deployment else {
            let message = format!(
                "there is no Deployment {NAME} in namespace {namespace}: schedules run on without it, but nothing is reported and no one-shot backup starts. Install the operator, or say where it is with --operator-namespace"
            );
            return Self { message, ..Self::new(namespace, State::Missing) };
        };
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
        let counted = Self { ready: Some(ready), wanted: Some(wanted), ..Self::new(namespace, State::Ready) };
        if ready > 0 {
            return counted;
        }
        let message = format!(
            "none of {wanted} replicas is ready: see `kubectl -n {namespace} describe deployment {NAME}` and `kubectl -n {namespace} logs deployment/{NAME}`"
        );
        Self { state: State::NotReady, message, ..counted }
    }

    /// It may be there, but not for these eyes.
    pub(super) fn hidden(namespace: &str, error: &Error) -> Self {
        Self { message: error.to_string(), ..Self::new(namespace, State::Unknown) }
    }

    fn new(namespace: &str, state: State) -> Self {
        Self { namespace: namespace.to_owned(), state, ready: None, wanted: None, message: String::new() }
    }
}
