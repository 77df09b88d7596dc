//! Causes real faults and says what came of them: `make faults`, or `make faults ARGS="disk-slow"` for what matches.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow};
use etcd_backup_e2e::faults::bed::Bed;
use etcd_backup_e2e::faults::{Fault, LANES, Lane, Observed};
use etcd_backup_testbed::measured;

fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let began = Instant::now();
    let lanes: Vec<_> = LANES
        .into_iter()
        .map(|lane| {
            let chosen = chosen.clone();
            thread::spawn(move || run(&lane, &chosen))
        })
        .collect();
    let (mut rows, mut failed) = (Vec::new(), 0);
    for lane in lanes {
        let result = lane.join().map_err(|_| anyhow!("a lane panicked")).flatten();
        match result {
            Ok(results) => {
                failed += results.iter().filter(|result| result.is_none()).count();
                rows.extend(results.into_iter().flatten());
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                failed += 1;
            }
        }
    }
    table(&rows);
    println!("\n{} faults, {failed} with a broken promise, {:.0} s", rows.len(), began.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Row = (&'static str, Observed);

/// Causes a lane's faults one after the other; none for each that broke a promise.
fn run(lane: &Lane, chosen: &[String]) -> Result<Vec<Option<Row>>> {
    let wanted = |fault: &&Fault| chosen.is_empty() || chosen.iter().any(|name| name == fault.name);
    let faults: Vec<&Fault> = lane.faults.iter().filter(wanted).collect();
    if faults.is_empty() {
        return Ok(Vec::new());
    }
    let mut bed = Bed::start(lane.members, lane.megabytes)?;
    let mut rows = Vec::new();
    for fault in faults {
        let result = fault.cause(&mut bed);
        bed.recover()?;
        rows.push(match result {
            Ok(observed) => {
                report(fault.name, &observed)?;
                Some((fault.name, observed))
            }
            Err(error) => {
                println!("FAILED {}: {error:#}", fault.name);
                None
            }
        });
    }
    Ok(rows)
}

fn report(name: &str, observed: &Observed) -> Result<()> {
    let Observed { words, exit, seconds, left, next, .. } = observed;
    let (words, seconds) = (words.replace(' ', "-"), format!("{seconds:.1}"));
    let values: [(&str, &dyn std::fmt::Display); 6] =
        [("name", &name), ("reason", &words), ("exit", exit), ("seconds", &seconds), ("left", left), ("next", next)];
    Ok(measured("fault", &values)?)
}

fn table(rows: &[Row]) {
    println!(
        "\n{:20} {:24} {:>4} {:>8}  {:26} NEXT RUN",
        "FAULT", "REASON+WARNINGS", "EXIT", "SECONDS", "ON THE VOLUME"
    );
    for (name, Observed { words, exit, seconds, left, next, .. }) in rows {
        println!("{name:20} {words:24} {exit:>4} {seconds:>8.1}  {left:26} {next}");
    }
}
