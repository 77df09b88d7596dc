//! Streams that are not what etcd sends.

use std::iter::once;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_backup_core::{Policy, Reason, Retention};
use etcd_backup_hostile::snapshot::{
    Messages, Step, Steps, all_then, announcing, closing_with, damaged_and_sealed, endless, flipped, half_then,
    half_then_empty, honest, rechunk, trickle,
};
use etcd_backup_hostile::{Behaviour, Code};

use super::{Case, Run, Then, check, figure};
use crate::bed::{Bed, names};

const IMPATIENT: &[&str] = &["--progress-timeout", "5s"];

fn sends(name: &'static str, reason: Reason, says: &'static str, script: fn(Messages) -> Steps) -> Case {
    Case::new(name, reason, says, move || Behaviour::default().snapshot(script))
}

fn stalls(name: &'static str, says: &'static str, script: fn(Messages) -> Steps) -> Case {
    sends(name, Reason::Stalled, says, script).args(IMPATIENT)
}

fn breaks(name: &'static str, says: &'static str, script: fn(Messages) -> Steps) -> Case {
    sends(name, Reason::StreamBroken, says, script)
}

fn steps(steps: impl Iterator<Item = Step> + Send + 'static) -> Steps {
    Box::new(steps)
}

#[test]
fn a_stream_without_progress_is_ended() {
    check(&[
        stalls("silent-from-the-start", "before it began: no data came for 5s", |_| steps(once(Step::Hang))),
        stalls("silent-midway", "no data came for 5s", |sent| half_then(sent, once(Step::Hang))),
        stalls("silent-at-the-end", "no data came for 5s", |sent| all_then(sent, once(Step::Hang))),
        stalls("empty-messages", "cannot read its own database", |sent| half_then_empty(sent, Duration::ZERO)),
        stalls("empty-messages-slowly", "no data came for 5s", |sent| {
            half_then_empty(sent, Duration::from_millis(100))
        }),
        stalls("trickle", "bytes/s came", |sent| trickle(sent, 512, Duration::from_millis(20))),
        // Whoever allows that gets it, for as long as the run may last.
        sends("trickle-allowed", Reason::DeadlineExceeded, "deadline", |sent| {
            trickle(sent, 512, Duration::from_millis(20))
        })
        .args(&["--min-rate", "1", "--deadline", "4s"])
        .then(Then::Ends),
    ]);
}

#[test]
fn a_stream_that_breaks_off_is_refused() {
    check(&[
        breaks("no-message", "before it began: it ended before its first message", |_| steps([].into_iter())),
        breaks("ends-early", "without the closing message", |sent| half_then(sent, [].into_iter())),
        breaks("closing-message-missing", "without the closing message", |mut sent| {
            sent.pop();
            honest(sent)
        }),
        breaks("error-at-once", "disk on fire", |_| steps(once(Step::Fail(Code::Internal, "disk on fire")))),
        breaks("error-midway", "disk on fire", |sent| {
            half_then(sent, once(Step::Fail(Code::Internal, "disk on fire")))
        }),
        breaks("reset", "broke after", |sent| half_then(sent, once(Step::Reset))),
        breaks("connection-cut", "broke after", |sent| half_then(sent, once(Step::Cut))),
        breaks("goaway-and-cut", "broke after", |sent| {
            let pause = Step::Wait(Duration::from_millis(200));
            half_then(sent, [Step::GoAway, pause, Step::Cut].into_iter())
        }),
        sends("snapshot-denied", Reason::PermissionDenied, "must be a user with the role root", |_| {
            steps(once(Step::Fail(Code::PermissionDenied, "etcdserver: permission denied")))
        }),
    ]);
}

#[test]
fn a_stream_that_lies_is_refused() {
    check(&[
        breaks("closing-message-wrong", "the data that came has SHA-256", |sent| closing_with(sent, vec![7; 32])),
        breaks("closing-message-short", "has 31 bytes", |sent| closing_with(sent, vec![7; 31])),
        breaks("closing-message-doubled", "after the closing one", |sent| {
            let closing = sent.last().cloned().map(Step::Send);
            all_then(sent, closing.into_iter())
        }),
        breaks("data-after-the-hash", "after the closing one", endless),
        breaks("announces-more", "bytes remain where", |sent| announcing(sent, |_, bytes| bytes + 4096)),
        breaks("announces-less", "bytes", |sent| announcing(sent, |_, bytes| bytes.saturating_sub(4096))),
        breaks("announces-ever-more", "bytes remain where", |sent| {
            announcing(sent, |place, bytes| bytes + 4096 * place as u64)
        }),
        breaks("announces-absurdly-much", "of a database of", |sent| announcing(sent, |_, bytes| bytes + (1 << 62))),
        breaks("large-messages", "a message of", |sent| honest(rechunk(sent, 1 << 20))),
        breaks("message-over-the-grpc-limit", "decoded message length too large", |sent| {
            honest(rechunk(sent, 5 << 20))
        }),
        breaks("flipped-bit", "the data that came has SHA-256", |sent| honest(flipped(sent))),
        sends("damaged-and-sealed", Reason::SnapshotInvalid, "not sound", |sent| honest(damaged_and_sealed(sent))),
        Case { behaviour: Box::new(stale), ..sends("stale", Reason::SnapshotStale, "this member lags behind", honest) },
    ]);
}

/// Sends the snapshot of some time ago, whole and sound.
fn stale(bed: &Bed) -> Behaviour {
    let kept: Arc<Mutex<Messages>> = Arc::default();
    let keeps = Arc::clone(&kept);
    let listener = Behaviour::default().snapshot(move |messages| {
        keeps.lock().unwrap().clone_from(&messages);
        honest(messages)
    });
    assert_eq!(Run::of(bed, listener, &[]).ran.exit, Some(0));
    bed.etcd.etcdctl(&["put", "/registry/configmaps/default/later", "1"]).unwrap();
    let old = kept.lock().unwrap().clone();
    Behaviour::default().snapshot(move |_| honest(old.clone()))
}

#[test]
fn a_lie_about_the_size_deletes_nothing() {
    let bed = Bed::new();
    bed.set_policy(&Policy::new(Retention::Size { max_bytes: 64 << 20 }));
    let sets = [(); 2].map(|()| bed.scheduled_save().run().ended(0).set.unwrap().name);
    let lies = Behaviour::default().snapshot(|sent| announcing(sent, |_, bytes| bytes + (1 << 40)));
    let hostile = etcd_backup_hostile::HostileMember::start(&bed.etcd, 0, lies).unwrap();
    let agent = bed.save_from(hostile.url()).args(["--owner", "Backup/nightly", "--cluster", crate::bed::CLUSTER]);
    let ran = agent.arg("--policy").arg(bed.policy_file()).run();
    assert_eq!(ran.ended(1).reason, Reason::StreamBroken);
    assert_eq!(bed.sets().len(), sets.len());
    let left = bed.staged().len() + names(&bed.volume().join(".etcd-backup/trash")).len();
    assert_eq!(left, 0);
    figure("size-lie-under-a-policy", Reason::StreamBroken, ran.took, "no", left);
}
