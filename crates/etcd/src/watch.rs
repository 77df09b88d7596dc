use std::time::{Duration, Instant};

use tokio::time::{interval, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{Connection, EtcdError, client::Client, sink::Sink, survey::bytes};

/// What ends a snapshot before it hurts etcd, or hangs.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long etcd may send nothing, and over how much waiting for it its rate is measured.
    pub progress_timeout: Duration,
    /// What must come from etcd, in bytes per second, while it is what the stream waits for, and what
    /// the file must take while that is.
    pub floor_bytes_per_second: u64,
    /// Over how long the latter is measured.
    pub sink_window: Duration,
    /// How much the member's database may grow meanwhile, in percent of its size when the stream
    /// began ...
    pub growth_percent: u64,
    /// ... and in bytes, whichever is more: a database file grows in steps of 16 MiB and more, so a
    /// small one soon passes any share.
    pub growth_allowance_bytes: u64,
    /// The member's quota in bytes where its status does not tell. The database may not grow past
    /// 80 % of its quota meanwhile; one that was past it before may still be saved.
    pub quota_bytes: Option<u64>,
    /// How often the member is asked for its database's size.
    pub status_interval: Duration,
    /// When the whole run must be over.
    pub deadline: Option<Instant>,
}

impl Limits {
    /// How many bytes a database of this size may have after it has grown.
    fn most_grown(&self, db_size_bytes: u64) -> u64 {
        let share = percent(db_size_bytes, self.growth_percent);
        db_size_bytes.saturating_add(share.max(self.growth_allowance_bytes))
    }
}

impl Default for Limits {
    /// 30 s without progress, 1 MiB/s over 30 s, 10 % or 64 MiB of growth looked at every 5 s, no
    /// deadline. The floor is low because growth is the harm that a slow file does, and growth is
    /// watched itself.
    fn default() -> Self {
        Self {
            progress_timeout: Duration::from_secs(30),
            floor_bytes_per_second: 1 << 20,
            sink_window: Duration::from_secs(30),
            growth_percent: 10,
            growth_allowance_bytes: 64 << 20,
            quota_bytes: None,
            status_interval: Duration::from_secs(5),
            deadline: None,
        }
    }
}

/// Ends when the run must: the caller cancelled, or the deadline has passed.
pub(crate) async fn end_of_run(member: &str, limits: &Limits, cancel: &CancellationToken) -> EtcdError {
    let deadline = async {
        match limits.deadline {
            Some(deadline) => sleep_until(deadline.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = cancel.cancelled() => EtcdError::Interrupted { member: member.to_owned() },
        () = deadline => EtcdError::DeadlineExceeded { member: member.to_owned() },
    }
}

/// Ends when the file was behind the stream at every look of a whole window and yet took less than
/// the floor.
pub(crate) async fn slow_sink(member: &str, limits: &Limits, sink: &Sink) -> EtcdError {
    const LOOKS: u32 = 10;
    let mut looks = interval((limits.sink_window / LOOKS).max(Duration::from_millis(1)));
    let mut behind_since: Option<(tokio::time::Instant, u64)> = None;
    loop {
        looks.tick().await;
        let written = sink.written_bytes();
        if !sink.is_behind() {
            behind_since = None;
            continue;
        }
        let (since, written_then) = *behind_since.get_or_insert((tokio::time::Instant::now(), written));
        let elapsed = since.elapsed();
        if elapsed < limits.sink_window {
            continue;
        }
        let bytes_per_second = rate(written - written_then, elapsed);
        if bytes_per_second < limits.floor_bytes_per_second {
            return EtcdError::SinkTooSlow {
                member: member.to_owned(),
                bytes_per_second,
                floor_bytes_per_second: limits.floor_bytes_per_second,
            };
        }
        behind_since = None;
    }
}

/// How fast the member sends. Only the time counts in which it is waited for: a slow file is none of
/// its doing.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    waited: Duration,
    /// What had come when this stretch of waiting began.
    since_bytes: u64,
}

impl Pace {
    /// Takes note of a wait for the member.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// Takes note of the bytes that have come so far; an error if they are too few.
    pub(crate) fn came(&mut self, received_bytes: u64, limits: &Limits) -> Result<(), String> {
        if self.waited < limits.progress_timeout {
            return Ok(());
        }
        let bytes_per_second = rate(received_bytes - self.since_bytes, self.waited);
        *self = Self { waited: Duration::ZERO, since_bytes: received_bytes };
        let floor = limits.floor_bytes_per_second;
        if bytes_per_second < floor {
            return Err(format!("only {bytes_per_second} bytes/s came, at least {floor} are needed (--min-rate)"));
        }
        Ok(())
    }
}

/// Bytes per second.
pub(crate) fn rate(bytes: u64, over: Duration) -> u64 {
    let millis = over.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / millis).unwrap_or(u64::MAX)
}

