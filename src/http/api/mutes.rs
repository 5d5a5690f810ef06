//! `/api/v1/holds` and `/api/v1/silences`: the operator's ways to say no.
//!
//! Never: sets one that holds nothing, or one without a person and a reason.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::super::auth::{Operator, Viewer};
use super::super::body::{self};
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use super::{done, no_params, why_deleted, words};
use crate::config::Config;
use crate::domain::alert::Labels;
use crate::domain::hold::{Hold, HoldScope, Silence};
use crate::domain::limits::later;
use crate::domain::matcher::{Matcher, Matchers};
use crate::domain::server::{RegionCode, ServerNo};
use crate::hands;
use crate::service::hold_file;
use crate::store::{NewHold, NewSilence, Page};
use crate::telemetry::chain;

/// Longest wait for the store to take a hold: whoever sets one needs to know soon that there is another way.
const HOLD_WITHIN: Duration = Duration::from_secs(2);
/// Longest hold or silence with an end of its own.
const LENGTH_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);
/// What a hold may stop.
const SCOPES: [&str; 5] = ["global", "source", "policy", "region", "server"];

/// Holds that nobody has cleared.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Holds {
    /// The holds.
    #[serde(flatten)]
    list: Page<Hold>,
    /// Why the hold file stops everything, if it does.
    hold_file: Option<String>,
}

/// `GET /api/v1/holds`: those that nobody has cleared, and the hold file.
pub(in super::super) async fn holds(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let service = &door.service;
    let now = service.clock.now();
    let items = service.store.holds(now).await?;
    let file = hold_file(&service.config().store.hold_file);
    Ok(HttpResponse::Ok().json(Holds { list: Page::whole(items), hold_file: file }))
}

/// A hold that was set.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct HoldSet {
    id: i64,
    /// `global`, `source`, `policy`, `region` or `server`.
    scope: &'static str,
    /// What of that kind; empty for `global`.
    name: String,
    author: String,
    reason: String,
    /// Its own end; none until a person clears it.
    until: Option<Timestamp>,
}

/// A hold that was cleared.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct HoldCleared {
    id: i64,
    cleared: bool,
}

/// A silence in a list.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SilenceItem {
    /// The silence.
    #[serde(flatten)]
    silence: Silence,
    /// It mutes now.
    in_force: bool,
}

/// A silence that was ended.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct SilenceEnded {
    id: i64,
    ended: bool,
}

/// A hold as a person asks for it.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SetHold {
    /// `global`, `source`, `policy`, `region` or `server`.
    #[schema(schema_with = scope_words)]
    pub(in super::super) scope: String,
    /// Of what; empty for `global`.
    #[serde(default)]
    pub(in super::super) name: String,
    /// Why.
    #[schema(schema_with = super::super::openapi::reason_text)]
    pub(in super::super) reason: String,
    /// Its end as a time: RFC 3339, or milliseconds since 1970; within a year.
    #[serde(default)]
    #[schema(examples("2026-12-01T06:00:00+09:00"))]
    pub(in super::super) until: Option<String>,
    /// Its end as a length, such as `2h` or `30m`; at most a year.
    #[serde(default)]
    #[schema(examples("4h"))]
    pub(in super::super) duration: Option<String>,
}

fn scope_words() -> utoipa::openapi::schema::Schema {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .description(Some("What kind of thing is held."))
        .enum_values(Some(SCOPES))
        .into()
}

/// `POST /api/v1/holds`
pub(in super::super) async fn set_hold(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let wanted: SetHold = body::json(&req, payload).await?;
    let (id, new) = hold(&door, &person.0.name, &wanted).await?;
    let (scope, name) = new.scope.parts();
    Ok(HttpResponse::Created().json(HoldSet {
        id,
        scope,
        name: name.to_owned(),
        author: new.author,
        reason: new.reason,
        until: new.until,
    }))
}

/// Sets a hold, or says within two seconds that the store did not take it.
pub(in super::super) async fn hold(
    door: &Door,
    person: &str,
    wanted: &SetHold,
) -> Result<(i64, NewHold), Problem> {
    let now = door.service.clock.now();
    let new = NewHold {
        scope: scope(&wanted.scope, &wanted.name, &door.service.config())?,
        author: person.to_owned(),
        reason: words(&wanted.reason)?,
        until: end("until", wanted.until.as_deref(), wanted.duration.as_deref(), now, now)?,
    };
    match tokio::time::timeout(HOLD_WITHIN, hands::set_hold(&door.service, new.clone())).await {
        Ok(Ok(id)) => Ok((id, new)),
        Ok(Err(error)) => {
            tracing::error!(error = %chain(&error), "a hold could not be stored");
            Err(not_held("failed"))
        }
        // The writer owns it by now, and may yet store it: one hold too many harms nobody.
        Err(_elapsed) => Err(not_held("did not answer within 2 s; it may yet take the hold")),
    }
}

