//! The table of docs/security.md: a row for each rule, with the reason for it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};

use super::access::Access;

/// The table's heading, which the page has once.
const HEADING: &str = "| Where | Resource | Only | Verbs | Why | Seldom |";

/// Reads the table: every right, and why it may be that nobody uses it.
///
/// # Errors
/// If there is no such table, or a row is not of its form.
pub(super) fn parse(page: &str) -> Result<BTreeMap<Access, Option<String>>> {
    let (_, rows) = page.split_once(HEADING).with_context(|| format!("no table {HEADING}"))?;
    let mut rights = BTreeMap::new();
    for line in rows.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [place, resource, only, verbs, why, seldom] = cells.as_slice() else {
            bail!("a row has six cells: {line}")
        };
        ensure!(!why.is_empty(), "a row without reason: {line}");
        let namespace = if *place == "everywhere" { Vec::new() } else { code(place) };
        let resource = code(resource);
        ensure!(namespace.len() <= 1 && resource.len() == 1, "one place and one resource in a row: {line}");
        let (names, verbs) = (code(only), code(verbs));
        ensure!(!verbs.is_empty(), "a row without verbs: {line}");
        let names = if names.is_empty() { vec![String::new()] } else { names };
        for (name, verb) in names.iter().flat_map(|name| verbs.iter().map(move |verb| (name, verb))) {
            let namespace = namespace.first().cloned().unwrap_or_default();
            let right = Access { namespace, resource: resource[0].clone(), name: name.clone(), verb: verb.clone() };
            let seldom = (!seldom.is_empty()).then(|| (*seldom).to_owned());
            ensure!(rights.insert(right.clone(), seldom).is_none(), "twice in the table: {right}");
        }
    }
    Ok(rights)
}

/// The words of a cell that are set as code.
fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Result<BTreeMap<Access, Option<String>>> {
        parse(&format!("# Page\n\n{HEADING}\n|---|---|---|---|---|---|\n{rows}\n\n| another | table |\n"))
    }

    #[test]
    fn rows_are_rights() {
        let rows = "| everywhere | `nodes` | | `list`, `watch` | to see | |\n| `n` | `leases.c` | `a`, `b` | `get` | to wait | when late |";
        let found = table(rows).unwrap();
        let told: Vec<_> =
            found.iter().map(|(right, seldom)| (right.to_string(), seldom.as_deref().unwrap_or_default())).collect();
        let expected = [
            ("list nodes everywhere", ""),
            ("watch nodes everywhere", ""),
            ("get leases.c a in n", "when late"),
            ("get leases.c b in n", "when late"),
        ];
        assert_eq!(told, expected.map(|(right, seldom)| (right.to_owned(), seldom)));
    }

    #[test]
    fn what_is_not_of_the_form_is_refused() {
        for rows in [
            "| everywhere | `nodes` | | `list` | | |",
            "| everywhere | `nodes` | | list | why | |",
            "| everywhere | nodes | | `list` | why | |",
            "| everywhere | `nodes` | | `list` | why |",
            "| everywhere | `nodes` | | `list` | why | |\n| everywhere | `nodes` | | `list` | again | |",
        ] {
            assert!(table(rows).is_err(), "{rows}");
        }
        assert!(parse("# Page").is_err());
    }
}
