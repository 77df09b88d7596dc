//! Members that do what no real etcd does on demand, each in front of a real one.

mod answers;
mod certificates;
mod connection;
mod harmless;
mod snapshot;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use etcd_backup_core::{Outcome, Reason, Report};
use etcd_backup_hostile::{Behaviour, HostileMember};
use etcd_backup_testbed::measured;
use tempfile::TempDir;

use crate::bed::{Agent, Bed, Ran, names};

/// Longest that a run may take to end or to fail over. The longest of the agent's own bounds that
/// these cases meet is 20 s, two silent requests; the rest is for a slow machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Cases at the same time.
const WORKERS: usize = 6;

/// A cluster with nobody else to ask, and one with two more.
struct Beds {
    one: Bed,
    three: Bed,
}

impl Beds {
    /// Those that another test has at this moment, or new ones. They are gone with the last test that
    /// has them, so nothing may change what others rely on.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Beds>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let beds = Arc::new(Self { one: Bed::new(), three: Bed::with_members(3) });
            // Some MiB, so that a stream has many messages.
            beds.one.load(4);
            beds.three.load(4);
            *shared = Arc::downgrade(&beds);
            beds
        })
    }
}

/// What a run does that has other members to ask.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It drops the member, with a warning that says why, and saves from the next one.
    Next,
    /// It sees at once that it must not ask this member, and asks another one.
    Another,
    /// It reaches all members by the URLs that the others tell.
    Around,
    /// It ends all the same: another member would not help.
    Ends,
}

struct Case {
    name: &'static str,
    /// Of a member of this bed.
    behaviour: Box<dyn Fn(&Bed) -> Behaviour + Sync>,
    args: &'static [&'static str],
    /// How a run ends that has nobody else to ask.
    reason: Reason,
    exit: i32,
    /// Part of the message.
    says: &'static str,
    then: Then,
}

impl Case {
    fn new(
        name: &'static str,
        reason: Reason,
        says: &'static str,
        behaviour: impl Fn() -> Behaviour + Sync + 'static,
    ) -> Self {
        let exit = match reason {
            Reason::Tls | Reason::PermissionDenied => 4,
            Reason::SnapshotInvalid => 3,
            _ => 1,
        };
        Self { name, behaviour: Box::new(move |_| behaviour()), args: &[], reason, exit, says, then: Then::Next }
    }

    fn args(self, args: &'static [&'static str]) -> Self {
        Self { args, ..self }
    }

    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn check(&self, beds: &Beds) {
        let alone = Run::of(&beds.one, (self.behaviour)(&beds.one), self.args);
        alone.failed(self);
        let others = (self.then != Then::Ends).then(|| Run::of(&beds.three, (self.behaviour)(&beds.three), self.args));
        let failover = others.as_ref().map_or_else(|| "no".to_owned(), |run| run.failed_over(self));
        let left = alone.left() + others.as_ref().map_or(0, Run::left);
        figure(self.name, self.reason, alone.ran.took, &failover, left);
    }
}

/// Checks the cases, several at a time.
fn check(cases: &[Case]) {
    let beds = Beds::shared();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    case.check(&beds);
                }
            });
        }
    });
}

fn figure(case: &str, reason: Reason, took: Duration, failover: &str, left: usize) {
    let seconds = format!("{:.1}", took.as_secs_f64());
    let values: [(&str, &dyn std::fmt::Display); 5] =
        [("case", &case), ("reason", &reason), ("seconds", &seconds), ("failover", &failover), ("left", &left)];
    measured("hostile", &values).unwrap();
}

/// A run on a volume of its own, and what is left on that.
struct Run {
    volume: TempDir,
    ran: Ran,
}

impl Run {
    /// With the first member misbehaving; it is the one that is asked first.
    fn of(bed: &Bed, behaviour: Behaviour, args: &[&str]) -> Self {
        let hostile = HostileMember::start(&bed.etcd, 0, behaviour).unwrap();
        let volume = tempfile::tempdir().unwrap();
        let ran = with(save(bed, &seeds(bed, &hostile), volume.path()), args).run();
        Self { volume, ran }
    }

    fn report(&self) -> Report {
        self.ran.report()
    }

    /// Number of files and directories that are there and should not be.
    fn left(&self) -> usize {
        let sets = names(self.volume.path()).iter().filter(|name| *name != ".etcd-backup").count();
        let published = usize::from(self.report().outcome == Outcome::Completed);
        let working = ["staging", "trash"].map(|dir| names(&self.volume.path().join(".etcd-backup").join(dir)).len());
        sets.abs_diff(published) + working.iter().sum::<usize>()
    }

    fn failed(&self, case: &Case) {
        let Case { name, reason, exit, says, .. } = case;
        let report = self.report();
        assert_eq!((report.reason, self.ran.exit), (*reason, Some(*exit)), "{name}: {}", report.message);
        assert!(report.message.contains(says), "{name}: {}", report.message);
        assert_eq!(self.left(), 0, "{name} leaves something");
        assert!(self.ran.took < LIMIT, "{name}: {:?}", self.ran.took);
    }

    /// The member that gave the set in the place of the first one.
    fn failed_over(&self, case: &Case) -> String {
        let name = case.name;
        let report = self.report();
        assert_eq!((report.outcome, self.ran.exit), (Outcome::Completed, Some(0)), "{name}: {}", report.message);
        let dropped: Vec<_> = report.warnings.iter().filter(|warning| warning.reason == "MemberDropped").collect();
        match case.then {
            Then::Next => {
                assert_eq!(dropped.len(), 1, "{name}: {dropped:?}");
                assert!(dropped[0].message.contains("member-0 ("), "{name}: {}", dropped[0].message);
                assert!(dropped[0].message.contains(case.says), "{name}: {}", dropped[0].message);
            }
            Then::Another | Then::Around | Then::Ends => assert!(dropped.is_empty(), "{name}: {dropped:?}"),
        }
        let gave = self.proven(name);
        assert!(gave != "member-0" || case.then == Then::Around, "{name}");
        gave
    }

    /// The member that gave the set, which is verified and is proven anew.
    fn proven(&self, case: &str) -> String {
        let set = self.report().set.unwrap();
        assert!(set.verified, "{case}");
        let verified = Agent::new("verify").arg(self.volume.path()).run();
        assert_eq!(verified.exit, Some(0), "{case}: {}", verified.stdout);
        assert_eq!(self.left(), 0, "{case} leaves something");
        assert!(self.ran.took < LIMIT, "{case}: {:?}", self.ran.took);
        set.snapshot.member_name.unwrap()
    }
}

/// The hostile member first, then the real ones but for that in its place.
fn seeds(bed: &Bed, hostile: &HostileMember) -> String {
    let mut endpoints = bed.etcd.endpoints();
    endpoints[0] = hostile.url().to_owned();
    endpoints.join(",")
}

/// `etcd-backup save` from these endpoints to this volume.
fn save(bed: &Bed, endpoints: &str, volume: &Path) -> Agent {
    let agent = save_without_tls_files(bed, endpoints, volume);
    agent.arg("--cacert").arg(bed.etcd.ca()).arg("--cert").arg(bed.etcd.cert()).arg("--key").arg(bed.etcd.key())
}

fn save_without_tls_files(bed: &Bed, endpoints: &str, volume: &Path) -> Agent {
    let agent = Agent::new("save").arg(volume).args(["--endpoints", endpoints, "--node", "master-0"]);
    agent.arg("--kubernetes-dir").arg(bed.kubernetes())
}

fn with(agent: Agent, args: &[&str]) -> Agent {
    args.iter().fold(agent, Agent::arg)
}
