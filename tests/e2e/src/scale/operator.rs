//! The operator as a process of its own, as it is shipped, seen from outside.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use etcd_backup_testbed::{Daemon, free_ports};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::api::Cluster;
use super::volumes::Volumes;
use crate::bed::IMAGE;
use crate::processes::Process;

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to have looked at everything.
const SETTLED: Duration = Duration::from_secs(600);
/// It is at rest when it has reconciled nothing in this many looks, one each five seconds.
const CALM: usize = 3;

pub(super) struct Operator {
    daemon: Daemon,
    port: u16,
    started: Instant,
}

/// What it tells at one moment.
pub(super) struct Metrics(String);

impl Metrics {
    /// The sum of all series of a metric.
    pub(super) fn sum(&self, name: &str) -> f64 {
        let series = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let value = if rest.starts_with('{') { rest.rsplit_once(' ')?.1 } else { rest.strip_prefix(' ')? };
            value.parse::<f64>().ok()
        });
        series.sum()
    }
}

impl Operator {
    /// Starts it with the rights and the flags of the manifests.
    pub(super) fn start(cluster: &Cluster, program: &Path) -> Result<Self> {
        let [port] = free_ports()?;
        let mut command = Command::new(program);
        command.env("KUBECONFIG", cluster.kubeconfig());
        command.args(["--platform=kubeadm", "--leader-elect=true", "--image", IMAGE, "--port", &port.to_string()]);
        let started = Instant::now();
        let daemon = Daemon::start("etcd-backup-operator", command, &cluster.log())
            .with_context(|| format!("start {}: `make scale` builds it", program.display()))?;
        Ok(Self { daemon, port, started })
    }

    /// Waits until it works; says how long that took from the start of the process.
    pub(super) async fn ready(&mut self) -> Result<Duration> {
        loop {
            self.daemon.check()?;
            // Until it listens there is no answer.
            let said = self.get("/readyz").await.unwrap_or_default();
            if said.contains("this operator works") {
                return Ok(self.started.elapsed());
            }
            if self.started.elapsed() > PATIENCE {
                bail!("the operator is not ready after {} s; it says: {said}", PATIENCE.as_secs());
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has looked at everything: all volumes are listed, and it reconciles no more.
    pub(super) async fn settles(&self, volumes: &Volumes) -> Result<()> {
        let (began, listed) = (Instant::now(), volumes.listed());
        let (mut last, mut calm) = (f64::NAN, 0);
        while calm < CALM {
            if began.elapsed() > SETTLED {
                bail!(
                    "the operator is not at rest after {} s; {} volumes were listed",
                    SETTLED.as_secs(),
                    volumes.listed()
                );
            }
            sleep(Duration::from_secs(5)).await;
            let reconciles = self.metrics().await?.sum("etcdbackup_reconciles_total");
            let rests = reconciles.total_cmp(&last).is_eq() && volumes.all_listed_since(listed);
            calm = if rests { calm + 1 } else { 0 };
            last = reconciles;
        }
        Ok(())
    }

    /// What `/metrics` tells.
    pub(super) async fn metrics(&self) -> Result<Metrics> {
        self.get("/metrics").await.map(Metrics)
    }

    /// A figure of `/proc/<pid>/status`, in MB.
    pub(super) fn megabytes(&self, field: &str) -> Result<f64> {
        Ok(Process(self.daemon.id()).memory(field)? as f64 / 1e6)
    }

    /// Ends it as kubelet does. It releases its Lease.
    pub(super) fn stop(self) -> Result<()> {
        Ok(self.daemon.stop()?)
    }

    async fn get(&self, path: &str) -> Result<String> {
        let answer = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(PATIENCE, answer).await.context("the operator's port does not answer")?;
        answer.with_context(|| format!("ask the operator for {path}: has it ended?"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_one_metric_are_summed() {
        let text =
            "# HELP a_total x\na_total{verb=\"get\",code=\"200\"} 3\na_total{verb=\"list\"} 4\na_total_more 9\nb 0.5\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!([metrics.sum("a_total"), metrics.sum("b"), metrics.sum("c")], [7.0, 0.5, 0.0]);
    }
}
