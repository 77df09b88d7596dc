use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use etcd_backup_core::{FileRole, Manifest, Outcome, Reason, Report};
use etcd_backup_testbed::tool;
use flate2::read::GzDecoder;

use crate::bed::{Agent, Bed};

const RUN: &str = "0b8f6f53-5c1b-4b4e-9c1f-1f5a3e2d7c11";

fn warnings(report: &Report) -> Vec<&str> {
    report.warnings.iter().map(|warning| warning.reason.as_str()).collect()
}

#[test]
fn a_backup_is_made_listed_and_verified() {
    let bed = Bed::new();
    let report = bed.save().args(["--run-id", RUN, "--owner", "EtcdBackup/first", "--cluster", "c-uid"]).run().ended(0);

    let set = report.set.as_ref().unwrap();
    assert_eq!(
        (report.outcome, report.reason, set.verified, set.sequence),
        (Outcome::Completed, Reason::Completed, true, 1)
    );
    assert!(set.name.as_str().starts_with("backup-first-") && set.name.as_str().ends_with("-0b8f6f53"));
    assert_eq!(report.node, "master-0");
    assert_eq!(set.cluster.version.as_deref(), Some("v1.34.4"));
    assert!(set.snapshot.revision >= set.snapshot.required_revision.unwrap());
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    assert_eq!(bed.reported(), report);
    let on_volume = fs::read(bed.volume().join(format!(".etcd-backup/runs/{RUN}.json"))).unwrap();
    assert_eq!(serde_json::from_slice::<Report>(&on_volume).unwrap(), report);
    assert!(bed.staged().is_empty());

    let manifest: Manifest = serde_json::from_slice(&fs::read(bed.file_of_set("backup.json")).unwrap()).unwrap();
    assert_eq!(
        (manifest.owner.to_string().as_str(), manifest.owner.cluster.as_deref()),
        ("EtcdBackup/first", Some("c-uid"))
    );
    let checks: Vec<_> = manifest.verification.checks.iter().map(String::as_str).collect();
    assert_eq!(checks, ["stream", "size", "sha256", "pages", "keys", "freshness", "archive"]);
    for file in &set.files {
        let metadata = fs::metadata(bed.set().join(&file.name)).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (file.size_bytes, 0o600), "{}", file.name);
    }
    assert_eq!(fs::metadata(bed.set()).unwrap().permissions().mode() & 0o7777, 0o700);

    let list = bed.agent("list").arg(bed.volume()).run();
    assert_eq!((list.exit, list.json()[0]["state"].as_str()), (Some(0), Some("verified")));
    assert_eq!(list.json()[0]["manifest"]["runId"], RUN);
    for path in [bed.volume(), bed.set(), bed.file_of_set(".db")] {
        let verified = bed.agent("verify").arg(&path).run();
        assert_eq!(
            (verified.exit, verified.json()[0]["verdict"].as_str()),
            (Some(0), Some("sound")),
            "{}",
            verified.stdout
        );
        assert_eq!(verified.json()[0]["snapshot"]["revision"], set.snapshot.revision);
    }
}

#[test]
fn etcdutl_agrees() {
    let bed = Bed::new();
    let report = bed.save().run().ended(0);
    let facts = report.set.unwrap().snapshot;
    let mut status = Command::new(tool("etcdutl").unwrap());
    let status = status.args(["snapshot", "status", "-w", "json"]).arg(bed.file_of_set(".db")).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["revision"], facts.revision);
    assert_eq!(status["totalKey"], facts.total_keys.unwrap());
    // etcd writes it some seconds after its start.
    assert_eq!(status["version"], facts.storage_version.unwrap_or_default());
}

