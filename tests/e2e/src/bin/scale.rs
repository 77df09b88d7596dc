//! Measures the operator with many objects: `make scale`, or `make scale BACKUPS=20 RECORDS=500 MINUTES=1` for a quick look.

#![forbid(unsafe_code)]

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_e2e::scale::{self, AuditLog, Figures, Size};
use etcd_backup_testbed::{ApiServer, measured, repository};

fn main() -> ExitCode {
    match run() {
        Ok(missed) if missed.is_empty() => ExitCode::SUCCESS,
        Ok(missed) => {
            missed.iter().for_each(|budget| println!("MISSED {budget}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures, tells, and gives the budgets that are missed.
fn run() -> Result<Vec<String>> {
    let size =
        Size { backups: number("BACKUPS", 200)?, records: number("RECORDS", 5000)?, minutes: number("MINUTES", 5)? };
    ensure!(
        size.backups > 0 && size.records >= size.backups && size.minutes > 0,
        "BACKUPS and MINUTES begin at 1, RECORDS at BACKUPS"
    );
    let program = std::env::var_os("OPERATOR").map_or_else(operator_program, PathBuf::from);
    ensure!(program.is_file(), "{} is not there: `make scale` builds it", program.display());
    let audit = AuditLog::new()?;
    let arguments = audit.arguments();
    let server = ApiServer::start_own(&arguments.each_ref().map(String::as_str))?;
    let runtime = tokio::runtime::Runtime::new().context("start threads")?;
    let figures = runtime.block_on(scale::measure(&server, &audit, &program, size))?;
    tell(size, &figures)?;
    Ok(figures.missed(size.minutes))
}

fn tell(size: Size, figures: &Figures) -> Result<()> {
    println!("requests in {} minutes at rest:", size.minutes);
    figures.requests.iter().for_each(|(request, count)| println!("  {count:4} {request}"));
    let (ready, react) = (format!("{:.2}", figures.ready_seconds), format!("{:.0}", figures.react_ms));
    let rounded = |figure: f64| format!("{figure:.1}");
    Ok(measured(
        "scale",
        &[
            ("backups", &size.backups),
            ("records", &size.records),
            ("rss_mb", &rounded(figures.rss_mb)),
            ("peak_mb", &rounded(figures.peak_mb)),
            ("idle_requests_per_min", &rounded(figures.idle_requests_per_min)),
            ("told_requests_per_min", &rounded(figures.told_requests_per_min)),
            ("idle_cpu_s_per_min", &format!("{:.3}", figures.idle_cpu_seconds_per_min)),
            ("ready_seconds", &ready),
            ("react_ms", &react),
        ],
    )?)
}

/// The operator, the very program that is in the image.
fn operator_program() -> PathBuf {
    let machine = std::env::consts::ARCH;
    repository().join(format!("target/{machine}-unknown-linux-gnu/release/etcd-backup-operator"))
}

/// A number from the environment.
fn number<T: FromStr<Err: Display>>(name: &str, default: T) -> Result<T> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map_err(|error| anyhow::anyhow!("{name}={text}: {error}")),
        _ => Ok(default),
    }
}
