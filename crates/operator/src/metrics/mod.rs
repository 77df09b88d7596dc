//! Metrics of the operator in Prometheus' text format, with the prefix `etcdbackup_`, and those of its
//! process. `docs/metrics.md` has a row for each. Counters are kept here; gauges of objects are read
//! from the objects at each scrape.

mod claims;
mod clock_skew;
mod gauges;
mod objects;
mod one_shots;
mod process;
mod requests;
mod schedules;

use std::sync::OnceLock;

use jiff::Timestamp;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use self::gauges::Sample;
use self::objects::Objects;
pub(crate) use self::objects::Sources;
pub(crate) use self::requests::measured;
use crate::etcdbackup::reason::StatusReason;
use crate::reconcile::{Controller, Error};

/// All metrics. Every counter is there from the start, at zero, so that a rate sees its first step.
pub(crate) struct Metrics {
    registry: Registry,
    started: Timestamp,
    sources: OnceLock<Sources>,
    leader: IntGaugeVec,
    /// Reconciles by controller and result, `ok` or `error`.
    pub(crate) reconciles: IntCounterVec,
    /// Failed reconciles by controller and reason.
    pub(crate) reconcile_errors: IntCounterVec,
    /// Seconds of each reconcile by controller.
    pub(crate) reconcile_seconds: HistogramVec,
    /// Reconciles under way by controller.
    pub(crate) reconciles_active: IntGaugeVec,
    /// Requests to the API server by verb and code.
    api_requests: IntCounterVec,
    /// Seconds until the API server's answer began, by verb.
    api_request_seconds: HistogramVec,
    /// Scheduled runs that were due and did not start.
    pub(crate) missed_runs: IntCounter,
    /// EtcdBackups that ended, by outcome, `Completed` or `Failed`.
    pub(crate) runs: IntCounterVec,
    /// EtcdBackups that failed, by reason.
    pub(crate) failed_runs: IntCounterVec,
    /// Listings of a volume's sets by result, `complete` or `failed`.
    pub(crate) inventories: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// If two have the same name.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new_custom(Some("etcdbackup".to_owned()), None)?,
            started: Timestamp::now(),
            sources: OnceLock::new(),
            leader: IntGaugeVec::new(Opts::new("leader", "1 if this replica does the work, 0 if it stands by"), &[])?,
            reconciles: counter("reconciles_total", "Reconciles by result", &["controller", "result"])?,
            reconcile_errors: counter(
                "reconcile_errors_total",
                "Failed reconciles by reason",
                &["controller", "reason"],
            )?,
            reconcile_seconds: seconds("reconcile_duration_seconds", "Seconds of each reconcile", "controller")?,
            reconciles_active: IntGaugeVec::new(
                Opts::new("reconciles_active", "Reconciles under way"),
                &["controller"],
            )?,
            api_requests: counter(
                "api_requests_total",
                "Requests to the API server by HTTP status, none without an answer",
                &["verb", "code"],
            )?,
            api_request_seconds: seconds(
                "api_request_duration_seconds",
                "Seconds until the API server's answer began",
                "verb",
            )?,
            missed_runs: IntCounter::new("missed_runs_total", "Scheduled runs that were due and did not start")?,
            runs: counter("runs_total", "EtcdBackups that ended, by outcome", &["outcome"])?,
            failed_runs: counter("failed_runs_total", "EtcdBackups that failed, by reason", &["reason"])?,
            inventories: counter("inventories_total", "Listings of a volume's sets by result", &["result"])?,
        };
        metrics.register()?;
        metrics.start_at_zero();
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Always 1; the label tells the operator's version"),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let registry = &self.registry;
        registry.register(Box::new(build))?;
        registry.register(Box::new(self.leader.clone()))?;
        registry.register(Box::new(self.reconcile_seconds.clone()))?;
        registry.register(Box::new(self.reconciles_active.clone()))?;
        registry.register(Box::new(self.api_request_seconds.clone()))?;
        registry.register(Box::new(self.missed_runs.clone()))?;
        let counters = [&self.reconciles, &self.reconcile_errors, &self.api_requests];
        let ends = [&self.runs, &self.failed_runs, &self.inventories];
        for counter in counters.into_iter().chain(ends) {
            registry.register(Box::new(counter.clone()))?;
        }
        Ok(())
    }

    /// Every value of a label that is known beforehand.
    fn start_at_zero(&self) {
        for controller in Controller::ALL.map(Controller::as_str) {
            self.reconcile_seconds.with_label_values(&[controller]);
            self.reconciles_active.with_label_values(&[controller]);
            for result in ["ok", "error"] {
                self.reconciles.with_label_values(&[controller, result]);
            }
            for reason in Error::REASONS {
                self.reconcile_errors.with_label_values(&[controller, reason]);
            }
        }
        for verb in requests::VERBS {
            self.api_request_seconds.with_label_values(&[verb]);
            for code in requests::CODES {
                self.api_requests.with_label_values(&[verb, code]);
            }
        }
        for outcome in ["Completed", "Failed"] {
            self.runs.with_label_values(&[outcome]);
        }
        for reason in StatusReason::of_failures() {
            self.failed_runs.with_label_values(&[reason]);
        }
        for result in ["complete", "failed"] {
            self.inventories.with_label_values(&[result]);
        }
    }

    /// Whether this replica does the work. Before this is called nothing is told of it.
    pub(crate) fn set_leader(&self, leads: bool) {
        self.leader.with_label_values::<&str>(&[]).set(i64::from(leads));
    }

    /// From now on the gauges of objects are told. The stores must have been filled; later calls change nothing.
    pub(crate) fn tell_of(&self, sources: Sources) {
        // The first call wins.
        let _ = self.sources.set(sources);
    }

    /// All metrics as Prometheus reads them, now.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(crate) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        text.extend_from_slice(process::text(self.started).as_bytes());
        if let Some(sources) = self.sources.get() {
            text.extend_from_slice(gauges::text(samples(&sources.objects(Timestamp::now()))).as_bytes());
        }
        Ok(text)
    }
}

/// All gauges of all objects.
fn samples(objects: &Objects) -> Vec<Sample<'_>> {
    let (records, jobs) = (objects.records(), objects.jobs());
    let mut samples = schedules::samples(objects, &records, &jobs);
    samples.extend(claims::samples(objects, &records));
    samples.extend(one_shots::samples(objects));
    samples.extend(clock_skew::samples(objects, &jobs));
    samples
}

fn counter(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

fn seconds(name: &str, help: &str, label: &str) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help), &[label])
}

#[cfg(test)]
mod tests;