fn not_held(store: &str) -> Problem {
    let detail = format!(
        "the store {store}; the hold file works without it: `unhang hold set --file --reason …`, or make the file named \
         by store.hold_file (default: HOLD beside the store)"
    );
    Problem::new(Code::StoreFailed, detail)
}

/// A scope that something falls under: a mistyped name would hold nothing and feel safe.
fn scope(scope: &str, name: &str, config: &Config) -> Result<HoldScope, Problem> {
    if !SCOPES.contains(&scope) {
        return Err(Problem::body("scope", format!("expected one of {}", SCOPES.join(", "))));
    }
    let parsed = HoldScope::from_parts(scope, name).ok_or_else(|| {
        let expected = if scope == "global" { "a global hold has no name" } else { "missing" };
        Problem::body("name", expected)
    })?;
    let listed = |known: Vec<&str>| {
        let expected = format!("no {scope} has this name; expected one of {}", known.join(", "));
        if known.contains(&name) { Ok(()) } else { Err(expected) }
    };
    let checked = match &parsed {
        HoldScope::Global => Ok(()),
        HoldScope::Source(_) => listed(config.sources.iter().map(|source| source.name.as_str()).collect()),
        HoldScope::Policy(_) => {
            listed(config.rules.policies.iter().map(|policy| policy.name.as_str()).collect())
        }
        HoldScope::Region(_) => RegionCode::parse(name).map(|_| ()).map_err(|error| error.to_string()),
        HoldScope::Server(_) => ServerNo::parse(name).map(|_| ()).map_err(|error| error.to_string()),
    };
    checked.map_err(|expected| Problem::body("name", expected))?;
    Ok(parsed)
}

/// The end that `until` or `duration` gives, behind `from` and in the future.
fn end(
    field: &'static str,
    until: Option<&str>,
    duration: Option<&str>,
    from: Timestamp,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    match (until, duration) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::body("duration", format!("{field} is given as well; keep one"))),
        (None, Some(text)) => {
            let span = body::duration(text, LENGTH_MAX).map_err(|e| Problem::body("duration", e))?;
            Ok(Some(later(from, span)))
        }
        (Some(text), None) => {
            let until = body::time(text).map_err(|e| Problem::body(field, e))?;
            if until <= from || until <= now || until > later(from, LENGTH_MAX) {
                return Err(Problem::body(field, format!("expected a time after {from}, within a year")));
            }
            Ok(Some(until))
        }
    }
}

/// The number of a row in a path; anything else names nothing.
fn row_of(id: &str, what: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_not_a_number| Problem::not_found(what))
}

/// `DELETE /api/v1/holds/{id}`
pub(in super::super) async fn clear_hold(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let id = row_of(&id, "hold")?;
    let reason = why_deleted(&req, payload).await?;
    done(hands::clear_hold(&door.service, id, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(HoldCleared { id, cleared: true }))
}

/// `GET /api/v1/silences`: those that nobody has ended.
pub(in super::super) async fn silences(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let now = door.service.clock.now();
    let silences = door.service.store.silences(now).await?;
    let items = silences
        .into_iter()
        .map(|silence| SilenceItem { in_force: silence.starts_at <= now && now < silence.ends_at, silence });
    Ok(HttpResponse::Ok().json(Page::whole(items.collect())))
}

/// Labels to mute: a table of equal ones, or matchers in Alertmanager's form.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = SilenceMatchers)]
#[serde(untagged, expecting = "expected {\"label\": \"value\"} or [\"label=value\", \"label=~regex\"]")]
pub(in super::super) enum Wanted {
    /// Labels and the values that they must have.
    Equal(BTreeMap<String, String>),
    /// Matchers as texts.
    Texts(Vec<String>),
}

/// A silence as a person asks for it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(in super::super) struct SetSilence {
    /// What it mutes.
    pub(in super::super) matchers: Wanted,
    /// Why.
    #[schema(schema_with = super::super::openapi::reason_text)]
    pub(in super::super) comment: String,
    /// Its begin; now when it is not given.
    #[serde(default)]
    pub(in super::super) starts_at: Option<String>,
    /// Its end as a time.
    #[serde(default)]
    pub(in super::super) ends_at: Option<String>,
    /// Its end as a length, such as `2h` or `30m`; at most a year.
    #[serde(default)]
    pub(in super::super) duration: Option<String>,
}

