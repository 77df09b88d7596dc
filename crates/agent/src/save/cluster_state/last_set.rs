//! Whether a snapshot continues the data that was backed up before.

use etcd_backup_core::{Lineage, Manifest, Owner, SetName, Warning};
use etcd_backup_store::{Look, StoreError, Volume};

/// Warns if a snapshot does not continue the newest set of its owner, or of the same cluster, on the
/// volume: etcd was restored or rebuilt since, or this is an old copy of it. With a policy or without.
///
/// A volume that cannot be read is logged: nothing is known then.
pub(in crate::save) fn continues_last_set(volume: &Volume, owner: &Owner, lineage: &Lineage) -> Option<Warning> {
    let last = last_set(volume, owner).unwrap_or_else(|error| {
        tracing::info!(%error, "the last set cannot be looked at");
        None
    });
    let (name, last) = last?;
    broken(&name, &Lineage::from(&last.snapshot), lineage)
}

/// The newest set by sequence. A damaged one counts: what it was made of is known.
fn last_set(volume: &Volume, owner: &Owner) -> Result<Option<(SetName, Box<Manifest>)>, StoreError> {
    let of_same_data = volume.each(|_| true)?.filter_map(|set| match set.state {
        Look::Consistent { manifest, .. } | Look::Damaged { manifest, .. } if is_of(&manifest.owner, owner) => {
            Some((set.name, manifest))
        }
        _ => None,
    });
    // Not collected first: there may be thousands of manifests.
    Ok(of_same_data.max_by_key(|(_, manifest)| manifest.sequence))
}

/// Sets of one cluster are of one etcd, whoever asked for them: each one-shot is an owner of its own.
fn is_of(other: &Owner, owner: &Owner) -> bool {
    other == owner || (other.cluster.is_some() && other.cluster == owner.cluster)
}

fn broken(name: &SetName, last: &Lineage, lineage: &Lineage) -> Option<Warning> {
    let shown_by = lineage.break_since(last)?;
    Some(if lineage.cluster_id == last.cluster_id {
        let message = format!(
            "the data is older than that of the last set {name}, {shown_by}: etcd was restored, or this is an old copy of it. Keep {name} until you know"
        );
        Warning::new("OlderThanLastSet", message)
    } else {
        let message = format!(
            "this is another etcd than that of the last set {name}, {shown_by}: it was restored or rebuilt, or the wrong cluster is backed up. Keep {name} until you know"
        );
        Warning::new("ClusterIdChanged", message)
    })
}

#[cfg(test)]
mod tests {
    use etcd_backup_core::OwnerKind;

    use super::*;

    fn lineage(cluster_id: &str, revision: i64, raft_term: u64, raft_index: Option<u64>) -> Lineage {
        Lineage { cluster_id: cluster_id.into(), revision, raft_term, raft_index }
    }

    #[test]
    fn a_break_is_told_by_its_kind() {
        let last = lineage("c1", 100, 3, Some(1000));
        for (now, reason) in [
            (lineage("c1", 100, 3, Some(1000)), None),
            (lineage("c1", 101, 4, Some(2000)), None),
            (lineage("c1", 101, 4, None), None),
            (lineage("c2", 200, 9, Some(9000)), Some("ClusterIdChanged")),
            (lineage("c1", 99, 3, Some(1000)), Some("OlderThanLastSet")),
            (lineage("c1", 101, 2, Some(1000)), Some("OlderThanLastSet")),
            (lineage("c1", 1_000_101, 3, Some(5)), Some("OlderThanLastSet")),
        ] {
            let name = SetName::parse("backup-b-2026-01-01_000000-0b8f6f53").unwrap();
            let warning = broken(&name, &last, &now);
            assert_eq!(warning.map(|warning| warning.reason).as_deref(), reason, "{now:?}");
        }
    }

    #[test]
    fn sets_of_the_same_cluster_are_of_the_same_data_whoever_asked_for_them() {
        let owner = |cluster: Option<&str>, name: &str| Owner {
            cluster: cluster.map(str::to_owned),
            kind: OwnerKind::EtcdBackup,
            name: name.into(),
        };
        for (other, expected) in [
            (owner(Some("c"), "a"), true),
            (owner(Some("c"), "b"), true),
            (owner(Some("d"), "a"), false),
            (owner(None, "a"), false),
        ] {
            assert_eq!(is_of(&other, &owner(Some("c"), "a")), expected, "{other:?}");
        }
        assert!(is_of(&owner(None, "a"), &owner(None, "a")));
        assert!(!is_of(&owner(None, "b"), &owner(None, "a")));
    }
}
