//! Runs the scenarios in real clusters: `make e2e`, or `make e2e ARGS="two-at-once"` for what matches.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};
use etcd_backup_e2e::permissions::Audit;
use etcd_backup_e2e::scenarios::{ALL, INSTALLATIONS, Scenario};
use etcd_backup_e2e::{Bed, fill};
use etcd_backup_testbed::Cluster;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [verb, megabytes] = args.as_slice()
        && verb == fill::VERB
    {
        return finish(megabytes.parse().context("a number of megabytes").and_then(fill::run).map(|()| 0));
    }
    finish(run_matching(&args))
}

/// Runs what the arguments name, or everything; returns how many failed.
fn run_matching(args: &[String]) -> Result<usize> {
    let chosen = |scenario: &&Scenario| args.is_empty() || args.iter().any(|arg| scenario.name == *arg);
    let (one, three): (Vec<_>, Vec<_>) = ALL.iter().filter(chosen).partition(|scenario| scenario.nodes == 1);
    let installations: Vec<_> = INSTALLATIONS.iter().filter(chosen).collect();
    let mut audit = Audit::default();
    let failed = run(&one, || Bed::up("e2e", 1), |bed| audit.look_at(bed))?
        + run(&three, || Bed::up("e2e", 3), |bed| audit.look_at(bed))?;
    // There the rules go before the operator does, and what is asked for in between is forbidden.
    let failed = failed + run(&installations, || Bed::bare("e2e", 1), |_| ())?;
    if !one.is_empty() || !three.is_empty() {
        audit.judge(args.is_empty())?;
    }
    Ok(failed)
}

/// Runs scenarios in one cluster, and what is to be done with it at the end; returns how many failed.
fn run(scenarios: &[&Scenario], start: impl FnOnce() -> Result<Bed>, end: impl FnOnce(&Bed)) -> Result<usize> {
    if scenarios.is_empty() {
        return Ok(0);
    }
    let began = Instant::now();
    let bed = start()?;
    println!("a cluster of {} node(s) in {:.1} s", bed.cluster.nodes().len(), began.elapsed().as_secs_f64());
    let mut failed = Vec::new();
    for scenario in scenarios {
        println!("-- {}", scenario.name);
        let began = Instant::now();
        let result = (scenario.run)(&bed);
        let seconds = began.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("ok {} ({seconds:.1} s)", scenario.name),
            Err(error) => {
                println!("FAILED {} ({seconds:.1} s): {error:#}\n{}", scenario.name, bed.diagnosis());
                failed.push((scenario.name, error));
            }
        }
    }
    println!("{} of {} scenarios passed", scenarios.len() - failed.len(), scenarios.len());
    // Once more at the end, where whoever reads only that finds it.
    for (name, error) in &failed {
        println!("FAILED {name}: {}", error.root_cause());
    }
    end(&bed);
    let dir = bed.cluster.dir().to_owned();
    drop(bed);
    Cluster::down(&dir)?;
    Ok(failed.len())
}

fn finish(result: Result<usize>) -> ExitCode {
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
