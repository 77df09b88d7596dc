//! kube-apiserver's audit log: what was asked for, and whether it was allowed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::access::{Access, resource};

/// A request of one of the audited users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Who asked.
    pub(super) user: String,
    /// What for.
    pub(super) access: Access,
    /// What became of it.
    pub(super) outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was allowed, whatever was answered then.
    Allowed,
    /// It was allowed and made an object without asking to create one: server-side apply does, and needs the right to.
    Created,
    /// The rules, as the API server knew them, did not allow it.
    Refused,
    /// The rules allowed the request, but not what came of it: to create what is applied, or an admission policy's.
    Denied,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    #[serde(rename = "requestURI")]
    request_uri: String,
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    api_group: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize, Default)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

/// Adds the requests of a log to `requests`. What is told of twice, when a watch begins and when it ends, is there once.
///
/// # Errors
/// If a line is no event.
pub(super) fn read(log: &str, seen: &mut BTreeSet<String>, requests: &mut Vec<Request>) -> Result<()> {
    // The last line may be under way.
    let (whole, _) = log.rsplit_once('\n').unwrap_or_default();
    for line in whole.lines() {
        let event: Event = serde_json::from_str(line).with_context(|| format!("no audit event: {line}"))?;
        if seen.insert(event.audit_id.clone()) {
            requests.push(event.request());
        }
    }
    Ok(())
}

impl Event {
    fn request(self) -> Request {
        const CREATED: u16 = 201;
        const FORBIDDEN: u16 = 403;
        let code = self.response_status.code;
        let access = match self.object_ref {
            Some(object) => Access {
                resource: resource(&object.api_group, &object.resource, &object.subresource),
                namespace: object.namespace,
                name: object.name,
                verb: self.verb,
            },
            None => {
                Access { namespace: String::new(), resource: self.request_uri, name: String::new(), verb: self.verb }
            }
        };
        let decision = self.annotations.get("authorization.k8s.io/decision").map(String::as_str);
        let outcome = match (code, decision) {
            (_, Some("forbid")) => Outcome::Refused,
            (FORBIDDEN, _) => Outcome::Denied,
            (CREATED, _) if access.verb != "create" => Outcome::Created,
            _ => Outcome::Allowed,
        };
        Request { user: self.user.username, access, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, verb: &str, object: &str, code: u16, decision: &str) -> String {
        format!(
            r#"{{"kind":"Event","auditID":"{id}","stage":"ResponseComplete","requestURI":"/u","verb":"{verb}","user":{{"username":"me"}}{object},"responseStatus":{{"metadata":{{}},"code":{code}}},"annotations":{{"authorization.k8s.io/decision":"{decision}"}}}}"#
        )
    }

    fn requests(log: &str) -> Vec<Request> {
        let mut requests = Vec::new();
        read(log, &mut BTreeSet::new(), &mut requests).unwrap();
        requests
    }

    #[test]
    fn a_request_is_what_it_asked_for_and_what_came_of_it() {
        let status = r#","objectRef":{"resource":"backups","namespace":"n","name":"b","apiGroup":"g","apiVersion":"v1","subresource":"status"}"#;
        let pods = r#","objectRef":{"resource":"pods","namespace":"n","apiVersion":"v1"}"#;
        for (verb, object, code, decision, told, outcome) in [
            ("patch", status, 200, "allow", "patch backups.g/status b in n", Outcome::Allowed),
            ("patch", status, 201, "allow", "patch backups.g/status b in n", Outcome::Created),
            ("create", pods, 201, "allow", "create pods in n", Outcome::Allowed),
            ("list", pods, 403, "forbid", "list pods in n", Outcome::Refused),
            ("patch", pods, 403, "allow", "patch pods in n", Outcome::Denied),
            ("list", pods, 404, "allow", "list pods in n", Outcome::Allowed),
            ("get", "", 200, "allow", "get /u everywhere", Outcome::Allowed),
        ] {
            let found = requests(&format!("{}\n", event("1", verb, object, code, decision)));
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].access.to_string().as_str(), found[0].outcome), (told, outcome));
            assert_eq!(found[0].user, "me");
        }
    }

    #[test]
    fn a_watch_that_is_told_of_twice_is_one_request_and_half_a_line_is_none() {
        let (one, other) = (event("1", "watch", "", 200, "allow"), event("2", "watch", "", 200, "allow"));
        assert_eq!(requests(&format!("{one}\n{one}\n{other}\n{}", &other[..20])).len(), 2);
        assert_eq!(requests(&one).len(), 0);
        let mut none = Vec::new();
        assert!(read("{}\n", &mut BTreeSet::new(), &mut none).is_err());
    }
}
