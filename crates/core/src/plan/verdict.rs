use std::fmt;

use serde::Serialize;

use super::{SetOrigin, SetSummary};
use crate::{Owner, OwnerKind, Retention, SetState};

/// What becomes of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// The set.
    pub set: &'a SetSummary,
    /// Kept or deleted, and why.
    pub action: Action,
    pub(super) part: Part,
}

/// Kept or deleted, and why. Its text is a short sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The set stays.
    Keep(KeepReason),
    /// The set goes.
    Delete(DeleteReason),
}

/// Why a set is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum KeepReason {
    /// The newest verified set of its owner.
    NewestVerified,
    /// The set that this run has published.
    JustPublished,
    /// Damaged or not wholly verified, and no newer set is verified.
    NothingNewerVerified,
    /// The policy's number has a place for it.
    WithinNumber,
    /// The policy's size has room for it.
    WithinSize,
    /// It goes when the run ends, not before.
    UntilPublished,
    /// It would go for the disk's sake, but the backup would not fit all the same.
    NotEnoughForDisk,
    /// It would go, but the sets on the volume are of more than one etcd lineage.
    LineageChanged,
    /// It would go, but the volume is not the one that the policy expects.
    VolumeChanged,
    /// It would go, but the policy changed during the run, and the other one keeps it.
    PolicyChanged,
    /// A one-shot backup.
    OneShot,
    /// The set of another schedule or administrator.
    AnotherOwner,
    /// The set of another cluster, or of one that nobody named.
    AnotherCluster,
    /// Nothing of ours.
    Foreign,
    /// It may be anybody's.
    Unreadable,
}

/// Why a set is deleted. All of them have a newer verified set of the same owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum DeleteReason {
    /// As many newer verified sets exist as the policy keeps.
    OverNumber,
    /// The limit in bytes does not hold with it.
    OverSize,
    /// It is damaged.
    Damaged,
    /// It is not wholly verified, and as many newer verified sets exist as the policy keeps.
    Unverified,
    /// It goes anyway once the new set is published, and the disk needs its room now.
    DiskShort,
}

/// What a set is to the owner whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// One of its sets. So many newer ones of them are verified.
    Own { newer_verified: u64 },
    /// By its name it may be one: counted in size, never deleted.
    MayBeOurs(KeepReason),
    /// None of its sets.
    NotOurs(KeepReason),
}

impl Part {
    pub(super) fn of(set: &SetSummary, owner: &Owner, newer_verified: u64) -> Self {
        let origin = match (set.state, &set.origin) {
            (SetState::Foreign, _) => return Self::NotOurs(KeepReason::Foreign),
            (SetState::Unreadable, _) | (_, None) => {
                let may_be_ours = set.name.is_named_for_owner(owner);
                return if may_be_ours { Self::MayBeOurs } else { Self::NotOurs }(KeepReason::Unreadable);
            }
            (_, Some(origin)) => origin,
        };
        // Without a cluster, equal names mean nothing: the volume may be several clusters'.
        if origin.owner.cluster.is_none() || origin.owner.cluster != owner.cluster {
            return Self::NotOurs(KeepReason::AnotherCluster);
        }
        match origin.owner.kind {
            OwnerKind::EtcdBackup => Self::NotOurs(KeepReason::OneShot),
            OwnerKind::Backup | OwnerKind::Manual if origin.owner == *owner => Self::Own { newer_verified },
            OwnerKind::Backup | OwnerKind::Manual | OwnerKind::Other => Self::NotOurs(KeepReason::AnotherOwner),
        }
    }
}

impl<'a> Verdict<'a> {
    /// Whether the set goes.
    #[must_use]
    pub fn deletes(&self) -> bool {
        matches!(self.action, Action::Delete(_))
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.set.state == SetState::Damaged
    }

    /// Keeps the set if it would go.
    pub(super) fn spare(&mut self, why: KeepReason) {
        if self.deletes() {
            self.action = Action::Keep(why);
        }
    }

    /// Whether its bytes are the owner's.
    pub(super) fn counts(&self) -> bool {
        !matches!(self.part, Part::NotOurs(_))
    }

    /// Its manifest, if it is one of the owner's sets.
    pub(super) fn own_origin(&self) -> Option<&'a SetOrigin> {
        let set = self.set;
        set.origin.as_ref().filter(|_| matches!(self.part, Part::Own { .. }))
    }

    pub(super) fn bytes(&self) -> u128 {
        self.set.size_bytes.into()
    }
}

impl KeepReason {
    /// Why a set is kept that no limit touches.
    pub(super) fn within(retention: Retention) -> Self {
        match retention {
            Retention::Number { .. } => Self::WithinNumber,
            Retention::Size { .. } => Self::WithinSize,
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewestVerified => "the newest verified set",
            Self::JustPublished => "published by this run",
            Self::NothingNewerVerified => "no newer set is verified",
            Self::WithinNumber => "within the number to keep",
            Self::WithinSize => "within the size to keep",
            Self::UntilPublished => "goes once the new set is published",
            Self::NotEnoughForDisk => "the backup would not fit on the disk without it either",
            Self::LineageChanged => "held: etcd was restored or rebuilt, and nobody has accepted that",
            Self::VolumeChanged => "held: the volume is another one, and nobody has accepted that",
            Self::PolicyChanged => "the policy changed during the run, and the laxer one keeps it",
            Self::OneShot => "a one-shot backup: no policy touches it",
            Self::AnotherOwner => "the set of another owner",
            Self::AnotherCluster => "the set of another cluster, or of an unknown one",
            Self::Foreign => "not a set of etcd-backup",
            Self::Unreadable => "unreadable: nobody knows what it is",
        })
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OverNumber => "over the number to keep",
            Self::OverSize => "over the size to keep",
            Self::Damaged => "damaged, and a newer set is verified",
            Self::Unverified => "not wholly verified, and enough newer sets are",
            Self::DiskShort => "goes anyway once the new set is published; the disk needs the room now",
        })
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep(why) => why.fmt(f),
            Self::Delete(why) => why.fmt(f),
        }
    }
}
