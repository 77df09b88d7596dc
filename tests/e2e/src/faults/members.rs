//! Faults of etcd's members.

use std::process::Command;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use etcd_backup_testbed::tool;
use etcd_client::{AlarmAction, AlarmType};

use super::agent::Ended;
use super::bed::{Bed, until};
use super::{Fault, Observed, next, observe};

const DROPPED: &[&str] = &["Completed+MemberDropped"];
const COMPLETED: &[&str] = &["Completed"];

/// What can happen to members.
pub(super) const FAULTS: [Fault; 13] = [
    Fault {
        name: "member-stops",
        run: stops,
        words: DROPPED,
        within_seconds: 40.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "member-killed",
        run: killed,
        words: DROPPED,
        within_seconds: 20.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "member-frozen",
        run: frozen,
        words: DROPPED,
        within_seconds: 30.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "member-unreachable",
        run: unreachable,
        words: DROPPED,
        within_seconds: 30.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "member-lags",
        run: lags,
        words: COMPLETED,
        within_seconds: 30.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "member-stale",
        run: stale,
        words: DROPPED,
        within_seconds: 40.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "alarm-nospace",
        run: no_space,
        words: &["Completed+NoSpaceAlarm"],
        within_seconds: 20.0,
        left: "2set,0staged,0trash",
        next: "Completed+NoSpaceAlarm",
    },
    Fault {
        name: "alarm-corrupt",
        run: corrupt,
        words: COMPLETED,
        within_seconds: 20.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "heavy-writes",
        run: heavy_writes,
        words: COMPLETED,
        within_seconds: 40.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "defragmentation",
        run: defragmentation,
        words: COMPLETED,
        within_seconds: 40.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "leader-lost",
        run: leader_lost,
        words: COMPLETED,
        within_seconds: 20.0,
        left: "2set,0staged,0trash",
        next: "Completed",
    },
    Fault {
        name: "quorum-lost",
        run: quorum_lost,
        words: COMPLETED,
        within_seconds: 20.0,
        left: "2set,0staged,0trash",
        next: "NoQuorum,then:Completed",
    },
    Fault {
        name: "no-quorum",
        run: no_quorum,
        words: &["NoQuorum"],
        within_seconds: 30.0,
        left: "1set,0staged,0trash",
        next: "NoQuorum,then:Completed",
    },
];

/// Something happens to the cluster while a follower streams; the next run finds it as it is then.
fn while_streaming(bed: &mut Bed, name: &str, cause: impl FnOnce(&mut Bed, usize) -> Result<()>) -> Result<Observed> {
    let volume = bed.volume(&bed.path(name))?;
    let before = volume.sets()?;
    let member = bed.follower()?;
    let id = bed.member_id(member)?;
    let streaming = bed.streaming(&volume.path, member)?;
    let fault = Instant::now();
    cause(bed, member)?;
    let ended = streaming.go_on(bed)?;
    let mut observed = observe(&volume, &before, &ended, fault)?;
    let dropped = observed.words.contains("MemberDropped");
    ensure!(dropped != (served_by(&ended)? == id), "the wrong member has served: {}", ended.report);
    observed.next = next(bed, &volume, member, Bed::recover)?;
    Ok(observed)
}

/// Id of the member whose snapshot was published.
fn served_by(ended: &Ended) -> Result<u64> {
    let id = ended.report["set"]["snapshot"]["memberId"].as_str().context("no member in the report")?;
    Ok(u64::from_str_radix(id, 16)?)
}

fn revision(ended: &Ended) -> Result<i64> {
    ended.report["set"]["snapshot"]["revision"].as_i64().context("no revision in the report")
}

fn stops(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, |bed, member| Ok(bed.etcd.stop(member)?))
}

fn killed(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, |bed, member| Ok(bed.etcd.kill(member)?))
}

fn frozen(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, |bed, member| Ok(bed.etcd.pause(member)?))
}

/// The agent's own way to the member drops everything.
fn unreachable(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, |bed, member| {
        bed.proxies[member].silence();
        Ok(())
    })
}

fn heavy_writes(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, |bed, member| {
        bed.put_megabytes("/registry/heavy/", 12)?;
        bed.etcd.etcdctl(&["del", "--prefix", "/registry/heavy/"])?;
        let revision = bed.put_through(member)?;
        bed.etcd.etcdctl(&["compact", &revision.to_string()])?;
        Ok(())
    })
}

