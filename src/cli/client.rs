//! The client of a running service: one token, one call, one clear answer.
//!
//! Never: takes a token on the command line, follows a redirect with it, or repeats a call that acts.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Method, Url, redirect};
use serde_json::{Value, json};

use super::failure::Failure;
use super::out::{Format, Out, clean};
use super::table::Table;
use crate::config::Environment;
use crate::files;
use crate::telemetry::chain;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait of somebody who needs to know soon, and for the connection alone.
const HASTY: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(1));
/// Silence after which a stream is lost: three heartbeats of the service.
const SILENCE: Duration = Duration::from_secs(45);
/// Most bytes of a file of authorities.
const CA_BYTES_MAX: u64 = 1024 * 1024;
/// Largest token file.
const TOKEN_BYTES_MAX: u64 = 4096;
/// Most pages that are read of one list.
const PAGES_MAX: usize = 100;

/// Names the service and how its answer is printed.
#[derive(Debug, Clone, Args)]
pub(super) struct ServiceArgs {
    /// Address of the service
    #[arg(long, env = "UNHANG_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// File with the token; else the variable `UNHANG_TOKEN` (never on the command line: others can read it there)
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// Whom to believe that it is the service.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TrustArgs {
    /// PEM file with the authorities that may vouch for the service, and no others; without it those of the system
    #[arg(long, env = "UNHANG_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

impl TrustArgs {
    /// Whether authorities were named.
    pub(super) fn is_named(&self) -> bool {
        self.ca_file.is_some()
    }

    fn apply(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::ClientBuilder, Failure> {
        let Some(path) = &self.ca_file else { return Ok(builder) };
        let fault = |why: String| Failure::usage(format!("--ca-file {}: {why}", path.display()));
        let text = files::read(path, CA_BYTES_MAX).map_err(|error| fault(error.to_string()))?;
        let all = Certificate::from_pem_bundle(&text).map_err(|error| fault(chain(&error)))?;
        if all.is_empty() {
            return Err(fault("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)".to_owned()));
        }
        Ok(builder.tls_certs_only(all))
    }
}

/// A client with its token.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

impl Client {
    /// Reads the token and builds the client.
    pub(super) fn new(args: &ServiceArgs) -> Result<Self, Failure> {
        let token = token(args)?;
        Self::build(&args.url, token, (TIMEOUT, TIMEOUT), &args.trust)
    }

    /// A client that gives up soon: there is another way, and somebody waits to take it.
    pub(super) fn hasty(args: &ServiceArgs) -> Result<Self, Failure> {
        Self::build(&args.url, token(args)?, HASTY, &args.trust)
    }

    /// A client with a token at hand.
    pub(super) fn with_token(url: &str, token: String) -> Result<Self, Failure> {
        Self::build(url, token, (TIMEOUT, TIMEOUT), &TrustArgs::default())
    }

    fn build(
        url: &str,
        token: String,
        (all, connect): (Duration, Duration),
        trust: &TrustArgs,
    ) -> Result<Self, Failure> {
        let base = address(url)?;
        let builder = reqwest::Client::builder().timeout(all).connect_timeout(connect);
        Self::finish(trust.apply(builder)?, base, token)
    }

    fn finish(builder: reqwest::ClientBuilder, base: Url, token: String) -> Result<Self, Failure> {
        if !is_this_machine(&base) && base.scheme() == "http" {
            Out::stderr().line("warning: the token travels unencrypted; use https to another machine")?;
        }
        Ok(Self { http: built(builder, &base)?, base, token })
    }

    /// A client for an answer that goes on: silence longer than three heartbeats is a lost connection.
    pub(super) fn patient(args: &ServiceArgs) -> Result<Self, Failure> {
        let base = address(&args.url)?;
        let builder = reqwest::Client::builder().read_timeout(SILENCE).connect_timeout(TIMEOUT);
        Self::finish(args.trust.apply(builder)?, base, token(args)?)
    }

