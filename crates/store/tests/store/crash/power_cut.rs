//! What a power cut may leave of a recorded sequence of operations.
//!
//! The cut comes between any two steps. Then
//! - a file that was fsynced has its content; one that was not is empty, cut, of the right length but
//!   zero, or whole;
//! - of a directory, all changes of its entries (made, moved, removed) before its last fsync are
//!   there; of the later ones each is there or not, in any combination, whatever their order was.
//!   That is weaker than what any journaling file system promises;
//! - a rename from one directory to another is there, or not, or its name is gone from the one
//!   directory and not yet in the other; what it moved is then lost. The fsync of the target settles
//!   it, that of the source only the removal. On a file system with a journal the fsync of either
//!   settles both, so this is weaker again. The fourth outcome, one directory under two names, is not
//!   modelled: no file system permits it, and the store does not claim to survive it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::check::Promise;
use super::record::{Inode, Node, ROOT, Recording, Step};

/// What became of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Content {
    Whole,
    Zeros,
    Cut,
    Empty,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Leaf {
    Dir,
    File(Inode, Content),
}

/// Everything on the volume, by path.
type Tree = BTreeMap<PathBuf, Leaf>;
type Directories = BTreeMap<Inode, BTreeMap<String, Inode>>;

/// A distinct state that a power cut may leave, and what has to hold in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    tree: Tree,
    pub(crate) promise: Promise,
}

impl State {
    /// Makes the volume as it is in this state.
    pub(crate) fn write(&self, recording: &Recording, root: &Path) {
        for (path, leaf) in &self.tree {
            let path = root.join(path);
            match leaf {
                Leaf::Dir => fs::create_dir(path).unwrap(),
                Leaf::File(inode, content) => {
                    let Node::File(whole) = &recording.nodes[*inode] else { panic!("{inode} is no file") };
                    let content = match content {
                        Content::Whole => whole.to_vec(),
                        Content::Zeros => vec![0; whole.len()],
                        Content::Cut => whole[..whole.len() / 2].to_vec(),
                        Content::Empty => Vec::new(),
                    };
                    fs::write(path, content).unwrap();
                }
            }
        }
    }
}

/// All distinct states, in the order of the cuts.
pub(crate) fn states(recording: &Recording) -> Vec<State> {
    let mut disk = Disk::new(recording);
    let mut promise = Promise::default();
    let (mut seen, mut states) = (HashSet::new(), Vec::new());
    let mut add = |disk: &Disk, promise: &Promise| {
        for tree in disk.outcomes() {
            let state = State { tree, promise: promise.clone() };
            if seen.insert(state.clone()) {
                states.push(state);
            }
        }
    };
    for step in &recording.steps {
        match step {
            Step::Promise(next) => promise = next.clone(),
            Step::FsyncFile { file } => drop(disk.fsynced.insert(*file)),
            Step::FsyncDir { dir } => disk.settle(*dir),
            change => disk.pending.push(change.clone()),
        }
        add(&disk, &promise);
    }
    states
}

/// What is on the disk for certain, and what may be.
struct Disk {
    directories: Directories,
    fsynced: BTreeSet<Inode>,
    pending: Vec<Step>,
}

impl Disk {
    fn new(recording: &Recording) -> Self {
        let directories = recording.nodes.iter().enumerate().filter_map(|(inode, node)| match node {
            Node::Dir(_) => match recording.start.get(inode) {
                Some(Node::Dir(entries)) => Some((inode, entries.clone())),
                _ => Some((inode, BTreeMap::new())),
            },
            Node::File(_) => None,
        });
        let fsynced = (0..recording.start.len()).collect();
        Self { directories: directories.collect(), fsynced, pending: Vec::new() }
    }

