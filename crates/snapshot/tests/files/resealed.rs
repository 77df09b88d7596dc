//! Damage under a correct checksum, as when the member's own database is damaged. One case for each check of the
//! reader.

use crate::surgery::{Element, PAGE, Snapshot};

/// Damages a snapshot, makes its checksum right, and expects it to be refused for `reason` with a message that contains
/// `saying`.
#[track_caller]
pub(crate) fn refused_in(name: &str, reason: &str, saying: &str, damage: impl Fn(&mut Snapshot)) {
    let mut snapshot = Snapshot::load(name);
    damage(&mut snapshot);
    snapshot.reseal();
    let error = snapshot.verify().expect_err(saying);
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(saying), "{error}");
}

/// The second page of entries of bucket `key`.
fn leaf(snapshot: &Snapshot) -> usize {
    snapshot.key_leaves()[1]
}

fn elements(snapshot: &Snapshot) -> Vec<Element> {
    snapshot.elements(leaf(snapshot))
}

#[test]
fn meta_pages() {
    let refused = |saying, damage: fn(&mut Snapshot)| refused_in("etcd-3.6", "MetaPageInvalid", saying, damage);
    refused("magic number", |snapshot| snapshot.put_u32(16, 1));
    refused("big-endian", |snapshot| snapshot.put_u32(16, 0xED0C_DAED_u32.swap_bytes()));
    refused("format version", |snapshot| snapshot.put_u32(20, 3));
    refused("meta page 0: does not match its own checksum", |snapshot| snapshot.put_u64(72, 1));
    refused("meta page 1: does not match its own checksum", |snapshot| snapshot.put_u64(PAGE + 64, 1));
    refused("not marked as this meta page", |snapshot| snapshot.put_u16(8, 2));
    refused("not marked as this meta page", |snapshot| snapshot.put_u64(PAGE, 0));
    refused("meta page 1: says something else", |snapshot| {
        snapshot.put_u64(PAGE + 16 + 16, 3);
        snapshot.reseal_meta();
    });
    refused("meta page 1: says something else", |snapshot| {
        let txid = snapshot.u64(16 + 48);
        snapshot.put_meta_u64(48, txid);
    });
    for page_size in [0, 512, 3000, 1 << 17] {
        refused_in("etcd-3.6", "MetaPageInvalid", "page size", |snapshot| {
            snapshot.put_u32(16 + 8, page_size);
            snapshot.reseal_meta();
        });
    }
    for root in [0, 1, u64::MAX] {
        refused_in("etcd-3.6", "MetaPageInvalid", "places the root", |snapshot| {
            snapshot.put_meta_u64(16, root);
        });
    }
    for freelist in [0, 1, u64::MAX - 1] {
        refused_in("etcd-3.6", "MetaPageInvalid", "places the freelist", |snapshot| {
            snapshot.put_meta_u64(32, freelist);
        });
    }
}

#[test]
fn number_of_pages() {
    refused_in("etcd-3.6", "SizeMismatch", "where its meta page says", |snapshot| {
        let pages = snapshot.u64(16 + 40);
        snapshot.put_meta_u64(40, pages - 1);
    });
    refused_in("etcd-3.6", "TooLarge", "more than the", |snapshot| snapshot.put_meta_u64(40, 1 << 62));
}

#[test]
fn page_headers() {
    let refused = |saying, damage: fn(&mut Snapshot, usize)| {
        refused_in("etcd-3.6", "PageInvalid", saying, |snapshot| damage(snapshot, leaf(snapshot)));
    };
    refused("calls itself page 1", |snapshot, leaf| snapshot.put_u64(leaf, 1));
    refused("neither a branch nor a leaf", |snapshot, leaf| snapshot.put_u16(leaf + 8, 0x10));
    refused("neither a branch nor a leaf", |snapshot, leaf| snapshot.put_u16(leaf + 8, 3));
    refused("too small for the 300 elements", |snapshot, leaf| snapshot.put_u16(leaf + 10, 300));
    refused("a leaf without entries", |snapshot, leaf| snapshot.put_u16(leaf + 10, 0));
    refused("beyond the end of the database", |snapshot, leaf| snapshot.put_u32(leaf + 12, u32::MAX));
    refused("leads nowhere", |snapshot, _| {
        let branch = snapshot.bucket_page("key");
        snapshot.put_u16(branch + 10, 0);
    });
}