#[test]
fn people_read_text() {
    let bed = Bed::new();
    let text = |agent: Agent| {
        let ran = agent.text().run();
        assert_eq!(ran.exit, Some(0), "{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    let saved = text(bed.save());
    assert!(saved.starts_with("Completed: backup-manual-") && saved.contains("revision 4, 1 keys"), "{saved}");
    let list = text(bed.agent("list").arg(bed.volume()));
    let lines: Vec<_> = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NAME", "OWNER", "REVISION", "SIZE", "AGE", "STATE"]);
    assert_eq!((lines[1][1], lines[1][2], lines[1].last()), ("Manual/manual", "4", Some(&"verified")));
    let verified = text(bed.agent("verify").arg(bed.volume()));
    assert!(verified.contains("proven: size, sha256, pages, keys, archive"), "{verified}");
}

#[test]
fn the_log_is_one_json_object_a_line_and_names_every_phase() {
    let bed = Bed::new();
    let ran = bed.save().run();
    let lines: Vec<serde_json::Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let phases: BTreeSet<_> = lines.iter().filter_map(|line| line["phase"].as_str()).collect();
    let expected = ["lock", "publish", "revision", "static-resources", "stream", "survey", "sync", "verify"];
    assert_eq!(phases, BTreeSet::from(expected));
    let space = ran.report().space.unwrap();
    assert!(0 < space.free_bytes && space.free_bytes <= space.total_bytes, "{space:?}");
    assert!(ran.report().agent_version.is_some());
    let reported: BTreeSet<_> = ran.report().phases.into_iter().map(|phase| phase.phase).collect();
    assert_eq!(reported, expected.map(str::to_owned).into());
}

#[test]
fn a_second_run_of_the_same_id_makes_no_second_set() {
    let bed = Bed::new();
    let first = bed.save().args(["--run-id", RUN]).run().ended(0);
    let second = bed.save().args(["--run-id", RUN]).run().ended(0);
    assert_eq!((second.outcome, second.reason), (Outcome::Completed, Reason::AlreadyPublished));
    assert_eq!(second.set, first.set);
    assert_eq!(bed.sets().len(), 1);

    // What it finds it proves again.
    crate::bed::overwrite(&bed.file_of_set(".db"), 9000, b"damage");
    let third = bed.save().args(["--run-id", RUN]).run().ended(3);
    assert_eq!((third.outcome, third.reason), (Outcome::Failed, Reason::SnapshotInvalid));
    assert_eq!(bed.sets().len(), 1);
}

#[test]
fn agents_at_the_same_time_go_one_after_the_other() {
    let bed = Bed::new();
    let running: Vec<_> = (0..3).map(|_| bed.save().start()).collect();
    let sequences: BTreeSet<u64> =
        running.into_iter().map(|running| running.wait().ended(0).set.unwrap().sequence).collect();
    assert_eq!(sequences, BTreeSet::from([1, 2, 3]));

    let twins = [0, 1].map(|_| bed.save().args(["--run-id", RUN]).start());
    let mut reasons = twins.map(|running| running.wait().ended(0).reason.as_str());
    reasons.sort_unstable();
    assert_eq!(reasons, ["AlreadyPublished", "Completed"]);
    assert_eq!(bed.sets().len(), 4);
}

#[test]
fn openshift_is_saved_at_its_live_revisions() {
    let bed = Bed::new();
    bed.make_openshift();
    let report = bed.save().run().ended(0);
    assert!(report.set.unwrap().verified);
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(bed.file_of_set(".tar.gz")).unwrap()));
    let manifests: BTreeSet<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    // These are the names that cluster-restore.sh looks for.
    let expected = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
        .map(|component| format!("static-pod-resources/{component}-pod-3/{component}-pod.yaml"));
    assert_eq!(manifests, BTreeSet::from(expected));
}

#[test]
fn a_missing_component_ends_the_run_and_is_named() {
    let bed = Bed::new();
    fs::remove_file(bed.kubernetes().join("manifests/kube-scheduler.yaml")).unwrap();
    let report = bed.save().run().ended(4);
    assert_eq!(report.reason, Reason::StaticResources);
    assert!(report.message.contains("kube-scheduler"), "{}", report.message);
    assert!(bed.sets().is_empty() && bed.staged().is_empty());
    assert_eq!(bed.reported(), report);
}

