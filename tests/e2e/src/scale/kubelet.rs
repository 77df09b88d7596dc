//! As much of a kubelet as the API server needs to serve `pods/log`: HTTPS, and the logs that were put there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use rcgen::generate_simple_self_signed;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

/// What the pods have printed, by their names.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<BTreeMap<String, String>>>);

impl Logs {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Kubelet {
    pub(super) port: u16,
    logs: Logs,
    server: JoinHandle<std::io::Result<()>>,
}

impl Kubelet {
    pub(super) async fn start() -> Result<Self> {
        let certificate = generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key.into())?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let logs = Logs::default();
        let served = logs.clone();
        let server = tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await?;
                // The API server tries again with another connection.
                tokio::spawn(serve(acceptor.clone(), connection, served.clone()));
            }
        });
        Ok(Self { port, logs, server })
    }

    /// What the pod's container has printed.
    pub(super) fn prints(&self, pod: &str, text: String) {
        self.logs.all().insert(pod.to_owned(), text);
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One request of `GET /containerLogs/<namespace>/<pod>/<container>`.
async fn serve(acceptor: TlsAcceptor, connection: TcpStream, logs: Logs) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(connection).await?);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut header = String::new();
    while stream.read_line(&mut header).await? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let log = logs.all().get(path.split('/').nth(3).unwrap_or_default()).cloned();
    let (status, body) = log.map_or(("404 Not Found", String::new()), |log| ("200 OK", log));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}
