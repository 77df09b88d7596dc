use etcd_backup_core::{Policy, Retention, RetentionReason};
use etcd_backup_testbed::measured;

use crate::bed::{Bed, CLUSTER};
use crate::number::retention;
use crate::operations::{Replay, Sampler};
use crate::sets;

pub(crate) fn at_most(max_bytes: u64) -> Policy {
    Policy::new(Retention::Size { max_bytes })
}

/// Snapshots that grow by 1 MiB from run to run, then a lower limit, then one set alone over it. At
/// every moment there are at most as many bytes as allowed, and the newest set from before.
#[test]
fn the_bytes_hold_at_every_moment() {
    const LIMIT: u64 = 40 << 20;
    let bed = Bed::new();
    let log = bed.kubernetes().join("operations");
    let mut replay = Replay::new(&bed.volume());
    let mut run = |limit: u64| {
        bed.set_policy(&at_most(limit));
        let sampler = Sampler::start(&bed.volume());
        let report = bed.scheduled_save().operations_to(&log).run().ended(0);
        let (seen, samples) = sampler.end();
        replay.run(&log);
        let peak = replay.take_peak();
        assert_eq!(peak, report.retention.as_ref().unwrap().peak_bytes, "the log and the report differ");
        assert!(seen <= peak && samples > 0, "seen {seen} from outside in {samples} looks, at most {peak} were there");
        let all = sets::all(&bed.volume());
        assert!(sets::is_proven(all.last().unwrap()));
        assert_eq!(all.last().map(|set| &set.name), report.set.as_ref().map(|set| &set.name));
        (report, peak)
    };
    let (mut most, mut before, mut deleted) = (0, 0, 0);
    for grown in 1..=7 {
        bed.load_at(grown, 1);
        let (report, peak) = run(LIMIT);
        let said = retention(&report);
        assert_eq!(said.reason, RetentionReason::Satisfied, "run {grown}: {}", said.message);
        assert!(peak <= LIMIT, "run {grown}: {peak} of {LIMIT} bytes");
        // The fewest go, but for what the archive and the manifest might have needed.
        let might_need = before + report.set.as_ref().unwrap().size_bytes() + (64 << 10);
        assert!(said.deleted == 0 || might_need > LIMIT, "run {grown}: {} went for {might_need} bytes", said.deleted);
        (most, before, deleted) = (most.max(peak), said.retained.size_bytes, deleted + said.deleted);
    }
    assert!(deleted > 0 && most > LIMIT / 2, "{deleted} sets deleted, {most} bytes at most");
    measured("agent-retention-size", &[("limit_bytes", &LIMIT), ("seen_max_bytes", &most)]).unwrap();

    // Sets exist that the lower limit does not allow: they go before the first byte is written.
    let (report, _) = run(LIMIT);
    let lower = report.set.unwrap().size_bytes() * 9 / 4;
    let (report, _) = run(lower);
    assert_eq!(retention(&report).reason, RetentionReason::Satisfied, "{}", retention(&report).message);
    assert!(retention(&report).retained.size_bytes <= lower);

    // One set alone is larger: the newest stays until the new one is there, and nothing else does.
    let tiny = 1 << 20;
    let (report, peak) = run(tiny);
    let said = retention(&report);
    assert_eq!(said.reason, RetentionReason::SizeExceeded, "{}", said.message);
    assert_eq!((said.retained.verified, said.retained.sets), (1, 1));
    assert!(peak > tiny && said.message.contains(&tiny.to_string()), "{}", said.message);
    let (report, peak) = run(tiny);
    assert_eq!(retention(&report).reason, RetentionReason::SizeExceeded);
    let set_bytes = report.set.unwrap().size_bytes();
    assert!(peak < 2 * set_bytes + set_bytes / 2, "{peak} bytes are more than two sets of {set_bytes}");
}

#[test]
fn what_others_have_does_not_count_and_what_may_be_ours_does() {
    let bed = Bed::new();
    bed.save().args(["--owner", "Backup/weekly", "--cluster", CLUSTER]).run().ended(0);
    bed.set_policy(&at_most(1 << 30));
    let first = bed.scheduled_save().run().ended(0);
    let size = retention(&first).retained.size_bytes;
    assert_eq!(size, first.set.as_ref().unwrap().size_bytes());
    sets::make_unreadable(&bed.volume(), &first.set.unwrap().name);
    let second = bed.scheduled_save().run().ended(0);
    let said = retention(&second);
    assert_eq!((said.retained.sets, said.retained.verified), (1, 1));
    assert!(said.retained.size_bytes > second.set.unwrap().size_bytes(), "the unreadable one may be ours");
    // It is never deleted, however small the limit.
    bed.set_policy(&at_most(1));
    assert_eq!(retention(&bed.scheduled_save().run().ended(0)).reason, RetentionReason::SizeExceeded);
    assert_eq!(bed.sets().len(), 3);
}
