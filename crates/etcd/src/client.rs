use std::{error::Error, io, time::Duration};

use etcd_client::{
    Channel, GetOptions, GetResponse, MemberListResponse, ResponseHeader, SnapshotResponse, SnapshotStreaming,
    StatusResponse,
};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::time::timeout;
use tonic::{Code, Status, transport::Endpoint};
use tower::ServiceExt as _;

use crate::{Connection, EtcdError, gather::Gather};

/// How long to listen for a refusal: a server that refuses does so at once.
const MAX_LISTENING: Duration = Duration::from_secs(2);

/// How much of a snapshot may be on its way, for HTTP/2: enough for 300 MB/s over 10 ms, and for what comes
/// while the connection [gathers](Gather). More takes memory and gains nothing (docs/benchmarks.md).
const WINDOW_BYTES: u32 = 3 << 20;

/// A connection to one endpoint, with every request bounded.
pub(crate) struct Client {
    endpoint: String,
    request_timeout: Duration,
    inner: etcd_client::Client,
}

impl Connection {
    /// Connects to one endpoint, with the TLS files as they are now.
    ///
    /// The channel is made here because etcd-client's own connects lazily and would report a failed
    /// handshake as a request that timed out.
    pub(crate) async fn connect(&self, endpoint: &str) -> Result<Client, EtcdError> {
        let uri = self.uri(endpoint)?;
        let secure = uri.scheme_str() == Some("https");
        let mut builder = Endpoint::from(uri)
            .connect_timeout(self.connect_timeout)
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        if let (true, Some(files)) = (secure, &self.tls) {
            builder = builder.tls_config(files.read()?).map_err(|error| EtcdError::TlsFile {
                path: files.cert.clone(),
                why: format!("the certificate and the key {} do not fit: {}", files.key.display(), chain(&error)),
            })?;
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.connect_timeout));
        let gathering = tcp.map_response(|connected| TokioIo::new(Gather::new(connected.into_inner())));
        let channel = timeout(self.connect_timeout, builder.connect_with_connector(gathering))
            .await
            .map_err(|_| EtcdError::timed_out(endpoint, "connecting", self.connect_timeout))?
            .map_err(|error| failed_transport(endpoint, &error))?;
        let inner = etcd_client::Client::from_channel(Channel::Tonic(channel), None)
            .await
            .map_err(|error| failed_request(endpoint, "connecting", error))?;
        Ok(Client { endpoint: endpoint.to_owned(), request_timeout: self.request_timeout, inner })
    }
}

impl Connection {
    /// Asks an endpoint something over a connection of its own.
    pub(crate) async fn ask<T>(
        &self,
        endpoint: &str,
        request: impl AsyncFnOnce(&mut Client) -> Result<T, EtcdError>,
    ) -> Result<T, EtcdError> {
        let mut client = self.connect(endpoint).await?;
        match request(&mut client).await {
            Err(error) => Err(self.blame(endpoint, error).await),
            answer => answer,
        }
    }

    /// Why the first request on a connection failed. If the connection was made and then broke, perhaps
    /// etcd refused the client's certificate.
    pub(crate) async fn blame(&self, endpoint: &str, error: EtcdError) -> EtcdError {
        let uri = self.uri(endpoint).ok().filter(|uri| uri.scheme_str() == Some("https"));
        let (EtcdError::Unreachable { .. }, Some(uri), Some(files)) = (&error, uri, &self.tls) else { return error };
        let refusal = files.refusal(&uri, self.connect_timeout.min(MAX_LISTENING)).await;
        refusal.map_or(error, |why| EtcdError::Tls { endpoint: endpoint.to_owned(), why })
    }
}

impl Client {
    pub(crate) async fn members(&mut self) -> Result<MemberListResponse, EtcdError> {
        let request = self.inner.member_list();
        bounded(&self.endpoint, "listing the members", self.request_timeout, request).await
    }

    pub(crate) async fn status(&mut self) -> Result<StatusResponse, EtcdError> {
        let request = self.inner.status();
        bounded(&self.endpoint, "asking for the status", self.request_timeout, request).await
    }

    pub(crate) async fn get(&mut self, key: &str, options: GetOptions) -> Result<GetResponse, etcd_client::Error> {
        self.inner.get(key, Some(options)).await
    }

    pub(crate) async fn read(&mut self, key: &str, options: GetOptions) -> Result<GetResponse, EtcdError> {
        let request = self.inner.get(key, Some(options));
        bounded(&self.endpoint, &format!("reading {key}"), self.request_timeout, request).await
    }

