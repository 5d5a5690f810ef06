//! `/api/v1/backtest`: what the policies would have done to the alerts of the last days, in another mode.
//!
//! Never: runs twice at once, or longer than a person waits.

use std::time::{Duration, Instant};

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use super::super::auth::Viewer;
use super::super::body::Params;
use super::super::door::Door;
use super::super::problem::{Code, Problem};
use crate::backtest::{self, Cut, Report, Wanted, Wish};
use crate::domain::limits::earlier;
use crate::domain::policy::Mode;

/// The longest time back.
const BACK_MAX: SignedDuration = SignedDuration::from_hours(24 * 30);
/// Alerts that one request may have replayed; the command line has no such limit.
const ALERTS_MAX: u64 = 500_000;
/// How long one request may take.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Servers of each policy in an answer.
const SERVERS_MAX: usize = 200;

/// One at a time: it takes a whole core.
static TURN: Semaphore = Semaphore::const_new(1);

/// Replays the last days by the active configuration.
pub(in super::super) async fn replayed(
    door: &Door,
    wish: Option<Wish>,
    since: Option<Timestamp>,
) -> Result<Report, Problem> {
    let Ok(_turn) = TURN.try_acquire() else {
        return Err(Problem::new(Code::Overloaded, "another backtest is under way; ask again in a moment"));
    };
    let service = &door.service;
    let (config, now) = (service.config(), service.clock.now());
    let oldest = earlier(now, BACK_MAX);
    let cut = Cut { alerts: Some(ALERTS_MAX), at: Some(Instant::now() + TIME_MAX) };
    let wanted = Wanted { since: since.unwrap_or(oldest).max(oldest), now, wish, cut };
    let mut report = backtest::run(&service.store, &config, &wanted, |_progress| {}).await?;
    for policy in &mut report.policies {
        policy.servers.truncate(SERVERS_MAX);
    }
    Ok(report)
}

/// `GET /api/v1/backtest?policy=&mode=&since=`
pub(in super::super) async fn show(
    _viewer: Viewer,
    door: Data<Door>,
    req: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&req)?;
    let policy = params.text("policy");
    let modes = [Mode::Off, Mode::Shadow, Mode::Approve, Mode::Auto].map(|mode| (mode.as_str(), mode));
    let mode = params.choice("mode", &modes)?;
    let since = params.time("since")?;
    params.finish()?;
    let config = door.service.config();
    if let Some(name) = &policy
        && !config.rules.policies.iter().any(|policy| policy.name == *name)
    {
        return Err(Problem::query("policy", "expected the name of a configured policy"));
    }
    let wish = mode.map(|mode| Wish { policy: policy.clone(), mode });
    let mut report = replayed(&door, wish, since).await?;
    if policy.is_some() {
        report.policies.retain(|one| one.policy == policy);
        report.remediations.retain(|one| Some(&one.policy) == policy.as_ref());
        report.differences.retain(|one| one.policy == policy);
    }
    Ok(HttpResponse::Ok().json(report))
}
