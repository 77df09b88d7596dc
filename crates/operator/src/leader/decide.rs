//! Whether to take, renew or give up the Lease, as pure functions of what was seen of it and of the
//! own monotonic clock. The times in a Lease are another node's: they are written for people and never
//! compared with a clock of this node.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use tokio::time::Instant;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How long after the last renewal that was seen another operator takes the Lease.
    pub(crate) duration: Duration,
    /// How long after its last renewal the holder goes on.
    pub(crate) deadline: Duration,
    /// How often the holder renews.
    pub(crate) period: Duration,
}

/// What is known of the Lease.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sight {
    /// It has not been looked at yet.
    Unknown,
    /// There is none.
    Absent,
    /// There is one.
    Seen(Box<Seen>),
}

/// A Lease, and since when it is known as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// As it was read last.
    pub(crate) lease: Lease,
    /// When what it says was seen first: its holder was alive shortly before.
    pub(crate) since: Instant,
}

/// What an operator does that does not hold the Lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    /// Take it.
    Take,
    /// Look again at this time, or when something is seen.
    Wait(Instant),
}

/// What the holder does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Renew it.
    Renew,
    /// Nothing until then.
    Wait(Instant),
    /// Stop at once.
    Lost(Loss),
}

/// Why the Lease is held no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Another operator has it.
    #[error("the Lease {lease} was taken by {by}, which works now; this operator starts anew and waits for its turn", lease = super::NAME)]
    Taken {
        /// The other one's identity.
        by: String,
    },
    /// It could not be renewed in time.
    #[error(
        "the Lease {lease} could not be renewed for {seconds} s, and another operator may take it; this one starts anew and waits for its turn. Is the API server there, and may the operator update the Lease?",
        lease = super::NAME
    )]
    Expired {
        /// The time that was given.
        seconds: u64,
    },
}

impl Sight {
    /// What is known after the Lease was read. Only a change of what it says counts as a sign of its
    /// holder: labels and the like can be changed by anybody.
    #[must_use]
    pub(crate) fn after(&self, found: Option<Lease>, now: Instant) -> Self {
        let Some(lease) = found else { return Self::Absent };
        let since = match self {
            Self::Seen(seen) if seen.lease.spec == lease.spec => seen.since,
            _ => now,
        };
        Self::Seen(Box::new(Seen { lease, since }))
    }

    /// Who holds it, if anybody does.
    #[must_use]
    pub(crate) fn holder(&self) -> Option<&str> {
        match self {
            Self::Seen(seen) => seen.spec()?.holder_identity.as_deref().filter(|holder| !holder.is_empty()),
            Self::Unknown | Self::Absent => None,
        }
    }
}

impl Seen {
    fn spec(&self) -> Option<&LeaseSpec> {
        self.lease.spec.as_ref()
    }

    /// When it is free if its holder gives no sign until then. How long that takes is the holder's
    /// word: it may have been started with other flags.
    fn ends(&self, timing: &Timing) -> Instant {
        let seconds = self.spec().and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
        self.since + seconds.map_or(timing.duration, Duration::from_secs)
    }
}

/// Decides for an operator that does not hold the Lease. One that has its own name in it is free: an
/// earlier process of the same pod, which has ended, held it.
#[must_use]
pub(crate) fn candidate(sight: &Sight, identity: &str, timing: &Timing, now: Instant) -> Candidate {
    match sight {
        Sight::Unknown => Candidate::Wait(now + timing.period),
        Sight::Absent => Candidate::Take,
        Sight::Seen(seen) => match sight.holder() {
            Some(other) if other != identity && now < seen.ends(timing) => {
                Candidate::Wait(seen.ends(timing).min(now + timing.period))
            }
            _ => Candidate::Take,
        },
    }
}

/// Decides for the holder. `renewed` is when it began to send its last successful renewal.
#[must_use]
pub(crate) fn holder(sight: &Sight, renewed: Instant, identity: &str, timing: &Timing, now: Instant) -> Holder {
    match sight.holder() {
        Some(other) if other != identity => Holder::Lost(Loss::Taken { by: other.to_owned() }),
        _ if now >= renewed + timing.deadline => Holder::Lost(Loss::Expired { seconds: timing.deadline.as_secs() }),
        _ if now < renewed + timing.period => Holder::Wait(renewed + timing.period),
        _ => Holder::Renew,
    }
}

#[cfg(test)]
mod tests;
