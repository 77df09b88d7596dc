use serde_json::json;

use super::*;

const TIMING: Timing =
    Timing { duration: Duration::from_secs(45), deadline: Duration::from_secs(30), period: Duration::from_secs(15) };

fn lease(holder: &str, renew_time: &str, seconds: Option<i32>) -> Lease {
    let spec = json!({"holderIdentity": holder, "renewTime": renew_time, "leaseDurationSeconds": seconds});
    serde_json::from_value(json!({"metadata": {"name": "l", "resourceVersion": "1"}, "spec": spec})).unwrap()
}

fn seen(holder: &str, seconds: Option<i32>, since: Instant) -> Sight {
    Sight::Seen(Box::new(Seen { lease: lease(holder, "2026-01-01T00:00:00.000000Z", seconds), since }))
}

fn after(begin: Instant, seconds: u64) -> Instant {
    begin + Duration::from_secs(seconds)
}

#[test]
fn a_candidate_takes_only_what_is_free() {
    let begin = Instant::now();
    let wait = |seconds| Candidate::Wait(after(begin, seconds));
    let rows = [
        ("not looked yet", Sight::Unknown, 100, wait(115)),
        ("no Lease", Sight::Absent, 0, Candidate::Take),
        ("released", seen("", Some(45), begin), 0, Candidate::Take),
        ("our own, of an earlier process", seen("us", Some(45), begin), 0, Candidate::Take),
        ("another's, just renewed", seen("other", Some(45), begin), 0, wait(15)),
        ("another's, near its end", seen("other", Some(45), begin), 44, wait(45)),
        ("another's, at its end", seen("other", Some(45), begin), 45, Candidate::Take),
        ("its holder promised less", seen("other", Some(8), begin), 7, wait(8)),
        ("its holder promised less, over", seen("other", Some(8), begin), 8, Candidate::Take),
        ("its holder promised more", seen("other", Some(120), begin), 100, wait(115)),
        ("its holder promised nothing", seen("other", None, begin), 44, wait(45)),
        ("a promise that makes no sense", seen("other", Some(-1), begin), 44, wait(45)),
        ("an empty one", Sight::Unknown.after(Some(Lease::default()), begin), 0, Candidate::Take),
    ];
    for (what, sight, seconds, expected) in rows {
        assert_eq!(candidate(&sight, "us", &TIMING, after(begin, seconds)), expected, "{what}");
    }
}

#[test]
fn a_holder_renews_in_time_or_stops() {
    let begin = Instant::now();
    let ours = || seen("us", Some(45), begin);
    let taken = Holder::Lost(Loss::Taken { by: "other".into() });
    let rows = [
        ("just renewed", ours(), 0, Holder::Wait(after(begin, 15))),
        ("due", ours(), 15, Holder::Renew),
        ("overdue", ours(), 29, Holder::Renew),
        ("too late", ours(), 30, Holder::Lost(Loss::Expired { seconds: 30 })),
        ("deleted by somebody, not due", Sight::Absent, 1, Holder::Wait(after(begin, 15))),
        ("deleted by somebody, due", Sight::Absent, 15, Holder::Renew),
        ("its holder was removed by somebody", seen("", Some(45), begin), 15, Holder::Renew),
        ("taken, not due", seen("other", Some(45), begin), 1, taken),
        (
            "taken, and the other one has ended too",
            seen("other", Some(1), begin),
            29,
            Holder::Lost(Loss::Taken { by: "other".into() }),
        ),
    ];
    for (what, sight, seconds, expected) in rows {
        assert_eq!(holder(&sight, begin, "us", &TIMING, after(begin, seconds)), expected, "{what}");
    }
}

#[test]
fn the_holder_stops_before_anybody_else_begins() {
    let begin = Instant::now();
    for seconds in 0..60 {
        let now = after(begin, seconds);
        let works = !matches!(holder(&seen("us", Some(45), begin), begin, "us", &TIMING, now), Holder::Lost(_));
        // The other one cannot have seen the renewal before it was sent.
        let taken = candidate(&seen("us", Some(45), begin), "other", &TIMING, now) == Candidate::Take;
        assert!(!(works && taken), "two at work after {seconds} s");
    }
}

#[test]
fn only_what_the_lease_says_is_a_sign_of_its_holder() {
    let begin = Instant::now();
    let first = Sight::Unknown.after(Some(lease("other", "2026-01-01T00:00:00.000000Z", Some(45))), begin);
    let since = |sight: &Sight| match sight {
        Sight::Seen(seen) => seen.since.duration_since(begin).as_secs(),
        Sight::Unknown | Sight::Absent => panic!("it was seen"),
    };
    let mut labelled = lease("other", "2026-01-01T00:00:00.000000Z", Some(45));
    labelled.metadata.resource_version = Some("2".into());
    labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let again = first.after(Some(labelled.clone()), after(begin, 20));
    assert_eq!(since(&again), 0, "a label is no renewal");
    assert!(
        matches!(&again, Sight::Seen(seen) if seen.lease == labelled),
        "but its version is needed for the next write"
    );
    assert_eq!(first.after(None, begin), Sight::Absent);
}

#[test]
fn no_clock_of_another_node_matters() {
    let begin = Instant::now();
    // The holder's clock is right, a year ahead, a year behind, or steps between renewals.
    for (before, renewed) in [
        ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:15.000000Z"),
        ("2027-01-01T00:00:00.000000Z", "2027-01-01T00:00:15.000000Z"),
        ("2025-01-01T00:00:00.000000Z", "2025-01-01T00:00:15.000000Z"),
        ("2027-01-01T00:00:00.000000Z", "2025-01-01T00:00:00.000000Z"),
        ("2025-01-01T00:00:00.000000Z", "2027-01-01T00:00:00.000000Z"),
    ] {
        let first = Sight::Unknown.after(Some(lease("other", before, Some(45))), begin);
        assert_eq!(candidate(&first, "us", &TIMING, after(begin, 44)), Candidate::Wait(after(begin, 45)));
        let second = first.after(Some(lease("other", renewed, Some(45))), after(begin, 44));
        assert_eq!(candidate(&second, "us", &TIMING, after(begin, 88)), Candidate::Wait(after(begin, 89)));
        assert_eq!(candidate(&second, "us", &TIMING, after(begin, 89)), Candidate::Take);
    }
}
