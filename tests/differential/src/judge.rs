//! Sets what we say of a file beside what etcd says of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use etcd_backup_snapshot::{Description, verify};
use etcd_backup_testbed::repository;
use tempfile::TempDir;

use crate::boot::{IMPATIENT, PATIENT, boot};
use crate::etcdutl::{Status, restore, status};
use crate::life::Taken;
use crate::version::{VERSIONS, Version};

/// How far etcd comes with a file, or why no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// `etcdutl snapshot status` refuses it.
    Status,
    /// `etcdutl snapshot restore` refuses it.
    Restore,
    /// etcd does not boot what was restored, or cannot be read.
    Boot,
    /// It boots.
    Serves,
}

/// What was counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) databases: usize,
    pub(crate) restored_and_equal: usize,
    pub(crate) damaged: usize,
    pub(crate) accepted: usize,
    pub(crate) accepted_but_refused: usize,
    /// Damaged copies that we refuse, by our reason and how far etcd comes with them.
    pub(crate) refused: BTreeMap<(&'static str, Stage), Refused>,
    pub(crate) disagreements: Vec<String>,
}

/// Damaged copies that have the same said of them.
#[derive(Default)]
pub(crate) struct Refused {
    /// How many, by the kind of damage.
    pub(crate) kinds: BTreeMap<String, usize>,
    /// What we say of some of them.
    pub(crate) examples: Vec<String>,
}

impl Refused {
    const EXAMPLES: usize = 4;

    fn add(&mut self, other: Self) {
        other.kinds.into_iter().for_each(|(kind, count)| *self.kinds.entry(kind).or_default() += count);
        self.examples.extend(other.examples);
        self.examples.truncate(Self::EXAMPLES);
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.databases += other.databases;
        self.restored_and_equal += other.restored_and_equal;
        self.damaged += other.damaged;
        self.accepted += other.accepted;
        self.accepted_but_refused += other.accepted_but_refused;
        for (key, refused) in other.refused {
            self.refused.entry(key).or_default().add(refused);
        }
        self.disagreements.extend(other.disagreements);
    }

    /// Writes a disagreement down and keeps the file.
    fn disagree(&mut self, file: &Path, what: &str, why: &str) -> Result<()> {
        let kept = repository().join("target/differential");
        fs::create_dir_all(&kept).with_context(|| format!("make {}", kept.display()))?;
        let name: String = what.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let kept = kept.join(name + ".db");
        fs::copy(file, &kept).with_context(|| format!("keep {}", kept.display()))?;
        self.disagreements.push(format!("{what}: {why}; kept as {}", kept.display()));
        Ok(())
    }

    /// An undamaged snapshot: everybody accepts it and says the same of it, and what is restored from it has the content
    /// that the member served.
    pub(crate) async fn undamaged(&mut self, what: &str, version: &Version, taken: &Taken, dir: &Path) -> Result<()> {
        self.databases += 1;
        let found = match verify(&File::open(&taken.file)?) {
            Ok(found) => found,
            Err(error) => return self.disagree(&taken.file, what, &format!("we refuse it: {error}")),
        };
        for reader in &VERSIONS[1..] {
            match status(reader, &taken.file)? {
                Ok(theirs) if theirs == expected(&found, reader) => {}
                Ok(theirs) => {
                    let ours = expected(&found, reader);
                    self.disagree(&taken.file, what, &format!("etcdutl {reader} says {theirs:?}, we {ours:?}"))?;
                }
                Err(why) => self.disagree(&taken.file, what, &format!("etcdutl {reader} refuses it: {why}"))?,
            }
        }
        let dir = TempDir::new_in(dir)?;
        let data_dir = dir.path().join("restored");
        let verdict = match restore(version, &taken.file, &data_dir)? {
            Ok(()) => boot(version, &data_dir, PATIENT).await?,
            Err(why) => Err(why),
        };
        match verdict {
            Ok(Some(content)) if content == taken.content => self.restored_and_equal += 1,
            Ok(content) => {
                let why = format!("the member served {:?}, restored is {content:?}", taken.content);
                self.disagree(&taken.file, what, &why)?;
            }
            Err(why) => self.disagree(&taken.file, what, &format!("restored it does not serve: {why}"))?,
        }
        Ok(())
    }

    /// A damaged copy: what etcd refuses at any stage, we refuse.
    pub(crate) async fn damaged(
        &mut self,
        what: &str,
        kind: &str,
        version: &Version,
        file: &Path,
        dir: &Path,
    ) -> Result<()> {
        self.damaged += 1;
        let ours = verify(&File::open(file)?);
        let (stage, why) = examine(version, file, ours.as_ref().ok(), dir).await?;
        match ours {
            Ok(_) => {
                self.accepted += 1;
                if stage != Stage::Serves {
                    self.accepted_but_refused += 1;
                    self.disagree(file, what, &format!("we accept it, etcd fails at {stage:?}: {why}"))?;
                }
            }
            Err(error) => {
                let refused = Refused { kinds: [(kind.to_owned(), 1)].into(), examples: vec![error.to_string()] };
                self.refused.entry((error.reason(), stage)).or_default().add(refused);
            }
        }
        Ok(())
    }
}

/// How far etcd comes with a file, and why no further. With facts of ours, theirs must be the same.
async fn examine(version: &Version, file: &Path, ours: Option<&Description>, dir: &Path) -> Result<(Stage, String)> {
    let theirs = match status(version, file)? {
        Ok(theirs) => theirs,
        Err(why) => return Ok((Stage::Status, why)),
    };
    if let Some(ours) = ours.map(|ours| expected(ours, version)).filter(|ours| *ours != theirs) {
        return Ok((Stage::Status, format!("etcdutl says {theirs:?}, we {ours:?}")));
    }
    let dir = TempDir::new_in(dir)?;
    let data_dir = dir.path().join("restored");
    if let Err(why) = restore(version, file, &data_dir)? {
        return Ok((Stage::Restore, why));
    }
    let limit = if ours.is_some() { PATIENT } else { IMPATIENT };
    Ok(match boot(version, &data_dir, limit).await? {
        Ok(_) => (Stage::Serves, String::new()),
        Err(why) => (Stage::Boot, why),
    })
}

/// What `etcdutl snapshot status` must say of what we found.
fn expected(found: &Description, reader: &Version) -> Status {
    Status {
        hash: found.hash,
        revision: found.revision,
        total_key: if reader.counts_entries() { found.total_entries } else { found.total_keys },
        total_size: found.content_bytes,
    }
}
