//! What a writer notices: puts at fixed times, whatever the ones before have taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use etcd_backup_testbed::Etcd;
use tokio::task::JoinSet;

use crate::database::Access;

/// 200 puts of 1 KiB a second.
const EVERY: Duration = Duration::from_millis(5);
const VALUE_BYTES: usize = 1024;

/// Keys that are written over and over again.
const KEYS: u64 = 1000;

/// A put: when it was to begin, and how long after that it was done.
pub(crate) type Put = (Instant, Duration);

/// A thread that puts until it is stopped or dropped.
///
/// Each put's time counts from when it was to begin and none waits for another: a writer that waited for a slow answer
/// would leave out just the puts that would have been slow too ("coordinated omission").
pub(crate) struct Writer {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Vec<Put>>>>,
}

impl Writer {
    pub(crate) fn start(etcd: &Etcd) -> Self {
        let (access, over) = (Access::to(etcd), Arc::new(AtomicBool::new(false)));
        let seen = Arc::clone(&over);
        Self { over, thread: Some(thread::spawn(move || write(&access, &seen))) }
    }

    /// Ends when the last put has been answered.
    pub(crate) fn stop(mut self) -> Result<Vec<Put>> {
        self.over.store(true, Ordering::Relaxed);
        let written = self.thread.take().and_then(|thread| thread.join().ok());
        written.context("the writer panicked")?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn write(access: &Access, over: &AtomicBool) -> Result<Vec<Put>> {
    let client = access.connect().await?;
    let mut under_way = JoinSet::new();
    let mut at = Instant::now();
    for put in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep_until(at.into()).await;
        let mut client = client.clone();
        under_way.spawn(async move {
            client.put(format!("/bench/{}", put % KEYS), vec![put as u8; VALUE_BYTES], None).await?;
            Ok::<_, etcd_client::Error>((at, at.elapsed()))
        });
        at += EVERY;
    }
    let mut puts = Vec::with_capacity(under_way.len());
    while let Some(put) = under_way.join_next().await {
        puts.push(put??);
    }
    Ok(puts)
}

/// Milliseconds that so many percent of the puts took at most.
pub(crate) fn percentile(puts: &[Put], percent: usize) -> f64 {
    let mut took: Vec<Duration> = puts.iter().map(|(_, took)| *took).collect();
    took.sort_unstable();
    let rank = (took.len() * percent).div_ceil(100).max(1);
    took.get(rank - 1).map_or(f64::NAN, |took| took.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let now = Instant::now();
        let puts: Vec<Put> = (1..=200).rev().map(|millis| (now, Duration::from_millis(millis))).collect();
        assert_eq!((percentile(&puts, 50), percentile(&puts, 99), percentile(&puts, 100)), (100.0, 198.0, 200.0));
        assert_eq!(percentile(&puts[..1], 99), 200.0);
        assert!(percentile(&[], 99).is_nan());
    }
}
