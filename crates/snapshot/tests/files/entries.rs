//! Entries that do not decode, under a correct checksum.

use crate::resealed::refused_in;
use crate::surgery::{Element, Snapshot};

/// The first entry of a bucket that fits into one page.
fn first(snapshot: &Snapshot, bucket: &str) -> Element {
    snapshot.elements(snapshot.bucket_page(bucket))[0]
}

#[test]
fn revisions() {
    let refused = |saying, damage: fn(&mut Snapshot, Element)| {
        refused_in("etcd-3.6", "EntryInvalid", saying, |snapshot| {
            let last = *snapshot.key_entries().last().unwrap();
            damage(snapshot, last);
        });
    };
    refused("is not a revision", |snapshot, last| snapshot.bytes[last.key + 8] = b'-');
    refused("is not a revision", |snapshot, last| {
        snapshot.put_u32(last.at + 8, 16);
        snapshot.put_u32(last.at + 12, last.value_len as u32 + 1);
    });
    refused("unknown mark", |snapshot, last| {
        snapshot.put_u32(last.at + 8, 18);
        snapshot.put_u32(last.at + 12, last.value_len as u32 - 1);
    });
    refused("negative revision", |snapshot, last| snapshot.bytes[last.key] = 0x80);
    refused("was written at revision", |snapshot, last| snapshot.bytes[last.key + 7] += 1);
    refused("repeats revision", |snapshot, _| {
        let entries = snapshot.key_entries();
        let deleted = entries.iter().position(|entry| entry.key_len == 18).unwrap();
        let before = entries[deleted - 1];
        assert_eq!(before.key_len, 17);
        snapshot.bytes.copy_within(before.key..before.key + 17, entries[deleted].key);
    });
}

#[test]
fn key_values_and_facts() {
    let last = |snapshot: &Snapshot| *snapshot.key_entries().last().unwrap();
    refused_in("etcd-3.6", "EntryInvalid", "not a protobuf message", |snapshot| {
        let value = last(snapshot).value;
        snapshot.bytes[value + 1] = 200;
    });
    refused_in("etcd-3.6", "EntryInvalid", "not a protobuf message", |snapshot| {
        let last = last(snapshot);
        snapshot.put_u32(last.at + 12, last.value_len as u32 - 1);
    });
    refused_in("etcd-3.6", "EntryInvalid", "is not a key with its value", |snapshot| {
        // The same bytes as field 2, which is a number.
        let value = last(snapshot).value;
        snapshot.bytes[value] = 0x12;
    });
    refused_in("etcd-3.6", "EntryInvalid", "has no key", |snapshot| {
        // The same bytes as a field that nobody knows.
        let value = last(snapshot).value;
        snapshot.bytes[value] = 0x7a;
    });
    for (key, problem) in [
        ("consistent_index", "`consistent_index` is not a number"),
        ("term", "`term` is not a number"),
        ("scheduledCompactRev", "`scheduledCompactRev` is not a revision"),
        ("finishedCompactRev", "`finishedCompactRev` is not a revision"),
        ("confState", "`confState` is not what etcd writes there"),
    ] {
        refused_in("etcd-3.6", "EntryInvalid", problem, |snapshot| {
            let entry = snapshot.entry("meta", key);
            snapshot.put_u32(entry.at + 12, entry.value_len as u32 - 1);
        });
    }
    refused_in("etcd-3.6", "EntryInvalid", "`storageVersion` is not a version", |snapshot| {
        let value = snapshot.entry("meta", "storageVersion").value;
        snapshot.bytes[value] = 0xff;
    });
}

#[test]
fn the_cluster_and_its_members() {
    refused_in("etcd-3.6", "EntryInvalid", "`clusterVersion` is not a version", |snapshot| {
        let value = snapshot.entry("cluster", "clusterVersion").value;
        snapshot.bytes[value + 1] = b'x';
    });
    refused_in("etcd-3.6", "EntryInvalid", "not a member's id", |snapshot| {
        let key = first(snapshot, "members").key;
        snapshot.bytes[key] = b'0' - 1;
    });
    refused_in("etcd-3.6", "EntryInvalid", "is not a member", |snapshot| {
        let value = first(snapshot, "members").value;
        snapshot.bytes[value] = b'[';
    });
}

#[test]
fn users_and_roles() {
    refused_in("etcd-3.5", "EntryInvalid", "`authRevision` is not a number", |snapshot| {
        let entry = snapshot.entry("auth", "authRevision");
        snapshot.put_u32(entry.at + 12, entry.value_len as u32 - 1);
    });
    for (bucket, problem) in [("authUsers", "is not a user"), ("authRoles", "is not a role")] {
        refused_in("etcd-3.5", "EntryInvalid", problem, |snapshot| {
            // The name, field 1, as a number: its length.
            let value = first(snapshot, bucket).value;
            snapshot.bytes[value] = 0x08;
            // What was the name's bytes is a field of fixed width that nobody knows, as far as it goes.
            snapshot.bytes[value + 2] = 0x7d;
        });
    }
    refused_in("etcd-3.5", "EntryInvalid", "is not a role", |snapshot| {
        // Inside the permission: its key, field 2, as a number.
        let role = *snapshot
            .elements(snapshot.bucket_page("authRoles"))
            .iter()
            .find(|role| &snapshot.bytes[role.key..role.key + role.key_len] == b"reader")
            .unwrap();
        let key = (role.value..role.value + role.value_len)
            .find(|&at| snapshot.bytes[at..].starts_with(b"\x12\x0a/registry/"))
            .unwrap();
        snapshot.bytes[key] = 0x10;
    });
}

#[test]
fn leases_and_alarms() {
    refused_in("etcd-3.6", "EntryInvalid", "not a lease's id", |snapshot| {
        let lease = first(snapshot, "lease");
        snapshot.put_u32(lease.at + 8, 7);
        snapshot.put_u32(lease.at + 12, lease.value_len as u32 + 1);
    });
    refused_in("etcd-3.6", "EntryInvalid", "is not a lease", |snapshot| {
        // Its id as a number of fixed width, and then a field that nobody knows.
        let value = first(snapshot, "lease").value;
        snapshot.bytes[value] = 0x09;
        snapshot.bytes[value + 9] = 0x78;
    });
    refused_in("etcd-3.5", "EntryInvalid", "is not an alarm", |snapshot| {
        let alarm = first(snapshot, "alarm");
        snapshot.bytes[alarm.key] = 0x09;
        snapshot.bytes[alarm.key + 9] = 0x78;
    });
}
