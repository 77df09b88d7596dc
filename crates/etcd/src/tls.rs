use std::{path::Path, sync::Arc, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    },
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity, Uri};

use crate::{EtcdError, TlsFiles, connection::host};

impl TlsFiles {
    /// Reads the three files as they are now; they are rotated under a running agent.
    ///
    /// Each is parsed here, although the TLS library will do so again, because only here it is known
    /// which file is at fault. rustls takes aws-lc-rs, the only provider that is compiled in, unless
    /// the process has installed another; none needs to be installed.
    pub(crate) fn read(&self) -> Result<ClientTlsConfig, EtcdError> {
        let ca = certificates(&self.ca)?;
        let cert = certificates(&self.cert)?;
        let key = private_key(&self.key)?;
        Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).identity(Identity::from_pem(cert, key)))
    }

    /// Whether the server refuses the client's certificate, and in which words.
    ///
    /// In TLS 1.3 the refusal comes after the client's side of the handshake is done, and is lost when
    /// HTTP/2 already writes into the connection that the server closes. So this only listens.
    pub(crate) async fn refusal(&self, uri: &Uri, within: Duration) -> Option<String> {
        let config = self.rustls_config()?;
        let server = ServerName::try_from(host(uri)?.to_owned()).ok()?;
        let listen = async {
            let socket = TcpStream::connect((host(uri)?, uri.port_u16()?)).await.ok()?;
            let mut connection = TlsConnector::from(Arc::new(config)).connect(server, socket).await.ok()?;
            connection.read_u8().await.err()
        };
        let error = timeout(within, listen).await.ok()??;
        (error.kind() == std::io::ErrorKind::InvalidData).then(|| error.to_string())
    }

    fn rustls_config(&self) -> Option<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_file_iter(&self.ca).ok()?.flatten());
        let chain = CertificateDer::pem_file_iter(&self.cert).ok()?.flatten().collect();
        let key = PrivateKeyDer::from_pem_file(&self.key).ok()?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().ok()?.with_root_certificates(roots);
        builder.with_client_auth_cert(chain, key).ok()
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, EtcdError> {
    let pem = read(path)?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate.map_err(|error| unusable(path, format!("garbled certificate: {error}")))?;
        found += 1;
    }
    if found == 0 {
        return Err(unusable(path, "no certificate in it"));
    }
    Ok(pem)
}

fn private_key(path: &Path) -> Result<Vec<u8>, EtcdError> {
    let pem = read(path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| unusable(path, format!("no private key in it: {error}")))?;
    Ok(pem)
}

fn read(path: &Path) -> Result<Vec<u8>, EtcdError> {
    std::fs::read(path).map_err(|error| unusable(path, error.to_string()))
}

fn unusable(path: &Path, why: impl Into<String>) -> EtcdError {
    EtcdError::TlsFile { path: path.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use etcd_backup_core::Reason;

    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";

    fn file(dir: &Path, name: &str, content: Option<&str>) -> PathBuf {
        let path = dir.join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        path
    }

    #[test]
    fn the_file_at_fault_is_named() {
        let garbled = CERTIFICATE.replace("AAAA", "\u{1}!!");
        for (ca, cert, key, at_fault) in [
            (None, Some(CERTIFICATE), Some(KEY), "ca.crt"),
            (Some(""), Some(CERTIFICATE), Some(KEY), "ca.crt"),
            (Some(garbled.as_str()), Some(CERTIFICATE), Some(KEY), "ca.crt"),
            (Some(CERTIFICATE), Some(KEY), Some(KEY), "client.crt"),
            (Some(CERTIFICATE), Some(CERTIFICATE), None, "client.key"),
            (Some(CERTIFICATE), Some(CERTIFICATE), Some(CERTIFICATE), "client.key"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let files = TlsFiles {
                ca: file(dir.path(), "ca.crt", ca),
                cert: file(dir.path(), "client.crt", cert),
                key: file(dir.path(), "client.key", key),
            };
            let error = files.read().unwrap_err();
            assert_eq!(error.reason(), Reason::Tls);
            assert!(error.to_string().contains(at_fault), "{error}");
        }
    }
}