/// etcd defragments only when the stream's read transaction is over; the two must not wait for each other for ever.
fn defragmentation(bed: &mut Bed, name: &str) -> Result<Observed> {
    let mut defragmenting = None;
    let observed = while_streaming(bed, name, |bed, member| {
        let mut defragment = Command::new(tool("etcdctl")?);
        defragment.args(["--endpoints", &bed.etcd.endpoints()[member]]).arg("--cacert").arg(bed.etcd.ca());
        defragment.arg("--cert").arg(bed.etcd.cert()).arg("--key").arg(bed.etcd.key());
        defragment.args(["defrag", "--command-timeout=60s"]);
        defragmenting = Some(thread::spawn(move || defragment.output()));
        sleep(Duration::from_millis(500));
        Ok(())
    })?;
    let ended =
        defragmenting.context("it was not begun")?.join().map_err(|_| anyhow!("the defragmentation panicked"))??;
    ensure!(ended.status.success(), "etcd does not defragment: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(observed)
}

/// The stream is the follower's own: who leads does not matter to it any more.
fn leader_lost(bed: &mut Bed, name: &str) -> Result<Observed> {
    let leader = bed.leader()?;
    while_streaming(bed, name, |bed, member| {
        bed.etcd.kill(leader)?;
        bed.until_led(member)
    })
}

/// What the snapshot must at least hold was fixed before.
fn quorum_lost(bed: &mut Bed, name: &str) -> Result<Observed> {
    while_streaming(bed, name, kill_others)
}

fn kill_others(bed: &mut Bed, member: usize) -> Result<()> {
    for other in (0..bed.proxies.len()).filter(|&other| other != member) {
        bed.etcd.kill(other)?;
    }
    until("the member to have no leader", || Ok(bed.status(member)?["leader"].as_u64().unwrap_or(0) == 0))
}

fn no_quorum(bed: &mut Bed, name: &str) -> Result<Observed> {
    let member = bed.follower()?;
    kill_others(bed, member)?;
    Ok(from_the_start(bed, name, member)?.0)
}

/// A run that finds the fault when it begins, and the next one as well.
fn from_the_start(bed: &mut Bed, name: &str, member: usize) -> Result<(Observed, Ended)> {
    let volume = bed.volume(&bed.path(name))?;
    let before = volume.sets()?;
    let fault = Instant::now();
    let ended = bed.save(&volume.path, member, &[])?.wait()?;
    let mut observed = observe(&volume, &before, &ended, fault)?;
    observed.next = next(bed, &volume, member, Bed::recover)?;
    Ok((observed, ended))
}

/// A follower that was frozen has a lot to catch up with; what it serves is not old.
fn lags(bed: &mut Bed, name: &str) -> Result<Observed> {
    let (leader, member) = (bed.leader()?, bed.follower()?);
    bed.etcd.pause(member)?;
    bed.put_megabytes_through(leader, "/registry/lag/", 12)?;
    let newest = bed.put_through(leader)?;
    bed.etcd.resume(member)?;
    let (observed, ended) = from_the_start(bed, name, member)?;
    ensure!(revision(&ended)? >= newest, "the cluster was at {newest}: {}", ended.report);
    Ok(observed)
}

/// A follower that is cut off from the others, does not know it yet, and has old data.
fn stale(bed: &mut Bed, name: &str) -> Result<Observed> {
    let (leader, member) = (bed.leader()?, bed.follower()?);
    let id = bed.member_id(member)?;
    bed.etcd.isolate(member)?;
    let newest = bed.put_through(leader)?;
    let status = bed.status(member)?;
    ensure!(
        status["leader"].as_u64().unwrap_or(0) != 0 && status["header"]["revision"].as_i64() < Some(newest),
        "the member knows already that it is cut off, or is not: {status}"
    );
    let (observed, ended) = from_the_start(bed, name, member)?;
    ensure!(revision(&ended)? >= newest && served_by(&ended)? != id, "old data was saved: {}", ended.report);
    Ok(observed)
}

fn no_space(bed: &mut Bed, name: &str) -> Result<Observed> {
    let member = bed.follower()?;
    with_alarm(bed, name, AlarmType::Nospace, member).map(|(observed, _)| observed)
}

fn corrupt(bed: &mut Bed, name: &str) -> Result<Observed> {
    let member = bed.follower()?;
    let id = bed.member_id(member)?;
    let (observed, ended) = with_alarm(bed, name, AlarmType::Corrupt, member)?;
    ensure!(served_by(&ended)? != id, "the member that may be corrupt has served: {}", ended.report);
    Ok(observed)
}

fn with_alarm(bed: &mut Bed, name: &str, alarm: AlarmType, member: usize) -> Result<(Observed, Ended)> {
    bed.alarm(AlarmAction::Activate, alarm, member)?;
    let outcome = from_the_start(bed, name, member);
    bed.alarm(AlarmAction::Deactivate, alarm, member)?;
    outcome
}
