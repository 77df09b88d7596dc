//! Metrics of the operator in Prometheus' text format, all with the prefix `etcdbackup_`.

use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::reconcile::Error;

/// All metrics. Every counter is there from the start, at zero, so that a rate sees its first step.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Reconciles by result, `ok` or `error`.
    pub(crate) reconciles: IntCounterVec,
    /// Failed reconciles by reason.
    pub(crate) reconcile_errors: IntCounterVec,
    /// Seconds of each reconcile.
    pub(crate) reconcile_seconds: Histogram,
    /// Scheduled runs that were due and did not start.
    pub(crate) missed_runs: IntCounter,
    /// EtcdBackups that ended, by outcome, `Completed` or `Failed`.
    pub(crate) runs: IntCounterVec,
    /// Listings of a volume's sets by result, `complete` or `failed`.
    pub(crate) inventories: IntCounterVec,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// If two have the same name.
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("etcdbackup".to_owned()), None)?;
        let metrics = Self {
            reconciles: IntCounterVec::new(Opts::new("reconciles_total", "Reconciles by result"), &["result"])?,
            reconcile_errors: IntCounterVec::new(
                Opts::new("reconcile_errors_total", "Failed reconciles by reason"),
                &["reason"],
            )?,
            reconcile_seconds: Histogram::with_opts(HistogramOpts::new(
                "reconcile_duration_seconds",
                "Seconds of each reconcile",
            ))?,
            missed_runs: IntCounter::new("missed_runs_total", "Scheduled runs that were due and did not start")?,
            runs: IntCounterVec::new(Opts::new("runs_total", "EtcdBackups that ended, by outcome"), &["outcome"])?,
            inventories: IntCounterVec::new(
                Opts::new("inventories_total", "Listings of a volume's sets by result"),
                &["result"],
            )?,
            registry,
        };
        for result in ["ok", "error"] {
            metrics.reconciles.with_label_values(&[result]).reset();
        }
        for reason in Error::REASONS {
            metrics.reconcile_errors.with_label_values(&[reason]).reset();
        }
        for outcome in ["Completed", "Failed"] {
            metrics.runs.with_label_values(&[outcome]).reset();
        }
        for result in ["complete", "failed"] {
            metrics.inventories.with_label_values(&[result]).reset();
        }
        let build = IntGaugeVec::new(
            Opts::new("build_info", "Always 1; the label tells the operator's version"),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        metrics.registry.register(Box::new(build))?;
        metrics.registry.register(Box::new(metrics.reconciles.clone()))?;
        metrics.registry.register(Box::new(metrics.reconcile_errors.clone()))?;
        metrics.registry.register(Box::new(metrics.reconcile_seconds.clone()))?;
        metrics.registry.register(Box::new(metrics.runs.clone()))?;
        metrics.registry.register(Box::new(metrics.missed_runs.clone()))?;
        metrics.registry.register(Box::new(metrics.inventories.clone()))?;
        Ok(metrics)
    }

    /// All metrics as Prometheus reads them.
    ///
    /// # Errors
    /// If the encoder fails.
    pub(crate) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_start_at_zero() {
        let text = String::from_utf8(Metrics::new().unwrap().render().unwrap()).unwrap();
        for line in [
            "etcdbackup_reconciles_total{result=\"ok\"} 0",
            "etcdbackup_reconcile_errors_total{reason=\"Timeout\"} 0",
            "etcdbackup_runs_total{outcome=\"Completed\"} 0",
            "etcdbackup_runs_total{outcome=\"Failed\"} 0",
            "etcdbackup_missed_runs_total 0",
            "etcdbackup_inventories_total{result=\"failed\"} 0",
            "etcdbackup_reconcile_duration_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.contains("etcdbackup_build_info{version="));
    }
}
