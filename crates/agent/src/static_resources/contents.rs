use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use etcd_backup_core::Layout;
use flate2::bufread::GzDecoder;

use super::reader::Watched;
use super::{Component, openshift};

/// What is wrong with an archive as read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// Nothing is concluded from this.
    #[error("it cannot be read: {0}; check the volume, then verify again")]
    Read(io::Error),
    #[error("it is no sound gzipped tar: {0}; the file is damaged or was not completely written")]
    Malformed(io::Error),
    #[error("it does not hold the manifests of all four components, it lacks: {0}")]
    Incomplete(String),
}

/// Reads a whole archive from its beginning: it must be sound to its end, and hold the four components.
pub(crate) fn check(file: &File) -> Result<(), ArchiveError> {
    let mut watched = Watched::new(file);
    let components = components(&mut watched).map_err(|error| match watched.error.take() {
        Some(error) => ArchiveError::Read(error),
        None => ArchiveError::Malformed(error),
    })?;
    let missing: Vec<_> =
        Component::ALL.into_iter().filter(|component| !components.contains(component)).map(Component::as_str).collect();
    if missing.is_empty() { Ok(()) } else { Err(ArchiveError::Incomplete(missing.join(", "))) }
}

/// The components whose manifests are in the archive, in the layout that has most of them.
fn components(file: impl Read) -> io::Result<BTreeSet<Component>> {
    let mut openshift = BTreeSet::new();
    let mut kubeadm = BTreeSet::new();
    let mut tar = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry.path()?;
        openshift.extend(component_of(Layout::OpenShift, &name));
        kubeadm.extend(component_of(Layout::Kubeadm, &name));
        io::copy(&mut entry, &mut io::sink())?;
    }
    // The checksum of gzip comes last, after tar's own end.
    io::copy(&mut tar.into_inner(), &mut io::sink())?;
    Ok(if openshift.len() > kubeadm.len() { openshift } else { kubeadm })
}

/// The component whose manifest a member of the archive is.
fn component_of(layout: Layout, name: &Path) -> Option<Component> {
    let parts: Vec<&str> = name.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
    Component::ALL.into_iter().find(|component| {
        let manifest = component.manifest(layout);
        match (layout, parts.as_slice()) {
            (Layout::OpenShift, [openshift::RESOURCES, directory, file]) => {
                openshift::revision(*component, directory).is_some() && *file == manifest
            }
            (Layout::Kubeadm, ["manifests", file]) => *file == manifest,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_there_when_its_manifest_is() {
        for (layout, name, component) in [
            (Layout::OpenShift, "static-pod-resources/etcd-pod-7/etcd-pod.yaml", Some(Component::Etcd)),
            (Layout::OpenShift, "static-pod-resources/etcd-pod-7/secrets/etcd-pod.yaml", None),
            (Layout::OpenShift, "static-pod-resources/etcd-pod-x/etcd-pod.yaml", None),
            (Layout::Kubeadm, "manifests/kube-scheduler.yaml", Some(Component::KubeScheduler)),
            (Layout::Kubeadm, "manifests/kube-scheduler.yaml.bak", None),
        ] {
            assert_eq!(component_of(layout, Path::new(name)), component, "{name}");
        }
    }
}
