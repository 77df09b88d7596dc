//! Requests to the API server, counted and timed as they are made.

use std::sync::Arc;
use std::time::Instant;

use hyper::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;

use super::Metrics;

/// What a request does, as Kubernetes' rules for access call it.
pub(super) const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// HTTP statuses that are counted from zero; `none` is no answer.
pub(super) const CODES: [&str; 11] = ["200", "201", "403", "404", "409", "410", "422", "429", "500", "503", "none"];

/// A client whose requests are measured.
pub(crate) fn measured(client: &Client, metrics: Arc<Metrics>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    let send = move |request: Request<Body>| measure(client.clone(), metrics.clone(), request);
    Client::new(tower::service_fn(send), namespace)
}

async fn measure(client: Client, metrics: Arc<Metrics>, request: Request<Body>) -> kube::Result<Response<Body>> {
    let verb = verb(request.method(), request.uri().path(), request.uri().query().unwrap_or_default());
    let began = Instant::now();
    let answer = client.send(request).await;
    let status = answer.as_ref().ok().map(Response::status);
    let code = status.as_ref().map_or("none", StatusCode::as_str);
    metrics.api_requests.with_label_values(&[verb, code]).inc();
    metrics.api_request_seconds.with_label_values(&[verb]).observe(began.elapsed().as_secs_f64());
    answer
}

/// The verb of a request. Paths are `/api/<version>` or `/apis/<group>/<version>`, perhaps
/// `/namespaces/<name>`, then a kind and perhaps a name and a part of the object.
fn verb(method: &Method, path: &str, query: &str) -> &'static str {
    match *method {
        Method::POST => return "create",
        Method::PUT => return "update",
        Method::PATCH => return "patch",
        Method::DELETE => return "delete",
        _ => {}
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let of_group = match parts.first() {
        Some(&"api") => &parts[2.min(parts.len())..],
        Some(&"apis") => &parts[3.min(parts.len())..],
        _ => &[],
    };
    let watches = query.split('&').any(|part| matches!(part, "watch=true" | "watch=1"));
    match of_group {
        [_] | ["namespaces", _, _] if watches => "watch",
        [_] | ["namespaces", _, _] => "list",
        _ => "get",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_those_of_kubernetes() {
        for (method, path, query, expected) in [
            ("GET", "/api/v1/nodes", "", "list"),
            ("GET", "/api/v1/nodes", "limit=100&watch=true", "watch"),
            ("GET", "/api/v1/nodes/n0", "", "get"),
            ("GET", "/api/v1/namespaces", "", "list"),
            ("GET", "/api/v1/namespaces/kube-system", "", "get"),
            ("GET", "/api/v1/namespaces/etcd/pods", "", "list"),
            ("GET", "/api/v1/namespaces/etcd/pods", "watch=1", "watch"),
            ("GET", "/api/v1/namespaces/etcd/pods/p/log", "", "get"),
            ("GET", "/apis/batch/v1/namespaces/etcd/jobs/j", "", "get"),
            ("GET", "/apis/operator.openshift.io/v1alpha1/etcdbackups", "", "list"),
            ("PATCH", "/apis/operator.openshift.io/v1alpha1/etcdbackups/b/status", "fieldManager=m", "patch"),
            ("POST", "/apis/batch/v1/namespaces/etcd/jobs", "", "create"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", "", "update"),
            ("DELETE", "/apis/batch/v1/namespaces/etcd/jobs/j", "", "delete"),
            ("GET", "/version", "", "get"),
            ("GET", "/apis", "", "get"),
        ] {
            assert_eq!(verb(&method.parse().unwrap(), path, query), expected, "{method} {path}?{query}");
        }
    }
}
