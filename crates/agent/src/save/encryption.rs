//! Values that the Kubernetes API server has encrypted, and where the keys to them are.

use std::collections::BTreeSet;

use etcd_backup_core::Warning;
use etcd_backup_snapshot::Description;

/// Values in a snapshot that are encrypted at rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EncryptedValues {
    /// With keys that are in kube-apiserver's encryption configuration.
    by_configuration: u64,
    /// With keys that a KMS holds.
    by_kms: u64,
    /// The KMS plugins.
    plugins: BTreeSet<String>,
}

impl EncryptedValues {
    pub(super) fn of(description: &Description) -> Self {
        let kms = description.encryption.iter().filter(|encryption| encryption.provider == "kms");
        let by_kms = kms.clone().map(|encryption| encryption.values).sum();
        Self {
            by_configuration: description.encrypted_values.saturating_sub(by_kms),
            by_kms,
            plugins: kms.map(|encryption| encryption.key_name.clone()).collect(),
        }
    }

    /// What to say of them, if the archive has kube-apiserver's encryption configuration or not.
    pub(super) fn warnings(&self, configuration: bool) -> Vec<Warning> {
        let Self { by_configuration, by_kms, plugins } = self;
        let mut warnings = Vec::new();
        if *by_kms > 0 {
            let plugins: Vec<&str> = plugins.iter().map(String::as_str).collect();
            let message = format!(
                "{by_kms} values of the snapshot are encrypted through a KMS ({}): they can be read only as long as it keeps its keys, which no backup holds",
                plugins.join(", ")
            );
            warnings.push(Warning::new("KeysInKms", message));
        }
        match (*by_configuration, configuration) {
            (0, _) => {}
            (_, true) => {
                let message = "the snapshot holds encrypted values, and the archive beside it the keys to them: keep the two files apart, or protect the set like the keys";
                warnings.push(Warning::new("KeysBesideData", message));
            }
            (values, false) => {
                let message = format!(
                    "the snapshot holds {values} encrypted values, and kube-apiserver's encryption configuration is not in the archive: without a copy of its keys kept elsewhere these values are lost"
                );
                warnings.push(Warning::new("EncryptionKeysNotInSet", message));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_values_are_warned_of_by_where_their_keys_are() {
        for (by_configuration, by_kms, configuration, reasons) in [
            (0, 0, false, &[][..]),
            (0, 0, true, &[]),
            (7, 0, false, &["EncryptionKeysNotInSet"]),
            (7, 0, true, &["KeysBesideData"]),
            (0, 7, false, &["KeysInKms"]),
            (0, 7, true, &["KeysInKms"]),
            (1, 7, true, &["KeysInKms", "KeysBesideData"]),
            (1, 7, false, &["KeysInKms", "EncryptionKeysNotInSet"]),
        ] {
            let values = EncryptedValues { by_configuration, by_kms, plugins: BTreeSet::from(["vault".into()]) };
            let warnings = values.warnings(configuration);
            let told: Vec<&str> = warnings.iter().map(|warning| warning.reason.as_str()).collect();
            assert_eq!(told, reasons, "{values:?}");
        }
    }
}