#[test]
fn no_control_plane_is_said_and_the_snapshot_alone_can_be_had() {
    let bed = Bed::new();
    fs::rename(bed.kubernetes(), bed.volume().join("elsewhere")).unwrap();
    let report = bed.save().run().ended(4);
    assert_eq!(report.reason, Reason::StaticResources);
    assert!(report.message.contains("--layout none"), "{}", report.message);

    let report = bed.save().args(["--layout", "none"]).run().ended(0);
    assert_eq!(warnings(&report), ["NoStaticResources"]);
    assert!(!report.set.unwrap().verified);
    let verified = bed.agent("verify").arg(bed.volume()).run();
    assert_eq!(verified.exit, Some(0), "{}", verified.stdout);
}

#[test]
fn encrypted_values_are_warned_of() {
    let bed = Bed::new();
    bed.etcd.etcdctl(&["put", "/registry/secrets/default/s", "k8s:enc:aescbc:v1:key1:secret"]).unwrap();
    let report = bed.save().run().ended(0);
    assert_eq!(warnings(&report), ["EncryptionKeysNotInSet"]);

    let pod = "spec: {containers: [{name: kube-apiserver, command: [--encryption-provider-config=/etc/kubernetes/enc.yaml]}]}";
    bed.put("manifests/kube-apiserver.yaml", pod);
    let report = bed.save().run().ended(0);
    assert_eq!(warnings(&report), ["StaticFileMissing", "EncryptionKeysNotInSet"]);

    bed.put("enc.yaml", "keys");
    let report = bed.save().run().ended(0);
    assert_eq!(warnings(&report), ["KeysBesideData"]);

    bed.etcd.etcdctl(&["put", "/registry/secrets/default/s", "k8s:enc:kms:v2:vault:secret"]).unwrap();
    let report = bed.save().run().ended(0);
    assert_eq!(warnings(&report), ["KeysInKms", "KeysBesideData"], "the older revision is still in the snapshot");
    assert!(report.warnings[0].message.contains("vault"), "{:?}", report.warnings);
}

#[test]
fn another_volume_than_expected_is_a_warning() {
    let bed = Bed::new();
    let first = bed.save().args(["--expect-volume", RUN]).run().ended(0);
    assert_eq!(warnings(&first), ["VolumeChanged"]);
    let second = bed.save().args(["--expect-volume", &first.volume_id.unwrap()]).run().ended(0);
    assert!(second.warnings.is_empty());
}

#[test]
fn a_full_volume_is_refused_before_anything_is_written() {
    let bed = Bed::new();
    let report = bed.save().args(["--reserve-percent", "100"]).run().ended(1);
    assert_eq!(report.reason, Reason::NoSpace);
    assert!(bed.sets().is_empty() && bed.staged().is_empty());
}

#[test]
fn what_is_no_volume_is_refused() {
    let bed = Bed::new();
    fs::create_dir(bed.volume().join(".etcd-backup")).unwrap();
    fs::write(bed.volume().join(".etcd-backup/volume.json"), "garbled").unwrap();
    assert_eq!(bed.save().run().ended(4).reason, Reason::VolumeInvalid);

    let missing = Agent::new("save").arg(bed.volume().join("missing")).run();
    assert_eq!(missing.ended(1).reason, Reason::VolumeIo);
}

#[test]
fn a_senseless_command_line_is_number_2() {
    for args in [["save", "--owner"], ["save", "--deadline"], ["restore", "/backup"]] {
        let ran = Agent::new(args[0]).args([args[1], "x", "/backup"]).run();
        assert_eq!(ran.exit, Some(2), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_set_of_files_is_what_the_manifest_names() {
    let bed = Bed::new();
    let report = bed.save().run().ended(0);
    let manifest: Manifest = serde_json::from_slice(&fs::read(bed.file_of_set("backup.json")).unwrap()).unwrap();
    let roles: Vec<_> = manifest.files.iter().map(|file| file.role).collect();
    assert_eq!(roles, [FileRole::Snapshot, FileRole::StaticResources]);
    for file in &manifest.files {
        let sum = Command::new("sha256sum").arg(bed.set().join(&file.name)).output().unwrap().stdout;
        assert_eq!(file.sha256.as_bytes(), &sum[..64], "{}", file.name);
    }
    assert_eq!(report.set.unwrap().snapshot.sha256, manifest.file(FileRole::Snapshot).unwrap().sha256);
}
