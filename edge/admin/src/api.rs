//! The paths of the admin listener and what they answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde_json::json;

use crate::fragments::{Write, fragment};
use crate::{Hosts, Live, Page, Readiness, Status};

/// What every handler may ask.
#[derive(Clone)]
pub(crate) struct Context {
    live: Arc<dyn Live>,
    hosts: Arc<Hosts>,
    pub(crate) write: Option<Write>,
}

/// The router of the admin listener.
pub(crate) fn router(live: Arc<dyn Live>, hosts: Hosts, write: Option<Write>) -> Router {
    let context = Context {
        live,
        hosts: Arc::new(hosts),
        write,
    };
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/api/v1/status", get(status))
        .route("/api/v1/hosts", get(host_figures))
        .route(
            "/api/v1/fragments/{name}",
            get(fragment).put(fragment).delete(fragment),
        )
        .route("/api/v1/acme", get(acme))
        .route("/api/v1/upstreams", get(upstreams))
        .route("/api/v1/upstreams/{group}", get(upstream))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        // Outermost, so that no path answers before the name was checked.
        .layer(from_fn_with_state(context.clone(), guard))
        .with_state(context)
}

/// Refuses foreign names and marks every answer as not to be stored or sniffed.
async fn guard(State(context): State<Context>, request: Request, next: Next) -> Response {
    let mut response = if names_us(&context.hosts, request.headers(), request.uri()) {
        next.run(request).await
    } else {
        error(StatusCode::MISDIRECTED_REQUEST, "unknown host name")
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Exactly one `Host`, and both it and the authority of an absolute target are allowed.
fn names_us(hosts: &Hosts, headers: &HeaderMap, uri: &Uri) -> bool {
    let mut values = headers.get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else {
        return false;
    };
    let host = host.to_str().is_ok_and(|host| hosts.allow(host));
    host && uri
        .authority()
        .is_none_or(|authority| hosts.allow(authority.as_str()))
}

/// The process answers; says nothing about traffic.
async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn readyz(State(context): State<Context>) -> Response {
    match context.live.readiness() {
        Readiness::Ready => Json(json!({"status": "ready"})).into_response(),
        Readiness::NotReady(reason) => {
            let body = Json(json!({"status": "not ready", "reason": reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], context.live.metrics()).into_response()
}

async fn status(State(context): State<Context>) -> Json<Status> {
    Json(context.live.status())
}

/// Figures per host: `?q=TEXT&sort=requests|errors|bytes|time|host&offset=N&limit=N`.
async fn host_figures(
    State(context): State<Context>,
    query: Result<Query<Page>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(page)) => Json(context.live.hosts(&page)).into_response(),
        Err(_) => error(
            StatusCode::BAD_REQUEST,
            "expected q, sort (host, requests, errors, bytes or time), offset and limit",
        ),
    }
}

async fn acme(State(context): State<Context>) -> Response {
    Json(json!({"certificates": context.live.acme()})).into_response()
}

/// Every group and the state of its servers.
async fn upstreams(State(context): State<Context>) -> Response {
    Json(context.live.upstreams(None)).into_response()
}

/// The servers of one group.
async fn upstream(State(context): State<Context>, Path(group): Path<String>) -> Response {
    match context.live.upstreams(Some(&group)).get(&group) {
        Some(servers) => Json(servers).into_response(),
        None => error(StatusCode::NOT_FOUND, "no such upstream"),
    }
}

async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "no such path")
}

async fn method_not_allowed() -> Response {
    error(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not answer this method",
    )
}

pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"error": message}))).into_response()
}
