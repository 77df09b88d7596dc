use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Logs to standard error: text for a person at a terminal, one JSON object a line for everybody
/// else. `RUST_LOG` chooses the level.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_writer(io::stderr).with_env_filter(filter).with_target(false);
    if io::stderr().is_terminal() {
        log.without_time().init();
    } else {
        log.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
    }
}