    /// Opens an answer that goes on.
    pub(super) async fn follow(
        &self,
        path: &[&str],
        query: &[(&str, String)],
        last: Option<&str>,
    ) -> Result<Following, Failure> {
        let mut request = self.request(Method::GET, path, query);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.map_err(|error| self.lost(&error, false))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Following(answer));
        }
        let text = answer.text().await.map_err(|error| self.lost(&error, false))?;
        Err(refusal(status.as_u16(), &serde_json::from_str(&text).unwrap_or(Value::Null), false))
    }

    /// Asks for something.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        self.call(Method::GET, path, query, None, None).await
    }

    /// How ready the service is, and what it looked at to say so; it says that while it is not ready as well.
    pub(super) async fn readiness(&self) -> Result<Value, Failure> {
        page(&self.http, &self.base, "readyz").await.map(|(_status, told)| told)
    }

    /// All items of a list.
    pub(super) async fn list(&self, path: &[&str]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut query = Vec::new();
        for _page in 0..PAGES_MAX {
            let mut page = self.get(path, &query).await?;
            if let Some(more) = page.get_mut("items").and_then(Value::as_array_mut) {
                items.append(more);
            }
            let Some(cursor) = page.get("nextCursor").and_then(Value::as_str) else { break };
            query = vec![("limit", "1000".to_owned()), ("cursor", cursor.to_owned())];
        }
        Ok(items)
    }

    /// Does something. A key makes it safe to be asked for again by a person.
    pub(super) async fn post(
        &self,
        path: &[&str],
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        self.call(Method::POST, path, &[], Some(body), key).await
    }

    /// Takes something away, with the reason.
    pub(super) async fn delete(&self, path: &[&str], reason: &str) -> Result<Value, Failure> {
        let body = json!({ "reason": reason });
        self.call(Method::DELETE, path, &[], Some(&body), None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let acts = method != Method::GET;
        let mut request = self.request(method, path, query);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await.map_err(|error| self.lost(&error, acts))?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| self.lost(&error, acts))?;
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if status.is_success() { Ok(value) } else { Err(refusal(status.as_u16(), &value, acts)) }
    }

    fn request(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        self.http.request(method, url).query(query).bearer_auth(&self.token)
    }

    fn lost(&self, error: &reqwest::Error, acts: bool) -> Failure {
        if acts && !error.is_connect() && !error.is_builder() {
            let where_to = self.base.as_str().trim_end_matches('/');
            let why = chain(&error.without_url_ref());
            return Failure::unreachable(format!(
                "no answer from the service at {where_to}; it may have been done, so look before you repeat it: {why}"
            ));
        }
        not_reached(&self.base, error)
    }
}

/// A client that follows no redirect, and that no proxy stands in front of where the service is on this machine.
fn built(builder: reqwest::ClientBuilder, base: &Url) -> Result<reqwest::Client, Failure> {
    let builder = builder.redirect(redirect::Policy::none());
    let builder = if is_this_machine(base) { builder.no_proxy() } else { builder };
    builder.build().map_err(|error| Failure::usage(chain(&error)))
}

fn not_reached(base: &Url, error: &reqwest::Error) -> Failure {
    let (where_to, why) = (base.as_str().trim_end_matches('/'), chain(&error.without_url_ref()));
    Failure::unreachable(format!("cannot reach the service at {where_to}: {why}"))
}

/// Asks for one page that wants no token, of a service on this machine or another: status and answer. With
/// `any_certificate` whoever answers is believed.
pub(super) async fn ask_openly(
    url: &str,
    page: &str,
    within: Duration,
    any_certificate: bool,
    trust: &TrustArgs,
) -> Result<(u16, Value), Failure> {
    let base = address(url)?;
    let builder = reqwest::Client::builder().timeout(within).connect_timeout(within);
    let builder = trust.apply(builder)?.tls_danger_accept_invalid_certs(any_certificate);
    self::page(&built(builder, &base)?, &base, page).await
}

/// One page that wants no token: status and answer.
async fn page(http: &reqwest::Client, base: &Url, name: &str) -> Result<(u16, Value), Failure> {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(name);
    }
    let lost = |error: reqwest::Error| not_reached(base, &error);
    let answer = http.get(url).send().await.map_err(lost)?;
    let status = answer.status().as_u16();
    let text = answer.text().await.map_err(lost)?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// An answer that goes on.
pub(super) struct Following(reqwest::Response);

