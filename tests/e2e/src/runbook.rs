//! The commands of a page of the documentation, run as an administrator runs them: pasted into root's shells on the
//! nodes. A page whose commands do not work fails its test.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use etcd_backup_testbed::{Cluster, Input, repository, tool};

/// Longer than the longest block of a page waits.
const LIMIT: Duration = Duration::from_secs(330);

/// On which nodes a block is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On all nodes that take part, in any order.
    EveryNode,
    /// On the first node.
    FirstNode,
    /// On each of the other nodes: all blocks of a row on one, then on the next.
    OtherNode,
}

/// A block of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What its mark calls it.
    pub name: String,
    /// Where the sentence before it says it is to be run.
    pub place: Place,
    /// The commands.
    pub commands: String,
}

/// A step that was run, and when that was.
pub struct Done {
    /// The step's name.
    pub step: String,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// A page's commands, and the nodes that they are run on.
pub struct Runbook<'a> {
    cluster: &'a Cluster,
    steps: Vec<Step>,
    first: usize,
    others: Vec<usize>,
    /// Commands that a node has besides those of its system.
    commands: PathBuf,
}

impl<'a> Runbook<'a> {
    /// Reads a page and puts the real values in the place of the examples in it.
    ///
    /// # Errors
    /// If the page's blocks are not marked as they must be, or an example is not in any of them.
    pub fn open(
        page: &str,
        cluster: &'a Cluster,
        first: usize,
        others: &[usize],
        values: &[(&str, &str)],
    ) -> Result<Self> {
        let path = repository().join(page);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let mut steps = steps(&text).with_context(|| format!("in {page}"))?;
        for (example, value) in values {
            ensure!(steps.iter().any(|step| step.commands.contains(example)), "no block of {page} has {example}");
            for step in &mut steps {
                step.commands = step.commands.replace(example, value);
            }
        }
        Ok(Self { cluster, steps, first, others: others.to_vec(), commands: commands(cluster)? })
    }

    /// Runs the page from its beginning to its end, without the steps that are named.
    ///
    /// # Errors
    /// The first step that fails, with what it printed.
    pub fn run_without(&self, left_out: &[&str]) -> Result<Vec<Done>> {
        let steps: Vec<&Step> = self.steps.iter().filter(|step| !left_out.contains(&step.name.as_str())).collect();
        let mut done = Vec::new();
        for row in steps.chunk_by(|a, b| (a.place == Place::OtherNode) == (b.place == Place::OtherNode)) {
            let rounds: Vec<Vec<usize>> = match row[0].place {
                Place::OtherNode => self.others.iter().map(|node| vec![*node]).collect(),
                _ => vec![Vec::new()],
            };
            for nodes in &rounds {
                for step in row {
                    let nodes = if nodes.is_empty() { self.nodes(step.place) } else { nodes.clone() };
                    done.push(self.run_step(step, &nodes)?);
                }
            }
        }
        Ok(done)
    }

    /// Runs one step where it is to be run.
    ///
    /// # Errors
    /// If there is no such step, or it fails.
    pub fn run(&self, name: &str) -> Result<Done> {
        let step = self.step(name)?;
        self.run_step(step, &self.nodes(step.place))
    }

    /// Runs one step on one node.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_on(&self, name: &str, node: usize) -> Result<Done> {
        self.run_step(self.step(name)?, &[node])
    }

    /// The names of the steps for the other nodes, in their order.
    pub fn joining(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter(|step| step.place == Place::OtherNode).map(|step| step.name.as_str())
    }

    fn step(&self, name: &str) -> Result<&Step> {
        self.steps.iter().find(|step| step.name == name).with_context(|| format!("the page has no step {name}"))
    }

    fn nodes(&self, place: Place) -> Vec<usize> {
        match place {
            Place::FirstNode => vec![self.first],
            Place::OtherNode => self.others.clone(),
            Place::EveryNode => [&[self.first], self.others.as_slice()].concat(),
        }
    }

    /// Runs a step on several nodes at once, and shows what it printed.
    fn run_step(&self, step: &Step, nodes: &[usize]) -> Result<Done> {
        let began = Instant::now();
        let outputs = thread::scope(|scope| {
            let shells: Vec<_> = nodes.iter().map(|node| scope.spawn(move || self.paste(step, *node))).collect();
            shells
                .into_iter()
                .map(|shell| shell.join().map_err(|_| anyhow!("a shell panicked")).flatten())
                .collect::<Vec<_>>()
        });
        let ended = Instant::now();
        for (node, output) in nodes.iter().zip(outputs) {
            let output = output.with_context(|| format!("step {} on node {node}", step.name))?;
            println!("  [node {node}] {} ({:.1} s)", step.name, (ended - began).as_secs_f64());
            output.lines().for_each(|line| println!("    {line}"));
        }
        Ok(Done { step: step.name.clone(), began, ended })
    }

    /// Runs a step in a new shell of a node, with the settings that an earlier one has left there.
    fn paste(&self, step: &Step, node: usize) -> Result<String> {
        const SETTINGS: &str = "[ ! -e /var/lib/etcd-restore/settings ] || . /var/lib/etcd-restore/settings";
        let inside = format!("/run/{}.sh", step.name);
        fs::write(self.cluster.node_path(node, &inside)?, format!("{SETTINGS}\n{}", step.commands))?;
        let mut shell = self.cluster.node_command(node, "bash")?;
        // What programs keep in their user's home stays on the node.
        shell.args(["-e", &inside]).env("HOME", "/run");
        shell.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.commands.display()));
        Ok(etcd_backup_testbed::run(&mut shell, Input::Nothing, LIMIT)?.stdout)
    }
}

