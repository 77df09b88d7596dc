//! Figures that others rely on: one line each, printed and kept in `target/measured.txt`.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;

use anyhow::{Context as _, Result};

use etcd_backup_testbed::repository;

/// Prints `measured <name> key=value ...` and appends it to `target/measured.txt`.
///
/// # Errors
/// If the file cannot be written.
pub fn measured(name: &str, values: &[(&str, &dyn Display)]) -> Result<()> {
    let values: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let line = format!("measured {name} {}", values.join(" "));
    println!("{line}");
    let path = repository().join("target/measured.txt");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    writeln!(file, "{line}").with_context(|| format!("append to {}", path.display()))
}

/// The middle one of several figures; for an even number the lower middle.
#[must_use]
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
