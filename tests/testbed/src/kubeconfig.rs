//! Kubeconfig files, self-contained as kubeadm writes them, and kubectl on top of them.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::pki::Issued;
use crate::process::{self, Input, Output};

/// How long a kubectl call may take unless the caller says otherwise.
const LIMIT: Duration = Duration::from_secs(60);

/// A Kubernetes API that kubectl talks to with the rights of an administrator.
pub trait Kubectl {
    /// kubectl, ready for this cluster: what is missing is the arguments of the call.
    ///
    /// # Errors
    /// When kubectl is not found, or the cluster is not up.
    fn kubectl_command(&self) -> Result<Command>;

    /// Runs kubectl with `input` on standard input, for at most `limit`.
    ///
    /// # Errors
    /// [`Error::Command`] with kubectl's message when it fails, [`Error::Timeout`] at the limit.
    fn kubectl_within(&self, limit: Duration, args: &[&str], input: &str) -> Result<Output> {
        process::run(self.kubectl_command()?.args(args), Input::Bytes(input.as_bytes()), limit)
    }

    /// Runs kubectl for at most a minute.
    ///
    /// # Errors
    /// As [`kubectl_within`](Self::kubectl_within).
    fn kubectl(&self, args: &[&str]) -> Result<Output> {
        self.kubectl_within(LIMIT, args, "")
    }

    /// Runs kubectl with `input` on standard input, as in `kubectl apply -f -`.
    ///
    /// # Errors
    /// As [`kubectl_within`](Self::kubectl_within).
    fn kubectl_stdin(&self, args: &[&str], input: &str) -> Result<Output> {
        self.kubectl_within(LIMIT, args, input)
    }

    /// Runs kubectl with `-o json` and reads what it prints.
    ///
    /// # Errors
    /// As [`kubectl_within`](Self::kubectl_within), and [`Error::Unexpected`] when it prints anything but JSON.
    fn kubectl_json(&self, args: &[&str]) -> Result<Value> {
        let output = self.kubectl(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&output.stdout)
            .map_err(|error| Error::unexpected(format!("kubectl {}", args.join(" ")), error))
    }
}

/// Writes a kubeconfig that holds its certificates itself. `authority` is the CA's certificate, PEM.
pub(crate) fn write(path: &Path, server: &str, authority: &str, client: &Issued) -> Result<()> {
    let cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(authority)});
    let user = json!({
        "client-certificate-data": STANDARD.encode(&client.certificate),
        "client-key-data": STANDARD.encode(&client.key),
    });
    write_value(
        path,
        &json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "kubernetes", "cluster": cluster}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "admin@kubernetes", "context": {"cluster": "kubernetes", "user": "admin"}}],
            "current-context": "admin@kubernetes",
        }),
    )
}

/// Writes the administrator's kubeconfig with every request made in another user's name. The API server decides about
/// such a request exactly as about one that the user makes.
///
/// # Errors
/// When the administrator's kubeconfig has no current context.
pub(crate) fn write_impersonating(path: &Path, admin: &impl Kubectl, user: &str, groups: &[&str]) -> Result<()> {
    let mut config = admin.kubectl_json(&["config", "view", "--raw", "--minify", "--flatten"])?;
    let auth = config["users"][0]["user"]
        .as_object_mut()
        .ok_or_else(|| Error::unexpected("the administrator's kubeconfig", "it names no user"))?;
    auth.insert("as".to_owned(), user.into());
    auth.insert("as-groups".to_owned(), groups.into());
    write_value(path, &config)
}

fn write_value(path: &Path, config: &Value) -> Result<()> {
    let action = || format!("write kubeconfig {}", path.display());
    let yaml = serde_yaml_ng::to_string(config).map_err(|error| Error::unexpected(action(), error))?;
    fs::write(path, yaml).map_err(Error::io(action()))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(Error::io(action()))
}

/// Where kubectl keeps what it caches, in a bed's directory.
pub(crate) const CACHE: &str = "kubectl-cache";

/// The arguments that make kubectl use this kubeconfig, and keep what it caches in `dir`: the cache in the home
/// directory goes by address, and the addresses of beds come back with another cluster behind them.
pub(crate) fn arguments(kubeconfig: &Path, dir: &Path) -> [OsString; 4] {
    ["--kubeconfig".into(), kubeconfig.into(), "--cache-dir".into(), dir.join(CACHE).into()]
}
