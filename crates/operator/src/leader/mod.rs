//! Of several operators one works: the one that holds a Lease in their namespace. The others wait,
//! and watch nothing but the Lease: what they would need is read within a second once they work, and
//! meanwhile costs neither memory nor requests.

mod decide;
mod lease;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

pub use self::decide::Loss;
use self::decide::{Candidate, Holder, Sight, Timing};
use crate::config::LeaderElection;
use crate::health::Vitals;

/// Name of the Lease.
const NAME: &str = "etcd-backup-operator";

/// Longest that the API server may take for one request about the Lease.
const REQUEST: Duration = Duration::from_secs(5);

/// How long after a request that failed the next one is made.
const RETRY: Duration = Duration::from_secs(2);

/// The times of the election make no sense.
#[derive(Debug, thiserror::Error)]
#[error(
    "--lease-renew-period ({period:#}) must be shorter than --lease-renew-deadline ({deadline:#}), and that shorter than --lease-duration ({duration:#}): the holder has to stop before another operator takes the Lease"
)]
pub struct InvalidTiming {
    period: SignedDuration,
    deadline: SignedDuration,
    duration: SignedDuration,
}

impl Timing {
    fn new(flags: &LeaderElection) -> Result<Self, InvalidTiming> {
        let (period, deadline, duration) = (flags.lease_renew_period, flags.lease_renew_deadline, flags.lease_duration);
        if !(period < deadline && deadline < duration) {
            return Err(InvalidTiming { period, deadline, duration });
        }
        Ok(Self { duration: duration.unsigned_abs(), deadline: deadline.unsigned_abs(), period: period.unsigned_abs() })
    }

    /// Longest that a turn of the loop takes, with room: what takes longer hangs.
    fn turn(&self) -> Duration {
        self.duration + 2 * REQUEST
    }
}

/// This operator's part in the election.
pub(crate) struct Election {
    leases: Api<Lease>,
    identity: String,
    timing: Timing,
    vitals: Arc<Vitals>,
    sight: Sight,
}

impl Election {
    /// A part in the election among the operators of the client's own namespace.
    pub(crate) fn new(client: &Client, flags: &LeaderElection, vitals: Arc<Vitals>) -> Result<Self, InvalidTiming> {
        Ok(Self {
            leases: Api::default_namespaced(client.clone()),
            identity: flags.identity.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
            timing: Timing::new(flags)?,
            vitals,
            sight: Sight::Unknown,
        })
    }

    /// Waits until this operator holds the Lease; gives when it began to ask for it.
    pub(crate) async fn take(&mut self) -> Instant {
        let mut changes = pin!(watch_object(self.leases.clone(), NAME).default_backoff());
        tracing::info!(identity = self.identity, "waiting for the Lease {NAME}");
        loop {
            self.vitals.turns_within(self.timing.turn());
            let again = match decide::candidate(&self.sight, &self.identity, &self.timing, Instant::now()) {
                Candidate::Wait(until) => until,
                Candidate::Take => match self.write().await {
                    Some(since) => {
                        tracing::info!(identity = self.identity, "took the Lease {NAME}: this operator works now");
                        return since;
                    }
                    None => Instant::now() + RETRY,
                },
            };
            tokio::select! {
                Some(change) = changes.next() => match change {
                    Ok(found) => self.see(found),
                    Err(error) => tracing::warn!(%error, "the watch of the Lease {NAME} broke; it is started again"),
                },
                () = sleep_until(again) => {}
            }
        }
    }

    /// Renews the Lease until that fails for too long or somebody else has it. `since` is when it was
    /// taken.
    pub(crate) async fn hold(&mut self, since: Instant) -> Loss {
        let mut renewed = since;
        loop {
            self.vitals.turns_within(self.timing.turn());
            match decide::holder(&self.sight, renewed, &self.identity, &self.timing, Instant::now()) {
                Holder::Lost(loss) => return loss,
                Holder::Wait(until) => sleep_until(until).await,
                Holder::Renew => {
                    let end = renewed + self.timing.deadline;
                    match timeout_at(end, self.write()).await.unwrap_or_default() {
                        Some(sent) => renewed = sent,
                        None if self.sight.holder().is_some_and(|holder| holder != self.identity) => {}
                        None => sleep_until(end.min(Instant::now() + RETRY)).await,
                    }
                }
            }
        }
    }

    /// Gives up the Lease if it is ours, so that another operator need not wait for its end.
    pub(crate) async fn release(&mut self) {
        // A renewal that was under way may have changed it.
        self.look().await;
        if self.sight.holder() != Some(&self.identity) {
            return;
        }
        let free = lease::released(&self.sight, Timestamp::now());
        match bounded(self.leases.replace(NAME, &PostParams::default(), &free)).await {
            Ok(_) => tracing::info!(identity = self.identity, "released the Lease {NAME}"),
            Err(problem) => tracing::warn!(%problem, "cannot release the Lease {NAME}; it ends by itself"),
        }
    }

    /// Writes the Lease as ours; gives when that began. After a failure it has been looked at anew.
    async fn write(&mut self) -> Option<Instant> {
        let began = Instant::now();
        let ours = lease::held(&self.sight, &self.identity, &self.timing, Timestamp::now());
        let parameters = PostParams::default();
        let written = match self.sight {
            Sight::Seen(_) => bounded(self.leases.replace(NAME, &parameters, &ours)).await,
            Sight::Unknown | Sight::Absent => bounded(self.leases.create(&parameters, &ours)).await,
        };
        match written {
            Ok(lease) => {
                self.see(Some(lease));
                Some(began)
            }
            Err(problem) => {
                match &problem {
                    // Normal when several begin at once.
                    kube::Error::Api(answer) if answer.code == 409 => {
                        tracing::info!("somebody else has written the Lease {NAME} first");
                    }
                    _ => tracing::warn!(%problem, "cannot write the Lease {NAME}"),
                }
                self.look().await;
                None
            }
        }
    }

    async fn look(&mut self) {
        match bounded(self.leases.get_opt(NAME)).await {
            Ok(found) => self.see(found),
            Err(problem) => tracing::warn!(%problem, "cannot read the Lease {NAME}"),
        }
    }

    fn see(&mut self, found: Option<Lease>) {
        self.sight = self.sight.after(found, Instant::now());
        self.vitals.sees_lease_for(self.timing.turn());
    }
}

/// A request within its time.
async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = |_| kube::Error::Service(format!("the API server did not answer within {} s", REQUEST.as_secs()).into());
    timeout(REQUEST, request).await.map_err(late).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_must_stop_before_another_one_begins() {
        let timing = |period: i64, deadline: i64, duration: i64| {
            let [lease_renew_period, lease_renew_deadline, lease_duration] =
                [period, deadline, duration].map(SignedDuration::from_secs);
            let flags = LeaderElection {
                leader_elect: true,
                identity: None,
                lease_duration,
                lease_renew_deadline,
                lease_renew_period,
            };
            Timing::new(&flags)
        };
        assert_eq!(timing(15, 30, 45).unwrap().deadline, Duration::from_secs(30));
        for (period, deadline, duration) in [(15, 45, 45), (30, 30, 45), (15, 60, 45), (45, 30, 15)] {
            let error = timing(period, deadline, duration).unwrap_err().to_string();
            assert!(error.contains("--lease-duration"), "{error}");
        }
    }
}
