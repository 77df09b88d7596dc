use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::bed::{Agent, Bed, Ran, file, overwrite};

fn verify(path: &Path) -> Ran {
    Agent::new("verify").arg(path).run()
}

fn failed(ran: &Ran) -> (Option<i32>, String, String) {
    let finding = &ran.json()[0];
    let word = |field: &str| finding[field].as_str().unwrap_or_default().to_owned();
    (ran.exit, word("verdict"), word("failed"))
}

/// The snapshot with every page's kind overwritten, under a correct checksum.
fn resealed(snapshot: &[u8]) -> Vec<u8> {
    let mut damaged = snapshot[..snapshot.len() - 32].to_vec();
    for page in damaged.chunks_mut(4096).skip(2) {
        page[8..10].fill(0xff);
    }
    let seal = Sha256::digest(&damaged);
    damaged.extend_from_slice(&seal);
    damaged
}

#[test]
fn every_damage_to_a_file_is_named() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    let snapshot = fs::read(bed.file_of_set(".db")).unwrap();
    let path = bed.kubernetes().join("damaged.db");
    let mut flipped = snapshot.clone();
    flipped[10_000] ^= 1;
    for (damage, content, check) in [
        ("a flipped byte", flipped, "ChecksumMismatch"),
        ("cut", snapshot[..snapshot.len() / 2].to_vec(), "SizeInvalid"),
        ("cut at a sector", snapshot[..snapshot.len() / 1024 * 512 + 32].to_vec(), "SizeMismatch"),
        ("zeros", vec![0; snapshot.len()], "MetaPageInvalid"),
        ("empty", Vec::new(), "Empty"),
        ("sealed anew", resealed(&snapshot), "PageInvalid"),
        ("something else", b"PK".repeat(5000), "SizeInvalid"),
    ] {
        file(&path, &content);
        let ran = verify(&path);
        assert_eq!(failed(&ran), (Some(3), "damaged".into(), check.into()), "{damage}: {}\n{}", ran.stdout, ran.stderr);
        assert!(ran.json()[0]["message"].as_str().unwrap().starts_with(path.to_str().unwrap()));
    }

    File::create(&path).unwrap().set_len((1 << 40) + 32).unwrap();
    let ran = verify(&path);
    assert_eq!(failed(&ran), (Some(3), "damaged".into(), "MetaPageInvalid".into()), "a huge sparse file");
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
}

#[test]
fn every_damage_to_a_set_is_named() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    let verdict = |exit, verdict: &str, check: &str| {
        for path in [bed.set(), bed.volume()] {
            let ran = verify(&path);
            assert_eq!(failed(&ran), (Some(exit), verdict.into(), check.into()), "{}\n{}", ran.stdout, ran.stderr);
        }
    };
    verdict(0, "sound", "");
    let restored = |end: &str, damage: &dyn Fn(&Path), exit, word: &str, check: &str| {
        let path = bed.file_of_set(end);
        let whole = fs::read(&path).unwrap();
        damage(&path);
        verdict(exit, word, check);
        file(&path, &whole);
    };
    restored(".db", &|path| overwrite(path, 10_000, b"damage"), 3, "damaged", "ChecksumMismatch");
    restored(".db", &|path| file(path, &[]), 3, "damaged", "Differs");
    restored(".db", &|path| fs::remove_file(path).unwrap(), 3, "damaged", "Differs");
    restored(".tar.gz", &|path| overwrite(path, 100, b"damage"), 3, "damaged", "ArchiveInvalid");
    // The time in gzip's header says nothing of the content: only the manifest's hash sees it.
    restored(".tar.gz", &|path| overwrite(path, 4, b"time"), 3, "damaged", "Differs");
    restored("backup.json", &|path| file(path, b"{}"), 1, "unreadable", "ReadFailed");
    verdict(0, "sound", "");
}

#[test]
fn a_snapshot_sealed_anew_does_not_pass_for_the_sets_own() {
    let (bed, other) = (Bed::new(), Bed::new());
    bed.save().run().ended(0);
    other.save().run().ended(0);
    let (own, foreign) = (bed.file_of_set(".db"), other.file_of_set(".db"));
    fs::copy(foreign, &own).unwrap();
    let ran = verify(&bed.set());
    assert_eq!(failed(&ran), (Some(3), "damaged".into(), "Differs".into()), "{}", ran.stdout);
}

#[test]
fn what_is_nothing_to_verify_does_not_pass() {
    let bed = Bed::new();
    let pipe = bed.kubernetes().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    for (path, check) in [(bed.volume(), "NoSets"), (bed.volume().join("missing"), "ReadFailed"), (pipe, "ReadFailed")]
    {
        assert_eq!(failed(&verify(&path)), (Some(1), "unreadable".into(), check.into()), "{}", path.display());
    }
}

#[test]
fn a_good_set_beside_a_damaged_one_does_not_hide_it() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    overwrite(&bed.file_of_set(".db"), 10_000, b"damage");
    bed.save().run().ended(0);
    let ran = verify(&bed.volume());
    let verdicts: Vec<_> = ran.json().as_array().unwrap().iter().map(|finding| finding["verdict"].clone()).collect();
    assert_eq!((ran.exit, verdicts), (Some(3), vec!["damaged".into(), "sound".into()]));
}
