use std::collections::BTreeMap;
use std::ops::ControlFlow;

use etcd_backup_snapshot::{AlarmKind, Options, verify_with};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::surgery::{Snapshot, data};

/// What `etcdutl snapshot status` printed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    hash: u32,
    revision: i64,
    total_key: u64,
    total_size: u64,
    #[serde(default)]
    version: String,
}

#[derive(Deserialize)]
struct Golden {
    #[serde(rename = "etcdutl-3.5")]
    etcdutl_3_5: Status,
    #[serde(rename = "etcdutl-3.6")]
    etcdutl_3_6: Status,
}

#[test]
fn says_what_etcdutl_says() {
    let golden = std::fs::read_to_string(data("golden.json")).unwrap();
    let golden: BTreeMap<String, Golden> = serde_json::from_str(&golden).unwrap();
    assert!(golden.len() >= 12);
    for (name, golden) in golden {
        let found = Snapshot::load(&name).verify().unwrap();
        let etcdutl = golden.etcdutl_3_6;
        assert_eq!(found.hash, etcdutl.hash, "{name}");
        assert_eq!(found.revision, etcdutl.revision, "{name}");
        assert_eq!(found.total_keys, etcdutl.total_key, "{name}");
        assert_eq!(found.total_entries, golden.etcdutl_3_5.total_key, "{name}");
        assert_eq!(found.content_bytes, etcdutl.total_size, "{name}");
        assert_eq!(found.storage_version.unwrap_or_default(), etcdutl.version, "{name}");
    }
}

#[test]
fn hashes_are_of_the_file_and_of_its_content() {
    let snapshot = Snapshot::load("etcd-3.6");
    let found = snapshot.verify().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (content, trailer) = snapshot.bytes.split_at(snapshot.bytes.len() - 32);
    assert_eq!(found.sha256, hex(&Sha256::digest(&snapshot.bytes)));
    assert_eq!(found.content_sha256, hex(trailer));
    assert_eq!(found.content_bytes, content.len() as u64);
    assert_eq!(found.file_bytes, snapshot.bytes.len() as u64);
}

/// Pages that are in the list of free pages, as its page says.
fn free_pages(snapshot: &Snapshot) -> u64 {
    let page = snapshot.u64(16 + 32) as usize * snapshot.u32(16 + 8) as usize;
    match snapshot.u16(page + 10) {
        u16::MAX => snapshot.u64(page + 16),
        count => u64::from(count),
    }
}

#[test]
fn pages_of_every_size_with_and_without_a_list_of_free_pages() {
    let original = Snapshot::load("etcd-3.6").verify().unwrap();
    for (name, page_bytes, listed) in [
        ("freelist", 4096, true),
        ("pages-8k", 8192, false),
        ("pages-16k", 16384, true),
        ("pages-32k", 32768, false),
        ("pages-64k", 65536, true),
    ] {
        let snapshot = Snapshot::load(name);
        let found = snapshot.verify().unwrap();
        assert_eq!((found.page_bytes, found.hash), (page_bytes, original.hash), "{name}");
        assert_eq!((found.total_keys, &found.members), (original.total_keys, &original.members), "{name}");
        assert_eq!(snapshot.u64(16 + 32) != u64::MAX, listed, "{name}");
        if listed {
            assert!(free_pages(&snapshot) > 1, "{name}");
            assert_eq!(found.in_use_bytes, found.content_bytes - free_pages(&snapshot) * page_bytes, "{name}");
        }
    }
}

#[test]
fn more_free_pages_than_a_page_header_can_count() {
    let snapshot = Snapshot::load("freelist-long");
    let found = snapshot.verify().unwrap();
    assert!(free_pages(&snapshot) > 0xFFFF);
    assert_eq!(found.in_use_bytes, found.content_bytes - free_pages(&snapshot) * found.page_bytes);
    assert_eq!(found.hash, Snapshot::load("etcd-3.6-empty").verify().unwrap().hash);
}

