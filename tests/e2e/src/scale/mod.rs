//! How the operator bears many objects: 200 Backups and 5,000 EtcdBackups on a real API server. No node is needed: what
//! a kubelet and the Job controller would say of the Jobs that list the volumes is written by [`volumes`].

mod api;
mod kubelet;
mod operator;
mod population;
mod run;
mod volumes;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use etcd_backup_testbed::{ApiServer, median};
use tokio::time::sleep;

pub use self::api::AuditLog;
use self::api::Cluster;
use self::operator::Operator;
use self::population::Population;
use self::volumes::Volumes;

/// What the operator may take: docs/scale.md.
pub mod budget {
    /// From the start of the process until it works.
    pub const READY_SECONDS: f64 = 5.0;
    /// Resident memory at rest, in MB.
    pub const RSS_MB: f64 = 40.0;
    /// Requests to the API server while nothing happens, the Lease included.
    pub const IDLE_REQUESTS_PER_MIN: f64 = 10.0;
}

/// EtcdBackups that are created to see how soon each is answered.
const REACTIONS: usize = 20;
/// How often Prometheus scrapes, by config/monitoring/service_monitor.yaml.
const SCRAPE: Duration = Duration::from_secs(30);

/// How long a watch lasts before it is opened anew: 290 s.
const WATCH_MINUTES: u64 = 5;

/// How much there is, and how long is looked.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Backups, each with a claim of its own.
    pub backups: usize,
    /// EtcdBackups, spread over the Backups.
    pub records: usize,
    /// Minutes at rest.
    pub minutes: u64,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// From the start of the process until it works.
    pub ready_seconds: f64,
    /// Resident memory at rest, in MB: the highest of the samples.
    pub rss_mb: f64,
    /// The highest that it ever was, the start included, in MB.
    pub peak_mb: f64,
    /// Requests a minute at rest, as the API server's audit log has them.
    pub idle_requests_per_min: f64,
    /// The same as the operator's own metric has them.
    pub told_requests_per_min: f64,
    /// Which requests these were, with their number.
    pub requests: Vec<(String, usize)>,
    /// CPU time at rest, in seconds per minute; a scrape each 30 s included.
    pub idle_cpu_seconds_per_min: f64,
    /// From the answer to `create` until the status is there: the median, in milliseconds.
    pub react_ms: f64,
}

impl Figures {
    /// The budgets that are missed, in words. In a time at rest in which not every watch is opened anew once, requests
    /// are not judged: all of them may fall into it, or none.
    #[must_use]
    pub fn missed(&self, minutes: u64) -> Vec<String> {
        let requests = if minutes < WATCH_MINUTES { 0.0 } else { self.idle_requests_per_min };
        let rows = [
            ("ready_seconds", self.ready_seconds, budget::READY_SECONDS),
            ("rss_mb", self.rss_mb, budget::RSS_MB),
            ("idle_requests_per_min", requests, budget::IDLE_REQUESTS_PER_MIN),
        ];
        let missed = rows.into_iter().filter(|(_, figure, budget)| figure > budget);
        missed.map(|(name, figure, budget)| format!("{name} is {figure:.1}, at most {budget} is allowed")).collect()
    }
}

/// Fills the cluster, starts the operator on it and looks at it. `program` is the operator as it is shipped.
///
/// # Errors
/// If anything does not work; a missed budget is no error.
pub async fn measure(server: &ApiServer, audit: &AuditLog, program: &Path, size: Size) -> Result<Figures> {
    let cluster = Cluster::install(server).await?;
    let began = Instant::now();
    let population = Population::new(size, &cluster.uid().await?)?;
    population.create(&cluster).await?;
    println!("{} Backups and {} EtcdBackups in {:.0} s", size.backups, size.records, began.elapsed().as_secs_f64());
    let volumes = Volumes::serve(&cluster, &population).await?;

    // The first operator finds none of what it keeps for each Backup, and makes it.
    let began = Instant::now();
    let mut first = Operator::start(&cluster, program)?;
    let ready = first.ready().await?;
    first.settles(&volumes).await?;
    println!(
        "a new install is ready in {:.1} s and at rest in {:.0} s",
        ready.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    println!("its peak was {:.1} MB", first.megabytes("VmHWM")?);
    first.stop()?;

    let mut operator = Operator::start(&cluster, program)?;
    let ready_seconds = operator.ready().await?.as_secs_f64();
    operator.settles(&volumes).await?;
    let mut figures = at_rest(&operator, audit, size.minutes).await?;
    figures.ready_seconds = ready_seconds;
    figures.react_ms = reactions(&cluster).await?;
    figures.peak_mb = operator.megabytes("VmHWM")?;
    operator.stop()?;
    Ok(figures)
}

/// Looks at an operator that has nothing to do, scraping it as Prometheus does.
async fn at_rest(operator: &Operator, audit: &AuditLog, minutes: u64) -> Result<Figures> {
    let minutes_passed = u32::try_from(minutes).context("MINUTES")?.max(1);
    let (seen, before) = (audit.requests()?.len(), operator.metrics().await?);
    let mut rss_mb = operator.megabytes("VmRSS")?;
    for _ in 0..minutes_passed * 2 {
        sleep(SCRAPE).await;
        operator.metrics().await?;
        rss_mb = rss_mb.max(operator.megabytes("VmRSS")?);
    }
    let (requests, after) = (audit.requests()?.split_off(seen), operator.metrics().await?);
    let per_minute = |name: &str| (after.sum(name) - before.sum(name)) / f64::from(minutes_passed);
    Ok(Figures {
        ready_seconds: 0.0,
        rss_mb,
        peak_mb: 0.0,
        idle_requests_per_min: requests.len() as f64 / f64::from(minutes_passed),
        told_requests_per_min: per_minute("etcdbackup_api_requests_total"),
        idle_cpu_seconds_per_min: per_minute("process_cpu_seconds_total"),
        requests: api::counted(requests),
        react_ms: 0.0,
    })
}

/// How long it takes from an EtcdBackup on a claim that is not there until its status says so.
async fn reactions(cluster: &Cluster) -> Result<f64> {
    let mut times = Vec::new();
    for number in 0..REACTIONS {
        times.push(cluster.reaction(&format!("reaction-{number}")).await?.as_secs_f64() * 1000.0);
        // The next one is not to be told of the one before.
        sleep(Duration::from_millis(500)).await;
    }
    Ok(median(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_over_its_budget_is_missed() {
        let figures = Figures {
            ready_seconds: 5.0,
            rss_mb: 40.0,
            peak_mb: 99.0,
            idle_requests_per_min: 10.1,
            told_requests_per_min: 0.0,
            requests: Vec::new(),
            idle_cpu_seconds_per_min: 0.0,
            react_ms: 0.0,
        };
        assert!(figures.missed(4).is_empty());
        assert_eq!(figures.missed(5), ["idle_requests_per_min is 10.1, at most 10 is allowed"]);
        let slow = Figures { ready_seconds: 5.1, rss_mb: 40.1, ..figures };
        assert_eq!(slow.missed(5).len(), 3);
    }
}
