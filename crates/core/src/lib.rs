//! The domain of etcd backups, shared by the agent and the operator.
//!
//! Nothing here does I/O, reads a clock or knows Kubernetes: a [`Request`] is what somebody wants,
//! a [`Manifest`] is what a published set says of itself, a [`Report`] is what one run says of
//! itself, and a [`Reason`] is the one word that metrics, events and conditions share. A [`Policy`]
//! says what is kept of an owner's sets, [`plan()`] which of them go, and a [`Catalogue`] what is on
//! a volume.

#![forbid(unsafe_code)]

mod catalogue;
mod facts;
mod manifest;
mod owner;
mod plan;
mod policy;
mod reason;
mod report;
mod request;
mod retention;
mod run_id;
mod schema;
mod set_name;

pub use catalogue::{
    CATALOGUE_SCHEMA, Catalogue, CatalogueDigest, CatalogueEnd, CatalogueEntry, CatalogueLine, IncompleteCatalogue,
    Origin, SetState,
};
pub use facts::{ClusterFacts, SnapshotFacts, Warning};
pub use manifest::{FileRole, Manifest, SetFile, Verification};
pub use owner::{Owner, OwnerKind};
pub use plan::{
    Action, DeleteReason, KeepReason, Lineage, LineageBreak, Plan, SetOrigin, SetSummary, Situation, Stage, Verdict,
    plan,
};
pub use policy::{AcceptedLineage, POLICY_SCHEMA, Policy, Retention};
pub use reason::{Reason, RetryAdvice};
pub use report::{MAX_REPORT_BYTES, Outcome, PhaseTime, Report, ReportedFile, ReportedSet, ReportedSpace};
pub use request::{Destination, Layout, Request, Source};
pub use retention::{ReportedCatalogue, RetainedSets, RetentionReason, RetentionReport};
pub use run_id::{InvalidRunId, RunId};
pub use schema::{MANIFEST_SCHEMA, REPORT_SCHEMA, SchemaVersion};
pub use set_name::{SetName, Stamp};
