use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etcd_backup_testbed::Etcd;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::behaviour::{Behaviour, Speech};
use crate::error::{Error, Result};
use crate::gateway::{Gateway, Signal};

/// HTTP/2's empty SETTINGS, then a GOAWAY that has seen no request and says ENHANCE_YOUR_CALM.
const GO_AWAY: [u8; 26] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb];

/// How long a connection stays after a GOAWAY and its last stream, as with etcd (`goAwayTimeout` of Go's HTTP/2 server). If it
/// were closed at once, while something of the client is still on its way, the client would be reset and lose what it
/// has not read yet.
const LINGER: Duration = Duration::from_secs(1);

/// A member that misbehaves, in front of a real one. It is gone when this is dropped.
pub struct HostileMember {
    url: String,
    gateway: Arc<Gateway>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl HostileMember {
    /// Starts one on a loopback port, in front of this member of `etcd`.
    ///
    /// # Errors
    /// A file of either side's TLS cannot be used, or there is no port.
    pub fn start(etcd: &Etcd, member: usize, behaviour: Behaviour) -> Result<Self> {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("make a runtime"))?;
        let listener = runtime
            .block_on(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))))
            .map_err(Error::io("listen on a loopback port"))?;
        let address = listener.local_addr().map_err(Error::io("learn the port"))?;
        let acceptor = behaviour.identity.as_ref().map(|(certificate, key)| acceptor(certificate, key)).transpose()?;
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{address}");
        let member = {
            let _inside = runtime.enter();
            connect(etcd, member)?
        };
        let (statuses, snapshots) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let gateway = Arc::new(Gateway { behaviour, url: url.clone(), member, statuses, snapshots });
        let (end, ended) = oneshot::channel();
        let serving = serve(listener, acceptor, Arc::clone(&gateway));
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => (),
                    _ = ended => (),
                }
            });
        };
        let thread =
            thread::Builder::new().name("hostile-etcd".to_owned()).spawn(serve).map_err(Error::io("start a thread"))?;
        Ok(Self { url, gateway, end: Some(end), thread: Some(thread) })
    }

    /// Its client URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many snapshots it was asked for.
    #[must_use]
    pub fn snapshots(&self) -> usize {
        self.gateway.snapshots.load(Ordering::Relaxed)
    }
}

impl Drop for HostileMember {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed, and the test that caused it fails by itself.
            _ = thread.join();
        }
    }
}

fn connect(etcd: &Etcd, member: usize) -> Result<Channel> {
    let read = |path: &Path| std::fs::read(path).map_err(Error::io("read the bed's certificates"));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&etcd.ca())?))
        .identity(Identity::from_pem(read(&etcd.cert())?, read(&etcd.key())?));
    let endpoint = Endpoint::from_shared(etcd.endpoints().swap_remove(member))?;
    Ok(endpoint.tls_config(tls)?.connect_timeout(Duration::from_secs(10)).connect_lazy())
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let unusable = |path: &Path, why: &dyn ToString| Error::TlsFile { path: path.to_owned(), why: why.to_string() };
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| unusable(certificate, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| unusable(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, gateway: Arc<Gateway>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let Ok((socket, held)) = doubled(socket) else { continue };
        let (acceptor, gateway) = (acceptor.clone(), Arc::clone(&gateway));
        tokio::spawn(async move {
            match acceptor {
                None => speak(socket, gateway).await,
                Some(acceptor) => {
                    // A client that refuses the certificate is what such a test is about.
                    if let Ok(socket) = acceptor.accept(socket).await {
                        speak(socket, gateway).await;
                    }
                }
            }
            drop(held);
        });
    }
}

/// The connection, and a second descriptor of it: it is only closed with the last one.
fn doubled(socket: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let socket = socket.into_std()?;
    let held = socket.try_clone()?;
    Ok((TcpStream::from_std(socket)?, held))
}

async fn speak(mut socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, gateway: Arc<Gateway>) {
    let said: &[u8] = match gateway.behaviour.speech {
        Speech::Grpc | Speech::BadGateway => return grpc(socket, gateway).await,
        Speech::Silence => return pending().await,
        Speech::Http1 => b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        Speech::Garbage => &[0xff; 4096],
        Speech::GoAway => &GO_AWAY,
    };
    // The client may be gone by now, which is its right.
    _ = socket.read(&mut [0; 4096]).await;
    _ = socket.write_all(said).await;
    _ = socket.shutdown().await;
}

async fn grpc(socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, gateway: Arc<Gateway>) {
    let (signals, mut signalled) = mpsc::unbounded_channel();
    let service = service_fn(|request| {
        let (gateway, signals) = (Arc::clone(&gateway), signals.clone());
        async move { gateway.answer(request, signals).await }
    });
    let connection = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let mut lingers = false;
    loop {
        tokio::select! {
            // However it ended, it is over.
            _ = connection.as_mut() => {
                if lingers {
                    sleep(LINGER).await;
                }
                return;
            }
            Some(signal) = signalled.recv() => match signal {
                Signal::GoAway => {
                    lingers = true;
                    connection.as_mut().graceful_shutdown();
                }
                Signal::Cut => return,
            },
        }
    }
}
