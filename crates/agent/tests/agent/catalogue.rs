use etcd_backup_core::{Catalogue, Outcome, Reason, SetState};

use crate::bed::{Agent, Bed, file};
use crate::sets::{self, Made};

#[test]
fn the_catalogue_reads_back_between_lines_of_the_log() {
    let bed = Bed::new();
    let volume = bed.volume();
    let saved = bed.save().run().ended(0);
    let damaged = Made::new().on(&volume);
    sets::damage(&volume, &damaged);
    file(&volume.join(damaged.as_str()).join("backup.json.new"), b"");
    Made { waived: vec!["freshness".into()], ..Made::new() }.on(&volume);
    sets::make_unreadable(&volume, &Made::new().on(&volume));
    sets::strangers(&volume);

    for agent in [bed.agent("inventory"), bed.agent("inventory").text()] {
        let ran = agent.arg(&volume).arg("--report-file").arg(bed.report_file()).run();
        assert_eq!(ran.exit, Some(0), "{}", ran.stderr);
        // A pod's log has both.
        let lines = ran.stderr.lines().chain(ran.stdout.lines()).collect::<Vec<_>>().join("\n");
        let read = Catalogue::read(&lines).unwrap();
        let states: Vec<_> = read.sets.iter().map(|set| set.state).collect();
        assert_eq!(
            states[2..],
            [SetState::Verified, SetState::Verified, SetState::Unverified],
            "in the volume's order"
        );
        assert!(states[..2].contains(&SetState::Foreign) && states[..2].contains(&SetState::Unreadable));
        assert_eq!(read.volume_id, bed.volume_id());
        let told = read.sets.iter().find(|set| set.name == saved.set.as_ref().unwrap().name).unwrap();
        let origin = told.origin.as_deref().unwrap();
        assert_eq!((Some(&origin.set), &origin.run_id), (saved.set.as_ref(), &saved.run_id));
        let on_disk = std::fs::read_dir(volume.join(told.name.as_str())).unwrap();
        let bytes: u64 = on_disk.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(told.size_bytes, bytes);

        let report = bed.reported();
        assert_eq!((report.outcome, report.reason), (Outcome::Completed, Reason::Listed));
        assert_eq!(report.catalogue.unwrap().digest, read.digest());
    }
}

#[test]
fn an_empty_volume_is_listed_and_a_locked_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let ask = || Agent::new("inventory").arg(dir.path()).args(["--lock-timeout", "1s"]).run();
    let empty = ask();
    assert_eq!((empty.exit, Catalogue::read(&empty.stdout).unwrap().sets.len()), (Some(0), 0));
    let held = sets::lock(dir.path());
    let refused = ask();
    assert_eq!((refused.exit, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
    drop(held);
}
