//! The lives of real members, and the snapshots taken on the way.

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use etcd_backup_etcd::{Connection, Limits, Quorum, SnapshotStream, TlsFiles, candidates, survey};
use etcd_backup_snapshot::verify;
use etcd_backup_testbed::{Etcd, EtcdOptions};
use etcd_client::{
    AlarmAction, AlarmType, Certificate, Client, ConnectOptions, Identity, MemberAddOptions, TlsOptions, UserAddOptions,
};
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::boot::{PASSWORD, USER};
use crate::content::Content;
use crate::operations::Operations;
use crate::version::Version;

/// Snapshots of one life.
const SNAPSHOTS: usize = 10;

/// What a life is mostly about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Everything, a little.
    Mixed,
    /// Values up to more than 1 MB.
    Large,
    /// Mostly deletions and compactions, until nothing but deletions is left.
    Deletions,
    /// Users and roles; clients must authenticate.
    Auth,
    /// Alarms and a learner that was never started.
    Alarms,
    /// Many small keys, with writes going on while the snapshot is taken.
    Busy,
}

pub(crate) const KINDS: [Kind; 6] = [Kind::Mixed, Kind::Large, Kind::Deletions, Kind::Auth, Kind::Alarms, Kind::Busy];

/// A life to be lived: the same seed makes the same operations.
pub(crate) struct Life {
    pub(crate) version: &'static Version,
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "etcd {} {:?} seed {:#x}", self.version, self.kind, self.seed)
    }
}

/// A snapshot, and what the member served at its revision.
pub(crate) struct Taken {
    pub(crate) file: PathBuf,
    pub(crate) content: Content,
}

impl Life {
    /// Lives it, with the snapshots in `dir`.
    pub(crate) async fn live(&self, dir: &Path, rng: &mut Rng) -> Result<Vec<Taken>> {
        let args = vec!["--bcrypt-cost=4".to_owned(), "--max-request-bytes=33554432".to_owned()];
        let etcd = Etcd::start(EtcdOptions { members: 1, binary: Some(self.version.etcd()?), args })?;
        let mut member = Member { client: client(&etcd).await?, etcd };
        let mut operations = Operations::new(self.kind, rng.fork());
        let mut taken = Vec::new();
        for index in 0..SNAPSHOTS {
            // The first is of an empty database.
            if index > 0 {
                operations.run(&mut member.client, rng.usize(5..60)).await.context("change the database")?;
            }
            member.turn(self.kind, index).await.with_context(|| format!("turn {index}"))?;
            if index > 0 && rng.u8(..3) == 0 {
                member.client.defragment().await.context("defragment")?;
            }
            let file = dir.join(format!("{index}.db"));
            let with_etcdctl = match self.kind {
                // The agent asks no member that calls its own data corrupt.
                Kind::Alarms => alarm_at(index) == Some(AlarmType::Corrupt) || rng.bool(),
                // Only the agent's code lets the writes go on beside it.
                Kind::Busy => false,
                _ => rng.bool(),
            };
            let written = async {
                if self.kind == Kind::Busy { operations.write_on(member.client.clone()).await } else { Ok(()) }
            };
            let saved = async {
                if with_etcdctl { member.save_with_etcdctl(&file) } else { member.save_with_stream(&file).await }
            };
            tokio::try_join!(saved, written).with_context(|| format!("take snapshot {index}"))?;
            // What the snapshot must be compared with is known only from its revision if writes went on.
            let found = verify(&File::open(&file)?).with_context(|| format!("snapshot {index} of {self}"))?;
            let content = Content::read(&mut member.client, Some(found.current_revision())).await?;
            taken.push(Taken { file, content });
            // Nothing can be written while it is on.
            if let (Kind::Alarms, Some(alarm)) = (self.kind, alarm_at(index)) {
                member.alarm(AlarmAction::Deactivate, alarm).await?;
            }
        }
        Ok(taken)
    }
}

/// The alarm that is on at a snapshot of a life with alarms.
fn alarm_at(index: usize) -> Option<AlarmType> {
    match index {
        4 => Some(AlarmType::Nospace),
        7 => Some(AlarmType::Corrupt),
        _ => None,
    }
}

struct Member {
    client: Client,
    etcd: Etcd,
}

impl Member {
    /// What belongs to a certain time of a certain kind of life.
    async fn turn(&mut self, kind: Kind, index: usize) -> Result<()> {
        let client = &mut self.client;
        match (kind, index) {
            (Kind::Auth, 2) => {
                // The test bed's client is known by its certificate, whoever else by a password.
                client.user_add(USER, PASSWORD, None).await?;
                client.user_add("etcd-backup-test", "", Some(UserAddOptions::new().with_no_pwd())).await?;
                client.role_add("root").await?;
                client.user_grant_role(USER, "root").await?;
                client.user_grant_role("etcd-backup-test", "root").await?;
                client.role_add("reader").await?;
                let all = etcd_client::Permission::read("/registry/").with_prefix();
                client.role_grant_permission("reader", all).await?;
                client.user_add("somebody", "else", None).await?;
                client.user_grant_role("somebody", "reader").await?;
            }
            (Kind::Auth, 3) => {
                client.auth_enable().await?;
            }
            (Kind::Auth, 9) => {
                client.auth_disable().await?;
            }
            (Kind::Alarms, 2) => {
                let learner = MemberAddOptions::new().with_is_learner();
                client.member_add(["https://127.0.0.1:1"], Some(learner)).await?;
            }
            (Kind::Alarms, index) => {
                if let Some(alarm) = alarm_at(index) {
                    self.alarm(AlarmAction::Activate, alarm).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn alarm(&mut self, action: AlarmAction, kind: AlarmType) -> Result<()> {
        let status = self.client.status().await?;
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(status.header().map_or(0, etcd_client::ResponseHeader::member_id));
        self.client.alarm(action, kind, Some(options)).await?;
        Ok(())
    }

    fn save_with_etcdctl(&self, file: &Path) -> Result<()> {
        self.etcd.etcdctl(&["snapshot", "save", &file.display().to_string()])?;
        Ok(())
    }

    /// Saves as the agent does.
    async fn save_with_stream(&self, file: &Path) -> Result<()> {
        let (ca, cert, key) = (self.etcd.ca(), self.etcd.cert(), self.etcd.key());
        let connection = Connection::new(self.etcd.endpoints(), Some(TlsFiles { ca, cert, key }));
        let candidates = candidates(&survey(&connection).await?, Quorum::Required);
        let candidate = candidates.ordered.first().context("no member may serve")?;
        let cancel = CancellationToken::new();
        let stream = SnapshotStream::open(&connection, candidate, &Limits::default(), &cancel).await?;
        stream.write_to(File::create_new(file)?, |_| {}).await?;
        Ok(())
    }
}

async fn client(etcd: &Etcd) -> Result<Client> {
    let read = |path: PathBuf| std::fs::read(&path).with_context(|| format!("read {}", path.display()));
    let tls = TlsOptions::new()
        .ca_certificate(Certificate::from_pem(read(etcd.ca())?))
        .identity(Identity::from_pem(read(etcd.cert())?, read(etcd.key())?));
    Ok(Client::connect(etcd.endpoints(), Some(ConnectOptions::new().with_tls(tls))).await?)
}
