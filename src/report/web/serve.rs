//! The server.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde::Deserialize;

use super::{
    answers::{Answer, Answers, Refusal},
    guard::{self, Guard},
    page,
};
use crate::report::runs::Runs;

/// Answers that are under way when the server is to end get so long.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Serves the page of these runs until `stop` is there. Takes this thread, and one more while it reads files.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(
    listener: TcpListener,
    runs: Runs,
    title: String,
    guard: Guard,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    runtime.block_on(async move {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let (stopping, stopped) = tokio::sync::oneshot::channel();
        let stop = async move {
            stop.await;
            let _ = stopping.send(());
        };
        let server =
            axum::serve(listener, router(Answers::new(runs, title), guard)).with_graceful_shutdown(stop);
        tokio::select! {
            ended = server => ended,
            () = async {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(LAST_ANSWERS).await;
            } => Ok(()),
        }
    })
}

/// Until INT or TERM comes.
///
/// # Panics
/// Outside of a server.
pub async fn until_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (int, term) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (int, term) {
        (Ok(mut int), Ok(mut term)) => tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
        },
        // Without handlers the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

fn router(answers: Answers, guard: Guard) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", page::HTML))
        .route("/style.css", file("text/css; charset=utf-8", page::CSS))
        .route("/app.js", file("text/javascript; charset=utf-8", page::JS))
        .route("/icon.svg", file("image/svg+xml", page::ICON))
        .route("/api/runs", get(list))
        .route("/api/run", get(detail))
        .route("/api/series", get(series))
        .route("/api/graph", get(graph))
        .route("/api/filters", get(filters))
        .with_state(Arc::new(answers))
        .layer(middleware::from_fn(tag))
        .layer(middleware::from_fn_with_state(Arc::new(guard), guard::check))
}

/// Which run, and what of it.
#[derive(Deserialize)]
struct Question {
    id: String,
    from: Option<i32>,
    to: Option<i32>,
    points: Option<usize>,
}

async fn list(State(answers): State<Arc<Answers>>) -> Response {
    answer(move || answers.list()).await
}

async fn detail(State(answers): State<Arc<Answers>>, Query(q): Query<Question>) -> Response {
    answer(move || answers.detail(&q.id)).await
}

async fn series(State(answers): State<Arc<Answers>>, Query(q): Query<Question>) -> Response {
    let range = q.from.unwrap_or(i32::MIN)..=q.to.unwrap_or(i32::MAX);
    answer(move || answers.series(&q.id, &range, q.points)).await
}

async fn graph(State(answers): State<Arc<Answers>>, Query(q): Query<Question>) -> Response {
    answer(move || answers.graph(&q.id)).await
}

async fn filters(State(answers): State<Arc<Answers>>, Query(q): Query<Question>) -> Response {
    answer(move || answers.filters(&q.id)).await
}

/// Finds an answer on a thread that may wait for files.
async fn answer(find: impl FnOnce() -> Answer + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(find).await {
        Ok(Ok((kind, bytes))) => ([(header::CONTENT_TYPE, kind)], bytes).into_response(),
        Ok(Err(Refusal::NotFound)) => (StatusCode::NOT_FOUND, "there is no such run").into_response(),
        Ok(Err(Refusal::NotShown)) => (StatusCode::NOT_FOUND, "it cannot be shown").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Tags answers with a checksum, and sends none that the browser has.
async fn tag(request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag = format!("\"{:08x}-{:x}\"", crc32fast::hash(&bytes), bytes.len());
    let same = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        head.headers.insert(header::ETAG, tag);
    }
    if same {
        head.status = StatusCode::NOT_MODIFIED;
        head.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::from(bytes))
}
