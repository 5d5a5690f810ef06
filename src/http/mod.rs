//! The HTTP door: webhooks in, the API for people, health and figures. Everything here is thin.
//!
//! Never: calls the cloud, writes to the store but through `intake` and `hands`, or answers a redirect.

mod api;
mod auth;
mod body;
mod brief;
mod caller;
mod client;
mod connection;
mod dashboard;
mod door;
mod feed;
mod figures;
mod health;
mod linger;
mod openapi;
mod people;
mod problem;
mod routes;
mod session;
mod stands;
mod stream;
#[cfg(test)]
mod tests;
mod webhooks;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Server, ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::{Next, NormalizePath, from_fn};
use actix_web::{App, HttpMessage as _, HttpRequest, HttpServer, ResponseError as _, web};
use tracing::Instrument as _;

use crate::config::Config;
use crate::domain::ids::TraceId;
use crate::service::Service;
use crate::tls::Certificates;
use door::Door;
use linger::{Holding, Shared};
pub use openapi::document;
use people::Turn;
pub use problem::Code;
use problem::{Problem, TRACE_HEADER};
use routes::Serves;

/// Threads that serve; the store has one writer anyway.
const WORKERS: usize = 2;
/// Open connections per worker; each costs a file descriptor.
const CONNECTIONS_MAX: usize = 4096;
/// Time in which the head of a request must have arrived.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long answers under way are waited for at a stop, in seconds.
const STOP_SECONDS: u64 = 4;

/// The door, bound and not yet open: it opens when `running` is spawned.
pub struct Listening {
    /// Stops it: the second address first, so that the first is the last to go.
    pub handles: Vec<ServerHandle>,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Where health and figures are served, if that is elsewhere.
    pub ops_addr: Option<SocketAddr>,
    /// The work.
    pub running: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listening").field("addr", &self.addr).finish_non_exhaustive()
    }
}

/// Why the door cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}: {source}; is another program using the port?")]
pub struct ListenError {
    /// The address.
    listen: SocketAddr,
    /// What the system said.
    source: std::io::Error,
}

/// Binds the addresses and builds the servers.
pub fn listen(
    service: Arc<Service>,
    certificates: Option<&Arc<Certificates>>,
) -> Result<Listening, ListenError> {
    let config = service.config();
    let (socket, addr) = bound(config.server.listen, &config)?;
    let ops = config.server.ops_listen.map(|ops| bound(ops, &config)).transpose()?;
    let at = |source| ListenError { listen: config.server.listen, source };
    let door = Door::new(service, addr.ip(), certificates.cloned())
        .ok_or_else(|| at(std::io::Error::other("the system gives no random bits for sessions")))?;
    let door = web::Data::new(door);
    let (feed, store) = (Arc::clone(&door.feed), door.service.store.clone());
    let first = if ops.is_some() { Serves::Work } else { Serves::Everything };
    let server = serve(&door, socket, first, certificates).map_err(at)?;
    let (ops_socket, ops_addr) = ops.unzip();
    let ops = ops_socket.map(|socket| serve(&door, socket, Serves::Operations, None)).transpose();
    let ops = ops.map_err(at)?;
    let handles = ops.iter().chain([&server]).map(Server::handle).collect();
    let running = async move {
        let second = async {
            match ops {
                Some(ops) => ops.await,
                None => Ok(()),
            }
        };
        // The feed never ends by itself; it goes with the servers.
        let ended = tokio::select! {
            ended = async { tokio::try_join!(server, second) } => ended,
            never = feed.run(store) => match never {},
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the HTTP server ended");
        }
    };
    Ok(Listening { handles, addr, ops_addr, running: Box::pin(running) })
}

fn bound(listen: SocketAddr, config: &Config) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bind = || {
        let socket = TcpListener::bind(listen)?;
        cut_off_after(&socket, config)?;
        let addr = socket.local_addr()?;
        Ok((socket, addr))
    };
    bind().map_err(|source| ListenError { listen, source })
}

