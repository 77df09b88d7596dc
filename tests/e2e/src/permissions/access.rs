//! A right to one verb on one resource, and a request for it: the same four words.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// What a rule allows, or what a request asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// Of the objects; empty for everywhere.
    pub namespace: String,
    /// As kubectl names it: `pods/log`, `etcdbackups.operator.openshift.io/status`. The path of what is no resource.
    pub resource: String,
    /// Of the only object; empty for any.
    pub name: String,
    /// Such as `get`.
    pub verb: String,
}

impl Access {
    /// Whether this right is enough for a request.
    #[must_use]
    pub fn covers(&self, request: &Self) -> bool {
        let matches = |right: &str, asked: &str| right.is_empty() || right == asked;
        self.verb == request.verb
            && self.resource == request.resource
            && matches(&self.namespace, &request.namespace)
            && matches(&self.name, &request.name)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        if self.namespace.is_empty() { write!(f, " everywhere") } else { write!(f, " in {}", self.namespace) }
    }
}

/// `resource.group/subresource`, with whatever of it there is.
pub(super) fn resource(group: &str, resource: &str, subresource: &str) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
    format!("{resource}{group}{subresource}")
}

/// All rights that bindings give to a ServiceAccount, of all roles and bindings of a cluster or of a rendered install.
///
/// # Errors
/// If a binding names a role that is not there, or a rule cannot be counted: it has a wildcard, or names URLs.
pub fn granted(objects: &[Value], namespace: &str, account: &str) -> Result<BTreeSet<Access>> {
    let mut granted = BTreeSet::new();
    for binding in objects.iter().filter(|object| is_binding(object) && names(object, namespace, account)) {
        let place = binding["metadata"]["namespace"].as_str().unwrap_or_default();
        let role = role_of(objects, binding).with_context(|| format!("no role of {}", binding["metadata"]))?;
        for rule in role["rules"].as_array().into_iter().flatten() {
            expand(rule, place, &mut granted).with_context(|| format!("{}: {rule}", role["metadata"]["name"]))?;
        }
    }
    Ok(granted)
}

fn is_binding(object: &Value) -> bool {
    object["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding"))
}

fn names(binding: &Value, namespace: &str, account: &str) -> bool {
    let mut subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.any(|one| one["kind"] == "ServiceAccount" && one["namespace"] == namespace && one["name"] == account)
}

fn role_of<'a>(objects: &'a [Value], binding: &Value) -> Option<&'a Value> {
    let wanted = &binding["roleRef"];
    objects.iter().find(|object| {
        object["kind"] == wanted["kind"]
            && object["metadata"]["name"] == wanted["name"]
            // A ClusterRole has no namespace, wherever it is bound.
            && (object["kind"] == "ClusterRole" || object["metadata"]["namespace"] == binding["metadata"]["namespace"])
    })
}

fn expand(rule: &Value, namespace: &str, granted: &mut BTreeSet<Access>) -> Result<()> {
    ensure!(rule["nonResourceURLs"].is_null(), "the rule names URLs, which docs/security.md has no place for");
    let (groups, resources, verbs) = (words(rule, "apiGroups")?, words(rule, "resources")?, words(rule, "verbs")?);
    let objects = words(rule, "resourceNames")?;
    let objects = if objects.is_empty() { vec![String::new()] } else { objects };
    for group in &groups {
        for of_rule in &resources {
            let (plain, subresource) = of_rule.split_once('/').unwrap_or((of_rule, ""));
            for name in &objects {
                for verb in &verbs {
                    let resource = resource(group, plain, subresource);
                    let (namespace, name, verb) = (namespace.to_owned(), name.clone(), verb.clone());
                    granted.insert(Access { namespace, resource, name, verb });
                }
            }
        }
    }
    Ok(())
}

fn words(rule: &Value, field: &str) -> Result<Vec<String>> {
    let words = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(|word| if word.contains('*') { bail!("a wildcard in {field}") } else { Ok(word.to_owned()) }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(namespace: &str, resource: &str, name: &str, verb: &str) -> Access {
        let [namespace, resource, name, verb] = [namespace, resource, name, verb].map(str::to_owned);
        Access { namespace, resource, name, verb }
    }

    #[test]
    fn a_right_covers_what_it_names_and_nothing_else() {
        let named = access("", "leases.coordination.k8s.io", "ours", "get");
        let here = access("here", "pods/log", "", "get");
        for (right, request, covered) in [
            (&named, access("any", "leases.coordination.k8s.io", "ours", "get"), true),
            (&named, access("any", "leases.coordination.k8s.io", "other", "get"), false),
            (&named, access("any", "leases.coordination.k8s.io", "", "get"), false),
            (&named, access("any", "leases.coordination.k8s.io", "ours", "update"), false),
            (&here, access("here", "pods/log", "p", "get"), true),
            (&here, access("here", "pods", "p", "get"), false),
            (&here, access("there", "pods/log", "p", "get"), false),
            (&here, access("", "pods/log", "p", "get"), false),
        ] {
            assert_eq!(right.covers(&request), covered, "{right} for {request}");
        }
    }

    fn cluster(rule: &Value) -> [Value; 4] {
        let subject = |name: &str| json!([{"kind": "ServiceAccount", "namespace": "n", "name": name}]);
        let role = |name: &str| json!({"kind": "Role", "name": name});
        [
            json!({"kind": "Role", "metadata": {"name": "ours", "namespace": "here"}, "rules": [rule]}),
            json!({"kind": "Role", "metadata": {"name": "ours", "namespace": "there"},
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}),
            json!({"kind": "RoleBinding", "metadata": {"namespace": "here"}, "roleRef": role("ours"), "subjects": subject("a")}),
            json!({"kind": "RoleBinding", "metadata": {"namespace": "there"}, "roleRef": role("ours"), "subjects": subject("b")}),
        ]
    }

    #[test]
    fn a_rule_is_every_verb_on_every_name_of_every_resource() {
        let rule = json!({"apiGroups": ["", "g"], "resources": ["r", "r/s"], "resourceNames": ["x", "y"], "verbs": ["get", "list"]});
        let found = granted(&cluster(&rule), "n", "a").unwrap();
        assert_eq!(found.len(), 16);
        assert!(found.contains(&access("here", "r.g/s", "y", "list")));
        assert!(found.iter().all(|one| one.namespace == "here"));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        for rule in [
            json!({"apiGroups": ["*"], "resources": ["r"], "verbs": ["get"]}),
            json!({"apiGroups": [""], "resources": ["r/*"], "verbs": ["get"]}),
            json!({"apiGroups": [""], "resources": ["r"], "verbs": ["*"]}),
            json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}),
        ] {
            assert!(granted(&cluster(&rule), "n", "a").is_err(), "{rule}");
        }
        let lost = json!({"kind": "RoleBinding", "metadata": {"namespace": "here"}, "roleRef": {"kind": "Role", "name": "gone"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "n", "name": "a"}]});
        assert!(granted(&[lost], "n", "a").is_err());
    }
}
