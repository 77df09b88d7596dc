//! A real etcd with mutual TLS, and what the tests do to it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::time::Duration;

use etcd_backup_etcd::{Candidate, Connection, Quorum, TlsFiles, candidates, survey};
use etcd_backup_testbed::{Etcd, EtcdOptions};
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};

pub(crate) struct Bed {
    pub(crate) etcd: Etcd,
}

impl Bed {
    /// Starts a cluster and waits until every member knows the leader.
    pub(crate) async fn start(members: usize) -> Self {
        let etcd = Etcd::start(EtcdOptions { members, ..EtcdOptions::default() }).unwrap();
        let bed = Self { etcd };
        let connection = bed.connection();
        until("every member knows the leader", async || {
            let chosen = candidates(&survey(&connection).await.ok()?, Quorum::Required);
            (chosen.ordered.len() == members).then_some(())
        })
        .await;
        bed
    }

    /// The identity that etcd trusts.
    pub(crate) fn tls(&self) -> TlsFiles {
        TlsFiles { ca: self.etcd.ca(), cert: self.etcd.cert(), key: self.etcd.key() }
    }

    /// A connection to all members with bounds that suit a test. All of them are on loopback; none is
    /// the local one unless a test says so.
    pub(crate) fn connection(&self) -> Connection {
        let mut connection = Connection::new(self.etcd.endpoints(), Some(self.tls()));
        connection.local_endpoint = Some("https://127.0.0.1:1".to_owned());
        connection.connect_timeout = Duration::from_secs(3);
        connection.request_timeout = Duration::from_secs(3);
        connection
    }

    /// The members that may serve, the best first.
    pub(crate) async fn ordered(&self, connection: &Connection) -> Vec<Candidate> {
        candidates(&survey(connection).await.unwrap(), Quorum::Required).ordered
    }

    pub(crate) async fn best(&self, connection: &Connection) -> Candidate {
        self.ordered(connection).await.into_iter().next().unwrap()
    }

    /// Which of the bed's members that is.
    pub(crate) fn index(&self, candidate: &Candidate) -> usize {
        self.etcd.endpoints().iter().position(|endpoint| *endpoint == candidate.status.endpoint).unwrap()
    }

    /// A client of the first member.
    pub(crate) async fn client(&self) -> Client {
        let files = self.tls();
        let read = |path| std::fs::read(path).unwrap();
        let identity = Identity::from_pem(read(&files.cert), read(&files.key));
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&files.ca))).identity(identity);
        Client::connect([&self.etcd.endpoints()[0]], Some(ConnectOptions::new().with_tls(tls))).await.unwrap()
    }

    /// Writes so many values of 1 MiB, each under a key of its own.
    pub(crate) async fn fill(&self, mebibytes: usize) {
        let mut client = self.client().await;
        for n in 0..mebibytes {
            client.put(format!("fill/{n}"), vec![b'x'; 1 << 20], None).await.unwrap();
        }
    }
}

/// Waits until something is there, for at most a minute.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in time: {what}");
}