#[test]
fn references_to_pages() {
    for child in [0, 1, 1 << 20, u64::MAX] {
        refused_in("etcd-3.6", "PageInvalid", "lies outside", |snapshot| {
            let branch = snapshot.elements(snapshot.bucket_page("key"))[1];
            snapshot.put_u64(branch.at + 8, child);
        });
    }
    refused_in("etcd-3.6", "PageReachedTwice", "two places", |snapshot| {
        let branches = snapshot.elements(snapshot.bucket_page("key"));
        snapshot.put_u64(branches[1].at + 8, branches[0].child as u64);
    });
    refused_in("etcd-3.6", "PageReachedTwice", "two places", |snapshot| {
        let branch = snapshot.bucket_page("key");
        snapshot.put_u64(snapshot.elements(branch)[1].at + 8, (branch / PAGE) as u64);
    });
    refused_in("etcd-3.6", "PageReachedTwice", "two places", |snapshot| {
        let leaf = leaf(snapshot);
        let pages = snapshot.u64(16 + 40) as usize - leaf / PAGE;
        snapshot.put_u32(leaf + 12, pages as u32 - 1);
    });
}

/// Puts `levels` branches with one child each above the root of bucket `key`.
fn deepen(snapshot: &mut Snapshot, levels: usize) {
    let bucket = snapshot.bucket("key").value;
    let root = snapshot.bucket_page("key");
    let least = snapshot.elements(root)[0];
    let key = snapshot.bytes[least.key..least.key + least.key_len].to_vec();
    let first = snapshot.add_pages(levels);
    for page in first..first + levels {
        let at = page * PAGE;
        let child = if page + 1 < first + levels { page + 1 } else { root / PAGE };
        snapshot.put_u64(at, page as u64);
        snapshot.put_u16(at + 8, 1);
        snapshot.put_u16(at + 10, 1);
        snapshot.put_u32(at + 16, 16);
        snapshot.put_u32(at + 20, key.len() as u32);
        snapshot.put_u64(at + 24, child as u64);
        snapshot.bytes[at + 32..at + 32 + key.len()].copy_from_slice(&key);
    }
    snapshot.put_u64(bucket, first as u64);
}

#[test]
fn depth() {
    let mut snapshot = Snapshot::load("etcd-3.6");
    deepen(&mut snapshot, 10);
    snapshot.reseal();
    assert!(snapshot.verify().is_ok(), "{:?}", snapshot.verify());
    refused_in("etcd-3.6", "PageInvalid", "deeper than 32 levels", |snapshot| deepen(snapshot, 40));
}

