//! Servers: which may be interrupted, how long each still rests, what was done to it, and the orders for one of them.
//!
//! Never: sends an order by hand that was not thought through first, or takes one number for one server.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::body::{Params, place_cursor};
use super::super::door::Door;
use super::super::problem::Problem;
use super::view::View;
use super::{Form, Sent, enter, page, query, see_other, sent};
use crate::config::{Config, Role};
use crate::domain::guard::{Check, Trace};
use crate::domain::guest::AttestedSettings;
use crate::domain::hold::{Hold, HoldScope};
use crate::domain::ids::TraceId;
use crate::domain::limits::{cooldown_until, dump_window_until};
use crate::domain::policy::Mode;
use crate::domain::server::{RegionCode, Server, ServerNo};
use crate::domain::target::means;
use crate::hands::{self, DumpCollected, Idempotency};
use crate::intake::Order;
use crate::store::{IncidentRow, Page, PageRequest, RemediationRow, ServerMarks, ServerRow};

/// Servers on one page of the list.
const LIST: i64 = 50;
/// Incidents and remediations of one server that are shown.
const STORY: i64 = 50;

#[derive(Template)]
#[template(path = "servers.html")]
struct Servers<'v> {
    v: &'v View,
    search: String,
    lines: Vec<Line>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "server.html")]
struct One<'v> {
    v: &'v View,
    line: Line,
    facts: Vec<(&'static str, String)>,
    twins: Vec<RegionCode>,
    incidents: Vec<IncidentRow>,
    remediations: Vec<RemediationRow>,
    policies: Vec<(String, Mode)>,
    thought: Option<Thought>,
}

#[derive(Template)]
#[template(path = "which_server.html")]
struct Which<'v> {
    v: &'v View,
    no: ServerNo,
    rows: Vec<ServerRow>,
}

/// One server with what a person at night wants to know of it.
struct Line {
    server: Server,
    seen_at: Timestamp,
    /// Why it may not be interrupted: key of a sentence and what was seen.
    why_not: Vec<(&'static str, String)>,
    last: Option<Timestamp>,
    dump: Option<Window>,
    cooldown: Option<Window>,
    attested: Option<AttestedSettings>,
    incident: Option<String>,
    holds: Vec<Hold>,
}

/// A time that lasts, and how much of it is left.
struct Window {
    until: Timestamp,
    left: i64,
    whole: i64,
}

impl Window {
    fn of(since: Option<Timestamp>, until: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        let (since, until) = (since?, until.filter(|until| now < *until)?);
        let seconds = |from: Timestamp| until.duration_since(from).as_secs();
        Some(Self { until, left: seconds(now), whole: seconds(since).max(1) })
    }
}

impl Line {
    fn of(row: ServerRow, marks: ServerMarks, holds: &[Hold], config: &Config, now: Timestamp) -> Self {
        let (server, attempts) = (row.server, &marks.attempts);
        let last = attempts.iter().filter(|past| past.may_have_acted()).map(|past| past.intent_at).max();
        let collected = marks.guest.dump_collected_at;
        let rest = cooldown_until(attempts, &server, SignedDuration::ZERO, collected);
        let dump = dump_window_until(attempts, &server);
        Self {
            why_not: why_not(&server, config),
            dump: Window::of(last.max(server.uptime_at), dump, now),
            cooldown: Window::of(last, rest, now),
            last,
            attested: marks.guest.dump_settings,
            incident: marks.open_incident,
            holds: holds.iter().filter(|hold| covers(&hold.scope, &server)).cloned().collect(),
            server,
            seen_at: row.seen_at,
        }
    }

    /// Path of its page.
    fn href(&self) -> String {
        place(&self.server.no, &self.server.region, None)
    }

    /// Why no dump would be written, by the guest's own words.
    fn no_dump(&self) -> Option<String> {
        self.attested.as_ref().and_then(|attested| attested.settings.why_no_dump())
    }
}

fn place(no: &ServerNo, region: &RegionCode, done: Option<&str>) -> String {
    let mut pairs = vec![("region", region.as_str())];
    pairs.extend(done.map(|key| ("done", key)));
    format!("/servers/{no}?{}", query(&pairs))
}

/// Whether a hold stops this server whatever the policy and the source.
fn covers(scope: &HoldScope, server: &Server) -> bool {
    match scope {
        HoldScope::Global => true,
        HoldScope::Region(name) => name == server.region.as_str(),
        HoldScope::Server(name) => name == server.no.as_str(),
        HoldScope::Source(_) | HoldScope::Policy(_) => false,
    }
}

fn why_not(server: &Server, config: &Config) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    if !config.rules.eligibility.allows(server) {
        let kind = format!("{} {}", server.hypervisor_code, server.os().as_str());
        all.push(("why-kind", kind.trim().to_owned()));
    }
    if !server.is_running() {
        all.push(("why-status", server.status_code.clone()));
    }
    if !server.is_idle() {
        all.push(("why-operation", server.operation_code.clone()));
    }
    let denies = |entry: &String| means(entry, server.no.as_str(), &server.name);
    let denying = config.rules.policies.iter().filter(|policy| policy.deny_servers.iter().any(denies));
    all.extend(denying.map(|policy| ("why-denied", policy.name.clone())));
    all
}

