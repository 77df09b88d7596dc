//! Asks the system to read what will soon be hashed, in a thread of its own.
//!
//! The page cache's memory is taken in the thread that asks, not in the one that waits for the disk: for a snapshot that
//! is not in the page cache that is a quarter of the time that its verification would take in one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, Scope, Thread};

use crate::Source;

/// How far ahead of the hash the system reads.
const AHEAD_BYTES: u64 = 16 * 1024 * 1024;

/// What is asked for at once.
const STEP_BYTES: u64 = 512 * 1024;

/// The thread asks for nothing more once this is hashed.
const ENDED: u64 = u64::MAX;

/// Reading ahead of the hash; it ends when this is dropped.
#[derive(Default)]
pub(crate) struct ReadAhead {
    thread: Option<Thread>,
    /// Bytes that have been hashed, as the thread is told.
    hashed: Arc<AtomicU64>,
    told: u64,
}

impl ReadAhead {
    /// Begins with the first byte. What is less than the thread would be ahead is asked for at once, without a thread;
    /// so is the beginning, if none can be had.
    pub(crate) fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        source: &'env dyn Source,
        content_bytes: u64,
    ) -> Self {
        if content_bytes <= AHEAD_BYTES {
            source.will_need(0, content_bytes);
            return Self::default();
        }
        let hashed = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&hashed);
        let thread = Builder::new().spawn_scoped(scope, move || ask(source, content_bytes, &theirs));
        match thread {
            Ok(thread) => Self { thread: Some(thread.thread().clone()), hashed, told: 0 },
            Err(_) => {
                source.will_need(0, AHEAD_BYTES);
                Self::default()
            }
        }
    }

    /// Says how many bytes have been hashed.
    pub(crate) fn hashed(&mut self, bytes: u64) {
        if bytes - self.told >= STEP_BYTES {
            self.told = bytes;
            self.tell(bytes);
        }
    }

    fn tell(&self, bytes: u64) {
        if let Some(thread) = &self.thread {
            self.hashed.store(bytes, Ordering::Release);
            thread.unpark();
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.tell(ENDED);
    }
}

fn ask(source: &dyn Source, content_bytes: u64, hashed: &AtomicU64) {
    let mut asked = 0;
    while asked < content_bytes {
        match hashed.load(Ordering::Acquire) {
            ENDED => return,
            hashed if asked < hashed + AHEAD_BYTES => {
                source.will_need(asked, STEP_BYTES.min(content_bytes - asked));
                asked += STEP_BYTES;
            }
            _ => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    /// Notes what is asked for.
    #[derive(Default)]
    struct Asked(Mutex<Vec<(u64, u64)>>);

    impl Source for Asked {
        fn bytes(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Ok(())
        }

        fn will_need(&self, offset: u64, bytes: u64) {
            self.0.lock().unwrap().push((offset, bytes));
        }
    }

    #[test]
    fn all_is_asked_for_once_and_never_too_far_ahead() {
        let asked = Asked::default();
        let len = 3 * AHEAD_BYTES + 5;
        let reached = || asked.0.lock().unwrap().last().map_or(0, |(offset, bytes)| offset + bytes);
        std::thread::scope(|scope| {
            let mut ahead = ReadAhead::start(scope, &asked, len);
            for hashed in (0..=len).step_by(64 * 1024) {
                ahead.hashed(hashed);
                assert!(reached() <= (hashed + AHEAD_BYTES + STEP_BYTES).min(len));
            }
            // The last of it is asked for at the latest when all has been told.
            while reached() < len {
                std::thread::yield_now();
            }
        });
        let asked = asked.0.into_inner().unwrap();
        let ends = asked.iter().map(|(offset, bytes)| offset + bytes);
        assert!(asked[1..].iter().map(|(offset, _)| *offset).eq(ends.take(asked.len() - 1)), "{asked:?}");
    }

    #[test]
    fn whoever_gives_up_does_not_wait_for_the_rest() {
        let asked = Asked::default();
        std::thread::scope(|scope| drop(ReadAhead::start(scope, &asked, 100 * AHEAD_BYTES)));
        assert!(asked.0.into_inner().unwrap().len() as u64 <= AHEAD_BYTES / STEP_BYTES);
    }

    #[test]
    fn little_is_asked_for_without_a_thread() {
        let asked = Asked::default();
        std::thread::scope(|scope| assert!(ReadAhead::start(scope, &asked, 4096).thread.is_none()));
        assert_eq!(asked.0.into_inner().unwrap(), [(0, 4096)]);
    }
}