#[test]
fn elements_of_pages() {
    let refused = |saying, damage: fn(&mut Snapshot, Element, Element)| {
        refused_in("etcd-3.6", "PageInvalid", saying, |snapshot| {
            let elements = elements(snapshot);
            damage(snapshot, elements[3], elements[4]);
        });
    };
    let room = "outside of the room";
    refused(room, |snapshot, element, _| snapshot.put_u32(element.at + 4, 0));
    refused(room, |snapshot, element, _| snapshot.put_u32(element.at + 4, PAGE as u32));
    refused(room, |snapshot, element, _| snapshot.put_u32(element.at + 4, u32::MAX));
    refused(room, |snapshot, element, _| snapshot.put_u32(element.at + 8, u32::MAX));
    refused(room, |snapshot, element, _| snapshot.put_u32(element.at + 12, u32::MAX));
    refused(room, |snapshot, element, next| {
        snapshot.put_u32(next.at + 4, (element.key - next.at) as u32);
    });
    refused("unknown flags 0x2", |snapshot, element, _| snapshot.put_u32(element.at, 2));
    refused("empty key", |snapshot, element, _| snapshot.put_u32(element.at + 8, 0));
    refused("a key of 40000 bytes", |snapshot, _, _| {
        let large = snapshot.key_entries().into_iter().max_by_key(|entry| entry.value_len).unwrap();
        snapshot.put_u32(large.at + 8, 40_000);
        snapshot.put_u32(large.at + 12, 100);
    });
    refused(room, |snapshot, _, _| {
        let branch = snapshot.elements(snapshot.bucket_page("key"))[1];
        snapshot.put_u32(branch.at, PAGE as u32);
    });
}

#[test]
fn order_of_keys() {
    let before = "not greater than the key before it";
    refused_in("etcd-3.6", "KeyOrder", before, |snapshot| {
        let elements = elements(snapshot);
        snapshot.swap(elements[3].key, elements[4].key, 17);
    });
    refused_in("etcd-3.6", "KeyOrder", before, |snapshot| {
        let elements = elements(snapshot);
        snapshot.bytes.copy_within(elements[3].key..elements[3].key + 17, elements[4].key);
    });
    refused_in("etcd-3.6", "KeyOrder", before, |snapshot| {
        let branches = snapshot.elements(snapshot.bucket_page("key"));
        snapshot.swap(branches[1].key, branches[2].key, 17);
    });
    refused_in("etcd-3.6", "KeyOrder", "less than the key that leads to this page", |snapshot| {
        let first = elements(snapshot)[0];
        snapshot.bytes[first.key..first.key + 8].fill(0);
    });
    refused_in("etcd-3.6", "KeyOrder", "not less than the key that leads to the next page", |snapshot| {
        let last = *elements(snapshot).last().unwrap();
        snapshot.bytes[last.key + 4] = 1;
    });
    refused_in("etcd-3.6", "KeyOrder", "not less than the key that leads to the next page", |snapshot| {
        let branches = snapshot.elements(snapshot.bucket_page("key"));
        snapshot.put_u64(branches[1].at + 8, branches[2].child as u64);
        snapshot.put_u64(branches[2].at + 8, branches[1].child as u64);
    });
    refused_in("etcd-3.6", "KeyOrder", before, |snapshot| {
        let (one, other) = (snapshot.bucket("auth"), snapshot.bucket("alarm"));
        snapshot.bytes[other.key] = b'z';
        assert_eq!((one.key_len, other.key_len), (4, 5));
    });
}

#[test]
fn buckets() {
    refused_in("etcd-3.6", "BucketMissing", "`key`", |snapshot| {
        let key = snapshot.bucket("key");
        snapshot.bytes[key.key + 2] = b'z';
    });
    refused_in("etcd-3.6", "BucketMissing", "`meta`", |snapshot| {
        let meta = snapshot.bucket("meta");
        snapshot.bytes[meta.key + 3] = b'b';
    });
    refused_in("etcd-3.6", "PageInvalid", "an entry where only buckets belong", |snapshot| {
        let alarm = snapshot.bucket("alarm");
        snapshot.put_u32(alarm.at, 0);
    });
    refused_in("etcd-3.6", "EntryInvalid", "a bucket inside a bucket", |snapshot| {
        let entry = elements(snapshot)[3];
        snapshot.put_u32(entry.at, 1);
    });
    refused_in("etcd-3.6", "PageInvalid", "holds a bucket that is cut short", |snapshot| {
        let key = snapshot.bucket("key");
        snapshot.put_u32(key.at + 12, 15);
    });
    refused_in("etcd-3.6", "PageInvalid", "holds a bucket that is cut short", |snapshot| {
        let meta = snapshot.bucket("meta");
        snapshot.put_u32(meta.at + 12, 17);
    });
    refused_in("etcd-3.6", "PageInvalid", "both a page of its own and one elsewhere", |snapshot| {
        let meta = snapshot.bucket("meta").value;
        snapshot.put_u64(meta, 2);
    });
    refused_in("etcd-3.6", "PageInvalid", "whose own page is not a leaf", |snapshot| {
        let page = snapshot.bucket_page("meta");
        snapshot.put_u16(page + 8, 1);
    });
    refused_in("etcd-3.6", "PageInvalid", "too small for the 1000 elements", |snapshot| {
        let page = snapshot.bucket_page("meta");
        snapshot.put_u16(page + 10, 1000);
    });
    refused_in("etcd-3.6", "PageInvalid", "outside of the room", |snapshot| {
        let term = snapshot.entry("meta", "term");
        snapshot.put_u32(term.at + 12, 4000);
    });
}