/// `GET /servers`
pub(in super::super) async fn list(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "servers", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load_list(&view, &door, &req).await)
}

async fn load_list<'v>(view: &'v View, door: &Door, req: &HttpRequest) -> Result<Servers<'v>, Problem> {
    let mut params = Params::of(req)?;
    let search = params.text("search").map(|text| text.trim().to_owned()).unwrap_or_default();
    let cursor = params.cursor(place_cursor)?;
    params.text("done");
    params.finish()?;
    let (store, config) = (&door.service.store, door.service.config());
    let wanted = PageRequest { limit: LIST, cursor, ascending: true };
    let begins = Some(search.as_str()).filter(|text| !text.is_empty());
    let Page { items, next_cursor } = store.servers(begins, &wanted).await?;
    let servers: Vec<Server> = items.iter().map(|row| row.server.clone()).collect();
    let marks = store.marks_of(&servers).await?;
    let holds = store.holds(view.now).await?;
    let lines = items.into_iter().zip(marks);
    let lines = lines.map(|(row, marks)| Line::of(row, marks, &holds, &config, view.now)).collect();
    let older = next_cursor.map(|cursor| {
        let mut pairs = vec![("cursor", cursor.as_str())];
        pairs.extend(begins.map(|text| ("search", text)));
        query(&pairs)
    });
    Ok(Servers { v: view, search, lines, older })
}

/// `GET /servers/{no}`: the server, or the choice between several of its number.
pub(in super::super) async fn one(req: HttpRequest, door: Data<Door>, no: Path<String>) -> HttpResponse {
    let view = match enter(&req, &door, "servers", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    let found = async {
        let mut params = Params::of(&req)?;
        let region = params.text("region");
        params.text("done");
        params.finish()?;
        find(&door, &no, region.as_deref()).await
    };
    match found.await {
        Ok(Found::One(row, twins)) => page(&view, load(&view, &door, *row, twins, None).await),
        Ok(Found::Several(no, rows)) => page(&view, Ok(Which { v: &view, no, rows })),
        Err(problem) => page(&view, Err::<Which<'_>, _>(problem)),
    }
}

enum Found {
    One(Box<ServerRow>, Vec<RegionCode>),
    Several(ServerNo, Vec<ServerRow>),
}

async fn find(door: &Door, no: &str, region: Option<&str>) -> Result<Found, Problem> {
    let no = ServerNo::parse(no).map_err(|_not_a_number| Problem::not_found("server"))?;
    let mut rows = door.service.store.servers_numbered(&no).await?;
    let named = |row: &ServerRow| region.is_none_or(|region| row.server.region.as_str() == region);
    let mut own = rows.iter().enumerate().filter(|(_, row)| named(row)).map(|(place, _)| place);
    match (own.next(), own.next()) {
        (None, _) => Err(Problem::not_found("server")),
        (Some(_), Some(_)) => Ok(Found::Several(no, rows)),
        (Some(place), None) => {
            let row = rows.remove(place);
            Ok(Found::One(Box::new(row), rows.into_iter().map(|row| row.server.region).collect()))
        }
    }
}

async fn load<'v>(
    view: &'v View,
    door: &Door,
    row: ServerRow,
    twins: Vec<RegionCode>,
    thought: Option<Thought>,
) -> Result<One<'v>, Problem> {
    let (store, config) = (&door.service.store, door.service.config());
    let servers = [row.server.clone()];
    let marks = store.marks_of(&servers).await?.into_iter().next();
    let marks = marks.ok_or_else(|| Problem::not_found("server"))?;
    let holds = store.holds(view.now).await?;
    let line = Line::of(row, marks, &holds, &config, view.now);
    let policies = config.rules.policies.iter().filter(|policy| policy.region == line.server.region);
    Ok(One {
        v: view,
        facts: facts(view, &line.server),
        twins,
        incidents: store.incidents_on(&line.server, STORY).await?,
        remediations: store.remediations_on(&line.server, STORY).await?,
        policies: policies.map(|policy| (policy.name.clone(), policy.mode)).collect(),
        line,
        thought,
    })
}

