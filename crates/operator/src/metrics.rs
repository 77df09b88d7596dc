//! Metrics of the operator in Prometheus' text format, all with the prefix `etcdbackup_`.

use prometheus::{Encoder as _, Histogram, HistogramOpts, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::etcdbackup::Error;

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
    /// EtcdBackups that ended, by outcome, `Completed` or `Failed`.
    pub(crate) runs: IntCounterVec,
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
            runs: IntCounterVec::new(Opts::new("runs_total", "EtcdBackups that ended, by outcome"), &["outcome"])?,
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
            "etcdbackup_reconcile_duration_seconds_count 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.contains("etcdbackup_build_info{version="));
    }
}
