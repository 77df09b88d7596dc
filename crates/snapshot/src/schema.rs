//! The entries of the small buckets, as `server/storage/schema` in etcd's source names and encodes them. A member
//! decodes all of them when it starts, and ends there if one does not decode; so they are decoded here too.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::blocks::Blocks;
use crate::protobuf::{Field, Fields, Shape};
use crate::revision::Revision;
use crate::tree::Entry;
use crate::{Alarm, AlarmKind, Member, SnapshotError};

/// Most bytes of an entry that is kept, and most members and alarms: far above what etcd can run with, far below what
/// hurts.
const MAX_VALUE_BYTES: u64 = 64 * 1024;
const MAX_LISTED: usize = 1024;

/// `leasepb.Lease`: ID, TTL, RemainingTTL.
const LEASE: &[(u64, Shape)] = &[(1, Shape::Varint), (2, Shape::Varint), (3, Shape::Varint)];
/// `authpb.User`: name, password, roles, options{no_password}.
const USER: &[(u64, Shape)] =
    &[(1, Shape::Bytes), (2, Shape::Bytes), (3, Shape::Bytes), (4, Shape::Message(&[(1, Shape::Varint)]))];
/// `authpb.Role`: name, keyPermission{permType, key, range_end}.
const ROLE: &[(u64, Shape)] =
    &[(1, Shape::Bytes), (2, Shape::Message(&[(1, Shape::Varint), (2, Shape::Bytes), (3, Shape::Bytes)]))];

/// What the small buckets say.
#[derive(Default)]
pub(crate) struct Schema {
    pub(crate) leases: u64,
    pub(crate) members: Vec<Member>,
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) auth_enabled: bool,
    pub(crate) scheduled_compact: Option<Revision>,
    pub(crate) finished_compact: Option<Revision>,
    pub(crate) storage_version: Option<String>,
    pub(crate) cluster_version: Option<String>,
    pub(crate) consistent_index: Option<u64>,
    pub(crate) raft_term: Option<u64>,
}

impl Schema {
    /// The next entry of a bucket other than `key`; buckets that are not known are passed over.
    pub(crate) fn read(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        match entry.bucket {
            b"meta" => self.meta(blocks, entry),
            b"lease" => self.lease(blocks, entry),
            b"members" => self.member(blocks, entry),
            b"members_removed" => member_id(entry).map(drop),
            b"cluster" => self.cluster(blocks, entry),
            b"alarm" => self.alarm(blocks, entry),
            b"auth" => self.auth(blocks, entry),
            b"authUsers" => message(blocks, entry, USER, "is not a user"),
            b"authRoles" => message(blocks, entry, ROLE, "is not a role"),
            _ => Ok(()),
        }
    }

    fn meta(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        match entry.key {
            b"scheduledCompactRev" => self.scheduled_compact = Some(revision(blocks, entry)?),
            b"finishedCompactRev" => self.finished_compact = Some(revision(blocks, entry)?),
            b"consistent_index" => self.consistent_index = Some(number(blocks, entry)?),
            b"term" => self.raft_term = Some(number(blocks, entry)?),
            // Empty in the middle of a migration to 3.6; etcd then reads it as absent.
            b"storageVersion" if entry.value.len() > 0 => self.storage_version = Some(version(blocks, entry)?),
            b"confState" => drop(json::<ConfState>(blocks, entry)?),
            _ => {}
        }
        Ok(())
    }