/// `POST /api/v1/silences`
pub(in super::super) async fn set_silence(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    no_params(&req)?;
    let wanted: SetSilence = body::json(&req, payload).await?;
    let (id, new) = silence(&door, &person.0.name, wanted).await?;
    Ok(HttpResponse::Created().json(Silence {
        id,
        matchers: new.matchers,
        author: new.author,
        comment: new.comment,
        starts_at: new.starts_at,
        ends_at: new.ends_at,
    }))
}

/// Sets a silence.
pub(in super::super) async fn silence(
    door: &Door,
    person: &str,
    wanted: SetSilence,
) -> Result<(i64, NewSilence), Problem> {
    let now = door.service.clock.now();
    let starts_at = match wanted.starts_at.as_deref().map(body::time) {
        None => now,
        Some(Ok(at)) if at <= later(now, LENGTH_MAX) => at.max(now),
        Some(Ok(_)) => return Err(Problem::body("startsAt", "expected a time within a year")),
        Some(Err(expected)) => return Err(Problem::body("startsAt", expected)),
    };
    let ends_at = end("endsAt", wanted.ends_at.as_deref(), wanted.duration.as_deref(), starts_at, now)?
        .ok_or_else(|| Problem::body("endsAt", "missing; expected endsAt or duration"))?;
    let new = NewSilence {
        matchers: matchers(wanted.matchers)?,
        author: person.to_owned(),
        comment: body::reason(&wanted.comment).map_err(|expected| Problem::body("comment", expected))?,
        starts_at,
        ends_at,
    };
    let id = done(hands::set_silence(&door.service, new.clone()).await)?;
    Ok((id, new))
}

fn matchers(wanted: Wanted) -> Result<Matchers, Problem> {
    let refuse = |expected: String| Problem::body("matchers", expected);
    let matchers = match wanted {
        Wanted::Texts(texts) => Matchers::parse(&texts).map_err(|error| refuse(error.to_string()))?,
        Wanted::Equal(labels) => {
            Matchers(labels.into_iter().map(|(label, value)| Matcher::equal(label, value)).collect())
        }
    };
    if matchers.0.is_empty() {
        return Err(refuse("expected at least one label".to_owned()));
    }
    if matchers.matches(&Labels::new()) {
        return Err(refuse(
            "also matches an alert without any label; at least one must ask for a label".to_owned(),
        ));
    }
    // What is stored must read back.
    let matchers = Matchers::parse(&matchers.texts()).map_err(|error| refuse(error.to_string()))?;
    matchers.bounded().map_err(refuse)?;
    Ok(matchers)
}

/// `DELETE /api/v1/silences/{id}`
pub(in super::super) async fn end_silence(
    person: Operator,
    door: Data<Door>,
    req: HttpRequest,
    id: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let id = row_of(&id, "silence")?;
    let reason = why_deleted(&req, payload).await?;
    done(hands::end_silence(&door.service, id, &person.0.name, &reason).await)?;
    Ok(HttpResponse::Ok().json(SilenceEnded { id, ended: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_that_mutes_everything_is_refused() {
        let texts = |texts: &[&str]| matchers(Wanted::Texts(texts.iter().map(|t| (*t).to_owned()).collect()));
        assert!(texts(&["alertname=\"X\"", "env!=prod"]).is_ok());
        for bad in [&[][..], &["env!=prod"], &["a=~\".*\""], &["a"], &["a=~\"(\""]] {
            assert!(texts(bad).is_err(), "{bad:?}");
        }
        assert!(matchers(Wanted::Equal(BTreeMap::new())).is_err());
        assert!(matchers(Wanted::Equal([("a b".to_owned(), "c".to_owned())].into())).is_err());
    }

    #[test]
    fn an_end_lies_ahead_and_is_said_once() {
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        let ends = |until, duration| end("until", until, duration, now, now);
        assert_eq!(ends(None, None).unwrap(), None);
        assert_eq!(ends(None, Some("2h")).unwrap().unwrap().to_string(), "2026-11-22T02:00:00Z");
        assert!(ends(Some("2026-11-23T00:00:00+09:00"), None).unwrap().is_some());
        for (until, duration) in [
            (Some("2026-11-21T00:00:00Z"), None),
            (Some("2028-11-21T00:00:00Z"), None),
            (Some("soon"), None),
            (None, Some("0s")),
            (None, Some("-1h")),
            (None, Some("9000h")),
            (Some("2026-11-23T00:00:00Z"), Some("1h")),
        ] {
            assert!(ends(until, duration).is_err(), "{until:?} {duration:?}");
        }
    }
}
