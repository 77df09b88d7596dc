use std::{
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use tonic::transport::Uri;

use crate::EtcdError;

/// Where the member of this very host listens, on kubeadm's and on OpenShift's control plane alike.
pub const DEFAULT_LOCAL_ENDPOINT: &str = "https://127.0.0.1:2379";

const CLIENT_PORT: u16 = 2379;

/// How to reach an etcd cluster.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Seeds: the first that answers names all members. `https://host:2379`; without a scheme it is
    /// `https` with TLS files and `http` without, without a port it is 2379.
    pub endpoints: Vec<String>,
    /// Where the member of this host listens, if one may be here. Of the seeds, one on a loopback
    /// address is taken if none is given.
    pub local_endpoint: Option<String>,
    /// The client's TLS files, read again for each connection.
    pub tls: Option<TlsFiles>,
    /// Bound for connecting, the TLS handshake included.
    pub connect_timeout: Duration,
    /// Bound for each request. etcd itself gives up on a request without quorum after 7 s.
    pub request_timeout: Duration,
}

/// PEM files of the client's identity.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The CA that signed the servers' certificates.
    pub ca: PathBuf,
    /// The client's certificate.
    pub cert: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

impl Connection {
    /// A connection with the default bounds: 5 s to connect, 10 s for a request.
    #[must_use]
    pub fn new(endpoints: Vec<String>, tls: Option<TlsFiles>) -> Self {
        Self {
            endpoints,
            local_endpoint: None,
            tls,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        }
    }

    /// The local endpoint: as given, else the first seed on a loopback address.
    pub(crate) fn local_endpoint(&self) -> Option<&str> {
        self.local_endpoint.as_deref().or_else(|| {
            let is_loopback = |endpoint: &&str| self.uri(endpoint).is_ok_and(|uri| is_loopback(&uri));
            self.endpoints.iter().map(String::as_str).find(is_loopback)
        })
    }

    /// `endpoint` in full: with a scheme and a port.
    pub(crate) fn uri(&self, endpoint: &str) -> Result<Uri, EtcdError> {
        let invalid = |why: &str| EtcdError::InvalidEndpoint { endpoint: endpoint.to_owned(), why: why.to_owned() };
        let (scheme, rest) = match endpoint.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return Err(invalid("only http and https are supported")),
            None if self.tls.is_some() => ("https", endpoint),
            None => ("http", endpoint),
        };
        if scheme == "https" && self.tls.is_none() {
            return Err(invalid("https needs a CA, a client certificate and its key"));
        }
        let authority = rest.trim_end_matches('/');
        let authority = match authority.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => authority.to_owned(),
        };
        let uri: Uri = format!("{scheme}://{authority}/").parse().map_err(|error| invalid(&format!("{error}")))?;
        if uri.path() != "/" || uri.query().is_some() {
            return Err(invalid("it must not have a path"));
        }
        if uri.port_u16().is_some() {
            return Ok(uri);
        }
        format!("{scheme}://{authority}:{CLIENT_PORT}/").parse().map_err(|error| invalid(&format!("{error}")))
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = host(uri).unwrap_or_default();
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The host, an IPv6 address without its brackets.
pub(crate) fn host(uri: &Uri) -> Option<&str> {
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(tls: bool, endpoints: &[&str]) -> Connection {
        let files = TlsFiles { ca: "ca".into(), cert: "cert".into(), key: "key".into() };
        Connection::new(endpoints.iter().map(ToString::to_string).collect(), tls.then_some(files))
    }

    #[test]
    fn endpoints_get_scheme_and_port() {
        for (tls, endpoint, expected) in [
            (true, "etcd-0", Some("https://etcd-0:2379/")),
            (false, "etcd-0", Some("http://etcd-0:2379/")),
            (true, "10.0.0.1:12379", Some("https://10.0.0.1:12379/")),
            (true, "https://10.0.0.1", Some("https://10.0.0.1:2379/")),
            (true, "https://10.0.0.1:2379/", Some("https://10.0.0.1:2379/")),
            (true, "https://[fd00::1]:2379", Some("https://[fd00::1]:2379/")),
            (true, "[fd00::1]", Some("https://[fd00::1]:2379/")),
            (true, "fd00::1", Some("https://[fd00::1]:2379/")),
            (true, "http://10.0.0.1:2379", Some("http://10.0.0.1:2379/")),
            (false, "https://10.0.0.1:2379", None),
            (true, "unix:///run/etcd.sock", None),
            (true, "https://10.0.0.1:2379/v3", None),
            (true, "https://", None),
            (true, "", None),
            (true, "two words", None),
        ] {
            let uri = connection(tls, &[]).uri(endpoint);
            assert_eq!(uri.as_ref().ok().map(ToString::to_string).as_deref(), expected, "{endpoint:?}: {uri:?}");
        }
    }

    #[test]
    fn a_seed_on_loopback_is_the_local_endpoint() {
        for (endpoints, given, expected) in [
            (vec!["https://10.0.0.1:2379", "https://127.0.0.1:2379"], None, Some("https://127.0.0.1:2379")),
            (vec!["https://10.0.0.1:2379", "[::1]"], None, Some("[::1]")),
            (vec!["localhost"], None, Some("localhost")),
            (vec!["https://10.0.0.1:2379"], None, None),
            (vec!["https://127.0.0.1:2379"], Some("https://10.0.0.1:2379"), Some("https://10.0.0.1:2379")),
        ] {
            let mut connection = connection(true, &endpoints);
            connection.local_endpoint = given.map(str::to_owned);
            assert_eq!(connection.local_endpoint(), expected);
        }
    }
}
