use std::fmt;

/// An alarm that is raised in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alarm {
    /// The member's database has reached its quota: etcd refuses writes until somebody makes room.
    NoSpace,
    /// The member's data differs from that of the others.
    Corrupt,
}

impl fmt::Display for Alarm {
    /// As etcd prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
        })
    }
}

/// Reads an alarm out of the `errors` of a Status response, where etcd (3.4 and later) prints it in
/// protobuf's text format: `memberID:10501334649042878790 alarm:NOSPACE `.
///
/// That field is read rather than the Alarm RPC because even listing alarms is a raft proposal
/// there, which a cluster without quorum cannot answer.
///
/// The member is `None` where etcd names none: it knows that some member is corrupt, but not which
/// (`CompactHashCheck` in etcd's corrupt.go).
pub(crate) fn parse_alarm(error: &str) -> Option<(Option<u64>, Alarm)> {
    let field = |name: &str| {
        let (_, rest) = error.split_once(name)?;
        rest.split_whitespace().next()
    };
    let alarm = match field("alarm:")? {
        "NOSPACE" => Alarm::NoSpace,
        "CORRUPT" => Alarm::Corrupt,
        _ => return None,
    };
    Some((field("memberID:").and_then(|id| id.parse().ok()), alarm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_as_etcd_prints_them() {
        for (error, expected) in [
            ("memberID:10501334649042878790 alarm:NOSPACE ", Some((Some(10_501_334_649_042_878_790), Alarm::NoSpace))),
            // protobuf-go varies the white space of its text format on purpose.
            ("memberID:7  alarm:CORRUPT", Some((Some(7), Alarm::Corrupt))),
            ("alarm:CORRUPT ", Some((None, Alarm::Corrupt))),
            ("memberID:7 alarm:SOMETHING_NEW", None),
            ("memberID:7 ", None),
            ("etcdserver: no leader", None),
            ("", None),
        ] {
            assert_eq!(parse_alarm(error), expected, "{error:?}");
        }
    }
}
