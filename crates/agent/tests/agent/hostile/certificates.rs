//! Certificates that are wrong, too old, or exchanged in the middle of a run; users without rights.

use std::fs;
use std::iter::once;
use std::path::Path;

use etcd_backup_core::{Outcome, Reason};
use etcd_backup_hostile::snapshot::Step;
use etcd_backup_hostile::{Behaviour, HostileMember};

use super::{Beds, Case, LIMIT, Run, Then, check, figure, save, save_without_tls_files, seeds};
use crate::bed::{Agent, Bed};

const HERE: &[&str] = &["127.0.0.1"];
const HOUR: i64 = 3600;

/// What a server with such a certificate leads to.
fn server(name: &'static str, says: &'static str, names: &'static [&'static str], ends_in_seconds: i64) -> Case {
    let case = Case::new(name, Reason::Tls, says, Behaviour::default).then(Then::Around);
    let behaviour =
        move |bed: &Bed| Behaviour::default().identity(bed.etcd.issue(name, names, ends_in_seconds).unwrap());
    Case { behaviour: Box::new(behaviour), ..case }
}

#[test]
fn a_server_that_cannot_prove_itself_is_not_asked() {
    check(&[
        server("server-certificate-expired", "certificate expired", HERE, -HOUR),
        server("server-certificate-of-another-host", "not valid for name", &["etcd.example"], HOUR),
    ]);
}

#[test]
fn a_client_that_etcd_does_not_trust_is_told_so() {
    let (beds, other) = (Beds::shared(), Bed::new());
    let bed = &beds.one;
    let expired = bed.etcd.issue("expired", &[], -HOUR).unwrap();
    let foreign = (other.etcd.cert(), other.etcd.key());
    for (case, ca, (cert, key), says) in [
        ("wrong-ca", other.etcd.ca(), (bed.etcd.cert(), bed.etcd.key()), "the CA file signed the server's certificate"),
        ("client-certificate-expired", bed.etcd.ca(), expired, "neither has expired"),
        ("client-certificate-of-another-ca", bed.etcd.ca(), foreign, "etcd trusts the client certificate"),
    ] {
        let volume = tempfile::tempdir().unwrap();
        let agent = save_without_tls_files(bed, &bed.etcd.endpoints()[0], volume.path());
        let ran = agent.arg("--cacert").arg(ca).arg("--cert").arg(cert).arg("--key").arg(key).run();
        refused(case, Reason::Tls, says, &Run { volume, ran });
    }
}

#[test]
fn without_the_role_root_nothing_is_given() {
    let bed = Bed::new();
    for args in [
        &["user", "add", "root:secret"][..],
        &["user", "grant-role", "root", "root"],
        &["role", "add", "reader"],
        &["role", "grant-permission", "--prefix=true", "reader", "readwrite", ""],
        &["auth", "enable"],
    ] {
        bed.etcd.etcdctl(args).unwrap();
    }
    let run = || {
        let volume = tempfile::tempdir().unwrap();
        let ran = save(&bed, &bed.etcd.endpoints()[0], volume.path()).run();
        Run { volume, ran }
    };
    refused("auth-without-the-user", Reason::PermissionDenied, "must be a user with the role root", &run());
    // The certificate's common name.
    let root = ["--user", "root:secret"];
    for args in [
        &["user", "add", "etcd-backup-test", "--no-password"][..],
        &["user", "grant-role", "etcd-backup-test", "reader"],
    ] {
        bed.etcd.etcdctl(&[&root[..], args].concat()).unwrap();
    }
    refused("auth-without-the-role", Reason::PermissionDenied, "must be a user with the role root", &run());
}

/// The run was refused, and running it again is useless until somebody changes something.
fn refused(case: &str, reason: Reason, says: &str, run: &Run) {
    let report = run.report();
    assert_eq!((report.reason, run.ran.exit), (reason, Some(4)), "{case}: {}", report.message);
    assert!(report.message.contains(says), "{case}: {}", report.message);
    assert_eq!(run.left(), 0, "{case} leaves something");
    assert!(run.ran.took < LIMIT, "{case}: {:?}", run.ran.took);
    figure(case, reason, run.ran.took, "no", 0);
}

/// What becomes of the client's certificate while the first member streams.
#[derive(Clone, Copy)]
enum Meanwhile {
    Renewed,
    Expired,
    Garbled,
}

#[test]
fn the_next_member_is_asked_with_the_certificate_as_it_is_by_then() {
    let beds = Beds::shared();
    std::thread::scope(|scope| {
        for (case, meanwhile) in [
            ("certificate-renewed-meanwhile", Meanwhile::Renewed),
            ("certificate-expired-meanwhile", Meanwhile::Expired),
            ("certificate-garbled-meanwhile", Meanwhile::Garbled),
        ] {
            let bed = &beds.three;
            scope.spawn(move || exchange(bed, case, meanwhile));
        }
    });
}

fn exchange(bed: &Bed, case: &str, meanwhile: Meanwhile) {
    let silent = Behaviour::default().snapshot(|_| Box::new(once(Step::Hang)));
    let hostile = HostileMember::start(&bed.etcd, 0, silent).unwrap();
    // It is long expired when the silence has been enough.
    let (cert, key) = bed.etcd.issue(case, &[], 10).unwrap();
    let volume = tempfile::tempdir().unwrap();
    let agent = save_without_tls_files(bed, &seeds(bed, &hostile), volume.path());
    let agent = agent.arg("--cacert").arg(bed.etcd.ca()).arg("--cert").arg(&cert).arg("--key").arg(&key);
    let mut running = Agent::args(agent, ["--progress-timeout", "12s"]).start();
    running.until("a stream", || hostile.snapshots() > 0);
    match meanwhile {
        Meanwhile::Renewed => {
            let (new_cert, new_key) = bed.etcd.issue("renewed", &[], HOUR).unwrap();
            exchanged(&new_cert, &cert);
            exchanged(&new_key, &key);
        }
        Meanwhile::Expired => (),
        Meanwhile::Garbled => fs::write(&cert, "garbled").unwrap(),
    }
    let run = Run { volume, ran: running.wait() };
    let report = run.report();
    match meanwhile {
        Meanwhile::Renewed => {
            assert_eq!(report.outcome, Outcome::Completed, "{case}: {}", report.message);
            let gave = run.proven(case);
            assert_ne!(gave, "member-0");
            figure(case, report.reason, run.ran.took, &gave, run.left());
        }
        Meanwhile::Expired => refused(case, Reason::Tls, "neither has expired", &run),
        Meanwhile::Garbled => refused(case, Reason::Tls, &cert.display().to_string(), &run),
    }
}

/// By one rename, as whoever renews certificates does it.
fn exchanged(new: &Path, old: &Path) {
    fs::rename(new, old).unwrap();
}
