use std::fs;
use std::time::Duration;

use etcd_backup_core::{Outcome, Reason};

use crate::bed::Bed;

#[test]
fn without_quorum_nothing_is_saved_unless_that_is_asked_for() {
    let mut bed = Bed::with_members(3);
    bed.etcd.kill(1).unwrap();
    bed.etcd.kill(2).unwrap();
    let ran = bed.save().run();
    assert_eq!(ran.ended(1).reason, Reason::NoQuorum);
    assert!(ran.took < Duration::from_secs(45), "{:?}", ran.took);
    assert!(bed.sets().is_empty() && bed.staged().is_empty());

    let report = bed.save().arg("--allow-no-quorum").run().ended(0);
    assert_eq!(report.outcome, Outcome::Completed);
    assert!(report.warnings.iter().any(|warning| warning.reason == "FreshnessNotProven"), "{:?}", report.warnings);
    let set = report.set.unwrap();
    assert!(!set.verified && set.snapshot.required_revision.is_none());
    let list = bed.agent("list").arg(bed.volume()).run();
    assert_eq!(list.json()[0]["state"], "unverified");
}

#[test]
fn a_member_that_dies_while_it_streams_is_dropped_for_the_next() {
    let mut bed = Bed::with_members(3);
    bed.load(48);
    // All members are on this host, so the first endpoint is taken for the local one: if it follows, it streams.
    let endpoints = bed.etcd.endpoints();
    let streams = if leader(&bed) == 0 { 1 } else { 0 };
    let others = (0..3).filter(|&member| member != streams).map(|member| endpoints[member].as_str());
    let seeds: Vec<_> = [endpoints[streams].as_str()].into_iter().chain(others).collect();
    let mut running = bed.save_from(&seeds.join(",")).start();
    running.until("a stream", || bed.staged_snapshot_bytes() > 0);
    bed.etcd.kill(streams).unwrap();
    let report = running.wait().ended(0);
    let dropped = report.warnings.iter().find(|warning| warning.reason == "MemberDropped").unwrap();
    assert!(dropped.message.contains(&format!("member-{streams} (")), "{}", dropped.message);
    let set = report.set.unwrap();
    assert!(set.verified);
    assert_ne!(set.snapshot.member_name.unwrap(), format!("member-{streams}"));
    let verified = bed.agent("verify").arg(bed.volume()).run();
    assert_eq!(verified.exit, Some(0), "{}", verified.stdout);
}

/// Index of the member that leads.
fn leader(bed: &Bed) -> usize {
    let status = bed.etcd.etcdctl(&["endpoint", "status", "-w", "json"]).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let leads = |answer: &&serde_json::Value| answer["Status"]["leader"] == answer["Status"]["header"]["member_id"];
    let endpoint = status.as_array().unwrap().iter().find(leads).unwrap()["Endpoint"].as_str().unwrap();
    bed.etcd.endpoints().iter().position(|known| known == endpoint).unwrap()
}

#[test]
fn endpoints_come_from_a_mounted_config_map_too() {
    let bed = Bed::new();
    let mounted = bed.kubernetes().join("endpoints");
    fs::create_dir(&mounted).unwrap();
    fs::write(mounted.join("master-0"), &bed.etcd.endpoints()[0]).unwrap();
    let save = || bed.save_from("https://127.0.0.1:1");
    assert_eq!(save().run().ended(1).reason, Reason::NoMember);
    save().arg("--endpoints-dir").arg(&mounted).run().ended(0);
}

#[test]
fn tls_files_are_found_by_the_layout() {
    let bed = Bed::new();
    assert_eq!(bed.save_without_tls_files(&bed.etcd.endpoints()[0]).run().ended(4).reason, Reason::Tls);
    let pki = bed.kubernetes().join("pki/etcd");
    fs::create_dir(&pki).unwrap();
    for (from, to) in [
        (bed.etcd.ca(), "ca.crt"),
        (bed.etcd.cert(), "healthcheck-client.crt"),
        (bed.etcd.key(), "healthcheck-client.key"),
    ] {
        fs::copy(from, pki.join(to)).unwrap();
    }
    bed.save_without_tls_files(&bed.etcd.endpoints()[0]).run().ended(0);
}

#[test]
fn a_foreign_ca_is_refused() {
    let (bed, other) = (Bed::new(), Bed::new());
    let agent = bed.save_without_tls_files(&bed.etcd.endpoints()[0]).arg("--cacert").arg(other.etcd.ca());
    let report = agent.arg("--cert").arg(bed.etcd.cert()).arg("--key").arg(bed.etcd.key()).run().ended(4);
    assert_eq!(report.reason, Reason::Tls);
}

#[test]
fn a_member_that_answers_nothing_ends_the_run_at_its_deadline() {
    let bed = Bed::new();
    bed.etcd.pause(0).unwrap();
    let ran = bed.save().args(["--deadline", "2s"]).run();
    assert_eq!(ran.ended(1).reason, Reason::DeadlineExceeded);
    assert!(ran.took < Duration::from_secs(6), "{:?}", ran.took);
    assert!(bed.staged().is_empty());
}

#[test]
fn a_stream_that_stalls_is_ended() {
    let bed = Bed::new();
    bed.load(48);
    let mut running = bed.save().args(["--progress-timeout", "2s"]).start();
    running.until("a stream", || bed.staged_snapshot_bytes() > 0);
    bed.etcd.pause(0).unwrap();
    let report = running.wait().ended(1);
    assert_eq!(report.reason, Reason::Stalled);
    assert!(bed.sets().is_empty() && bed.staged().is_empty());
}
