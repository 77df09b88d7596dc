//! How long retention's plan takes and how much memory it needs, by the number of sets.
//!
//! Each number is measured in a process of its own, so that its peak memory is that of holding the
//! sets and planning once. Prints lines as `make measure` keeps them.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use etcd_backup_core::{
    Lineage, Owner, OwnerKind, Policy, Retention, SetName, SetOrigin, SetState, SetSummary, Situation, Stage, plan,
};
use jiff::Timestamp;

const NUMBERS: [u64; 3] = [1_000, 10_000, 100_000];
/// Plans of which the median is taken.
const ROUNDS: usize = 9;
const SET_BYTES: u64 = 1 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(number) = std::env::args().nth(1) {
        return measure(number.parse()?);
    }
    for number in NUMBERS {
        let run = Command::new(std::env::current_exe()?).arg(number.to_string()).output()?;
        if !run.status.success() {
            return Err(format!("planning {number} sets failed: {}", String::from_utf8_lossy(&run.stderr)).into());
        }
        print!("{}", String::from_utf8(run.stdout)?);
    }
    Ok(())
}

fn measure(number: u64) -> Result<(), Box<dyn Error>> {
    let owner = owner("nightly");
    let sets = sets(number)?;
    // Half of the bytes have to go.
    let policy = Policy::new(Retention::Size { max_bytes: number / 2 * SET_BYTES });
    let situation = Situation { owner: &owner, volume_id: "9d2f9a52", stage: Stage::Alone };
    let deletions = plan(&sets, &policy, &situation).deletions().count();
    let rss_mb = peak_bytes()? as f64 / 1e6;

    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let again = std::hint::black_box(plan(&sets, &policy, &situation));
        times.push(start.elapsed());
        if again.deletions().count() != deletions || deletions == 0 {
            return Err(format!("{deletions} deletions are none, or not the same each time").into());
        }
    }
    times.sort_unstable();
    let ms = times.get(ROUNDS / 2).map_or(0.0, Duration::as_secs_f64) * 1e3;
    println!("measured plan sets={number} deletions={deletions} ms={ms:.2} rss_mb={rss_mb:.1}");
    Ok(())
}

/// Sets out of order, of two owners, one in 50 damaged and one in 50 without full proof.
fn sets(number: u64) -> Result<Vec<SetSummary>, Box<dyn Error>> {
    // Coprime to every power of ten: each sequence comes once.
    let scattered = (0..number).map(|index| index * 7_919 % number + 1);
    scattered.map(set).collect()
}

fn set(sequence: u64) -> Result<SetSummary, Box<dyn Error>> {
    let name = if sequence.is_multiple_of(10) { "weekly" } else { "nightly" };
    let state = match sequence % 50 {
        1 => SetState::Damaged,
        2 => SetState::Unverified,
        _ => SetState::Verified,
    };
    let origin = SetOrigin {
        owner: owner(name),
        sequence,
        completion_time: Timestamp::from_second(i64::try_from(sequence)?)?,
        lineage: Lineage {
            cluster_id: "cdf818194e3a8c32".into(),
            revision: i64::try_from(sequence)?,
            raft_term: 2,
            raft_index: Some(sequence),
        },
    };
    let name = SetName::parse(&format!("backup-{name}-2026-01-02_030405-{sequence:08x}")).ok_or("not a set's name")?;
    Ok(SetSummary { name, state, size_bytes: SET_BYTES, origin: Some(origin) })
}

fn owner(name: &str) -> Owner {
    let cluster = Some("5f2c7a1e-2b1d-4b57-9a43-5a1b7b1f1c11".to_owned());
    Owner { cluster, kind: OwnerKind::Backup, name: name.to_owned() }
}

/// Most memory of this process so far, in bytes (`VmHWM`).
fn peak_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