    /// Begins a snapshot and waits for its first message, for as long as the caller lets it: etcd
    /// answers together with that.
    pub(crate) async fn snapshot(&mut self) -> Result<(SnapshotStreaming, Option<SnapshotResponse>), EtcdError> {
        let failed = |error| failed_request(&self.endpoint, "asking for the snapshot", error);
        let mut messages = self.inner.snapshot().await.map_err(failed)?;
        let first = messages.message().await.map_err(failed)?;
        Ok((messages, first))
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// The id of the member that answered, and of its cluster; zero where there is no header.
pub(crate) fn identity(header: Option<&ResponseHeader>) -> (u64, u64) {
    header.map_or((0, 0), |header| (header.member_id(), header.cluster_id()))
}

async fn bounded<T>(
    endpoint: &str,
    what: &str,
    within: Duration,
    request: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, EtcdError> {
    timeout(within, request)
        .await
        .map_err(|_| EtcdError::timed_out(endpoint, what, within))?
        .map_err(|error| failed_request(endpoint, what, error))
}

/// What a failed request says of the endpoint.
pub(crate) fn failed_request(endpoint: &str, what: &str, error: etcd_client::Error) -> EtcdError {
    let status = match error {
        etcd_client::Error::GRpcStatus(status) => status,
        etcd_client::Error::TransportError(error) => return failed_transport(endpoint, &error),
        other => return EtcdError::Unreachable { endpoint: endpoint.to_owned(), why: format!("{what}: {other}") },
    };
    if is_refusal(&status) {
        return EtcdError::PermissionDenied { endpoint: endpoint.to_owned(), why: printable(status.message()) };
    }
    let why = explain(&status);
    if is_tls(status.source(), &why) {
        return EtcdError::Tls { endpoint: endpoint.to_owned(), why };
    }
    EtcdError::Unreachable { endpoint: endpoint.to_owned(), why: format!("{what}: {why}") }
}

fn failed_transport(endpoint: &str, error: &tonic::transport::Error) -> EtcdError {
    let endpoint = endpoint.to_owned();
    let why = chain(error);
    if is_tls(Some(error), &why) { EtcdError::Tls { endpoint, why } } else { EtcdError::Unreachable { endpoint, why } }
}

/// Whether etcd refused the client itself. etcd 3.4 and 3.5 pass some of its refusals on as plain
/// Go errors, which gRPC reports as Unknown, and those of a nameless and of an unknown user have codes
/// of their own, so the texts of etcd's rpctypes are looked at too.
fn is_refusal(status: &Status) -> bool {
    matches!(status.code(), Code::PermissionDenied | Code::Unauthenticated)
        || ["permission denied", "user name is empty", "user name not found", "invalid auth token"]
            .iter()
            .any(|text| status.message().contains(text))
}

/// tokio-rustls passes what rustls says on as InvalidData. The refusal of a client certificate comes
/// after the handshake in TLS 1.3, when HTTP/2 already reads and keeps only the text.
fn is_tls(error: Option<&(dyn Error + 'static)>, text: &str) -> bool {
    let invalid_data = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
    };
    sources(error).any(invalid_data) || text.contains("received fatal alert")
}

/// An error in words: what etcd said, or why nothing could be heard.
pub(crate) fn in_words(error: &etcd_client::Error) -> String {
    match error {
        etcd_client::Error::GRpcStatus(status) => explain(status),
        other => other.to_string(),
    }
}

fn explain(status: &Status) -> String {
    match status.source() {
        Some(source) => chain(source),
        None => printable(status.message()),
    }
}

/// What a peer says, made fit for messages and manifests, which must stay small: one line of at most
/// 200 characters, nothing that a terminal would take for a command.
pub(crate) fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut line: String = chars.by_ref().take(MAX_CHARS).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

/// An error and what lies beneath it, without the repetitions that such chains abound in.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in sources(Some(error)) {
        let this = error.to_string();
        if text.is_empty() {
            text = this;
        } else if !text.contains(&this) {
            text = format!("{text}: {this}");
        }
    }
    text
}

fn sources<'a>(error: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error, |&error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_every_etcd_version_are_known() {
        for (status, expected) in [
            (Status::permission_denied("etcdserver: permission denied"), true),
            (Status::unauthenticated("etcdserver: invalid auth token"), true),
            (Status::invalid_argument("etcdserver: user name is empty"), true),
            (Status::failed_precondition("etcdserver: user name not found"), true),
            (Status::unknown("auth: user name is empty"), true),
            (Status::unavailable("etcdserver: no leader"), false),
            (Status::unavailable("etcdserver: request timed out"), false),
        ] {
            assert_eq!(is_refusal(&status), expected, "{status:?}");
        }
    }

    #[test]
    fn what_a_peer_says_is_one_short_line() {
        for (said, printed) in [("3.6.4", "3.6.4"), ("a\r\n\u{1b}[2J", "a\u{fffd}\u{fffd}\u{fffd}[2J"), ("", "")] {
            assert_eq!(printable(said), printed);
        }
        let long = printable(&"é".repeat(1 << 20));
        assert_eq!((long.chars().count(), long.ends_with('…')), (201, true));
    }

    #[test]
    fn tls_failures_are_told_from_others() {
        for (kind, text, expected) in [
            (io::ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer", true),
            (io::ErrorKind::Other, "received fatal alert: CertificateRequired", true),
            (io::ErrorKind::ConnectionRefused, "Connection refused", false),
        ] {
            let error = io::Error::new(kind, text);
            assert_eq!(is_tls(Some(&error), &error.to_string()), expected, "{text}");
        }
    }
}
