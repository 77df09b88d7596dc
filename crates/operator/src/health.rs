//! The HTTP server for kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Longest that a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves until the listener fails.
///
/// # Errors
/// If no further connection can be accepted.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, ready: Arc<AtomicBool>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (metrics, ready) = (metrics.clone(), ready.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.uri().path(), &metrics, ready.load(Ordering::Relaxed));
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a client's connection broke");
            }
        });
    }
}

fn answer(path: &str, metrics: &Metrics, ready: bool) -> Response<Full<Bytes>> {
    let (status, body) = match path {
        "/healthz" => (StatusCode::OK, Bytes::from_static(b"ok\n")),
        "/readyz" if ready => (StatusCode::OK, Bytes::from_static(b"ok\n")),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(b"the watches have not been filled yet\n")),
        "/metrics" => match metrics.render() {
            Ok(text) => (StatusCode::OK, Bytes::from(text)),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(error.to_string())),
        },
        _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"/healthz, /readyz and /metrics are here\n")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_answers_for_itself() {
        let metrics = Metrics::new().unwrap();
        let status = |path: &str, ready: bool| answer(path, &metrics, ready).status().as_u16();
        assert_eq!(status("/healthz", false), 200);
        assert_eq!(status("/readyz", false), 503);
        assert_eq!(status("/readyz", true), 200);
        assert_eq!(status("/metrics", false), 200);
        assert_eq!(status("/", true), 404);
    }
}
