use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use etcd_backup_core::{Layout, Reason};
use etcd_backup_etcd::{Connection, TlsFiles};

use crate::cli::EtcdArgs;

/// Why it is not known how to reach etcd.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error(
        "the endpoints in {path} cannot be read: {source}; check --endpoints-dir and that the ConfigMap is mounted there"
    )]
    EndpointsDir { path: PathBuf, source: io::Error },
    #[error(
        "no etcd client certificate is known: give --cacert, --cert and --key (or a --layout that has them in its usual place)"
    )]
    NoTlsFiles,
    #[error("--cacert, --cert and --key belong together, {missing} is missing")]
    TlsFileMissing { missing: &'static str },
}

impl ConnectionError {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::EndpointsDir { .. } => Reason::NoMember,
            Self::NoTlsFiles | Self::TlsFileMissing { .. } => Reason::Tls,
        }
    }
}

/// How to reach etcd: the given endpoints, then those of the directory; with TLS unless all
/// endpoints are `http`.
pub(crate) fn connection(
    args: &EtcdArgs,
    layout: Option<Layout>,
    kubernetes_dir: &Path,
    node: &str,
) -> Result<Connection, ConnectionError> {
    let mut endpoints = args.endpoints.clone();
    if let Some(dir) = &args.endpoints_dir {
        let more = endpoints_in(dir).map_err(|source| ConnectionError::EndpointsDir { path: dir.clone(), source })?;
        endpoints.extend(more);
    }
    let plain = endpoints.iter().all(|endpoint| endpoint.starts_with("http://"));
    let tls = if plain { None } else { Some(tls_files(args, layout, kubernetes_dir, node)?) };
    Ok(Connection::new(endpoints, tls))
}

/// The endpoints in the files of a directory, in the order of the files' names. In a mounted
/// ConfigMap each file is a link, and what begins with a dot is kubelet's own.
fn endpoints_in(dir: &Path) -> io::Result<Vec<String>> {
    let mut paths = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable();
    let mut endpoints = Vec::new();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || !path.is_file() {
            continue;
        }
        let endpoint = fs::read_to_string(&path)?;
        if !endpoint.trim().is_empty() {
            endpoints.push(endpoint.trim().to_owned());
        }
    }
    Ok(endpoints)
}

fn tls_files(
    args: &EtcdArgs,
    layout: Option<Layout>,
    kubernetes_dir: &Path,
    node: &str,
) -> Result<TlsFiles, ConnectionError> {
    if args.cacert.is_none() && args.cert.is_none() && args.key.is_none() {
        let usual = layout.map(|layout| usual_tls_files(layout, kubernetes_dir, node));
        return usual.ok_or(ConnectionError::NoTlsFiles);
    }
    let given = |file: &Option<PathBuf>, missing| file.clone().ok_or(ConnectionError::TlsFileMissing { missing });
    Ok(TlsFiles {
        ca: given(&args.cacert, "--cacert")?,
        cert: given(&args.cert, "--cert")?,
        key: given(&args.key, "--key")?,
    })
}

/// Where a node has them for its administrator. OpenShift's place is the one that `etcd.env` of
/// cluster-backup.sh names, below `static-pod-resources/etcd-certs`.
fn usual_tls_files(layout: Layout, kubernetes_dir: &Path, node: &str) -> TlsFiles {
    match layout {
        Layout::Kubeadm => {
            let pki = kubernetes_dir.join("pki/etcd");
            TlsFiles {
                ca: pki.join("ca.crt"),
                cert: pki.join("healthcheck-client.crt"),
                key: pki.join("healthcheck-client.key"),
            }
        }
        Layout::OpenShift => {
            let certs = kubernetes_dir.join("static-pod-resources/etcd-certs");
            let bundle = certs.join("configmaps/etcd-all-bundles/server-ca-bundle.crt");
            let formerly = certs.join("configmaps/etcd-serving-ca/ca-bundle.crt");
            let peer = certs.join("secrets/etcd-all-certs");
            TlsFiles {
                ca: if bundle.exists() { bundle } else { formerly },
                cert: peer.join(format!("etcd-peer-{node}.crt")),
                key: peer.join(format!("etcd-peer-{node}.key")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn args(endpoints: &[&str]) -> EtcdArgs {
        EtcdArgs {
            endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
            endpoints_dir: None,
            cacert: None,
            cert: None,
            key: None,
            allow_no_quorum: false,
            require_settled: false,
        }
    }

    const DIR: &str = "/etc/kubernetes";

    #[test]
    fn a_mounted_config_map_adds_its_endpoints_after_the_local_one() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("..2026_01_02");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("a"), "10.0.0.1\n").unwrap();
        fs::write(data.join("b"), "fd00::2").unwrap();
        symlink(&data, dir.path().join("..data")).unwrap();
        for name in ["b", "a"] {
            symlink(data.join(name), dir.path().join(name)).unwrap();
        }
        let args = EtcdArgs { endpoints_dir: Some(dir.path().to_owned()), ..args(&["https://127.0.0.1:2379"]) };
        let connection = connection(&args, Some(Layout::Kubeadm), Path::new(DIR), "n").unwrap();
        assert_eq!(connection.endpoints, ["https://127.0.0.1:2379", "10.0.0.1", "fd00::2"]);
    }

    #[test]
    fn the_usual_tls_files_go_by_the_layout() {
        let tls = |layout| connection(&args(&["a"]), layout, Path::new(DIR), "m0").map(|found| found.tls.unwrap().cert);
        assert_eq!(tls(Some(Layout::Kubeadm)).unwrap(), Path::new("/etc/kubernetes/pki/etcd/healthcheck-client.crt"));
        assert_eq!(
            tls(Some(Layout::OpenShift)).unwrap(),
            Path::new("/etc/kubernetes/static-pod-resources/etcd-certs/secrets/etcd-all-certs/etcd-peer-m0.crt")
        );
        assert_eq!(tls(None).unwrap_err().reason(), Reason::Tls);
    }

    #[test]
    fn given_tls_files_win_and_must_be_complete() {
        let mut args = args(&["https://a"]);
        args.cert = Some("/c".into());
        let error = connection(&args, Some(Layout::Kubeadm), Path::new(DIR), "n").unwrap_err();
        assert!(error.to_string().contains("--cacert is missing"), "{error}");
        args.cacert = Some("/a".into());
        args.key = Some("/k".into());
        let tls = connection(&args, Some(Layout::Kubeadm), Path::new(DIR), "n").unwrap().tls.unwrap();
        assert_eq!((tls.ca, tls.cert, tls.key), ("/a".into(), "/c".into(), "/k".into()));
    }

    #[test]
    fn http_needs_no_tls_files() {
        assert!(connection(&args(&["http://a:2379"]), None, Path::new(DIR), "n").unwrap().tls.is_none());
    }
}
