//! Whatever a file holds, there is an answer: no panic, no endless loop.

use proptest::prelude::*;

use crate::surgery::{PAGE, Snapshot};

/// Changes, mostly to where pages have their structure: the place in the file is a share of all pages and an offset in
/// one.
fn edits() -> impl Strategy<Value = Vec<(f64, usize, Vec<u8>)>> {
    let offset = prop_oneof![4 => 0..16_usize, 4 => 16..256_usize, 1 => 0..PAGE];
    let bytes = prop_oneof![
        any::<u8>().prop_map(|byte| vec![byte]),
        Just(vec![0; 8]),
        Just(vec![0xff; 4]),
        proptest::collection::vec(any::<u8>(), 1..16),
    ];
    proptest::collection::vec((0.0..1.0_f64, offset, bytes), 1..6)
}

fn edit(snapshot: &mut Snapshot, edits: &[(f64, usize, Vec<u8>)]) {
    let content = snapshot.bytes.len() - 32;
    for (share, offset, bytes) in edits {
        let page = (share * (content / PAGE) as f64) as usize;
        let at = page * PAGE + offset;
        let end = content.min(at + bytes.len());
        snapshot.bytes[at..end].copy_from_slice(&bytes[..end - at]);
    }
    snapshot.reseal_meta();
    snapshot.reseal();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_small_snapshot_changed_and_resealed(edits in edits()) {
        let mut snapshot = Snapshot::load("etcd-3.6-empty");
        edit(&mut snapshot, &edits);
        let _ = snapshot.verify();
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let refused = Snapshot { bytes }.verify().is_err();
        prop_assert!(refused);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_with_a_freelist_changed_and_resealed(edits in edits()) {
        let mut snapshot = Snapshot::load("freelist");
        edit(&mut snapshot, &edits);
        let _ = snapshot.verify();
    }
}
