use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a log tells of progress.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// A bar on a terminal, else log lines
    Auto,
    /// A bar on standard error
    Bar,
    /// A log line every ten seconds
    Log,
    /// Not at all
    None,
}

/// Progress of one phase, in bytes. Dropping it clears the bar.
#[derive(Debug)]
pub(crate) enum Progress {
    Bar(ProgressBar),
    Log { phase: &'static str, total: u64, started: Instant, last: Instant },
    None,
}

impl Progress {
    pub(crate) fn start(choice: ProgressMode, phase: &'static str, total: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        match choice {
            ProgressMode::None => Self::None,
            ProgressMode::Bar => Self::bar(phase, total),
            ProgressMode::Auto if terminal => Self::bar(phase, total),
            ProgressMode::Auto | ProgressMode::Log => {
                let now = Instant::now();
                Self::Log { phase, total, started: now, last: now }
            }
        }
    }

    fn bar(phase: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{prefix:>8} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} ETA {eta}",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(phase);
        Self::Bar(bar)
    }

    /// So many bytes are done, since the phase began.
    pub(crate) fn at(&mut self, bytes: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(bytes),
            Self::Log { phase, total, started, last } if last.elapsed() >= LOG_EVERY => {
                *last = Instant::now();
                let bytes_per_second = bytes / started.elapsed().as_secs().max(1);
                tracing::info!(phase, bytes, total, bytes_per_second, "in progress");
            }
            Self::Log { .. } | Self::None => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
