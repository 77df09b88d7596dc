use std::time::{Duration, Instant};

use etcd_backup_core::{
    Outcome, Owner, PhaseTime, REPORT_SCHEMA, Reason, Report, ReportedCatalogue, ReportedSet, ReportedSpace,
    RetentionReport, RunId, Warning,
};
use jiff::Timestamp;

/// What a run remembers of itself on the way to its [`Report`].
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    run_id: RunId,
    node: String,
    start_time: Timestamp,
    /// Whose run it is, if it is somebody's.
    pub(crate) owner: Option<Owner>,
    /// Identity of the volume, once it is known.
    pub(crate) volume_id: Option<String>,
    /// What was enforced of a policy.
    pub(crate) retention: Option<RetentionReport>,
    /// What is on the volume when the run is over.
    pub(crate) catalogue: Option<ReportedCatalogue>,
    /// The volume's file system when the run is over.
    pub(crate) space: Option<ReportedSpace>,
    warnings: Vec<Warning>,
    phases: Vec<PhaseTime>,
    current: Option<(&'static str, Instant)>,
}

impl Journal {
    pub(crate) fn begin(run_id: RunId, node: String, now: Timestamp) -> Self {
        tracing::info!(%run_id, node, "run begins");
        Self {
            run_id,
            node,
            start_time: now,
            owner: None,
            volume_id: None,
            retention: None,
            catalogue: None,
            space: None,
            warnings: Vec::new(),
            phases: Vec::new(),
            current: None,
        }
    }

    pub(crate) fn run_id(&self) -> &RunId {
        &self.run_id
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    pub(crate) fn start_time(&self) -> Timestamp {
        self.start_time
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// A phase begins, or goes on, and the one before it is over.
    pub(crate) fn enter(&mut self, phase: &'static str) {
        self.leave();
        self.current = Some((phase, Instant::now()));
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        tracing::warn!(reason = warning.reason, "{}", warning.message);
        self.warnings.push(warning);
    }

    /// Takes over what a set's manifest warns of.
    pub(crate) fn recall(&mut self, warnings: &[Warning]) {
        self.warnings.extend_from_slice(warnings);
    }

    fn leave(&mut self) {
        if let Some((phase, started)) = self.current.take() {
            let millis = millis(started.elapsed());
            tracing::info!(phase, millis, "phase over");
            match self.phases.iter_mut().find(|known| known.phase == phase) {
                Some(known) => known.millis += millis,
                None => self.phases.push(PhaseTime { phase: phase.to_owned(), millis }),
            }
        }
    }

    /// The report of a run that published `set`, or found it.
    pub(crate) fn published(mut self, reason: Reason, set: ReportedSet, now: Timestamp) -> Report {
        self.leave();
        let proven = if set.verified { "verified" } else { "NOT fully verified" };
        let message = match reason {
            Reason::AlreadyPublished => format!("{} had been published by this run before; it is {proven}", set.name),
            _ => format!("{} is published and {proven}", set.name),
        };
        tracing::info!(%reason, set = %set.name, "{message}");
        self.report(Outcome::Completed, reason, message, Some(set), now)
    }

    /// The report of a run that did what it was to do, other than to publish a set.
    pub(crate) fn done(mut self, reason: Reason, message: String, now: Timestamp) -> Report {
        self.leave();
        tracing::info!(%reason, "{message}");
        self.report(Outcome::Completed, reason, message, None, now)
    }

    /// The report of a run that failed.
    pub(crate) fn failed(mut self, reason: Reason, message: String, now: Timestamp) -> Report {
        let phase = self.current.map(|(phase, _)| phase);
        self.leave();
        tracing::error!(%reason, phase, "{message}");
        self.report(Outcome::Failed, reason, message, None, now)
    }

    fn report(
        self,
        outcome: Outcome,
        reason: Reason,
        message: String,
        set: Option<ReportedSet>,
        now: Timestamp,
    ) -> Report {
        Report {
            schema_version: REPORT_SCHEMA,
            run_id: self.run_id,
            outcome,
            reason,
            message,
            start_time: self.start_time,
            completion_time: now,
            node: self.node,
            owner: self.owner,
            volume_id: self.volume_id,
            set,
            retention: self.retention,
            catalogue: self.catalogue,
            space: self.space,
            agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            warnings: self.warnings,
            phases: self.phases,
        }
    }
}

/// A run's id, made at random.
pub(crate) fn random_run_id() -> RunId {
    #[expect(clippy::expect_used, reason = "a UUID is 36 characters of a run id's alphabet")]
    uuid::Uuid::new_v4().to_string().parse().expect("a UUID is a run id")
}

/// Name of this host.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