/// The member's database when the stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// Its size.
    pub(crate) db_size_bytes: u64,
    /// Its quota.
    pub(crate) quota_bytes: Option<u64>,
}

impl Baseline {
    /// Whether a database of this size has grown too much.
    fn is_outgrown_by(self, db_size_bytes: u64, limits: &Limits) -> bool {
        const QUOTA_PERCENT: u64 = 80;
        let passes_quota = self.quota_bytes.is_some_and(|quota| {
            let most = percent(quota, QUOTA_PERCENT);
            self.db_size_bytes < most && db_size_bytes >= most
        });
        db_size_bytes > limits.most_grown(self.db_size_bytes) || passes_quota
    }
}

fn percent(bytes: u64, percent: u64) -> u64 {
    bytes / 100 * percent + bytes % 100 * percent / 100
}

/// Ends when the member's database has grown too much.
///
/// Asks over a connection of its own: on the stream's, the answer would wait behind data that a slow
/// file has not taken yet. A member that does not answer is left to the other watchdogs.
pub(crate) async fn database_growth(
    member: &str,
    limits: &Limits,
    connection: &Connection,
    endpoint: &str,
    baseline: Baseline,
) -> EtcdError {
    let mut client: Option<Client> = None;
    loop {
        sleep(limits.status_interval).await;
        match db_size(&mut client, connection, endpoint).await {
            Ok(now_bytes) if baseline.is_outgrown_by(now_bytes, limits) => {
                return EtcdError::DatabaseGrowth {
                    member: member.to_owned(),
                    before_bytes: baseline.db_size_bytes,
                    now_bytes,
                    quota_bytes: baseline.quota_bytes,
                };
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(member, %error, "no status while the snapshot is read");
                client = None;
            }
        }
    }
}

async fn db_size(client: &mut Option<Client>, connection: &Connection, endpoint: &str) -> Result<u64, EtcdError> {
    let client = match client {
        Some(client) => client,
        None => client.insert(connection.connect(endpoint).await?),
    };
    Ok(bytes(client.status().await?.db_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    #[test]
    fn growth_is_judged_by_share_allowance_and_quota() {
        for (case, before, now, quota, expected) in [
            ("no growth", GIB, GIB, None, false),
            ("a defragmentation", GIB, GIB / 2, None, false),
            ("a tenth", 1000 * MIB, 1100 * MIB, None, false),
            ("more than a tenth", 1000 * MIB, 1101 * MIB, None, true),
            ("a small database doubles", 16 * MIB, 32 * MIB, None, false),
            ("a small database grows by more than the allowance", 16 * MIB, 81 * MIB, None, true),
            ("passes four fifths of its quota", 1630 * MIB, 1640 * MIB, Some(2 * GIB), true),
            ("was past them before", 1640 * MIB, 1650 * MIB, Some(2 * GIB), false),
            ("stays below them", 1000 * MIB, 1050 * MIB, Some(2 * GIB), false),
        ] {
            let baseline = Baseline { db_size_bytes: before, quota_bytes: quota };
            assert_eq!(baseline.is_outgrown_by(now, &Limits::default()), expected, "{case}");
        }
    }

    #[test]
    fn a_member_is_judged_by_the_time_in_which_it_is_waited_for() {
        let limits = Limits::default();
        let mut pace = Pace::default();
        for (case, waited, received, slow) in [
            ("no time has passed", 0, 0, false),
            ("too little time to judge", 29, MIB, false),
            ("a megabyte a second", 31, 60 * MIB, false),
            ("nothing of that counts again", 29, 61 * MIB, false),
            ("a trickle", 1, 62 * MIB, true),
        ] {
            pace.waited(Duration::from_secs(waited));
            assert_eq!(pace.came(received, &limits).is_err(), slow, "{case}");
        }
    }

    #[test]
    fn shares_and_rates_do_not_overflow() {
        assert_eq!(percent(u64::MAX, 10), u64::MAX / 10);
        assert_eq!(percent(150, 80), 120);
        assert_eq!(rate(u64::MAX, Duration::ZERO), u64::MAX);
        assert_eq!(rate(3 * MIB, Duration::from_secs(2)), 3 * MIB / 2);
    }
}
