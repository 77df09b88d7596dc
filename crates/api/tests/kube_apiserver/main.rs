//! The CRDs and everything in `config/`, against a real kube-apiserver.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is test code")]

mod columns;
mod documentation;
mod install;
mod pages;
mod recorded;
mod validation;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use etcd_backup_testbed::{ApiServer, Kubectl as _};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// One API server for all tests that run at the same time, with our manifests for Kubernetes
/// installed. It ends with the last test that holds it.
fn api_server() -> Arc<ApiServer> {
    static SHARED: Mutex<Weak<ApiServer>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(ApiServer::start().unwrap());
    install(&server);
    *shared = Arc::downgrade(&server);
    server
}

fn install(server: &ApiServer) {
    server.kubectl(&["apply", "--server-side", "-k", &format!("{ROOT}/config/overlays/kubernetes")]).unwrap();
    server.kubectl(&["wait", "--for=condition=Established", "--timeout=30s", "crd", "--all"]).unwrap();
}

/// A client with the rights of an administrator. Where a test asks a hundred questions it is much
/// quicker than kubectl.
async fn client(server: &ApiServer) -> Client {
    let kubeconfig = Kubeconfig::read_from(server.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}
