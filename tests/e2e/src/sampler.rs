//! Looks at a volume from outside, all the time: what a person with `ls` could have seen at any moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::history::Sample;

/// A thread that looks at a volume every few milliseconds, until it is stopped or dropped.
pub struct Sampler {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
}

impl Sampler {
    /// Begins to look.
    #[must_use]
    pub fn start(volume: PathBuf) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = thread::spawn(move || {
            let mut samples = vec![look(&volume)];
            while !seen.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(2));
                let sample = look(&volume);
                if samples.last() != Some(&sample) {
                    samples.push(sample);
                }
            }
            samples
        });
        Self { over, thread: Some(thread) }
    }

    /// Ends, and returns every state that was seen, in order.
    ///
    /// # Errors
    /// If the thread has panicked.
    pub fn stop(mut self) -> Result<Vec<Sample>> {
        self.over.store(true, Ordering::Relaxed);
        let samples = self.thread.take().and_then(|thread| thread.join().ok());
        samples.context("the sampler panicked")
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// Looks once. What moves between the sets and the working directories meanwhile would be counted twice or not at all,
/// so such a look is done again.
fn look(volume: &Path) -> Sample {
    loop {
        let before = names(volume);
        let sets = before.iter().map(|name| (name.clone(), bytes(&volume.join(name)))).collect();
        let state = volume.join(".etcd-backup");
        let working_bytes = bytes(&state.join("staging")) + bytes(&state.join("trash"));
        if names(volume) == before {
            return Sample { sets, working_bytes };
        }
    }
}

/// The directories of a volume that are called like a set.
fn names(volume: &Path) -> Vec<String> {
    let entries = fs::read_dir(volume).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("backup-")).collect();
    names.sort();
    names
}

/// Bytes of all files below a directory; of what vanishes meanwhile, 0.
fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
