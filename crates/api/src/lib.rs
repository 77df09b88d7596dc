//! The custom resources of etcd backup: [`EtcdBackup`] (one backup) and [`Backup`] (a schedule), at
//! the group, version and name that OpenShift documents, each a superset of the published schema.
//!
//! Only this crate knows how a resource's spec becomes a domain type; see [`EtcdBackup::request`] and [`Backup::policy`].

#![forbid(unsafe_code)]
// The KubeSchema derive repeats each struct inside a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

mod backup;
pub mod conditions;
mod crd;
mod etcdbackup;

pub use backup::{
    ACCEPT_LINEAGE, ACCEPT_VOLUME, Backup, BackupSpec, BackupStatus, EtcdSpec, Retained, RetentionNumber,
    RetentionPolicy, RetentionSize, RetentionType,
};
pub use crd::{SCHEMA_ANNOTATION, SCHEMA_VERSION, crds};
pub use etcdbackup::{
    BackupFile, BackupJob, EtcdBackup, EtcdBackupSpec, EtcdBackupStatus, InvalidSpec, Recorded, SnapshotStatus,
    StatusWarning,
};

/// Field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "etcd-backup-operator";
