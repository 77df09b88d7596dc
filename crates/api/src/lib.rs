//! The custom resources of etcd backup: [`EtcdBackup`] (one backup) and [`Backup`] (a schedule), at
//! the group, version and name that OpenShift documents, each a superset of the published schema.
//!
//! Only this crate knows how a resource's spec becomes a domain type; see [`EtcdBackup::request`].

#![forbid(unsafe_code)]
// The KubeSchema derive repeats each struct inside a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

mod backup;
pub mod conditions;
mod etcdbackup;

pub use backup::{
    Backup, BackupSpec, BackupStatus, EtcdSpec, Retained, RetentionNumber, RetentionPolicy, RetentionSize,
    RetentionType,
};
pub use etcdbackup::{
    BackupFile, BackupJob, EtcdBackup, EtcdBackupSpec, EtcdBackupStatus, InvalidSpec, Recorded, SnapshotStatus,
    StatusWarning,
};

/// Field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "etcd-backup-operator";

/// Annotation on our CRDs by which the operator knows that the served schema is ours and not
/// OpenShift's.
pub const SCHEMA_ANNOTATION: &str = "etcd-backup.io/schema-version";

/// Version of the CRD schema in [`SCHEMA_ANNOTATION`].
pub const SCHEMA_VERSION: &str = "1";

/// The CRDs as they are installed, with the annotation that marks them as ours.
#[must_use]
pub fn crds() -> Vec<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> {
    use kube::CustomResourceExt as _;
    [EtcdBackup::crd(), Backup::crd()]
        .into_iter()
        .map(|mut crd| {
            crd.metadata
                .annotations
                .get_or_insert_default()
                .insert(SCHEMA_ANNOTATION.to_owned(), SCHEMA_VERSION.to_owned());
            crd
        })
        .collect()
}