    fn cluster(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        match entry.key {
            b"clusterVersion" => self.cluster_version = Some(version(blocks, entry)?),
            b"downgrade" => {
                let downgrade: Downgrade = json(blocks, entry)?;
                if downgrade.enabled && !is_version(&downgrade.target_version) {
                    return Err(named(entry, "has a target that is not a version"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn auth(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        match entry.key {
            b"authEnabled" => self.auth_enabled = value(blocks, entry)? == [1],
            b"authRevision" => drop(number(blocks, entry)?),
            _ => {}
        }
        Ok(())
    }

    fn lease(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        if entry.key.len() != 8 {
            return Err(entry.invalid("has a key that is not a lease's id"));
        }
        self.leases += 1;
        message(blocks, entry, LEASE, "is not a lease")
    }

    fn member(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let id = member_id(entry)?;
        let json: MemberJson = serde_json::from_slice(&value(blocks, entry)?)
            .map_err(|error| entry.invalid(format!("is not a member: {error}")))?;
        if self.members.len() == MAX_LISTED {
            return Err(entry.invalid(format!("is one of more than {MAX_LISTED} members")));
        }
        self.members.push(Member {
            id,
            name: json.name,
            peer_urls: json.peer_urls.unwrap_or_default(),
            is_learner: json.is_learner,
        });
        Ok(())
    }

    fn alarm(&mut self, blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<(), SnapshotError> {
        let (mut member_id, mut kind) = (0, AlarmKind::Unknown);
        // The key is the message (etcdserverpb.AlarmMember: memberID, alarm); there is no value.
        let mut fields = Fields::new(blocks, entry.key_span, entry);
        while let Some(field) = fields.next()? {
            match field {
                Field::Varint(1, id) => member_id = id,
                Field::Varint(2, 1) => kind = AlarmKind::NoSpace,
                Field::Varint(2, 2) => kind = AlarmKind::Corrupt,
                Field::Bytes(1 | 2, _) | Field::Fixed(1 | 2) => return Err(entry.invalid("is not an alarm")),
                _ => {}
            }
        }
        if self.alarms.len() == MAX_LISTED {
            return Err(entry.invalid(format!("is one of more than {MAX_LISTED} alarms")));
        }
        self.alarms.push(Alarm { member_id, kind });
        Ok(())
    }
}

/// etcd's `membership.Member`; its id is the entry's key too.
#[derive(Deserialize)]
struct MemberJson {
    #[serde(default)]
    name: String,
    #[serde(rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(rename = "isLearner", default)]
    is_learner: bool,
}

/// `raftpb.ConfState`. Only that it decodes counts.
#[derive(Deserialize)]
#[expect(dead_code, reason = "decoded to see that etcd can")]
struct ConfState {
    voters: Option<Vec<u64>>,
    learners: Option<Vec<u64>>,
    voters_outgoing: Option<Vec<u64>>,
    learners_next: Option<Vec<u64>>,
    auto_leave: Option<bool>,
}

/// etcd's `version.DowngradeInfo`.
#[derive(Deserialize)]
struct Downgrade {
    #[serde(rename = "target-version", default)]
    target_version: String,
    #[serde(default)]
    enabled: bool,
}

/// The value of an entry that is known to be small.
fn value(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<Vec<u8>, SnapshotError> {
    if entry.value.len() > MAX_VALUE_BYTES {
        return Err(entry.invalid(format!("has a value of {} bytes", entry.value.len())));
    }
    let mut value = Vec::new();
    blocks.copy(entry.value, &mut value)?;
    Ok(value)
}

fn number(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<u64, SnapshotError> {
    let bytes = value(blocks, entry)?.try_into();
    bytes.map(u64::from_be_bytes).map_err(|_| named(entry, "is not a number of 8 bytes"))
}

fn revision(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<Revision, SnapshotError> {
    Revision::parse_unmarked(&value(blocks, entry)?).map_err(|problem| named(entry, problem))
}

fn version(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<String, SnapshotError> {
    let text = String::from_utf8(value(blocks, entry)?).unwrap_or_default();
    if is_version(&text) { Ok(text) } else { Err(named(entry, "is not a version")) }
}

/// Whether etcd takes this for a version: three numbers and perhaps more after them (coreos/go-semver, semver 2.0).
fn is_version(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    let digits = |number: &str| number.bytes().all(|byte| byte.is_ascii_digit()) && number.parse::<i64>().is_ok();
    numbers.split('.').count() == 3 && numbers.split('.').all(digits)
}

fn json<T: DeserializeOwned>(blocks: &mut Blocks<'_>, entry: Entry<'_>) -> Result<T, SnapshotError> {
    serde_json::from_slice(&value(blocks, entry)?)
        .map_err(|error| named(entry, &format!("is not what etcd writes there: {error}")))
}

/// A member's id, which is the entry's key, in hex.
fn member_id(entry: Entry<'_>) -> Result<u64, SnapshotError> {
    let digits = str::from_utf8(entry.key).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let id = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    id.ok_or_else(|| entry.invalid("has a key that is not a member's id"))
}

fn message(
    blocks: &mut Blocks<'_>,
    entry: Entry<'_>,
    shapes: &[(u64, Shape)],
    problem: &str,
) -> Result<(), SnapshotError> {
    if Fields::new(blocks, entry.value, entry).have(shapes)? { Ok(()) } else { Err(entry.invalid(problem)) }
}

fn named(entry: Entry<'_>, problem: &str) -> SnapshotError {
    entry.invalid(format!("`{}` {problem}", String::from_utf8_lossy(entry.key)))
}

#[cfg(test)]
mod tests {
    use super::is_version;

    #[test]
    fn versions_are_semantic_ones() {
        for version in ["3.6.0", "3.7.0-alpha.0", "10.20.30+build"] {
            assert!(is_version(version), "{version}");
        }
        for other in
            ["", "3", "3.6", "3.6.", "3.6.x", "3.6.0.1", "v3.6.0", "-3.6.0", "3.+6.0", "3.6.99999999999999999999"]
        {
            assert!(!is_version(other), "{other}");
        }
    }
}