#[test]
fn live_keys_are_the_same_when_they_are_counted_exactly() {
    for name in ["etcd-3.4", "etcd-3.5", "etcd-3.6", "etcd-3.7", "etcd-3.6-empty", "etcd-3.6-bumped"] {
        let snapshot = Snapshot::load(name);
        let found = snapshot.verify().unwrap();
        let options = Options { exact_keys: true };
        let exact = verify_with(snapshot.bytes.as_slice(), &options, |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(exact, found, "{name}");
    }
}

#[test]
fn values_encrypted_at_rest_are_told_by_provider_and_key() {
    let found = Snapshot::load("etcd-3.7").verify().unwrap();
    let lines = found
        .encryption
        .iter()
        .map(|found| (found.provider.as_str(), found.version.as_str(), found.key_name.as_str(), found.values));
    assert_eq!(lines.collect::<Vec<_>>(), [("aescbc", "v1", "key1", 1), ("kms", "v2", "provider", 1)]);
    assert_eq!(found.encrypted_values, 2);
}

#[test]
fn a_new_cluster_is_at_revision_1_without_an_entry() {
    let found = Snapshot::load("etcd-3.6-empty").verify().unwrap();
    assert_eq!((found.revision, found.current_revision(), found.total_keys), (0, 1, 0));
    assert_eq!((found.scheduled_compact_revision, found.finished_compact_revision), (None, None));
}

#[test]
fn a_compaction_can_be_newer_than_every_entry() {
    let mut found = Snapshot::load("etcd-3.6").verify().unwrap();
    assert_eq!((found.scheduled_compact_revision, found.finished_compact_revision), (Some(29), Some(29)));
    assert_eq!(found.current_revision(), found.revision);
    found.scheduled_compact_revision = Some(found.revision + 5);
    assert_eq!(found.current_revision(), found.revision + 5);
}

#[test]
fn describes_the_cluster() {
    let found = Snapshot::load("etcd-3.6").verify().unwrap();
    let mut members = found.members.clone();
    members.sort_by_key(|member| member.is_learner);
    let [voter, learner] = &members[..] else { panic!("{members:?}") };
    assert_eq!((voter.name.as_str(), voter.is_learner), ("m1", false));
    assert_eq!((learner.name.as_str(), learner.is_learner), ("", true));
    assert_eq!(learner.peer_urls, ["http://127.0.0.1:1"]);
    assert_eq!((found.leases, found.encrypted_values), (3, 2));
    assert_eq!((found.auth_enabled, found.alarms.len()), (false, 0));
    assert_eq!(found.raft_term, Some(2));
    assert!(found.consistent_index > Some(60));
    assert!(found.in_use_bytes < found.content_bytes);

    let found = Snapshot::load("etcd-3.5").verify().unwrap();
    assert!(found.auth_enabled);
    assert_eq!((found.alarms[0].kind, found.alarms[0].member_id), (AlarmKind::NoSpace, found.members[0].id));

    let found = Snapshot::load("etcd-3.7").verify().unwrap();
    assert_eq!((found.storage_version.as_deref(), found.cluster_version.as_deref()), (Some("3.7.0"), Some("3.7.0")));
    assert!(!found.auth_enabled);

    assert_eq!(Snapshot::load("etcd-3.4").verify().unwrap().raft_term, None);
}

#[test]
fn an_entry_that_a_bumped_restore_leaves_is_sound() {
    let found = Snapshot::load("etcd-3.6-bumped").verify().unwrap();
    assert!(found.revision > 1_000_000 && found.scheduled_compact_revision > Some(1_000_000));
}

#[test]
fn names_in_json_are_stable() {
    let found = Snapshot::load("etcd-3.5").verify().unwrap();
    let json: serde_json::Value = serde_json::to_value(&found).unwrap();
    let names: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "alarms",
        "authEnabled",
        "clusterVersion",
        "consistentIndex",
        "contentBytes",
        "contentSha256",
        "encryptedValues",
        "encryption",
        "fileBytes",
        "finishedCompactRevision",
        "hash",
        "inUseBytes",
        "leases",
        "members",
        "pageBytes",
        "raftTerm",
        "revision",
        "scheduledCompactRevision",
        "sha256",
        "storageVersion",
        "totalEntries",
        "totalKeyRevisions",
        "totalKeys",
    ];
    assert_eq!(names, expected);
    let member = r#"{"id":"3368474bd37dfece","name":"m1","peerURLs":["http://127.0.0.1:34801"],"isLearner":false}"#;
    assert_eq!(serde_json::to_string(&found.members[0]).unwrap(), member);
    let alarm = r#"{"memberId":"3368474bd37dfece","kind":"NOSPACE"}"#;
    assert_eq!(serde_json::to_string(&found.alarms[0]).unwrap(), alarm);
}