/// A directory with the commands that the page takes for granted on a node, and no others of ours.
fn commands(cluster: &Cluster) -> Result<PathBuf> {
    let directory = cluster.dir().join("commands");
    fs::create_dir_all(&directory)?;
    for name in ["kubectl", "etcdutl"] {
        let link = directory.join(name);
        if !link.is_symlink() {
            symlink(tool(name)?, link)?;
        }
    }
    Ok(directory)
}

/// The marked blocks of a page. Each `sh` block must be one: what a reader is told to paste is what is tested.
///
/// # Errors
/// If a mark has no block or no place, a block has no mark, or a name comes twice.
fn steps(page: &str) -> Result<Vec<Step>> {
    const PLACES: [(&str, Place); 3] = [
        ("On **every node**", Place::EveryNode),
        ("On **the first node**", Place::FirstNode),
        ("On **each other node**", Place::OtherNode),
    ];
    let mut steps: Vec<Step> = Vec::new();
    let (mut name, mut place) = (None, None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(mark) = line.strip_prefix("<!-- step: ") {
            let mark = mark.trim_end_matches("-->").trim();
            ensure!(name.is_none(), "step {} has no block", name.unwrap_or_default());
            ensure!(steps.iter().all(|step| step.name != mark), "step {mark} is there twice");
            name = Some(mark);
        } else if let Some((_, found)) = PLACES.iter().find(|(words, _)| line.starts_with(words)) {
            place = Some(*found);
        } else if line == "```sh" {
            let commands: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let (Some(name), Some(place)) = (name.take(), place.take()) else {
                bail!(
                    "a block without a mark, or without a sentence that says where it is run:\n{}",
                    commands.join("\n")
                )
            };
            steps.push(Step { name: name.to_owned(), place, commands: commands.join("\n") + "\n" });
        } else if line.starts_with('#') {
            place = None;
        }
    }
    ensure!(name.is_none(), "step {} has no block", name.unwrap_or_default());
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(name: &str, sentence: &str) -> String {
        format!("<!-- step: {name} -->\n{sentence}, once:\n\n```sh\necho {name}\n\ntrue\n```\n\nprose\n")
    }

    fn error(page: &str) -> String {
        format!("{:#}", steps(page).unwrap_err())
    }

    #[test]
    fn a_marked_block_is_a_step() {
        let page = [block("a", "On **every node**"), block("b", "On **the first node**")].concat();
        let page = format!("# Page\n\n{page}\n```\nnot run\n```\n{}", block("c", "On **each other node**"));
        let steps = steps(&page).unwrap();
        let found: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.place)).collect();
        assert_eq!(found, [("a", Place::EveryNode), ("b", Place::FirstNode), ("c", Place::OtherNode)]);
        assert_eq!(steps[0].commands, "echo a\n\ntrue\n");
    }

    #[test]
    fn what_a_reader_would_paste_and_nobody_tests_is_refused() {
        assert!(error("```sh\nrm -r x\n```\n").contains("rm -r x"));
        assert!(error(&block("a", "Somewhere")).contains("where it is run"));
    }

    #[test]
    fn a_place_holds_for_one_block_and_not_beyond_its_section() {
        let twice = block("a", "On **every node**") + "<!-- step: b -->\n```sh\ntrue\n```\n";
        assert!(error(&twice).contains("where it is run"));
        assert!(error("On **every node**\n# Next\n<!-- step: a -->\n```sh\ntrue\n```\n").contains("where it is run"));
    }

    #[test]
    fn a_mark_needs_a_block_and_a_name_of_its_own() {
        assert!(error("<!-- step: a -->\n").contains("step a has no block"));
        assert!(error(&format!("<!-- step: a -->\n{}", block("b", "On **every node**"))).contains("step a has no"));
        let twice = block("a", "On **every node**") + &block("a", "On **every node**");
        assert!(error(&twice).contains("step a is there twice"));
    }
}
