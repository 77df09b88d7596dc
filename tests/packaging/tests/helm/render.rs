//! helm and kubectl, and what they render.

use std::process::{Command, ExitStatus};

use etcd_backup_packaging_tests::objects::{self, Objects};
use etcd_backup_testbed::{repository, tool};

/// The version of Kubernetes that is rendered for unless a test names another: without a cluster, helm knows none.
pub(crate) const KUBERNETES: &str = "1.34.0";

/// The chart's directory.
pub(crate) fn chart() -> String {
    repository().join("charts/etcd-backup-operator").to_str().unwrap().to_owned()
}

/// What a program printed, and how it ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs helm without a cluster.
pub(crate) fn helm(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(tool("helm").unwrap());
    command.args(args).env("HOME", home.path()).env("KUBECONFIG", "/dev/null");
    run(&mut command)
}

/// What kustomize makes of a directory of `config/`.
pub(crate) fn kustomize(directory: &str) -> Objects {
    let directory = repository().join("config").join(directory);
    let output = run(Command::new(tool("kubectl").unwrap()).arg("kustomize").arg(directory));
    assert!(output.status.success(), "{}", output.stderr);
    objects::parse(&output.stdout).unwrap()
}

/// What the chart installs with these arguments, under the names that kustomize gives; without hooks.
pub(crate) fn template(args: &[&str]) -> Objects {
    template_of(&chart(), &[&["--no-hooks"], args].concat()).unwrap()
}

/// What the chart says to these arguments when it refuses them.
pub(crate) fn refusal(args: &[&str]) -> String {
    match template_of(&chart(), args) {
        Ok(_) => panic!("{args:?} was accepted"),
        Err(message) => message,
    }
}

/// What a chart installs, hooks and all, or why it does not.
pub(crate) fn template_of(chart: &str, args: &[&str]) -> Result<Objects, String> {
    const NAME: &str = "etcd-backup-operator";
    let output = helm(&[&["template", NAME, chart, "--namespace", NAME, "--kube-version", KUBERNETES], args].concat());
    if !output.status.success() {
        return Err(output.stderr);
    }
    Ok(objects::parse(&output.stdout).unwrap())
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Output { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}
