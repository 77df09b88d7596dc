//! What a member may do without harm to the backup.

use std::iter::once;

use etcd_backup_hostile::snapshot::{Step, honest};
use etcd_backup_hostile::{Behaviour, Status};

use super::{Beds, Run, figure};

type Change = fn(&mut Status);

#[test]
fn absurd_figures_of_a_member_are_not_believed() {
    let cases: [(&str, Change); 6] = [
        ("size-zero", |status| (status.db_size, status.db_size_in_use) = (0, 0)),
        ("size-negative", |status| (status.db_size, status.db_size_in_use) = (-1, i64::MIN)),
        ("size-2-to-the-63", |status| (status.db_size, status.db_size_in_use) = (i64::MAX, i64::MAX)),
        ("quota-absurd", |status| status.db_size_quota = i64::MIN),
        ("raft-absurd", |status| (status.raft_index, status.raft_applied_index) = (0, u64::MAX)),
        ("version-garbage", |status| {
            status.version = format!("\u{1b}]0;{}\n", "9".repeat(1 << 20));
            status.storage_version = "\r\n".repeat(1 << 10);
        }),
    ];
    let beds = Beds::shared();
    for (case, change) in cases {
        let run = Run::of(&beds.one, Behaviour::default().status(move |_, status| change(status)), &[]);
        assert_eq!(run.proven(case), "member-0", "{case}");
        let report = run.report();
        assert!(report.warnings.is_empty(), "{case}: {:?}", report.warnings);
        let version = report.set.and_then(|set| set.snapshot.etcd_version).unwrap();
        assert!(version.chars().count() <= 201 && !version.contains(char::is_control), "{case}: {version}");
        figure(case, report.reason, run.ran.took, "no", run.left());
    }
}

#[test]
fn a_connection_that_takes_no_new_requests_brings_its_stream_to_the_end() {
    let beds = Beds::shared();
    let polite = Behaviour::default().snapshot(|messages| Box::new(once(Step::GoAway).chain(honest(messages))));
    let run = Run::of(&beds.one, polite, &[]);
    assert_eq!(run.proven("goaway"), "member-0");
    figure("goaway", run.report().reason, run.ran.took, "no", run.left());
}
