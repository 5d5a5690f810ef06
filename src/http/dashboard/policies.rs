//! Policies: how far each may go, what it has shown, and what it would have done alone in the last 30 days.
//!
//! Never: replays the past on every view, or promotes by itself.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::Timestamp;

use super::super::api::backtest::replayed;
use super::super::body::Params;
use super::super::door::Door;
use super::super::problem::Problem;
use super::super::stands::{self, BreakerStand, Stand};
use super::view::View;
use super::{Sent, enter, page, see_other, sent};
use crate::backtest::{ASSUMPTIONS, OfPolicy, Report, Wish};
use crate::config::{Config, Role};
use crate::domain::breaker::Breaker;
use crate::domain::policy::{Mode, Policy, TargetKind};
use crate::hands::{self, Hand};

/// Rows of a backtest on the page; the API and the command line have the rest.
const ROWS: usize = 20;

#[derive(Template)]
#[template(path = "policies.html")]
struct Policies<'v> {
    v: &'v View,
    config_hash: String,
    cards: Vec<Card>,
    limits: Vec<(&'static str, String)>,
}

struct Card {
    name: String,
    mode: Mode,
    effective: Mode,
    hash: String,
    demoted: Option<(Timestamp, String)>,
    promoted: Option<(Timestamp, String, String)>,
    record: [(&'static str, i64); 8],
    rules: Vec<(&'static str, String)>,
    breaker: &'static str,
    breaker_until: Option<Timestamp>,
    bad_in_a_row: usize,
    reset: Option<(Timestamp, String, String)>,
    replayed: Option<Replayed>,
}

/// A backtest of one policy in `auto`.
struct Replayed {
    report: Report,
    of: OfPolicy,
    /// Words of what it cannot know.
    assumed: [&'static str; ASSUMPTIONS.len()],
}

impl Replayed {
    fn of(mut report: Report, name: &str) -> Option<Self> {
        let of = report.policies.iter().find(|one| one.policy.as_deref() == Some(name))?.clone();
        report.remediations.retain(|one| one.policy == name);
        report.remediations.truncate(ROWS);
        Some(Self { report, of, assumed: ASSUMPTIONS.map(|(word, _text)| word) })
    }

    /// The servers that would have been touched or were told of most.
    fn servers(&self) -> impl Iterator<Item = &crate::backtest::OfServer> {
        self.of.servers.iter().take(ROWS)
    }
}

fn card(stand: Stand<'_>, breaker: BreakerStand) -> Card {
    let (state, breaker_until) = match breaker.breaker {
        Breaker::Closed => ("closed", None),
        Breaker::Open { until } => ("open", Some(until)),
        Breaker::HalfOpen { pending: _ } => ("half_open", None),
    };
    let (policy, record, standing) = (stand.policy, &stand.record, stand.standing);
    let promoted = match (standing.promoted_at, standing.promoted_by, standing.reason) {
        (Some(at), Some(by), Some(why)) => Some((at, by, why)),
        _ => None,
    };
    Card {
        name: policy.name.clone(),
        mode: policy.mode,
        effective: stand.effective,
        demoted: standing.demoted.map(|demotion| (demotion.at, demotion.why)),
        promoted,
        record: [
            ("record-shadow", record.shadow_hits),
            ("record-asked", record.approvals_asked),
            ("record-given", record.approvals_given),
            ("record-confirmed", record.confirmed),
            ("record-unconfirmed", record.unconfirmed),
            ("record-unknown", record.unknown),
            ("record-rejected", record.rejected),
            ("record-wrong", record.wrong_target),
        ],
        rules: rules(policy),
        hash: stand.hash,
        breaker: state,
        breaker_until,
        bad_in_a_row: breaker.bad_in_a_row,
        reset: breaker.reset.map(|reset| (reset.at, reset.person, reset.reason)),
        replayed: None,
    }
}

fn joined<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn rules(policy: &Policy) -> Vec<(&'static str, String)> {
    let target = |kind| match kind {
        TargetKind::ServerNo => "",
        TargetKind::Ip => " as ip",
        TargetKind::Name => " as name",
    };
    let all = [
        ("rule-match", policy.matchers.texts().join(" ")),
        ("rule-sources", policy.sources.join(", ")),
        ("region", policy.region.to_string()),
        ("rule-target", joined(&policy.targets, |one| format!("label:{}{}", one.label, target(one.kind)))),
        ("rule-deny", policy.deny_servers.join(", ")),
        ("rule-settle", format!("{:#}", policy.settle)),
        ("cooldown", format!("{:#}", policy.cooldown)),
        ("rule-budget", joined(&policy.budget, ToString::to_string)),
        ("rule-delivery-age", format!("{:#}", policy.delivery_age_max)),
        ("rule-notice-age", format!("{:#}", policy.notice_age_max)),
        ("rule-episode-age", format!("{:#}", policy.episode_age_max)),
        ("rule-approval-wait", format!("{:#}", policy.approval_wait)),
        ("rule-attestation", policy.require_attestation.map(|age| format!("{age:#}")).unwrap_or_default()),
        ("rule-corroborate", joined(&policy.corroborate, |one| format!("{}: {}", one.kind(), one.limit()))),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

fn limits(config: &Config) -> Vec<(&'static str, String)> {
    let (limits, storm, breaker) = (&config.rules.limits, &config.rules.storm, &config.rules.breaker);
    vec![
        ("limit-server", joined(&limits.server, ToString::to_string)),
        ("limit-region", joined(&limits.region, ToString::to_string)),
        ("limit-global", joined(&limits.global, ToString::to_string)),
        ("limit-flight", limits.in_flight.to_string()),
        ("limit-spacing", format!("{:#}", limits.spacing)),
        (
            "limit-storm",
            format!(
                "max({}, {} %), {} / {:#}",
                storm.count,
                storm.share * 100.0,
                storm.same_zone,
                storm.window
            ),
        ),
        ("limit-breaker", format!("{} / {:#}", breaker.failures, breaker.open_for)),
    ]
}

/// `GET /policies`
pub(in super::super) async fn show(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "policies", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    let made = async {
        let mut params = Params::of(&req)?;
        let wanted = params.text("backtest");
        params.text("done");
        params.finish()?;
        load(&view, &door, wanted.as_deref()).await
    };
    page(&view, made.await)
}

async fn load<'v>(view: &'v View, door: &Door, replay: Option<&str>) -> Result<Policies<'v>, Problem> {
    let service = &door.service;
    let config = service.config();
    let mut cards = Vec::new();
    for stand in stands::stands(service, &config).await? {
        let breaker = stands::breaker_of(service, &config, &stand.policy.name, view.now).await?;
        cards.push(card(stand, breaker));
    }
    if let Some(name) = replay {
        let Some(card) = cards.iter_mut().find(|card| card.name == name) else {
            return Err(Problem::query("backtest", "expected the name of a configured policy"));
        };
        let wish = Wish { policy: Some(name.to_owned()), mode: Mode::Auto };
        card.replayed = Replayed::of(replayed(door, Some(wish), None).await?, name);
    }
    Ok(Policies { v: view, config_hash: config.hash.clone(), limits: limits(&config), cards })
}

async fn after(mut sent: Sent, door: &Door, name: &str, done: Result<&str, Problem>) -> HttpResponse {
    match done {
        // Whoever is configured has a name that needs no escaping; of others nothing was done.
        Ok(key) => see_other(&format!("/policies?done={key}#{name}")),
        Err(problem) => {
            sent.view.problem = Some(problem);
            page(&sent.view, load(&sent.view, door, None).await)
        }
    }
}

/// Lets a form in, does what it orders for its reason, and shows the page of policies again.
async fn ordered<T>(
    req: &HttpRequest,
    door: &Door,
    needed: Role,
    payload: Payload,
    name: &str,
    done: &'static str,
    order: impl AsyncFnOnce(&str, &str) -> Hand<T>,
) -> HttpResponse {
    let sent = match sent(req, door, "policies", needed, payload).await {
        Ok(sent) => sent,
        Err(answer) => return answer,
    };
    let ordered = async {
        order(&sent.caller.person.name, &sent.form.reason()?).await??;
        Ok(done)
    };
    let ordered = ordered.await;
    after(sent, door, name, ordered).await
}

/// `POST /policies/{name}/promote`
pub(in super::super) async fn promote(
    req: HttpRequest,
    door: Data<Door>,
    name: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order =
        async |person: &str, reason: &str| hands::promote_policy(&door.service, &name, person, reason).await;
    ordered(&req, &door, Role::Approver, payload, &name, "promoted", order).await
}

/// `POST /policies/{name}/demote`: it named a wrong server.
pub(in super::super) async fn demote(
    req: HttpRequest,
    door: Data<Door>,
    name: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order =
        async |person: &str, reason: &str| hands::demote_policy(&door.service, &name, person, reason).await;
    ordered(&req, &door, Role::Operator, payload, &name, "demoted", order).await
}

/// `POST /breakers/{policy}/reset`
pub(in super::super) async fn reset_breaker(
    req: HttpRequest,
    door: Data<Door>,
    name: Path<String>,
    payload: Payload,
) -> HttpResponse {
    let order =
        async |person: &str, reason: &str| hands::reset_breaker(&door.service, &name, person, reason).await;
    ordered(&req, &door, Role::Approver, payload, &name, "breaker-reset", order).await
}
