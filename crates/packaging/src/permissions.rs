//! The operator's permissions, as a ClusterServiceVersion has them.

use serde_json::{Value, json};

use crate::bundle::NAMESPACE;
use crate::error::{Error, Result};
use crate::object::Object;

/// What the operator's ServiceAccount may do.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Permissions {
    /// In the namespace of the installation.
    pub(crate) namespaced: Vec<Value>,
    /// In the whole cluster.
    pub(crate) cluster: Vec<Value>,
}

impl Permissions {
    /// Takes the operator's bindings and the roles that they name out of `objects`.
    ///
    /// OLM grants in its own namespace or everywhere, nothing between: what the operator may do in a third namespace becomes a right in the whole cluster.
    pub(crate) fn take(objects: &mut Vec<Object>, account: &Object) -> Result<Self> {
        let mut permissions = Self::default();
        let bindings: Vec<Object> =
            objects.iter().filter(|object| object.kind().ends_with("RoleBinding")).cloned().collect();
        for binding in bindings {
            if !binds(&binding, account)? {
                continue;
            }
            let role = role(objects, &binding)?;
            let rules = role.0["rules"].as_array().cloned().unwrap_or_default();
            let local = role.namespace().is_some_and(|place| place == NAMESPACE || Some(place) == account.namespace());
            if local {
                permissions.namespaced.extend(rules)
            } else {
                permissions.cluster.extend(rules)
            }
            objects.retain(|object| *object != binding && *object != role);
        }
        Ok(permissions)
    }

    /// As a list of the ClusterServiceVersion: nothing, or one entry for the account.
    pub(crate) fn list(rules: &[Value], account: &str) -> Value {
        if rules.is_empty() { json!([]) } else { json!([{"serviceAccountName": account, "rules": rules}]) }
    }
}

/// Whether a binding is the account's alone.
fn binds(binding: &Object, account: &Object) -> Result<bool> {
    let subjects = binding.0["subjects"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_account = |subject: &Value| {
        subject["kind"] == "ServiceAccount"
            && subject["name"] == account.name()
            && subject["namespace"].as_str() == account.namespace()
    };
    match subjects.iter().filter(|subject| is_account(subject)).count() {
        0 => Ok(false),
        found if found == subjects.len() => Ok(true),
        _ => Err(Error::SharedBinding(binding.title())),
    }
}

fn role(objects: &[Object], binding: &Object) -> Result<Object> {
    let reference = &binding.0["roleRef"];
    let found = objects.iter().find(|object| {
        reference["kind"] == object.kind()
            && reference["name"] == object.name()
            && (object.namespace().is_none() || object.namespace() == binding.namespace())
    });
    found.cloned().ok_or_else(|| Error::NoSuchRole(binding.title()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(kind: &str, namespace: Option<&str>, subjects: Value) -> Vec<Object> {
        let metadata = json!({"name": "r", "namespace": namespace});
        let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]);
        vec![
            Object(json!({"kind": kind, "metadata": metadata, "rules": rules})),
            Object(
                json!({"kind": format!("{kind}Binding"), "metadata": metadata, "roleRef": {"kind": kind, "name": "r"}, "subjects": subjects}),
            ),
        ]
    }

    fn account() -> Object {
        Object(json!({"kind": "ServiceAccount", "metadata": {"name": "operator", "namespace": "home"}}))
    }

    fn operator() -> Value {
        json!({"kind": "ServiceAccount", "name": "operator", "namespace": "home"})
    }

    #[test]
    fn each_right_goes_where_olm_can_grant_it() {
        for (kind, namespace, namespaced, cluster) in [
            ("Role", Some(NAMESPACE), 1, 0),
            ("Role", Some("home"), 1, 0),
            ("Role", Some("default"), 0, 1),
            ("ClusterRole", None, 0, 1),
        ] {
            let mut objects = role(kind, namespace, json!([operator()]));
            let permissions = Permissions::take(&mut objects, &account()).unwrap();
            let found = (permissions.namespaced.len(), permissions.cluster.len());
            assert_eq!(found, (namespaced, cluster), "{kind} in {namespace:?}");
            assert!(objects.is_empty(), "left: {objects:?}");
        }
    }

    #[test]
    fn the_rights_of_others_stay_objects() {
        let other = json!({"kind": "ServiceAccount", "name": "operator", "namespace": "elsewhere"});
        let mut objects = role("Role", Some(NAMESPACE), json!([other]));
        let permissions = Permissions::take(&mut objects, &account()).unwrap();
        assert_eq!((permissions, objects.len()), (Permissions::default(), 2));
    }

    #[test]
    fn a_binding_that_cannot_be_carried_is_refused() {
        let mut shared = role("Role", Some(NAMESPACE), json!([operator(), {"kind": "Group", "name": "people"}]));
        assert!(matches!(Permissions::take(&mut shared, &account()), Err(Error::SharedBinding(_))));
        let mut lost = role("Role", Some(NAMESPACE), json!([operator()]));
        lost.remove(0);
        assert!(matches!(Permissions::take(&mut lost, &account()), Err(Error::NoSuchRole(_))));
    }
}
