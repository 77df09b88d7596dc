//! Bounded waiting: nothing in a test bed waits without a limit.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt;

const INTERVAL: Duration = Duration::from_millis(50);

/// What one look at the thing waited for has shown.
pub(crate) enum Seen<T> {
    /// It is there.
    Ready(T),
    /// Not yet, and what there is instead.
    NotYet(String),
}

/// Looks until the thing is there. An error from `look` ends the wait at once.
///
/// # Errors
/// [`Error::Timeout`] after `limit`, [`Error::Interrupted`] on a signal, and whatever `look` returns.
pub(crate) fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        interrupt::check()?;
        let last = match look()? {
            Seen::Ready(value) => return Ok(value),
            Seen::NotYet(last) => last,
        };
        if start.elapsed() >= limit {
            return Err(Error::Timeout { what: what.to_owned(), limit, last });
        }
        thread::sleep(INTERVAL);
    }
}

/// Waits for a condition that has nothing to tell while it does not hold.
///
/// # Errors
/// As [`until`].
pub(crate) fn until_true(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(if holds()? { Seen::Ready(()) } else { Seen::NotYet(String::new()) }))
}
