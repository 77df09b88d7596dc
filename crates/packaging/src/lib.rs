//! The bundle for the Operator Lifecycle Manager (OLM), made from the rendered OpenShift install and a hand-written base.
//!
//! OLM installs a fixed list of kinds, in one namespace. So every object of the install goes one of four ways:
//! into the ClusterServiceVersion (Deployment, and the operator's permissions), into the bundle beside it, into
//! `prerequisites.yaml`, which an administrator applies first, or nowhere, because OLM makes it itself.

#![forbid(unsafe_code)]

mod bundle;
mod csv;
mod descriptors;
mod error;
mod object;
mod permissions;

pub use bundle::{Bundle, NAMESPACE, Source};
pub use error::{Error, Result};
pub use object::Object;
