//! What was on a volume at any moment, from the store's operation log, and from a look at it from
//! outside again and again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::Value;

/// The sets' files on a volume, published, staged and in the trash, as the operations tell.
#[derive(Default)]
pub(crate) struct Replay {
    files: BTreeMap<PathBuf, u64>,
    /// Most bytes at any moment since [`Self::take_peak`].
    peak_bytes: u64,
    /// Most published sets at any moment.
    pub(crate) most_sets: usize,
    volume: PathBuf,
}

impl Replay {
    /// From an empty volume.
    pub(crate) fn new(volume: &Path) -> Self {
        Self { volume: volume.to_owned(), ..Self::default() }
    }

    /// Goes through the log of one more run.
    pub(crate) fn run(&mut self, log: &Path) {
        let text = fs::read_to_string(log).unwrap();
        let operations: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(operations.iter().any(|operation| operation["op"] == "lock"), "no operations in {text}");
        for (at, operation) in operations.iter().enumerate() {
            let path = PathBuf::from(operation["path"].as_str().unwrap());
            match operation["op"].as_str().unwrap() {
                // From its beginning a file counts with all the bytes that it will get.
                "create" if self.is_of_a_set(&path) => {
                    _ = self.files.insert(path.clone(), ends_with(&path, &operations[at..]))
                }
                "rename" => self.rename(&path, Path::new(operation["to"].as_str().unwrap())),
                "unlink" => _ = self.files.remove(&path),
                _ => {}
            }
            self.peak_bytes = self.peak_bytes.max(self.files.values().sum());
            self.most_sets = self.most_sets.max(self.published());
        }
    }

    /// Most bytes at any moment since the last call, of which the first is now.
    pub(crate) fn take_peak(&mut self) -> u64 {
        std::mem::replace(&mut self.peak_bytes, self.files.values().sum())
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        let moved: Vec<PathBuf> = self.files.keys().filter(|file| file.starts_with(from)).cloned().collect();
        for file in moved {
            let bytes = self.files.remove(&file).unwrap();
            self.files.insert(to.join(file.strip_prefix(from).unwrap()), bytes);
        }
    }

    /// Whether a file is in the directory of a set: at the root, in staging or in the trash. What is
    /// directly in staging is a document.
    fn is_of_a_set(&self, path: &Path) -> bool {
        let below = path.strip_prefix(&self.volume).unwrap();
        let depth = if below.starts_with(".etcd-backup") { 4 } else { 2 };
        below.components().count() == depth
    }

    fn published(&self) -> usize {
        let sets = self.files.keys().filter_map(|file| file.parent()).filter(|set| set.parent() == Some(&self.volume));
        sets.collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// The bytes that a file has when it is made durable, or unlinked.
fn ends_with(file: &Path, operations: &[Value]) -> u64 {
    let of_file = operations.iter().filter(|operation| operation["path"].as_str().map(Path::new) == Some(file));
    of_file
        .filter(|operation| matches!(operation["op"].as_str(), Some("fsync" | "unlink")))
        .find_map(|operation| operation["bytes"].as_u64())
        .unwrap()
}

/// Looks at a volume from outside until it is told to end. Sees at most what is there: a set that
/// moves between two looks is missed, never counted twice.
pub(crate) struct Sampler {
    end: Arc<AtomicBool>,
    most_bytes: Arc<AtomicU64>,
    samples: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    pub(crate) fn start(volume: &Path) -> Self {
        let (end, most_bytes, samples) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let mut sampler = Self { end, most_bytes, samples, thread: None };
        let (end, most, samples) = (sampler.end.clone(), sampler.most_bytes.clone(), sampler.samples.clone());
        let volume = volume.to_owned();
        sampler.thread = Some(std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                // Against the way of the sets, from staging to the root to the trash.
                let places = [".etcd-backup/trash", "", ".etcd-backup/staging"].map(|place| volume.join(place));
                most.fetch_max(places.iter().map(|place| bytes_of_sets(place)).sum(), Ordering::Relaxed);
                samples.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        }));
        sampler
    }

    /// The most bytes that were seen, and how often it was looked.
    pub(crate) fn end(mut self) -> (u64, u64) {
        self.end.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        (self.most_bytes.load(Ordering::Relaxed), self.samples.load(Ordering::Relaxed))
    }
}

/// Bytes in the directories in `place` that are called like sets.
fn bytes_of_sets(place: &Path) -> u64 {
    let sets = fs::read_dir(place).into_iter().flatten().flatten();
    let sets = sets.filter(|entry| entry.file_name().to_string_lossy().starts_with("backup-"));
    let files = sets.flat_map(|set| fs::read_dir(set.path()).into_iter().flatten().flatten());
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}
