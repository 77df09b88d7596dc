//! The HTTP server for kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::metrics::Metrics;

/// Content type of Prometheus' text format; Prometheus 3 refuses an answer without one.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Longest that a client may take to send its request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the process knows of its own state.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the loop around the Lease must have come round again; none without such a loop.
    due: Option<Instant>,
    /// Until when the Lease counts as seen.
    sees_lease: Option<Instant>,
    /// Whether this operator works.
    works: bool,
    /// Whether everything that it works with has been read.
    knows: bool,
}

impl Vitals {
    /// The loop around the Lease comes round again within this time, or it hangs.
    pub(crate) fn turns_within(&self, time: Duration) {
        self.state().due = Some(Instant::now() + time);
    }

    /// What was seen of the Lease counts for this time.
    pub(crate) fn sees_lease_for(&self, time: Duration) {
        self.state().sees_lease = Some(Instant::now() + time);
    }

    /// This operator works from now on.
    pub(crate) fn works(&self) {
        self.state().works = true;
    }

    /// Everything has been read once.
    pub(crate) fn knows(&self) {
        self.state().knows = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the process is alive. That it answers at all says that its one thread does not hang.
    fn health(&self, now: Instant) -> Result<&'static str, &'static str> {
        match self.due {
            Some(due) if now > due => Err("the loop around the Lease hangs"),
            _ => Ok("ok"),
        }
    }

    /// Whether it does what it is there for: to work, or to wait for its turn.
    fn readiness(&self, now: Instant) -> Result<&'static str, &'static str> {
        match self.sees_lease {
            _ if self.works && self.knows => Ok("ok: this operator works"),
            _ if self.works => Err("the watches have not been filled yet"),
            Some(until) if now <= until => Ok("ok: standing by, another operator works"),
            _ => Err("the Lease etcd-backup-operator cannot be read; the log says why"),
        }
    }
}

/// Serves until the listener fails.
///
/// # Errors
/// If no further connection can be accepted.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, vitals: Arc<Vitals>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let (metrics, vitals) = (metrics.clone(), vitals.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer(request.uri().path(), &metrics, &vitals.state(), Instant::now());
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

fn answer(path: &str, metrics: &Metrics, state: &State, now: Instant) -> Response<Full<Bytes>> {
    let said = |said: Result<&'static str, &'static str>| match said {
        Ok(word) => (StatusCode::OK, Bytes::from(format!("{word}\n"))),
        Err(problem) => (StatusCode::SERVICE_UNAVAILABLE, Bytes::from(format!("{problem}\n"))),
    };
    let (status, body) = match path {
        "/healthz" => said(state.health(now)),
        "/readyz" => said(state.readiness(now)),
        "/metrics" => match metrics.render() {
            Ok(text) => (StatusCode::OK, Bytes::from(text)),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, Bytes::from(error.to_string())),
        },
        _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"/healthz, /readyz and /metrics are here\n")),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_answers_for_itself() {
        let metrics = Metrics::new().unwrap();
        let status = |path: &str, state: &State| answer(path, &metrics, state, Instant::now()).status().as_u16();
        let (new, works) = (State::default(), State { works: true, knows: true, ..State::default() });
        assert_eq!(status("/healthz", &new), 200);
        assert_eq!(status("/readyz", &new), 503);
        assert_eq!(status("/readyz", &works), 200);
        assert_eq!(status("/metrics", &new), 200);
        assert_eq!(status("/", &works), 404);
    }

    #[test]
    fn a_standby_that_sees_the_lease_is_ready_and_a_loop_that_hangs_is_not_healthy() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let state = |works, knows| State { due: Some(at(10)), sees_lease: Some(at(5)), works, knows };
        let rows = [
            (state(false, false), 5, (true, true)),
            (state(false, false), 6, (true, false)),
            (state(false, false), 11, (false, false)),
            (state(true, false), 5, (true, false)),
            (state(true, true), 5, (true, true)),
            // It holds the Lease and works: that ends with the Lease, not with a reading of it.
            (state(true, true), 6, (true, true)),
            (state(true, true), 11, (false, true)),
            (State { due: None, sees_lease: None, works: true, knows: true }, 99, (true, true)),
        ];
        for (state, seconds, expected) in rows {
            let told = (state.health(at(seconds)).is_ok(), state.readiness(at(seconds)).is_ok());
            assert_eq!(told, expected, "{state:?} after {seconds} s");
        }
    }
}
