//! The store's own operation log, turned into steps of a model of the disk.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use etcd_backup_store::OPERATION_LOG;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::check::Promise;

/// A file or directory, whatever its name is at the moment.
pub(crate) type Inode = usize;
/// The volume's directory.
pub(crate) const ROOT: Inode = 0;

/// One operation on the volume, or what holds from there on because a call has returned.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Make { dir: Inode, name: String, inode: Inode },
    Move { from: Inode, to: Inode, name: String, inode: Inode },
    Remove { dir: Inode, name: String, inode: Inode },
    FsyncFile { file: Inode },
    FsyncDir { dir: Inode },
    Promise(Promise),
}

#[derive(Debug, Clone)]
pub(crate) enum Node {
    Dir(BTreeMap<String, Inode>),
    File(Arc<[u8]>),
}

/// What was done to a volume.
#[derive(Debug, Clone)]
pub(crate) struct Recording {
    /// The volume before it, all of it durable.
    pub(crate) start: Vec<Node>,
    /// The same nodes and all that came to be, as they were in the end.
    pub(crate) nodes: Vec<Node>,
    pub(crate) steps: Vec<Step>,
}

/// An event of the operation log.
#[derive(Debug, Default, Clone)]
pub(crate) struct Operation {
    pub(crate) op: String,
    pub(crate) path: PathBuf,
    pub(crate) to: Option<PathBuf>,
    pub(crate) bytes: Option<u64>,
    /// For `write` and `fsync`: the file as it then was.
    content: Option<Arc<[u8]>>,
}

impl Visit for Operation {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "op" {
            value.clone_into(&mut self.op);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        assert_eq!(field.name(), "bytes");
        self.bytes = Some(value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "path" => self.path = format!("{value:?}").into(),
            "to" => self.to = Some(format!("{value:?}").into()),
            _ => {}
        }
    }
}

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<Operation>>>);

impl<S: Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == OPERATION_LOG {
            let mut operation = Operation::default();
            event.record(&mut operation);
            if matches!(operation.op.as_str(), "write" | "fsync") {
                operation.content = Some(fs::read(&operation.path).unwrap().into());
            }
            self.0.lock().unwrap().push(operation);
        }
    }
}

/// What the operation log tells while `work` is done on this thread.
pub(crate) fn operations<T>(work: impl FnOnce() -> T) -> (T, Vec<Operation>) {
    let capture = Capture::default();
    let subscriber = tracing_subscriber::registry().with(capture.clone());
    let done = tracing::subscriber::with_default(subscriber, work);
    let operations = std::mem::take(&mut *capture.0.lock().unwrap());
    (done, operations)
}

/// Follows a volume from operation to operation.
pub(crate) struct Recorder {
    root: PathBuf,
    recording: Recording,
}

impl Recorder {
    pub(crate) fn begin(root: &Path) -> Self {
        let mut nodes = Vec::new();
        read(root, &mut nodes);
        Self { root: root.to_owned(), recording: Recording { start: nodes.clone(), nodes, steps: Vec::new() } }
    }

    /// Does something on this thread, and records it.
    pub(crate) fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (done, operations) = operations(work);
        for operation in &operations {
            self.add(operation);
        }
        done
    }

    pub(crate) fn promise(&mut self, promise: &Promise) {
        self.recording.steps.push(Step::Promise(promise.clone()));
    }

    pub(crate) fn end(self) -> Recording {
        self.recording
    }

    fn add(&mut self, operation: &Operation) {
        let (path, content) = (&operation.path, operation.content.clone());
        match operation.op.as_str() {
            "mkdir" => self.make(path, Node::Dir(BTreeMap::new())),
            "create" => self.make(path, Node::File(Arc::from(&b"never fsynced"[..]))),
            "lock" if self.find(path).is_none() => self.make(path, Node::File(Arc::from(&b""[..]))),
            "lock" => {}
            "write" | "fsync" => {
                let file = self.find(path).unwrap();
                self.recording.nodes[file] = Node::File(content.unwrap());
                if operation.op == "fsync" {
                    self.recording.steps.push(Step::FsyncFile { file });
                }
            }
            "fsync-dir" => {
                let dir = self.find(path).unwrap();
                self.recording.steps.push(Step::FsyncDir { dir });
            }
            "unlink" | "rmdir" => {
                let (dir, name) = self.place(path);
                let inode = self.entries(dir).remove(&name).unwrap();
                self.recording.steps.push(Step::Remove { dir, name, inode });
            }
            "rename" => {
                let ((from, old), (to, name)) = (self.place(path), self.place(operation.to.as_deref().unwrap()));
                let inode = self.entries(from).remove(&old).unwrap();
                self.entries(to).insert(name.clone(), inode);
                self.recording.steps.push(Step::Move { from, to, name, inode });
            }
            other => panic!("{other} is no operation of the log"),
        }
    }

    fn make(&mut self, path: &Path, node: Node) {
        let (dir, name) = self.place(path);
        let inode = self.recording.nodes.len();
        self.recording.nodes.push(node);
        self.entries(dir).insert(name.clone(), inode);
        self.recording.steps.push(Step::Make { dir, name, inode });
    }

    fn place(&mut self, path: &Path) -> (Inode, String) {
        let dir = self.find(path.parent().unwrap()).unwrap();
        (dir, path.file_name().unwrap().to_str().unwrap().to_owned())
    }

    fn find(&mut self, path: &Path) -> Option<Inode> {
        let inside = path.strip_prefix(&self.root).unwrap();
        inside.iter().try_fold(ROOT, |dir, name| self.entries(dir).get(name.to_str().unwrap()).copied())
    }

    fn entries(&mut self, dir: Inode) -> &mut BTreeMap<String, Inode> {
        let Node::Dir(entries) = &mut self.recording.nodes[dir] else { panic!("{dir} is no directory") };
        entries
    }
}

fn read(path: &Path, nodes: &mut Vec<Node>) -> Inode {
    let inode = nodes.len();
    if path.is_file() {
        nodes.push(Node::File(fs::read(path).unwrap().into()));
        return inode;
    }
    nodes.push(Node::Dir(BTreeMap::new()));
    let entries = crate::fixture::names(path).into_iter().map(|name| {
        let inner = read(&path.join(&name), nodes);
        (name, inner)
    });
    nodes[inode] = Node::Dir(entries.collect());
    inode
}