#[test]
fn freelist() {
    let page = |snapshot: &Snapshot| snapshot.u64(16 + 32) as usize * PAGE;
    let count = |snapshot: &Snapshot| usize::from(snapshot.u16(page(snapshot) + 10));
    assert!(count(&Snapshot::load("freelist")) > 1);
    refused_in("freelist", "FreelistInvalid", "is not a freelist", |snapshot| {
        snapshot.put_u16(page(snapshot) + 8, 2);
    });
    refused_in("freelist", "PageInvalid", "calls itself", |snapshot| snapshot.put_u64(page(snapshot), 7));
    refused_in("freelist", "FreelistInvalid", "too small for the 4000 pages", |snapshot| {
        snapshot.put_u16(page(snapshot) + 10, 4000);
    });
    refused_in("freelist", "FreelistInvalid", "too small for the 18446744073709551615 pages", |snapshot| {
        snapshot.put_u16(page(snapshot) + 10, u16::MAX);
        snapshot.put_u64(page(snapshot) + 16, u64::MAX);
    });
    refused_in("freelist", "FreelistInvalid", "lies outside", |snapshot| {
        snapshot.put_u64(page(snapshot) + 16, 1);
    });
    refused_in("freelist", "FreelistInvalid", "twice, or itself", |snapshot| {
        let id = snapshot.u64(page(snapshot) + 16);
        snapshot.put_u64(page(snapshot) + 24, id);
    });
    refused_in("freelist", "FreelistInvalid", "twice, or itself", |snapshot| {
        snapshot.put_u64(page(snapshot) + 16, (page(snapshot) / PAGE) as u64);
    });
    refused_in("freelist", "PageFreeAndUsed", "in use and in the list", |snapshot| {
        snapshot.put_u64(page(snapshot) + 16, (leaf(snapshot) / PAGE) as u64);
    });
    refused_in("freelist", "PageUnaccounted", "neither in use nor in the list", |snapshot| {
        let fewer = count(snapshot) as u16 - 1;
        snapshot.put_u16(page(snapshot) + 10, fewer);
    });
    refused_in("freelist", "PageReachedTwice", "two places", |snapshot| {
        let branch = snapshot.elements(snapshot.bucket_page("key"))[1];
        snapshot.put_u64(branch.at + 8, snapshot.root() as u64);
    });
}

#[test]
fn a_long_freelist_has_its_count_in_the_first_element() {
    let mut snapshot = Snapshot::load("freelist");
    let page = snapshot.u64(16 + 32) as usize * PAGE;
    let count = usize::from(snapshot.u16(page + 10));
    snapshot.bytes.copy_within(page + 16..page + 16 + 8 * count, page + 24);
    snapshot.put_u64(page + 16, count as u64);
    snapshot.put_u16(page + 10, u16::MAX);
    snapshot.reseal();
    assert_eq!(snapshot.verify().unwrap().in_use_bytes, Snapshot::load("freelist").verify().unwrap().in_use_bytes);
}
