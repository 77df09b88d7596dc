//! Completion: the scripts of the shells, and the answers to kubectl, which knows names of this cluster too.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;
use kube::ResourceExt;

use crate::cli::{Cli, Connection};
use crate::cluster::Cluster;
use crate::error::Error;
use crate::exit::Exit;
use crate::print;

/// What ends an answer to kubectl: the shell offers no file names besides (cobra's `NoFileComp`).
const NO_FILES: &str = ":4";

/// What may come next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// One of these words, each with its help.
    Words(Vec<(String, String)>),
    /// The name of an object, by the name of the value that stands for it.
    Name(&'static str),
    /// Anything.
    Free,
}

/// Prints a shell's script.
pub(crate) fn script(shell: Shell) -> Exit {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    print(&String::from_utf8_lossy(&script));
    Exit::Success
}

/// Answers kubectl's question what may follow. Who cannot be helped gets no words.
pub(crate) async fn answer(words: &[String]) -> Exit {
    let (typed, last) = match words {
        [typed @ .., last] => (typed, last.as_str()),
        [] => (words, ""),
    };
    let candidates = match next(&Cli::command(), typed, last) {
        Next::Words(words) => words,
        Next::Name(kind) => names(kind, words).await.unwrap_or_default(),
        Next::Free => Vec::new(),
    };
    let mut text = String::new();
    for (word, help) in candidates.into_iter().filter(|(word, _)| word.starts_with(last)) {
        // Writing to a String cannot fail.
        let _ = if help.is_empty() { writeln!(text, "{word}") } else { writeln!(text, "{word}\t{help}") };
    }
    print(&(text + NO_FILES));
    Exit::Success
}

/// What may follow the typed words, if the last one begins like this.
fn next(cli: &Command, typed: &[String], last: &str) -> Next {
    let mut command = cli;
    let (mut awaited, mut positionals) = (None, 0);
    for word in typed {
        if awaited.take().is_some() {
            continue;
        }
        if let Some(found) = flag(cli, command, word) {
            awaited = Some(found).filter(|found| found.get_action().takes_values() && !word.contains('='));
        } else if let Some(verb) = command.find_subcommand(word) {
            command = verb;
        } else if !word.starts_with('-') {
            positionals += 1;
        }
    }
    if let Some(flag) = awaited {
        return value(flag);
    }
    if last.starts_with('-') {
        return Next::Words(flags(cli, command));
    }
    if command.has_subcommands() {
        let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        return Next::Words(shown.map(|verb| (verb.get_name().to_owned(), help(verb.get_about()))).collect());
    }
    command.get_positionals().nth(positionals).map_or(Next::Words(Vec::new()), value)
}

/// The flag that a word is, of the verb or of all verbs.
fn flag<'a>(cli: &'a Command, verb: &'a Command, word: &str) -> Option<&'a Arg> {
    let is = |arg: &&Arg| {
        let long = word.strip_prefix("--").map(|word| word.split('=').next().unwrap_or(word));
        let short =
            word.strip_prefix('-').filter(|rest| rest.chars().count() == 1).and_then(|rest| rest.chars().next());
        (long.is_some() && arg.get_long() == long) || (short.is_some() && arg.get_short() == short)
    };
    verb.get_arguments().chain(cli.get_arguments()).find(is)
}

fn flags(cli: &Command, verb: &Command) -> Vec<(String, String)> {
    let all = verb.get_arguments().chain(cli.get_arguments());
    all.filter_map(|arg| Some((format!("--{}", arg.get_long()?), help(arg.get_help())))).collect()
}

/// What may stand for an argument's value.
fn value(arg: &Arg) -> Next {
    let known = arg.get_possible_values();
    if !known.is_empty() {
        let words = known.iter().map(|value| (value.get_name().to_owned(), help(value.get_help())));
        return Next::Words(words.collect());
    }
    let name = arg.get_value_names().and_then(<[_]>::first).map(|name| name.as_str());
    ["ETCDBACKUP", "BACKUP", "CLAIM"].into_iter().find(|kind| name == Some(*kind)).map_or(Next::Free, Next::Name)
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// The names of a cluster's objects.
async fn names(kind: &str, words: &[String]) -> Result<Vec<(String, String)>, Error> {
    let Some(connection) = connection(words) else { return Ok(Vec::new()) };
    let cluster = Cluster::connect(&connection, false).await?;
    let names: Vec<String> = match kind {
        "ETCDBACKUP" => cluster.etcd_backups().await?.iter().map(ResourceExt::name_any).collect(),
        "BACKUP" => cluster.backups().await?.iter().map(ResourceExt::name_any).collect(),
        _ => cluster.claims().await?.iter().map(ResourceExt::name_any).collect(),
    };
    Ok(names.into_iter().map(|name| (name, String::new())).collect())
}

/// Which cluster is meant by what has been typed so far, however incomplete.
fn connection(words: &[String]) -> Option<Connection> {
    let command = Cli::command().ignore_errors(true);
    let name = command.get_name().to_owned();
    let typed = command.try_get_matches_from([name].iter().chain(words)).ok()?;
    Connection::from_arg_matches(&typed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(line: &str) -> Next {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (last, typed) = words.split_last().unwrap();
        next(&Cli::command(), typed, last)
    }

    fn words(next: Next) -> Vec<String> {
        match next {
            Next::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_come_next_is_known_everywhere() {
        assert_eq!(words(after("")), ["status", "run", "list", "describe", "logs", "prune", "completion"]);
        assert_eq!(after("describe "), Next::Name("ETCDBACKUP"));
        assert_eq!(after("--context x describe "), Next::Name("ETCDBACKUP"));
        assert_eq!(after("logs -f "), Next::Name("ETCDBACKUP"));
        assert_eq!(words(after("logs b ")), Vec::<String>::new());
        assert_eq!(after("prune --dry-run "), Next::Name("BACKUP"));
        assert_eq!(after("list --backup "), Next::Name("BACKUP"));
        assert_eq!(after("run --pvc "), Next::Name("CLAIM"));
        assert_eq!(after("run --name "), Next::Free);
        assert_eq!(words(after("list -o ")), ["table", "wide", "json", "yaml"]);
        assert_eq!(words(after("completion ")), ["bash", "elvish", "fish", "powershell", "zsh"]);
        let flags = words(after("run --"));
        assert!(
            ["--pvc", "--wait", "--kubeconfig"].iter().all(|flag| flags.contains(&(*flag).to_owned())),
            "{flags:?}"
        );
    }

    #[test]
    fn the_cluster_is_the_one_that_was_typed() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let typed = connection(&words("--context there describe -n elsewhere ")).unwrap();
        assert_eq!((typed.context.as_deref(), typed.namespace.as_str()), (Some("there"), "elsewhere"));
        assert_eq!(connection(&words("list --backup ")).unwrap().namespace, "openshift-etcd");
    }
}
