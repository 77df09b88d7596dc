//! Collecting from real directories, and reading the archive back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::*;

/// A directory laid out as kubeadm does, with an encryption configuration.
fn kubeadm() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for component in Component::ALL {
        put(root, &format!("manifests/{}.yaml", component.as_str()), "spec: {containers: []}");
    }
    put(
        root,
        "manifests/kube-apiserver.yaml",
        r#"spec: {containers: [{name: kube-apiserver, image: "registry.k8s.io/kube-apiserver:v1.34.4", command: [
            --encryption-provider-config=/etc/kubernetes/enc/keys.yaml, --audit-policy-file=/nowhere/policy.yaml]}]}"#,
    );
    put(root, "pki/ca.crt", "certificate");
    put(root, "pki/etcd/ca.crt", "certificate of etcd");
    put(root, "enc/keys.yaml", "keys");
    put(root, "admin.conf", "kubeconfig");
    fs::set_permissions(root.join("admin.conf"), PermissionsExt::from_mode(0o600)).unwrap();
    dir
}

/// A directory laid out as OpenShift does: revision 7 runs, revision 9 is newer and does not.
fn openshift() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for component in Component::ALL.map(Component::as_str) {
        let manifest = format!(
            r#"{{"spec":{{"containers":[],"volumes":[{{"name":"resource-dir","hostPath":{{"path":"/etc/kubernetes/static-pod-resources/{component}-pod-7"}}}}]}}}}"#
        );
        put(dir.path(), &format!("manifests/{component}-pod.yaml"), &manifest);
        for revision in [7, 9] {
            put(
                dir.path(),
                &format!("static-pod-resources/{component}-pod-{revision}/{component}-pod.yaml"),
                &manifest,
            );
        }
    }
    put(dir.path(), "static-pod-resources/kube-apiserver-pod-7/secrets/encryption-config/encryption-config", "keys");
    dir
}

fn put(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn collect_from(layout: Layout, root: &Path) -> Result<(Collected, File), StaticResourcesError> {
    let mut file = tempfile::tempfile().unwrap();
    let collected = select(layout, root)?.write(file.try_clone().unwrap())?;
    file.rewind().unwrap();
    Ok((collected, file))
}

/// Names in the archive, with each one's link target or content.
fn members(file: &File) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(GzDecoder::new(file));
    let members = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        match entry.link_name().unwrap() {
            Some(target) => text = format!("-> {}", target.display()),
            None => _ = entry.read_to_string(&mut text).unwrap(),
        }
        (entry.path().unwrap().display().to_string(), text)
    });
    members.collect()
}

#[test]
fn kubeadm_is_collected_whole() {
    let dir = kubeadm();
    put(dir.path(), "tmp/leftover", "not part of it");
    let (collected, file) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    assert_eq!(collected.cluster_version.as_deref(), Some("v1.34.4"));
    assert!(collected.encryption_config);
    assert_eq!(collected.files, 8);
    assert_eq!(collected.warnings.len(), 1);
    assert!(collected.warnings[0].message.contains("/nowhere/policy.yaml"), "{:?}", collected.warnings);
    let members = members(&file);
    assert_eq!(members["enc/keys.yaml"], "keys");
    assert_eq!(members["pki/etcd/ca.crt"], "certificate of etcd");
    assert!(!members.keys().any(|name| name.starts_with("tmp")));
    (&file).rewind().unwrap();
    check_archive(&file).unwrap();
}

#[test]
fn a_named_file_outside_is_kept_by_its_path() {
    let dir = kubeadm();
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "policy.yaml", "policy");
    let path = outside.path().join("policy.yaml");
    let pod =
        format!("spec: {{containers: [{{name: kube-apiserver, command: [--audit-policy-file, {}]}}]}}", path.display());
    put(dir.path(), "manifests/kube-apiserver.yaml", &pod);
    let (collected, file) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    assert!(collected.warnings.is_empty());
    assert_eq!(members(&file)[&format!("host{}", path.display())], "policy");
}

#[test]
fn openshift_is_collected_at_its_live_revisions() {
    let dir = openshift();
    let (collected, file) = collect_from(Layout::OpenShift, dir.path()).unwrap();
    assert!(collected.encryption_config);
    let members = members(&file);
    assert!(members.contains_key("static-pod-resources/etcd-pod-7/etcd-pod.yaml"));
    assert!(!members.keys().any(|name| name.contains("-pod-9")), "a revision that does not run: {members:?}");
    (&file).rewind().unwrap();
    check_archive(&file).unwrap();
}

#[test]
fn the_layout_is_seen() {
    assert_eq!(detect_layout(openshift().path()), Some(Layout::OpenShift));
    assert_eq!(detect_layout(kubeadm().path()), Some(Layout::Kubeadm));
    assert_eq!(detect_layout(tempfile::tempdir().unwrap().path()), None);
}

#[test]
fn a_missing_component_is_named() {
    let dir = kubeadm();
    fs::remove_file(dir.path().join("manifests/kube-scheduler.yaml")).unwrap();
    let error = collect_from(Layout::Kubeadm, dir.path()).unwrap_err().to_string();
    assert!(error.contains("kube-scheduler") && error.contains("manifests/kube-scheduler.yaml"), "{error}");

    let dir = openshift();
    let missing = dir.path().join("static-pod-resources/etcd-pod-7/etcd-pod.yaml");
    fs::remove_file(&missing).unwrap();
    let error = collect_from(Layout::OpenShift, dir.path()).unwrap_err().to_string();
    assert!(error.contains(missing.to_str().unwrap()), "{error}");
}

