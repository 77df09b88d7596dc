use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

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
fn what_a_snapshot_holds_is_told_in_text_and_json() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    let snapshot = bed.file_of_set(".db");
    let json = verify(&snapshot).json()[0]["snapshot"].clone();
    assert_eq!((json["totalKeys"].as_u64(), json["totalKeyRevisions"].as_u64()), (Some(1), Some(3)), "{json}");
    let exact = Agent::new("verify").arg(&snapshot).arg("--exact-keys").run().json()[0]["snapshot"].clone();
    assert_eq!(exact, json);

    let text = Agent::new("verify").arg(&snapshot).text().run().stdout;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("sound: ") && lines[0].ends_with("proven: size, sha256, pages, keys"), "{text}");
    assert!(lines[1].contains(" entries, 3 of them revisions of keys; never compacted; 0 leases"), "{text}");
    let hash = json["hash"].as_u64().unwrap();
    assert!(lines[2].ends_with(&format!("pages of 4096; CRC-32C {hash:x}")), "{text}");
    let member = json["members"][0]["id"].as_str().unwrap();
    assert!(lines[3].contains(member), "{text}");
}

#[test]
fn a_signal_ends_a_verification_at_once() {
    let bed = Bed::new();
    bed.save().run().ended(0);
    // Meta pages that are right, and then more zeros than can be read in the time that the test gives.
    let (pages, page) = (1_u64 << 24, 4096);
    let mut content = fs::read(bed.file_of_set(".db")).unwrap();
    for meta in [16, page + 16] {
        content[meta + 40..meta + 48].copy_from_slice(&pages.to_le_bytes());
        let hash = content[meta..meta + 56]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        content[meta + 56..meta + 64].copy_from_slice(&hash.to_le_bytes());
    }
    let path = bed.kubernetes().join("large.db");
    file(&path, &content);
    File::options().write(true).open(&path).unwrap().set_len(pages * page as u64 + 32).unwrap();

    let running = Agent::new("verify").arg(&path).start();
    std::thread::sleep(Duration::from_secs(1));
    let asked = Instant::now();
    running.signal(rustix::process::Signal::TERM);
    let ran = running.wait();
    assert_eq!((ran.exit, ran.stdout.as_str()), (Some(5), ""), "{}", ran.stderr);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
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
