//! What the operator may do beside what it does: every right is used, or docs/security.md says why it is there, and
//! nothing is asked for that is not allowed.

mod access;
mod log;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_testbed::{measured, repository};
use serde_json::Value;

pub use access::{Access, granted};
use log::{Outcome, Request};

use crate::bed::{Bed, NAMESPACE, OPERATOR_NAMESPACE};

const PAGE: &str = "docs/security.md";
/// The operator's ServiceAccount.
pub const OPERATOR: &str = "etcd-backup-operator";
/// That of the Jobs.
const AGENT: &str = "etcd-backup";

/// Every user whose requests are looked at.
#[must_use]
pub fn users() -> Vec<String> {
    vec![user(OPERATOR_NAMESPACE, OPERATOR), user(NAMESPACE, AGENT)]
}

fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

/// The table of docs/security.md: every right, and why it may be that nobody uses it.
///
/// # Errors
/// If the page has no such table.
pub fn documented() -> Result<BTreeMap<Access, Option<String>>> {
    let path = repository().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    table::parse(&page).with_context(|| format!("{PAGE}, What the operator may do"))
}

/// What was seen in one or more clusters.
#[derive(Debug, Default)]
pub struct Audit {
    granted: BTreeSet<Access>,
    seen: BTreeSet<String>,
    requests: Vec<Request>,
    problems: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// Requests that no rule allows, or whose outcome none does.
    forbidden: BTreeSet<String>,
    /// How many were refused although a rule allows them. An API server that has just started, as after a restore, has
    /// not read the rules yet and refuses what it is asked: its log says then that even Kubernetes' own are not found.
    early: usize,
    /// Rights that nobody has used, and that the table does not justify.
    unused: BTreeSet<String>,
    /// Rights that nobody has used, and that the table justifies.
    seldom: usize,
}

impl Audit {
    /// Reads the rules of a cluster, and what was asked for there. What cannot be read is told by [`judge`](Self::judge).
    pub fn look_at(&mut self, bed: &Bed) {
        if let Err(error) = self.read(bed) {
            self.problems.push(format!("{error:#}"));
        }
    }

    fn read(&mut self, bed: &Bed) -> Result<()> {
        let kinds = "clusterroles,clusterrolebindings,roles,rolebindings";
        let list: Value = serde_json::from_str(&bed.kubectl(&["get", kinds, "--all-namespaces", "-o", "json"])?)?;
        let objects = list["items"].as_array().context("a list without items")?;
        let granted = granted(objects, OPERATOR_NAMESPACE, OPERATOR)?;
        same(&granted, &documented()?)?;
        self.granted.extend(granted);
        let agents = access::granted(objects, NAMESPACE, AGENT)?;
        ensure!(agents.is_empty(), "the Jobs' account has rights: {agents:?}");
        for log in bed.cluster.audit_logs()? {
            let text = fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))?;
            log::read(&text, &mut self.seen, &mut self.requests).with_context(|| log.display().to_string())?;
        }
        Ok(())
    }

    /// Prints the figures; after a `whole` run every right must have been used.
    ///
    /// # Errors
    /// If something was forbidden, a right is not used, the rules are not those of the table, or the Jobs' account has
    /// any right or has asked for anything.
    pub fn judge(&self, whole: bool) -> Result<()> {
        ensure!(self.problems.is_empty(), "permissions: {}", self.problems.join("\n"));
        let agent = user(NAMESPACE, AGENT);
        let asked: Vec<_> = self.requests.iter().filter(|request| request.user == agent).collect();
        ensure!(asked.is_empty(), "the Jobs have no token, and yet one asked for {asked:?}");
        ensure!(!self.requests.is_empty(), "the audit logs are empty");
        let verdict = self.verdict(&documented()?);
        if whole {
            let (granted, requests) = (self.granted.len(), self.requests.len());
            let (unused, forbidden) = (verdict.unused.len(), verdict.forbidden.len());
            measured(
                "rbac",
                &[
                    ("granted", &granted),
                    ("unused", &unused),
                    ("forbidden", &forbidden),
                    ("seldom", &verdict.seldom),
                    ("early", &verdict.early),
                    ("requests", &requests),
                ],
            )?;
        }
        ensure!(verdict.forbidden.is_empty(), "asked for and forbidden: {:#?}", verdict.forbidden);
        let unused = &verdict.unused;
        ensure!(!whole || unused.is_empty(), "granted, never used, and not justified in {PAGE}: {unused:#?}");
        Ok(())
    }

    fn verdict(&self, table: &BTreeMap<Access, Option<String>>) -> Verdict {
        let mut verdict = Verdict::default();
        let mut used = BTreeSet::new();
        for request in &self.requests {
            let asked = &request.access;
            let rights = |asked: &Access| self.granted.iter().filter(|right| right.covers(asked)).collect::<Vec<_>>();
            match request.outcome {
                Outcome::Allowed => used.extend(rights(asked)),
                Outcome::Created => {
                    used.extend(rights(asked));
                    used.extend(rights(&Access { verb: "create".to_owned(), ..asked.clone() }));
                }
                Outcome::Refused if !rights(asked).is_empty() => verdict.early += 1,
                Outcome::Refused | Outcome::Denied => _ = verdict.forbidden.insert(asked.to_string()),
            }
        }
        for right in self.granted.iter().filter(|right| !used.contains(right)) {
            match table.get(right) {
                Some(Some(_)) => verdict.seldom += 1,
                _ => _ = verdict.unused.insert(right.to_string()),
            }
        }
        verdict
    }
}

