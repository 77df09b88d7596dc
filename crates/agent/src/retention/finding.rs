use etcd_backup_core::{AcceptedLineage, Owner, OwnerKind, Plan, Policy, Reason, Retention, RetentionReason};
use indicatif::BinaryBytes;

use super::PolicyError;

/// Whether the promise of retention holds, and why not: what a run says of it in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) reason: RetentionReason,
    /// For people: what is so, on which object, and what to do.
    pub(crate) message: String,
    /// The policy that was enforced.
    pub(crate) policy_hash: Option<String>,
    pub(crate) accept_lineage: Option<AcceptedLineage>,
    /// What went wrong, in one word: it is a warning of a backup, and the end of a prune.
    pub(crate) failure: Option<Reason>,
}

impl Finding {
    /// What a plan leads to once it has been carried out.
    pub(crate) fn of(plan: &Plan<'_>, policy: &Policy, owner: &Owner, volume_id: &str) -> Self {
        let message = match plan.reason {
            RetentionReason::LineageChanged => lineage_changed(plan, owner),
            RetentionReason::VolumeChanged => volume_changed(policy, owner, volume_id),
            RetentionReason::SizeExceeded => size_exceeded(plan.bytes, policy, owner),
            RetentionReason::PolicyChanged => format!(
                "the policy of {owner} became stricter during the run, and only what both allow was deleted: {}; the next run or prune enforces the new one",
                kept(plan, policy)
            ),
            _ => kept(plan, policy),
        };
        Self {
            reason: plan.reason,
            message,
            policy_hash: Some(policy.hash_on(volume_id)),
            accept_lineage: plan.accept_lineage.clone(),
            failure: None,
        }
    }

    /// Before a backup writes, a plan counts what it may write at most; what it has written is
    /// [`Self::size_exceeded`]'s to say.
    pub(super) fn of_room(plan: &Plan<'_>, policy: &Policy, owner: &Owner, volume_id: &str) -> Self {
        match Self::of(plan, policy, owner, volume_id) {
            Self { reason: RetentionReason::SizeExceeded, policy_hash, .. } => Self {
                reason: RetentionReason::Satisfied,
                message: kept(plan, policy),
                policy_hash,
                accept_lineage: None,
                failure: None,
            },
            other => other,
        }
    }

    /// So many bytes were there although room had been made.
    pub(super) fn size_exceeded(bytes: u64, policy: &Policy, owner: &Owner, volume_id: &str) -> Self {
        Self {
            reason: RetentionReason::SizeExceeded,
            message: size_exceeded(bytes, policy, owner),
            policy_hash: Some(policy.hash_on(volume_id)),
            accept_lineage: None,
            failure: None,
        }
    }

    /// There is no policy to enforce.
    pub(super) fn policy_invalid(error: &PolicyError) -> Self {
        let (reason, failure) = (RetentionReason::PolicyInvalid, Some(Reason::PolicyInvalid));
        Self { reason, message: error.to_string(), policy_hash: None, accept_lineage: None, failure }
    }

    /// Something could not be proven or deleted.
    pub(super) fn prune_failed(failure: Reason, message: String, policy_hash: Option<String>) -> Self {
        let reason = RetentionReason::PruneFailed;
        Self { reason, message, policy_hash, accept_lineage: None, failure: Some(failure) }
    }

    /// Of two findings of one run, which one to tell.
    pub(super) fn severity(&self) -> u8 {
        match self.reason {
            RetentionReason::Satisfied => 0,
            RetentionReason::PolicyChanged => 1,
            RetentionReason::SizeExceeded => 2,
            RetentionReason::LineageChanged | RetentionReason::VolumeChanged => 3,
            RetentionReason::PolicyInvalid | RetentionReason::PruneFailed | RetentionReason::Other => 4,
        }
    }

    /// Whether this keeps from deletion what the policy would delete.
    pub(crate) fn holds(&self) -> bool {
        self.severity() >= 3
    }
}

fn kept(plan: &Plan<'_>, policy: &Policy) -> String {
    let (verified, bytes) = (plan.retained.verified, plan.bytes);
    match policy.retention {
        Retention::Number { max_sets } => format!("{verified} verified sets of at most {max_sets}, {}", size(bytes)),
        Retention::Size { max_bytes } => {
            format!("{verified} verified sets, {} of at most {}", size(bytes), size(max_bytes))
        }
    }
}

fn lineage_changed(plan: &Plan<'_>, owner: &Owner) -> String {
    let found = plan.lineage_break.as_ref().map_or_else(|| "the lineage changed".to_owned(), ToString::to_string);
    let accepted = plan.accept_lineage.clone().map(String::from).unwrap_or_default();
    let accept = match owner.kind {
        OwnerKind::Backup => {
            format!("kubectl annotate backup {} etcd-backup.io/accept-lineage={accepted} --overwrite", owner.name)
        }
        _ => format!("set acceptedLineage to \"{accepted}\" in the policy, or prune with --accept-lineage {accepted}"),
    };
    format!("etcd was restored or rebuilt ({found}), so nothing of {owner} is deleted; if that was intended: {accept}")
}

fn volume_changed(policy: &Policy, owner: &Owner, volume_id: &str) -> String {
    let expected = policy.expected_volume.as_deref().unwrap_or("another one");
    let accept = match owner.kind {
        OwnerKind::Backup => {
            format!("kubectl annotate backup {} etcd-backup.io/accept-volume={volume_id} --overwrite", owner.name)
        }
        _ => format!("set expectedVolume to \"{volume_id}\" in the policy"),
    };
    format!(
        "this is volume {volume_id}, expected was {expected}, so nothing of {owner} is deleted: is the disk not mounted, or was the claim made anew? If this is the right one: {accept}"
    )
}

fn size_exceeded(bytes: u64, policy: &Policy, owner: &Owner) -> String {
    let limit = match policy.retention {
        Retention::Size { max_bytes } => size(max_bytes),
        Retention::Number { max_sets } => format!("{max_sets} sets"),
    };
    format!(
        "{owner} needs {} where {limit} are allowed: the newest verified set stays until a newer one is published, so no more may be deleted; raise the limit to at least two sets",
        size(bytes)
    )
}

fn size(bytes: u64) -> String {
    format!("{bytes} bytes ({})", BinaryBytes(bytes))
}
