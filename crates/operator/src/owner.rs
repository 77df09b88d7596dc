//! Whose an object is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt as _};

/// Reference to what asked for an object, so that deleting the one deletes the other. It does not
/// block the deletion, which would need a right on the owner's finalizers.
#[must_use]
pub(crate) fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.name_any(),
        uid: owner.uid().unwrap_or_default(),
        // None: kube-controller-manager takes a Job whose controller is called like a CronJob for one
        // of that CronJob's, whatever the controller's kind, and deletes it by the history limits.
        controller: None,
        block_owner_deletion: Some(false),
    }
}
