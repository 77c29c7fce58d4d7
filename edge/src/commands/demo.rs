//! `palisade demo`: a small sample application to put the gateway in front of.
//!
//! A shop with a search box, a login, comments, a JSON API and a file upload: every kind of input an
//! attacker tries, and nothing behind it that could be hurt. It is not a vulnerable application: it
//! escapes what it shows, bounds what it keeps, and writes nothing to disk. It leaves slow clients to
//! the gateway, so it listens on loopback unless told otherwise.

mod page;
mod store;
mod stream;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{FormRejection, JsonRejection};
use axum::extract::{DefaultBodyLimit, Form, Json, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use store::{NewItem, Store};

/// Run a sample application to try the gateway with.
///
/// A small shop: search, login, comments, a JSON API, a file upload. Put the gateway before it with
/// `palisade run --upstream http://127.0.0.1:8081`.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
}

/// Runs the command until SIGTERM or SIGINT.
pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        let address = listener.local_addr()?;
        writeln!(io::stdout(), "sample application on http://{address}/")?;
        let (mut terminate, mut interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        tokio::select! {
            served = serve(listener) => served?,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Serves the application on `listener` for ever.
async fn serve(listener: TcpListener) -> io::Result<()> {
    axum::serve(listener, router(Arc::new(Store::default()))).await
}

fn router(store: Arc<Store>) -> Router {
    let upload = post(upload).layer(DefaultBodyLimit::disable());
    Router::new()
        .route("/", get(home))
        .route("/search", get(search))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/comments", post(comment))
        .route("/api/items", get(items).post(add_item))
        .route("/api/items/{id}", get(item))
        .route("/events", get(events))
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/style.css",
            get(|| async { asset("text/css; charset=utf-8", page::STYLE) }),
        )
        .route(
            "/app.js",
            get(|| async { asset("text/javascript; charset=utf-8", page::SCRIPT) }),
        )
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .route("/upload", upload)
        .fallback(not_found)
        .layer(from_fn(protect))
        .with_state(store)
}

/// Headers that keep a browser from making more of a page than it is.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn home(State(store): State<Arc<Store>>, headers: HeaderMap) -> Html<String> {
    Html(page::home(&store, user(&store, &headers), None))
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    q: String,
}

async fn search(
    State(store): State<Arc<Store>>,
    headers: HeaderMap,
    Query(Search { q }): Query<Search>,
) -> Html<String> {
    Html(page::home(&store, user(&store, &headers), Some(&q)))
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

/// The account is printed on the page; what matters is the form, not the secret.
async fn login(
    State(store): State<Arc<Store>>,
    form: Result<Form<Login>, FormRejection>,
) -> Response {
    let Ok(Form(Login { user, password })) = form else {
        return message(StatusCode::BAD_REQUEST, "A user and a password, please.");
    };
    if (user.as_str(), password.as_str()) != (USER, PASSWORD) {
        return message(StatusCode::UNAUTHORIZED, "Wrong user or password.");
    }
    let Ok(token) = store.sign_in() else {
        return message(StatusCode::SERVICE_UNAVAILABLE, "Please try again.");
    };
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

async fn logout(State(store): State<Arc<Store>>, headers: HeaderMap) -> Response {
    if let Some(token) = token(&headers) {
        store.sign_out(token);
    }
    let cookie = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

#[derive(Deserialize)]
struct Comment {
    name: String,
    text: String,
}

async fn comment(
    State(store): State<Arc<Store>>,
    form: Result<Form<Comment>, FormRejection>,
) -> Response {
    match form {
        Ok(Form(Comment { name, text })) if store.add_comment(&name, &text) => {
            Redirect::to("/#comments").into_response()
        }
        _ => message(StatusCode::BAD_REQUEST, "A name and a short text, please."),
    }
}

async fn items(State(store): State<Arc<Store>>) -> Response {
    Json(store.items()).into_response()
}

async fn item(State(store): State<Arc<Store>>, Path(id): Path<u64>) -> Response {
    match store.items().into_iter().find(|item| item.id == id) {
        Some(item) => Json(item).into_response(),
        None => error(StatusCode::NOT_FOUND, "no such item"),
    }
}

async fn add_item(
    State(store): State<Arc<Store>>,
    new: Result<Json<NewItem>, JsonRejection>,
) -> Response {
    let Ok(Json(new)) = new else {
        return error(
            StatusCode::BAD_REQUEST,
            "expected {\"name\": text, \"price\": number}",
        );
    };
    match store.add_item(new) {
        Some(item) => (StatusCode::CREATED, Json(item)).into_response(),
        None => error(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a name and a price are needed",
        ),
    }
}

/// Counts what arrives and keeps none of it.
async fn upload(headers: HeaderMap, body: Body) -> Response {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let multipart = kind.is_some_and(|kind| kind.starts_with("multipart/form-data"));
    match stream::count(body, MAX_UPLOAD).await {
        Ok(bytes) => Json(json!({"received": bytes, "multipart": multipart})).into_response(),
        Err(stream::CountError::TooLarge) => error(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
        Err(stream::CountError::Broken) => error(StatusCode::BAD_REQUEST, "the upload broke off"),
    }
}

/// Server-sent events: ten ticks, unless `count` says otherwise.
async fn events(Query(wish): Query<stream::Wish>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/event-stream")];
    (kind, Body::new(stream::Ticks::new(&wish))).into_response()
}

async fn not_found() -> Response {
    message(StatusCode::NOT_FOUND, "There is no such page.")
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn message(status: StatusCode, text: &str) -> Response {
    (status, Html(page::message(text))).into_response()
}

fn error(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"error": text}))).into_response()
}

fn user(store: &Store, headers: &HeaderMap) -> Option<&'static str> {
    token(headers)
        .is_some_and(|token| store.knows(token))
        .then_some(USER)
}

/// The session cookie's value.
fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|crumb| crumb.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token)
}

const USER: &str = "demo";
const PASSWORD: &str = "demo";
const COOKIE: &str = "session";
/// Bytes of a form or a JSON document.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of an upload.
const MAX_UPLOAD: u64 = 2 * 1024 * 1024 * 1024;
const HEADERS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

#[cfg(test)]
mod tests;