impl Following {
    /// The next piece; `None` when the answer has ended or the connection is lost.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.0.chunk().await.ok().flatten().map(|piece| piece.to_vec())
    }
}

fn address(url: &str) -> Result<Url, Failure> {
    Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Failure::usage("--url: expected an address such as http://127.0.0.1:8080"))
}

/// The causes of an error below its own line, which names the whole address.
trait WithoutUrl {
    fn without_url_ref(&self) -> Told;
}

/// An error reduced to what it says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

impl WithoutUrl for reqwest::Error {
    fn without_url_ref(&self) -> Told {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        if self.is_timeout() {
            causes.push("timed out".to_owned());
        }
        Told(causes.join(": "))
    }
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn token(args: &ServiceArgs) -> Result<String, Failure> {
    let text = match &args.token_file {
        Some(path) => files::text(path, TOKEN_BYTES_MAX).map_err(|error| {
            Failure::usage(format!("cannot read the token file {}: {error}", path.display()))
        })?,
        None => Environment::of_process()
            .get("UNHANG_TOKEN")
            .ok_or_else(|| Failure::usage("no token: set UNHANG_TOKEN or name a file with --token-file"))?
            .to_owned(),
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Failure::usage("the token must be one word of visible ASCII"));
    }
    Ok(token.to_owned())
}

/// What the service said instead of doing it.
fn refusal(status: u16, problem: &Value, acts: bool) -> Failure {
    let field = |name: &str| problem.get(name).and_then(Value::as_str).map(clean).unwrap_or_default();
    let (title, detail, code, trace) = (field("title"), field("detail"), field("code"), field("traceId"));
    let mut text = format!("the service answered {status}");
    for part in [title, detail].into_iter().filter(|part| !part.is_empty()) {
        text.push_str(": ");
        text.push_str(&part);
    }
    if !code.is_empty() || !trace.is_empty() {
        text.push_str(" (");
        text.push_str(
            &[code, trace].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "),
        );
        text.push(')');
    }
    match status {
        400 | 413 | 415 | 422 => Failure::usage(text),
        500.. if acts && status != 503 => Failure::unreachable(format!("{text}; look before you repeat it")),
        500.. => Failure::unreachable(text),
        _ => Failure::not_so(text),
    }
}

/// A field of a value as text; empty where it is missing.
pub(super) fn text_of(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Prints the answer to something that was done.
pub(super) fn print_answer(answer: &Value, format: Format, out: &mut Out) -> Result<(), Failure> {
    if format == Format::Json {
        out.json(answer)?;
        return Ok(());
    }
    if let Some(fields) = answer.as_object() {
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_object() && !value.is_array()) {
            if !value.is_null() {
                out.line(format_args!("{name}: {}", clean(&text_of(answer, name))))?;
            }
        }
    }
    if let Some(activity) = answer.get("activity").filter(|activity| activity.is_object()) {
        print_activity(activity, out)?;
    }
    let alerts = answer.get("alerts").and_then(Value::as_array);
    if let Some(alerts) = alerts.filter(|alerts| !alerts.is_empty()) {
        let mut table = Table::new(&["server", "decision", "reason", "until", "detail"]);
        for alert in alerts {
            let fields = ["serverInstanceNo", "decision", "reason", "until", "detail"];
            table.row(fields.map(|field| text_of(alert, field)));
        }
        table.print(out, false)?;
    }
    Ok(())
}

/// What the cloud's activity record said, with the warning that silence proves nothing.
fn print_activity(activity: &Value, out: &mut Out) -> Result<(), Failure> {
    let (asked, error) = (text_of(activity, "askedAt"), text_of(activity, "error"));
    let found = activity.get("found").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    out.line(format_args!(
        "activity record, asked {}: {} about this server around the intent (none would prove nothing)",
        clean(&asked),
        found.len()
    ))?;
    if !error.is_empty() {
        out.line(format_args!("activity record, last asking: {}", clean(&error)))?;
    }
    if found.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(&["historyId", "time", "action", "result", "from"]);
    for entry in found {
        let fields = ["historyId", "eventTime", "action", "result", "sourceIp"];
        table.row(fields.map(|field| text_of(entry, field)));
    }
    table.print(out, false)?;
    Ok(())
}
