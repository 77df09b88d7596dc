use std::path::{Path, PathBuf};

use serde::Deserialize;

/// As much of a static pod's manifest as a backup needs.
#[derive(Debug, Deserialize)]
pub(super) struct StaticPod {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    containers: Vec<Container>,
    #[serde(default)]
    volumes: Vec<Volume>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount {
    name: String,
    mount_path: PathBuf,
    #[serde(default)]
    sub_path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    name: String,
    host_path: Option<HostPath>,
}

#[derive(Debug, Deserialize)]
struct HostPath {
    path: PathBuf,
}

impl StaticPod {
    /// Reads a manifest, YAML or JSON. The error is for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        serde_yaml_ng::from_str(text).map_err(|error| error.to_string())
    }

    /// The path on the node of a hostPath volume.
    pub(super) fn host_path(&self, volume: &str) -> Option<&Path> {
        let volume = self.spec.volumes.iter().find(|candidate| candidate.name == volume)?;
        Some(&volume.host_path.as_ref()?.path)
    }

    /// The tag of a container's image; an image by digest alone has none.
    pub(super) fn image_tag(&self, container: &str) -> Option<&str> {
        let image = &self.container(container)?.image;
        let name = image.split('@').next()?.rsplit('/').next()?;
        name.split_once(':').map(|(_, tag)| tag)
    }

    /// The absolute paths that a container's arguments name, each with its flag: `--flag=/a`,
    /// `--flag /a`, `--flag=/a,/b`, `--flag=/a,/b:name`.
    pub(super) fn named_paths(&self, container: &str) -> Vec<(String, PathBuf)> {
        let Some(container) = self.container(container) else { return Vec::new() };
        let mut named = Vec::new();
        let mut flag = String::new();
        for word in container.command.iter().chain(&container.args) {
            let values = match word.split_once('=') {
                Some((name, values)) if name.starts_with("--") => {
                    name.clone_into(&mut flag);
                    values
                }
                None if word.starts_with("--") => {
                    flag.clone_from(word);
                    continue;
                }
                _ => word,
            };
            if !flag.is_empty() {
                let paths = values.split(',').filter_map(|value| value.split(':').next());
                named.extend(paths.filter(|path| path.starts_with('/')).map(|path| (flag.clone(), path.into())));
            }
            flag.clear();
        }
        named
    }

    /// Where on the node a path inside a container is. A path that no hostPath mount covers is
    /// taken as it stands.
    pub(super) fn on_node(&self, container: &str, path: &Path) -> PathBuf {
        let mounts = self.container(container).map_or(&[][..], |container| &container.volume_mounts);
        mounts
            .iter()
            .filter_map(|mount| {
                let below = path.strip_prefix(&mount.mount_path).ok()?;
                let mut host = self.host_path(&mount.name)?.join(&mount.sub_path);
                // Joining an empty path would append a slash, and a file with one is not found.
                if !below.as_os_str().is_empty() {
                    host.push(below);
                }
                Some((mount.mount_path.as_os_str().len(), host.components().collect()))
            })
            .max_by_key(|(length, _)| *length)
            .map_or_else(|| path.to_owned(), |(_, host)| host)
    }

    fn container(&self, name: &str) -> Option<&Container> {
        self.spec.containers.iter().find(|container| container.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> StaticPod {
        StaticPod::parse(
            r#"
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver}
spec:
  containers:
  - name: kube-apiserver
    image: registry.example:5000/k8s/kube-apiserver:v1.34.4@sha256:00ff
    command:
    - kube-apiserver
    - --etcd-servers=https://127.0.0.1:2379
    - --encryption-provider-config=/etc/kubernetes/enc/config.yaml
    - --audit-policy-file
    - /etc/kubernetes/audit/policy.yaml
    - --allow-privileged
    - --tls-sni-cert-key=/certs/a.crt,/certs/a.key:example.org
    args: ["--authentication-config=/single/auth.yaml"]
    volumeMounts:
    - {name: certs, mountPath: /certs}
    - {name: single, mountPath: /single/auth.yaml, subPath: auth.yaml}
  volumes:
  - name: certs
    hostPath: {path: /var/lib/certs}
  - name: single
    hostPath: {path: /srv/config}
  - name: scratch
    emptyDir: {}
"#,
        )
        .unwrap()
    }

    #[test]
    fn arguments_name_paths_in_every_spelling() {
        let named = pod().named_paths("kube-apiserver");
        let named: Vec<_> = named.iter().map(|(flag, path)| (flag.as_str(), path.to_str().unwrap())).collect();
        assert_eq!(
            named,
            [
                ("--encryption-provider-config", "/etc/kubernetes/enc/config.yaml"),
                ("--audit-policy-file", "/etc/kubernetes/audit/policy.yaml"),
                ("--tls-sni-cert-key", "/certs/a.crt"),
                ("--tls-sni-cert-key", "/certs/a.key"),
                ("--authentication-config", "/single/auth.yaml"),
            ]
        );
    }

    #[test]
    fn paths_in_the_container_are_found_on_the_node() {
        let pod = pod();
        for (inside, outside) in [
            ("/certs/a.key", "/var/lib/certs/a.key"),
            ("/single/auth.yaml", "/srv/config/auth.yaml"),
            ("/elsewhere/file", "/elsewhere/file"),
        ] {
            assert_eq!(pod.on_node("kube-apiserver", Path::new(inside)), Path::new(outside));
        }
    }

    #[test]
    fn the_tag_is_found_beside_a_port_and_a_digest() {
        assert_eq!(pod().image_tag("kube-apiserver"), Some("v1.34.4"));
        assert_eq!(pod().image_tag("etcd"), None);
    }

    #[test]
    fn what_is_not_a_pod_is_refused() {
        assert!(StaticPod::parse("kind: Pod").is_err());
        assert!(StaticPod::parse("\0").is_err());
    }
}
