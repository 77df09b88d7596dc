use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Write as _};

use crate::repository;

/// Prints `measured <name> key=value ...` and appends it to `target/measured.txt`: a figure that
/// others rely on. A test harness does not capture it.
///
/// # Errors
/// If the file cannot be written.
pub fn measured(name: &str, values: &[(&str, &dyn Display)]) -> io::Result<()> {
    let values: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let line = format!("measured {name} {}", values.join(" "));
    writeln!(io::stdout(), "{line}")?;
    let path = repository().join("target/measured.txt");
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    writeln!(file, "{line}")
}

/// The middle one of several figures; for an even number the lower middle.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
