//! Runs schedules for an hour and looks for what grows and what is left behind: `make soak`, or `make soak MINUTES=10`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use etcd_backup_e2e::soak::{self, Figures};
use etcd_backup_e2e::{Bed, fill};
use etcd_backup_testbed::{Cluster, measured};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well.
fn run(args: &[String]) -> Result<bool> {
    if let [verb, megabytes] = args
        && verb == fill::VERB
    {
        return megabytes.parse().context("a number of megabytes").and_then(fill::run).map(|()| true);
    }
    let minutes = match args {
        [] => 60,
        [minutes] => minutes.parse().with_context(|| format!("{minutes:?} is no number of minutes"))?,
        _ => anyhow::bail!("usage: soak [MINUTES]"),
    };
    ensure!(minutes >= 4, "a soak takes at least 4 minutes, or nothing is ever pruned");
    let bed = Bed::up("soak", 1)?;
    let figures = soak::soak(&bed, minutes).inspect_err(|_| println!("{}", bed.diagnosis()))?;
    let well = tell(minutes, &figures)?;
    if !well {
        println!("{}", soak::overview(&bed)?);
    }
    let dir = bed.cluster.dir().to_owned();
    drop(bed);
    Cluster::down(&dir)?;
    Ok(well)
}

fn tell(minutes: u64, figures: &Figures) -> Result<bool> {
    figures.leaked.iter().for_each(|what| println!("LEAKED {what}"));
    let enough = figures.runs + figures.failed >= figures.due;
    if !enough {
        println!("MISSED at least {} runs were due", figures.due);
    }
    measured(
        "soak",
        &[
            ("minutes", &minutes),
            ("runs", &figures.runs),
            ("failed", &figures.failed),
            ("rss_mb", &format!("{:.1}", figures.rss_mb)),
            ("rss_growth_mb", &format!("{:.1}", figures.rss_growth_mb)),
            ("open_files_growth", &figures.open_files_growth),
            ("leaked", &figures.leaked.len()),
        ],
    )?;
    Ok(enough && figures.failed == 0 && figures.leaked.is_empty())
}
