//! Certificates for the beds: small authorities with ECDSA P-256 keys, as kubeadm makes them with that algorithm.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::error::{Error, Result};

/// A certificate authority.
pub(crate) struct Authority {
    name: String,
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, both PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let make = || {
            let mut params = CertificateParams::default();
            params.distinguished_name = subject(name, None);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
            let key = KeyPair::generate()?;
            Ok((params.self_signed(&key)?, Issuer::new(params, key)))
        };
        let (certificate, issuer) = make().map_err(|source| failure(name, source))?;
        Ok(Self { name: name.to_owned(), certificate, issuer })
    }

    /// A certificate for a server and a client. `names` are its host names and IP addresses; the API server takes the
    /// name for a user and the organization for that user's group.
    pub(crate) fn issue(&self, name: &str, group: Option<&str>, names: &[String]) -> Result<Issued> {
        self.sign(name, group, names, |_| ())
    }

    /// The same, for a certificate that ends that many seconds from now.
    pub(crate) fn issue_until(&self, ends_in_seconds: i64, name: &str, names: &[String]) -> Result<Issued> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = date_time_ymd(1970, 1, 1) + since_1970;
        let change = Duration::from_secs(ends_in_seconds.unsigned_abs());
        self.sign(name, None, names, |params| {
            params.not_after = if ends_in_seconds < 0 { now - change } else { now + change };
        })
    }

    fn sign(
        &self,
        name: &str,
        group: Option<&str>,
        names: &[String],
        adjust: impl Fn(&mut CertificateParams),
    ) -> Result<Issued> {
        let make = || {
            let mut params = CertificateParams::new(names)?;
            adjust(&mut params);
            params.distinguished_name = subject(name, group);
            params.use_authority_key_identifier_extension = true;
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = KeyPair::generate()?;
            let certificate = params.signed_by(&key, &self.issuer)?;
            Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem() })
        };
        make().map_err(|source| failure(&format!("{name} by {}", self.name), source))
    }

    /// The authority's own certificate, PEM.
    pub(crate) fn certificate(&self) -> String {
        self.certificate.pem()
    }

    /// Writes `<stem>.crt` and `<stem>.key`.
    pub(crate) fn write(&self, stem: &Path) -> Result<()> {
        Issued { certificate: self.certificate(), key: self.issuer.key().serialize_pem() }.write(stem)
    }
}

impl Issued {
    /// Writes `<stem>.crt` and `<stem>.key`.
    pub(crate) fn write(&self, stem: &Path) -> Result<()> {
        write(&stem.with_added_extension("crt"), &self.certificate, 0o644)?;
        write(&stem.with_added_extension("key"), &self.key, 0o600)
    }
}

/// The key pair that signs the tokens of service accounts: writes `<stem>.key` and `<stem>.pub`.
pub(crate) fn write_token_key(stem: &Path) -> Result<()> {
    let key = KeyPair::generate().map_err(|source| failure("service account key", source))?;
    write(&stem.with_added_extension("pub"), &key.public_key_pem(), 0o644)?;
    write(&stem.with_added_extension("key"), &key.serialize_pem(), 0o600)
}

fn write(path: &Path, content: &str, mode: u32) -> Result<()> {
    let wrap = || Error::io(format!("write {}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(wrap())?;
    }
    fs::write(path, content).map_err(wrap())?;
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(wrap())
}

fn subject(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject.push(DnType::CommonName, name);
    subject
}

fn failure(subject: &str, source: rcgen::Error) -> Error {
    Error::Certificate { subject: subject.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// OpenSSL, as a judge that shares no code with what made the certificates.
    fn openssl(args: &[&str]) -> String {
        let output = Command::new("openssl").args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn an_issued_certificate_verifies_and_names_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let (ca, leaf) = (dir.path().join("ca"), dir.path().join("leaf"));
        let authority = Authority::new("test-ca").unwrap();
        authority.write(&ca).unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        authority.issue("admin", Some("system:masters"), &names).unwrap().write(&leaf).unwrap();

        let (ca, leaf) = (format!("{}.crt", ca.display()), format!("{}.crt", leaf.display()));
        let purpose = ["-purpose", "sslserver", "-verify_ip", "127.0.0.1", "-verify_hostname", "localhost"];
        openssl(&[&["verify", "-CAfile", &ca], &purpose[..], &[&leaf]].concat());
        openssl(&["verify", "-CAfile", &ca, "-purpose", "sslclient", &leaf]);
        let subject = openssl(&["x509", "-in", &leaf, "-noout", "-subject"]);
        assert_eq!(subject.trim(), "subject=O = system:masters, CN = admin");
    }

    #[test]
    fn private_keys_are_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        write_token_key(&dir.path().join("sa")).unwrap();
        assert_eq!(fs::metadata(dir.path().join("sa.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let public = openssl(&["pkey", "-in", &dir.path().join("sa.key").display().to_string(), "-pubout"]);
        assert_eq!(fs::read_to_string(dir.path().join("sa.pub")).unwrap().replace("\r\n", "\n"), public);
    }
}
