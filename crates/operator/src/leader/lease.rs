//! What is written into the Lease. Its times are for people: nobody here reads them.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};

use super::decide::{Sight, Timing};

/// The Lease held by us. It carries the version of the one that was seen, so that the API server
/// refuses it if somebody has written meanwhile.
#[must_use]
pub(crate) fn held(sight: &Sight, identity: &str, timing: &Timing, now: Timestamp) -> Lease {
    let mut lease = seen(sight);
    let kept = sight.holder() == Some(identity);
    let spec = lease.spec.get_or_insert_default();
    if !kept {
        // How often it went from one holder to another; the first one is no change.
        let changes = spec.lease_transitions.map_or(0, |changes| changes.saturating_add(1));
        spec.lease_transitions = Some(changes);
        spec.acquire_time = Some(MicroTime(now));
    }
    spec.holder_identity = Some(identity.to_owned());
    spec.lease_duration_seconds = Some(i32::try_from(timing.duration.as_secs()).unwrap_or(i32::MAX));
    spec.renew_time = Some(MicroTime(now));
    lease
}

/// The Lease held by nobody.
#[must_use]
pub(crate) fn released(sight: &Sight, now: Timestamp) -> Lease {
    let mut lease = seen(sight);
    let transitions = lease.spec.take().and_then(|spec| spec.lease_transitions);
    lease.spec =
        Some(LeaseSpec { lease_transitions: transitions, renew_time: Some(MicroTime(now)), ..LeaseSpec::default() });
    lease
}

fn seen(sight: &Sight) -> Lease {
    match sight {
        Sight::Seen(seen) => seen.lease.clone(),
        Sight::Unknown | Sight::Absent => {
            Lease { metadata: ObjectMeta { name: Some(super::NAME.to_owned()), ..ObjectMeta::default() }, spec: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_lease_is_taken_kept_and_released() {
        let timing = Timing { duration: Duration::from_secs(45), deadline: Duration::ZERO, period: Duration::ZERO };
        let at = |second| Timestamp::from_second(second).unwrap();
        let told = |lease: &Lease| {
            let spec = lease.spec.clone().unwrap();
            let second = |time: Option<MicroTime>| time.map(|time| time.0.as_second());
            (spec.holder_identity, spec.lease_transitions, second(spec.acquire_time), second(spec.renew_time))
        };
        let us = || Some("us".to_owned());
        let sight = |lease: Lease| Sight::Unknown.after(Some(lease), Instant::now());

        let first = held(&Sight::Absent, "us", &timing, at(1));
        assert_eq!(told(&first), (us(), Some(0), Some(1), Some(1)));
        assert_eq!(first.spec.as_ref().unwrap().lease_duration_seconds, Some(45));
        let mut stored = first;
        stored.metadata.resource_version = Some("7".into());
        let renewed = held(&sight(stored), "us", &timing, at(2));
        assert_eq!(told(&renewed), (us(), Some(0), Some(1), Some(2)));
        assert_eq!(renewed.metadata.resource_version.as_deref(), Some("7"));
        let free = released(&sight(renewed), at(3));
        assert_eq!(told(&free), (None, Some(0), None, Some(3)));
        assert_eq!(free.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(
            told(&held(&sight(free), "other", &timing, at(4))),
            (Some("other".into()), Some(1), Some(4), Some(4))
        );
    }
}
