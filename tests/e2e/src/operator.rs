//! The operator that is installed in a bed.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::bed::{Bed, OPERATOR_NAMESPACE, until};

const DEPLOYMENT: &str = "deployment/etcd-backup-operator";

impl Bed {
    /// Sets the number of operators, and waits until that many are there.
    ///
    /// # Errors
    /// If they do not come or go.
    pub fn scale_operator(&self, replicas: u32) -> Result<()> {
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "scale", DEPLOYMENT, &format!("--replicas={replicas}")])?;
        if replicas == 0 {
            // kube-controller-manager would do that, if it is there.
            self.kubectl(&["-n", OPERATOR_NAMESPACE, "delete", "pod", "--all", "--wait=false"])?;
            return until("the operator to be gone", Duration::from_secs(60), || Ok(self.operator().is_empty()));
        }
        self.operator_ready()
    }

    /// Runs the operator with other flags: those given are appended, so that they win.
    ///
    /// # Errors
    /// If the operator does not become ready with them.
    pub fn operator_flags(&self, flags: &[&str]) -> Result<()> {
        let deployment = self.kubectl(&["-n", OPERATOR_NAMESPACE, "get", DEPLOYMENT, "-o", "json"])?;
        let deployment: Value = serde_json::from_str(&deployment)?;
        let names: Vec<&str> = flags.iter().filter_map(|flag| flag.split_once('=')).map(|(name, _)| name).collect();
        let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
        let kept = args.as_array().into_iter().flatten().filter_map(Value::as_str);
        let kept = kept.filter(|arg| !names.iter().any(|name| arg.split('=').next() == Some(*name)));
        let args: Vec<&str> = kept.chain(flags.iter().copied()).collect();
        let patch =
            json!([{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": args}]).to_string();
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "patch", DEPLOYMENT, "--type=json", "-p", &patch])?;
        self.operator_ready()
    }

    /// Waits until the operator is ready.
    ///
    /// # Errors
    /// If it is not in two minutes.
    pub fn operator_ready(&self) -> Result<()> {
        self.kubectl(&["-n", OPERATOR_NAMESPACE, "rollout", "status", DEPLOYMENT, "--timeout=110s"])?;
        // One of before may still be at work until it has ended.
        until("an operator to work and those of before to be gone", Duration::from_secs(60), || {
            let ending = ["get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"];
            let ending = self.kubectl(&[&["-n", OPERATOR_NAMESPACE], &ending[..]].concat())?;
            Ok(ending.is_empty() && self.leader()?.is_some())
        })
    }
}
