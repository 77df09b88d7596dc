use std::collections::BTreeMap;

use crate::blocks::{Blocks, Span};
use crate::{Encryption, SnapshotError};

/// How the Kubernetes API server marks an encrypted value, in
/// `staging/src/k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go`: `k8s:enc:<provider>:<version>:<key>:`
/// where the last is the name of the key in EncryptionConfiguration, or that of the KMS plugin.
/// Every entry counts, because the prefix of the API server's keys in etcd can be chosen.
const MARK: &[u8; 8] = b"k8s:enc:";

/// Longest mark that is read, and most that are told apart. Names are short, and few keys are in use at a time.
const MAX_MARK_BYTES: u64 = 512;
const MAX_MARKS: usize = 64;

/// Counts the values that the Kubernetes API server has encrypted, by provider and key.
#[derive(Default)]
pub(crate) struct EncryptedValues {
    /// All of them.
    pub(crate) total: u64,
    by_mark: BTreeMap<Vec<u8>, u64>,
    buffer: Vec<u8>,
}

impl EncryptedValues {
    /// The next value.
    pub(crate) fn record(&mut self, blocks: &mut Blocks<'_>, value: Span) -> Result<(), SnapshotError> {
        if value.len() < MARK.len() as u64 || blocks.array(value.start)? != *MARK {
            return Ok(());
        }
        self.total += 1;
        let end = value.end.min(value.start + MAX_MARK_BYTES);
        blocks.copy(Span { end, ..value }, &mut self.buffer)?;
        let colons = self.buffer.iter().enumerate().filter(|(_, byte)| **byte == b':');
        // The fifth ends the mark. One that has no end is told by nothing but how it begins.
        let mark = colons.map(|(at, _)| at).nth(4).map_or(&MARK[..], |end| &self.buffer[..end]);
        let listed = self.by_mark.len();
        match self.by_mark.get_mut(mark) {
            Some(count) => *count += 1,
            None if listed < MAX_MARKS => drop(self.by_mark.insert(mark.to_vec(), 1)),
            None => {}
        }
        Ok(())
    }

    /// What was used to encrypt, in the order of the marks.
    pub(crate) fn list(&self) -> Vec<Encryption> {
        let entry = |(mark, &values): (&Vec<u8>, &u64)| {
            let text = String::from_utf8_lossy(&mark[MARK.len()..]);
            let mut parts = text.splitn(3, ':').map(str::to_owned);
            let mut part = || parts.next().unwrap_or_default();
            Encryption { provider: part(), version: part(), key_name: part(), values }
        };
        self.by_mark.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&[u8]]) -> (u64, Vec<(String, u64)>) {
        let mut encrypted = EncryptedValues::default();
        for value in values {
            let len = value.len() as u64;
            encrypted.record(&mut Blocks::new(value, len), Span { start: 0, end: len }).unwrap();
        }
        let line =
            |found: Encryption| (format!("{}/{}/{}", found.provider, found.version, found.key_name), found.values);
        (encrypted.total, encrypted.list().into_iter().map(line).collect())
    }

    #[test]
    fn values_are_told_apart_by_provider_and_key() {
        let values: [&[u8]; 7] = [
            b"k8s:enc:aescbc:v1:key1:\x00\x01",
            b"k8s:enc:kms:v2:vault:\xff",
            b"plain",
            b"k8s:enc:aescbc:v1:key2:x",
            b"k8s:enc:aescbc:v1:key1:",
            b"k8s:en",
            b"",
        ];
        let expected = [("aescbc/v1/key1", 2), ("aescbc/v1/key2", 1), ("kms/v2/vault", 1)];
        let expected = expected.map(|(line, values)| (line.to_owned(), values)).to_vec();
        assert_eq!(found(&values), (4, expected));
    }

    #[test]
    fn a_mark_without_an_end_is_counted_and_has_no_name() {
        let endless = [&MARK[..], &[b'x'; 4096]].concat();
        assert_eq!(found(&[b"k8s:enc:", b"k8s:enc:aescbc", &endless]), (3, vec![("//".to_owned(), 3)]));
    }

    #[test]
    fn more_marks_than_are_told_apart_are_still_counted() {
        let values: Vec<_> = (0..100).map(|key| format!("k8s:enc:aescbc:v1:key{key}:").into_bytes()).collect();
        let values: Vec<_> = values.iter().map(Vec::as_slice).collect();
        let (total, listed) = found(&values);
        assert_eq!((total, listed.len()), (100, MAX_MARKS));
    }
}
