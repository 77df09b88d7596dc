//! The keys of bucket `key`, as etcd's `server/storage/mvcc/revision.go` writes them.

/// `main` is the revision that clients see; a transaction with several changes tells them apart by `sub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Revision {
    pub(crate) main: i64,
    pub(crate) sub: i64,
}

const BYTES: usize = 17;
const TOMBSTONE: u8 = b't';

impl Revision {
    /// Reads main, `_`, sub and, for a deletion, `t`. The flag says whether it is one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<(Self, bool), &'static str> {
        let Some((main, [b'_', sub @ ..])) = bytes.split_first_chunk::<8>() else {
            return Err("is not a revision");
        };
        let Some((sub, mark)) = sub.split_first_chunk::<8>() else {
            return Err("is not a revision");
        };
        let tombstone = match mark {
            [] => false,
            [TOMBSTONE] => true,
            _ => return Err("is a revision with an unknown mark"),
        };
        let revision = Self { main: i64::from_be_bytes(*main), sub: i64::from_be_bytes(*sub) };
        if revision.main < 0 || revision.sub < 0 {
            return Err("is a negative revision");
        }
        Ok((revision, tombstone))
    }

    /// Reads a revision that is stored as a value: no mark.
    pub(crate) fn parse_unmarked(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() != BYTES {
            return Err("is not a revision");
        }
        Self::parse(bytes).map(|(revision, _)| revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(main: i64, sub: i64, mark: &[u8]) -> Vec<u8> {
        [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes(), mark].concat()
    }

    #[test]
    fn reads_puts_and_deletions() {
        let revision = Revision { main: 7, sub: 2 };
        assert_eq!(Revision::parse(&bytes(7, 2, b"")), Ok((revision, false)));
        assert_eq!(Revision::parse(&bytes(7, 2, b"t")), Ok((revision, true)));
        assert_eq!(Revision::parse_unmarked(&bytes(7, 2, b"")), Ok(revision));
    }

    #[test]
    fn refuses_everything_else() {
        for wrong in [
            bytes(7, 2, b"x"),
            bytes(7, 2, b"tt"),
            bytes(-1, 0, b""),
            bytes(1, -1, b""),
            bytes(7, 2, b"")[..16].to_vec(),
            b"short".to_vec(),
            vec![0; 17],
            vec![],
        ] {
            assert!(Revision::parse(&wrong).is_err(), "{wrong:?}");
        }
        assert!(Revision::parse_unmarked(&bytes(7, 2, b"t")).is_err());
    }
}