/// Fails if rules and table differ.
///
/// # Errors
/// That is how it fails: with what is in only one of them.
pub fn same(granted: &BTreeSet<Access>, table: &BTreeMap<Access, Option<String>>) -> Result<()> {
    let told: BTreeSet<_> = table.keys().cloned().collect();
    let list = |rights: &mut dyn Iterator<Item = &Access>| rights.map(ToString::to_string).collect::<Vec<_>>();
    let (untold, gone) = (list(&mut granted.difference(&told)), list(&mut told.difference(granted)));
    ensure!(
        untold.is_empty() && gone.is_empty(),
        "{PAGE}, What the operator may do: has no row for {untold:?}, and rows for what is not granted: {gone:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(words: &str) -> Access {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let [verb, resource, namespace] = words.try_into().unwrap();
        Access { namespace, resource, name: String::new(), verb }
    }

    fn request(words: &str, outcome: Outcome) -> Request {
        Request { user: String::new(), access: access(words), outcome }
    }

    fn verdict(granted: &[&str], seldom: &[&str], requests: Vec<Request>) -> Verdict {
        let granted: BTreeSet<_> = granted.iter().map(|words| access(words)).collect();
        let reason = |right: &Access| seldom.iter().any(|words| access(words) == *right).then(|| "why".to_owned());
        let table = granted.iter().map(|right| (right.clone(), reason(right))).collect();
        Audit { granted, requests, ..Audit::default() }.verdict(&table)
    }

    #[test]
    fn a_right_is_used_justified_or_too_much() {
        let granted = ["patch jobs n", "create jobs n", "delete jobs n"];
        let (applied, made) = (request("patch jobs n", Outcome::Allowed), request("patch jobs n", Outcome::Created));
        let too_much = |rights: &[&str]| rights.iter().map(|right| format!("{right} jobs in n")).collect();
        for (seldom, requests, expected, justified) in [
            (&[][..], vec![], too_much(&["patch", "create", "delete"]), 0),
            (&[], vec![applied.clone()], too_much(&["create", "delete"]), 0),
            (&[], vec![made.clone()], too_much(&["delete"]), 0),
            (&["delete jobs n"], vec![made.clone()], BTreeSet::new(), 1),
            (&["delete jobs n"], vec![made, request("delete jobs n", Outcome::Allowed)], BTreeSet::new(), 0),
            (&["delete jobs n"], vec![applied], too_much(&["create"]), 1),
        ] {
            let found = verdict(&granted, seldom, requests);
            assert_eq!((found.unused, found.seldom), (expected, justified));
        }
    }

    #[test]
    fn what_is_refused_is_forbidden_unless_a_rule_allows_it() {
        let refused = |words| request(words, Outcome::Refused);
        let denied = request("get pods n", Outcome::Denied);
        let found = verdict(&["get pods n"], &[], vec![refused("get pods n"), refused("get secrets n")]);
        assert_eq!((found.early, found.forbidden), (1, BTreeSet::from(["get secrets in n".to_owned()])));
        assert_eq!(verdict(&["get pods n"], &[], vec![denied]).forbidden.len(), 1);
        assert_eq!(found.unused, BTreeSet::from(["get pods in n".to_owned()]), "what was refused was not used");
    }

    #[test]
    fn rules_and_table_are_the_same_in_both_directions() {
        let (one, other) = (access("get pods n"), access("list pods n"));
        let table = BTreeMap::from([(one.clone(), None)]);
        assert!(same(&BTreeSet::from([one.clone()]), &table).is_ok());
        assert!(same(&BTreeSet::from([one, other.clone()]), &table).is_err());
        assert!(same(&BTreeSet::from([other]), &table).is_err());
    }
}
