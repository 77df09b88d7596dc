//! The proof that counts: a snapshot restored by the real `etcdutl`, started by the real etcd, and read.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use etcd_backup_testbed::tool;

use crate::bed::until;

/// What the real `etcdutl snapshot status` says of a file.
///
/// # Errors
/// If etcdutl refuses it.
pub fn etcdutl_status(snapshot: &Path) -> Result<Value> {
    let output = Command::new(tool("etcdutl")?).args(["snapshot", "status", "-w", "json"]).arg(snapshot).output()?;
    ensure!(output.status.success(), "etcdutl snapshot status: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("etcdutl's JSON")
}

/// Restores a snapshot, starts etcd on it, and returns the value of a key as raw bytes.
///
/// # Errors
/// If etcdutl refuses the snapshot, etcd does not start, or the key is not there.
pub fn restore_and_read(snapshot: &Path, key: &str) -> Result<Vec<u8>> {
    let scratch = tempfile::tempdir()?;
    let data = scratch.path().join("data");
    let restored = Command::new(tool("etcdutl")?)
        .args(["snapshot", "restore"])
        .arg(snapshot)
        .arg("--data-dir")
        .arg(&data)
        .output()?;
    ensure!(restored.status.success(), "etcdutl snapshot restore: {}", String::from_utf8_lossy(&restored.stderr));

    let [client, peer] = [free_address()?, free_address()?];
    let etcd = Command::new(tool("etcd")?)
        .arg("--data-dir")
        .arg(&data)
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client, "--listen-peer-urls", &peer])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start etcd on the restored data")?;
    let _etcd = Running(etcd);
    let program = tool("etcdctl")?;
    let etcdctl =
        |args: &[&str]| Command::new(&program).args(["--endpoints", &client]).args(args).stdin(Stdio::null()).output();
    until("the restored etcd to be healthy", Duration::from_secs(30), || {
        Ok(etcdctl(&["endpoint", "health"])?.status.success())
    })?;
    let read = etcdctl(&["get", "--print-value-only", key])?;
    ensure!(!read.stdout.trim_ascii().is_empty(), "{key} is not in the restored etcd");
    Ok(read.stdout)
}

/// A loopback address that nobody listens on right now.
fn free_address() -> Result<String> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("http://{address}"))
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; there is nothing else to do about either.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