fn facts(view: &View, server: &Server) -> Vec<(&'static str, String)> {
    let all = [
        ("fact-status", server.status_code.clone()),
        ("fact-operation", server.operation_code.clone()),
        ("fact-hypervisor", server.hypervisor_code.clone()),
        ("fact-platform", server.platform_code.clone()),
        ("fact-memory", view.say1("gibibytes", "count", server.memory_bytes >> 30)),
        ("fact-zone", server.zone_code.clone()),
        ("fact-subnet", server.subnet_no.clone()),
        ("fact-placement", server.placement_group_no.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// What an order by hand would lead to, thought through and not carried out.
struct Thought {
    policy: String,
    decision: String,
    reason: Option<String>,
    detail: String,
    trace: Vec<Check>,
    /// It would make a remediation, and may be carried out.
    may: bool,
    key: String,
}

impl Thought {
    fn of(policy: &str, answer: &Value) -> Self {
        let text = |key: &str| answer.pointer(key).and_then(Value::as_str).map(str::to_owned);
        let trace: Option<Trace> =
            answer.get("trace").and_then(|trace| serde_json::from_value(trace.clone()).ok());
        let decision = text("/decision/decision").unwrap_or_default();
        Self {
            policy: policy.to_owned(),
            may: decision == "remediate" || decision == "awaiting_approval",
            decision,
            reason: text("/decision/reason"),
            detail: text("/decision/detail").unwrap_or_default(),
            trace: trace.unwrap_or_default().0,
            key: TraceId::generate().to_string(),
        }
    }
}

fn region(form: &Form) -> Result<RegionCode, Problem> {
    RegionCode::parse(form.text("region")).map_err(|expected| Problem::body("region", expected))
}

fn number(no: &str) -> Result<ServerNo, Problem> {
    ServerNo::parse(no).map_err(|_not_a_number| Problem::not_found("server"))
}

/// The page of the server again: with why it was not done, or with what would come of it.
async fn again(
    mut sent: Sent,
    door: &Door,
    no: &str,
    told: Result<Option<Thought>, Problem>,
) -> HttpResponse {
    let region = sent.form.given("region").map(str::to_owned);
    let thought = match told {
        Ok(thought) => thought,
        Err(problem) => {
            sent.view.problem = Some(problem);
            None
        }
    };
    let view = &sent.view;
    match (find(door, no, region.as_deref()).await, &view.problem) {
        (Ok(Found::One(row, twins)), _) => page(view, load(view, door, *row, twins, thought).await),
        (Ok(Found::Several(no, rows)), _) => page(view, Ok(Which { v: view, no, rows })),
        // What was refused first says more than that the server is not in the inventory.
        (Err(_), Some(problem)) => page(view, Err::<Which<'_>, _>(problem.clone())),
        (Err(problem), None) => page(view, Err::<Which<'_>, _>(problem)),
    }
}

/// `POST /servers/{no}/order`: by hand, under the same guards.
pub(in super::super) async fn order(
    req: HttpRequest,
    door: Data<Door>,
    no: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "servers", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    match ordered(&sent, &door, &no).await {
        Ok(Done::Thought(thought)) => again(sent, &door, &no, Ok(Some(thought))).await,
        Ok(Done::Remediation(id)) => see_other(&format!("/remediations/{id}?done=ordered")),
        Err(problem) => again(sent, &door, &no, Err(problem)).await,
    }
}

enum Done {
    Thought(Thought),
    Remediation(String),
}

async fn ordered(sent: &Sent, door: &Door, no: &str) -> Result<Done, Problem> {
    let form = &sent.form;
    let execute = match form.text("mode") {
        "dry_run" => false,
        "execute" => true,
        _ => return Err(Problem::body("mode", "expected dry_run or execute")),
    };
    let (policy, region) = (form.text("policy").to_owned(), region(form)?);
    let reason = if execute { form.reason()? } else { String::new() };
    let key = if execute { Some(key(form, no, &reason)?) } else { None };
    let person = sent.caller.person.name.clone();
    let order = Order { server_no: number(no)?, region, policy: policy.clone(), reason, person };
    let answer = hands::order(&door.service, order, execute, key).await??;
    if !execute {
        return Ok(Done::Thought(Thought::of(&policy, &answer)));
    }
    let id = answer.pointer("/decision/remediationId").and_then(Value::as_str);
    id.map_or_else(
        || Ok(Done::Thought(Thought::of(&policy, &answer))),
        |id| Ok(Done::Remediation(id.to_owned())),
    )
}

/// The key that the page made for this order: sent twice, it is done once.
fn key(form: &Form, no: &str, reason: &str) -> Result<Idempotency, Problem> {
    let key = form.text("key");
    if key.len() != 32 || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Problem::body("key", "missing; think the order through first"));
    }
    let mut hasher = Sha256::new();
    for text in ["page", no, form.text("region"), form.text("policy"), reason] {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    Ok(Idempotency { key: key.to_owned(), parameters: hex::encode(hasher.finalize()) })
}

/// `POST /servers/{no}/dump-collected`
pub(in super::super) async fn dump_collected(
    req: HttpRequest,
    door: Data<Door>,
    no: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let sent = match sent(&req, &door, "servers", Role::Operator, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let done = async {
        let said = DumpCollected {
            server_no: number(&no)?,
            region: Some(region(&sent.form)?),
            reason: sent.form.reason()?,
            person: sent.caller.person.name.clone(),
        };
        let place = place(&said.server_no, &region(&sent.form)?, Some("dump-collected"));
        hands::dump_collected(&door.service, said).await??;
        Ok(place)
    };
    match done.await {
        Ok(place) => see_other(&place),
        Err(problem) => again(sent, &door, &no, Err(problem)).await,
    }
}
