//! Runs the scenarios in real clusters: `make e2e`, or `make e2e ARGS="two-at-once"` for what matches.

#![forbid(unsafe_code)]

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
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

/// Runs what the arguments name, or everything; returns how many failed. Much of a scenario is waiting, so that two
/// clusters at once take little longer than one.
fn run_matching(args: &[String]) -> Result<usize> {
    let chosen = |scenario: &&Scenario| args.is_empty() || args.iter().any(|arg| scenario.name == *arg);
    let (one, three): (Vec<_>, Vec<_>) = ALL.iter().filter(chosen).partition(|scenario| scenario.nodes == 1);
    let installations: Vec<_> = INSTALLATIONS.iter().filter(chosen).collect();
    let audit = Mutex::new(Audit::default());
    let look_at = |bed: &Bed| audit.lock().unwrap_or_else(PoisonError::into_inner).look_at(bed);
    let failed = thread::scope(|scope| {
        let others = scope.spawn(|| {
            // There the rules go before the operator does, and what is asked for in between is forbidden.
            let failed = run(&installations, || Bed::bare("e2e-install", 1), |_| ())?;
            anyhow::Ok(failed + run(&three, || installed("e2e-three", 3), look_at)?)
        });
        let failed = run(&one, || installed("e2e", 1), look_at);
        let others = others.join().unwrap_or_else(|panic| resume_unwind(panic));
        anyhow::Ok(failed? + others?)
    })?;
    if !one.is_empty() || !three.is_empty() {
        audit.into_inner().unwrap_or_else(PoisonError::into_inner).judge(args.is_empty())?;
    }
    Ok(failed)
}

/// A cluster with the product. Its volumes are directories on the machine's own disk: how full that is must not matter.
fn installed(name: &str, nodes: usize) -> Result<Bed> {
    let bed = Bed::up(name, nodes)?;
    bed.operator_flags(&["--reserve-percent=0"])?;
    Ok(bed)
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