#[test]
fn links_stay_links_and_lead_nowhere() {
    let dir = kubeadm();
    let outside = tempfile::tempdir().unwrap();
    put(outside.path(), "secret", "not yours");
    symlink(outside.path(), dir.path().join("pki/outside")).unwrap();
    symlink("ca.crt", dir.path().join("pki/link.crt")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pki/pipe"), rustix::fs::Mode::RUSR).unwrap();
    let (_, file) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    let members = members(&file);
    assert_eq!(members["pki/outside"], format!("-> {}", outside.path().display()));
    assert_eq!(members["pki/link.crt"], "-> ca.crt");
    assert!(!members.values().any(|content| content == "not yours"));
    assert!(!members.contains_key("pki/pipe"));
}

#[test]
fn a_linked_encryption_configuration_is_kept_with_its_content() {
    let dir = kubeadm();
    let keys = tempfile::tempdir().unwrap();
    put(keys.path(), "keys.yaml", "keys behind a link");
    fs::remove_file(dir.path().join("enc/keys.yaml")).unwrap();
    symlink(keys.path().join("keys.yaml"), dir.path().join("enc/keys.yaml")).unwrap();
    let (collected, file) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    assert!(collected.encryption_config);
    assert_eq!(members(&file)["enc/keys.yaml"], "keys behind a link");
}

#[test]
fn mode_and_owner_are_kept_and_the_same_files_make_the_same_archive() {
    let dir = kubeadm();
    let bytes = |mut file: File| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (_, first) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    let (_, second) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    let first = bytes(first);
    assert_eq!(first, bytes(second));

    let mut tar = tar::Archive::new(GzDecoder::new(first.as_slice()));
    let admin = tar.entries().unwrap().map(Result::unwrap).find(|entry| entry.path().unwrap().ends_with("admin.conf"));
    let admin = admin.unwrap();
    let on_disk = fs::metadata(dir.path().join("admin.conf")).unwrap();
    assert_eq!(admin.header().mode().unwrap(), 0o600);
    assert_eq!(admin.header().uid().unwrap(), u64::from(on_disk.uid()));
    assert_eq!(admin.header().mtime().unwrap(), u64::try_from(on_disk.mtime()).unwrap());
}

#[test]
fn the_archive_is_never_larger_than_it_was_said() {
    let dir = kubeadm();
    // What cannot be compressed, names and targets that need headers of their own, many small files.
    let mut noise = vec![0; 3 << 20];
    File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let long = "n".repeat(200);
    fs::create_dir_all(dir.path().join(format!("pki/{long}"))).unwrap();
    fs::write(dir.path().join(format!("pki/{long}/{long}")), &noise).unwrap();
    symlink("t".repeat(3000), dir.path().join("pki/link")).unwrap();
    for number in 0..300 {
        fs::write(dir.path().join(format!("pki/{number}")), &noise[number * 100..][..number]).unwrap();
    }
    let selection = select(Layout::Kubeadm, dir.path()).unwrap();
    let most = selection.most_bytes();
    let file = tempfile::tempfile().unwrap();
    selection.write(file.try_clone().unwrap()).unwrap();
    let bytes = file.metadata().unwrap().len();
    assert!(bytes > noise.len() as u64 && bytes <= most, "{bytes} of at most {most}");
    assert!(most < bytes * 3 / 2, "{most} says little of {bytes}");
}

#[test]
fn a_file_that_grew_since_it_was_selected_has_changed() {
    let dir = kubeadm();
    let selection = select(Layout::Kubeadm, dir.path()).unwrap();
    put(dir.path(), "pki/ca.crt", "a certificate that is longer");
    let error = selection.write(tempfile::tempfile().unwrap()).unwrap_err();
    assert_eq!(error.reason(), Reason::StaticResourcesChanging, "{error}");
}

#[test]
fn a_damaged_archive_is_refused() {
    let dir = kubeadm();
    let (_, mut file) = collect_from(Layout::Kubeadm, dir.path()).unwrap();
    let mut whole = Vec::new();
    file.read_to_end(&mut whole).unwrap();
    let check = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        check_archive(&file)
    };
    check(&whole).unwrap();
    assert!(check(&[]).is_err());
    assert!(check(&[0; 512]).is_err());
    for at in [whole.len() / 3, whole.len() - 9, whole.len() - 1] {
        assert!(check(&whole[..at]).is_err(), "cut at {at}");
    }
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    assert!(check(&flipped).is_err());
}

#[test]
fn an_archive_of_too_little_is_refused() {
    let mut file = tempfile::tempfile().unwrap();
    let empty = tar::Builder::new(flate2::write::GzEncoder::new(&mut file, flate2::Compression::fast()));
    empty.into_inner().unwrap().finish().unwrap();
    file.rewind().unwrap();
    let error = check_archive(&file).unwrap_err();
    assert!(matches!(error, ArchiveError::Incomplete(ref missing) if missing.contains("kube-apiserver")), "{error}");
}