    fn settle(&mut self, synced: Inode) {
        for change in std::mem::take(&mut self.pending) {
            match &change {
                Step::Make { dir, .. } if *dir == synced => apply(&mut self.directories, &change, Outcome::Done),
                Step::Remove { dir, inode, .. } if *dir == synced => {
                    apply(&mut self.directories, &change, Outcome::Done);
                    // Nobody sees what becomes of the entries of a directory that is gone.
                    self.pending.retain(|pending| directory(pending) != Some(*inode));
                }
                Step::Move { from, to, name, inode } if [*from, *to].contains(&synced) => {
                    self.pending.retain(|pending| moved(pending) != Some(*inode));
                    if *to != synced {
                        apply(&mut self.directories, &change, Outcome::Lost);
                        self.pending.push(Step::Make { dir: *to, name: name.clone(), inode: *inode });
                    } else {
                        apply(&mut self.directories, &change, Outcome::Done);
                    }
                }
                _ => self.pending.push(change),
            }
        }
    }

    /// Every combination of what may have reached the disk.
    fn outcomes(&self) -> Vec<Tree> {
        let choices = |change: &Step| match change {
            Step::Move { .. } => 3,
            _ => 2,
        };
        let total: usize = self.pending.iter().map(choices).product();
        assert!(total <= 1 << 14, "{total} combinations of {:?}", self.pending);
        let mut trees = Vec::new();
        for mut number in 0..total {
            let mut directories = self.directories.clone();
            for change in &self.pending {
                let outcome = [Outcome::NotDone, Outcome::Done, Outcome::Lost][number % choices(change)];
                apply(&mut directories, change, outcome);
                number /= choices(change);
            }
            let mut tree = Tree::new();
            self.walk(&directories, ROOT, Path::new(""), &mut tree);
            trees.extend(self.contents(tree));
        }
        trees
    }

    fn walk(&self, directories: &Directories, dir: Inode, at: &Path, tree: &mut Tree) {
        for (name, inode) in &directories[&dir] {
            let path = at.join(name);
            if directories.contains_key(inode) {
                tree.insert(path.clone(), Leaf::Dir);
                self.walk(directories, *inode, &path, tree);
            } else {
                tree.insert(path, Leaf::File(*inode, Content::Whole));
            }
        }
    }

    /// Every combination of what files may hold that were not fsynced.
    fn contents(&self, tree: Tree) -> Vec<Tree> {
        let open: Vec<(PathBuf, Inode)> = tree
            .iter()
            .filter_map(|(path, leaf)| match leaf {
                Leaf::File(inode, _) if !self.fsynced.contains(inode) => Some((path.clone(), *inode)),
                _ => None,
            })
            .collect();
        open.into_iter().fold(vec![tree], |trees, (path, inode)| {
            let contents = [Content::Whole, Content::Zeros, Content::Cut, Content::Empty];
            let with = |tree: &Tree, content| {
                let mut tree = tree.clone();
                tree.insert(path.clone(), Leaf::File(inode, content));
                tree
            };
            trees.iter().flat_map(|tree| contents.map(|content| with(tree, content))).collect()
        })
    }
}

/// Whether a change of entries has reached the disk.
#[derive(Clone, Copy)]
enum Outcome {
    NotDone,
    Done,
    /// Of a rename only the removal has.
    Lost,
}

fn apply(directories: &mut Directories, change: &Step, outcome: Outcome) {
    let done = match outcome {
        Outcome::NotDone => return,
        Outcome::Done => true,
        Outcome::Lost => false,
    };
    match change {
        Step::Make { dir, name, inode } => {
            directories.entry(*dir).or_default().insert(name.clone(), *inode);
        }
        Step::Remove { dir, name, inode } => {
            let entries = directories.entry(*dir).or_default();
            if entries.get(name) == Some(inode) {
                entries.remove(name);
            }
        }
        Step::Move { to, name, inode, .. } => {
            directories.values_mut().for_each(|entries| entries.retain(|_, other| other != inode));
            if done {
                directories.entry(*to).or_default().insert(name.clone(), *inode);
            }
        }
        Step::FsyncFile { .. } | Step::FsyncDir { .. } | Step::Promise(_) => {}
    }
}

fn directory(change: &Step) -> Option<Inode> {
    match change {
        Step::Make { dir, .. } | Step::Remove { dir, .. } => Some(*dir),
        _ => None,
    }
}

fn moved(change: &Step) -> Option<Inode> {
    match change {
        Step::Make { inode, .. } | Step::Move { inode, .. } => Some(*inode),
        _ => None,
    }
}
