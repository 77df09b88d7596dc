//! An etcd member that misbehaves on demand.
//!
//! [`HostileMember`] stands in front of a member of a real cluster and passes everything on, so that
//! members, revisions and data are real; what its [`Behaviour`] says is changed on the way, is not
//! answered, or breaks the connection. Nothing here is shipped.

#![forbid(unsafe_code)]

mod behaviour;
mod error;
mod gateway;
mod member;
pub mod snapshot;

pub use behaviour::{Answer, Behaviour, MemberList, Range, Speech, Status};
pub use error::{Error, Result};
pub use member::HostileMember;
pub use tonic::Code;