/// One address with its routes. Must be called within the runtime.
fn serve(
    door: &web::Data<Door>,
    socket: TcpListener,
    routes: Serves,
    certificates: Option<&Arc<Certificates>>,
) -> Result<Server, std::io::Error> {
    let door = door.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(door.clone())
            .wrap(from_fn(surround))
            // Rewrites inside, outermost: a slash at the end never costs a redirect.
            .wrap(NormalizePath::trim())
            .configure(|app| routes::register(app, routes))
    })
    .workers(if routes == Serves::Operations { 1 } else { WORKERS })
    .max_connections(CONNECTIONS_MAX)
    // An answer in two segments would wait for the peer's delayed acknowledgement, some 40 ms.
    .tcp_nodelay(true)
    .client_request_timeout(HEAD_TIMEOUT)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(STOP_SECONDS)
    .disable_signals()
    .on_connect(connection::note);
    let server = match certificates {
        None => server.listen(socket)?,
        Some(certificates) => {
            let tls = certificates.server_config().map_err(std::io::Error::other)?;
            server.listen_rustls_0_23(socket, tls)?
        }
    };
    Ok(server.run())
}

/// Accepted connections inherit it: the system itself cuts off a peer that takes nothing, or is gone, for so long.
#[cfg(target_os = "linux")]
fn cut_off_after(socket: &TcpListener, config: &Config) -> Result<(), std::io::Error> {
    let after = Duration::try_from(config.server.write_timeout).unwrap_or(KEEP_ALIVE);
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(after))
}

/// Other systems have no such limit of their own.
#[cfg(not(target_os = "linux"))]
fn cut_off_after(_socket: &TcpListener, _config: &Config) -> Result<(), std::io::Error> {
    Ok(())
}

/// Around every request: a span with its trace, the headers that every answer has, and problems for every error.
async fn surround(
    mut req: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let unread = Shared::of(&mut req);
    let trace_id =
        traceparent(req.request()).and_then(TraceId::from_traceparent).unwrap_or_else(TraceId::generate);
    req.extensions_mut().insert(trace_id.clone());
    let span = tracing::info_span!("request", trace_id = %trace_id, http.method = %req.method());
    let response = match next.call(req).instrument(span).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => return Err(problem_of(&error).traced(&trace_id).into()),
    };
    let mut response = with_problem(response, &trace_id);
    let plain_cache = !response.headers().contains_key(CACHE_CONTROL);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if plain_cache {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let (Ok(value), Ok(name)) = (
        HeaderValue::from_str(trace_id.as_str()),
        TRACE_HEADER.parse::<actix_web::http::header::HeaderName>(),
    ) {
        headers.insert(name, value);
    }
    let turn = response.request().extensions_mut().remove::<Turn>();
    if unread.is_none() && turn.is_none() {
        return Ok(response);
    }
    Ok(response.map_body(|_, answer| BoxBody::new(Holding { answer, _request: unread, _turn: turn })))
}

/// The trace context that the caller sent.
fn traceparent(req: &HttpRequest) -> Option<&str> {
    req.headers().get("traceparent").and_then(|value| value.to_str().ok())
}

fn problem_of(error: &actix_web::Error) -> Problem {
    match error.as_error::<Problem>() {
        Some(problem) => problem.clone(),
        None => Problem::of_status(error.as_response_error().status_code()),
    }
}

/// Gives a problem its trace, and makes one of every error answer that some other part of the server wrote.
fn with_problem(response: ServiceResponse<BoxBody>, trace_id: &TraceId) -> ServiceResponse<BoxBody> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = match response.response().error() {
        Some(error) => problem_of(error),
        None if has_own_body(&response) => return response,
        None => Problem::of_status(status),
    };
    let allow = response.headers().get(ALLOW).cloned();
    let mut answer = problem.traced(trace_id).error_response();
    if let Some(allow) = allow {
        answer.headers_mut().insert(ALLOW, allow);
    }
    response.into_response(answer)
}

fn has_own_body(response: &ServiceResponse<BoxBody>) -> bool {
    let empty = matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0));
    !empty && response.headers().contains_key(CONTENT_TYPE)
}
