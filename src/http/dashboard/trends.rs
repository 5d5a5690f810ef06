//! Trends: alerts by decision, attempts by outcome, time to recovery and reasons, drawn here from our own rows.
//!
//! Never: says anything by colour alone. Each series has its pattern and its name, each plot its table.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use jiff::{SignedDuration, Timestamp};

use super::super::body::Params;
use super::super::door::Door;
use super::super::problem::Problem;
use super::plot::{Plot, Series};
use super::view::View;
use super::{enter, page};
use crate::config::Role;
use crate::domain::decision::Decision;
use crate::domain::remediation::Outcome;
use crate::store::AlertCounts;

/// Reasons in the list.
const REASONS: usize = 12;
/// Upper bounds of the classes of recovery, in minutes; the last class has none.
const CLASSES: [i64; 6] = [5, 10, 20, 40, 80, 160];

/// The time that is looked at.
#[derive(Debug, Clone, Copy)]
struct Range {
    word: &'static str,
    key: &'static str,
    spans: i64,
    seconds: i64,
    /// A label under every so many spans.
    every: usize,
    pattern: &'static str,
}

const RANGES: [Range; 3] = [
    Range { word: "24h", key: "range-24h", spans: 24, seconds: 3600, every: 3, pattern: "%H:%M" },
    Range { word: "7d", key: "range-7d", spans: 28, seconds: 21_600, every: 4, pattern: "%m-%d" },
    Range { word: "30d", key: "range-30d", spans: 30, seconds: 86_400, every: 5, pattern: "%m-%d" },
];

impl Range {
    /// Its spans, the last of which holds now; they begin with hours or days of the reader's clock.
    fn spans(self, view: &View) -> Vec<(Timestamp, Timestamp)> {
        let ahead = view.ahead();
        let local = view.now.as_second() + ahead;
        let end = local - local.rem_euclid(self.seconds) + self.seconds - ahead;
        let at = |n: i64| Timestamp::from_second(end - n * self.seconds).unwrap_or(Timestamp::MIN);
        (0..self.spans).rev().map(|n| (at(n + 1), at(n))).collect()
    }
}

#[derive(Template)]
#[template(path = "trends.html")]
struct Trends<'v> {
    v: &'v View,
    range: Range,
    ranges: [Range; 3],
    alerts: Plot,
    attempts: Plot,
    recovery: Recovery,
    reasons: Vec<(&'static str, u32)>,
    reasons_most: u32,
}

/// How long recoveries took.
struct Recovery {
    /// Upper bound in minutes, where it has one, with its count.
    classes: Vec<(Option<i64>, usize)>,
    most: usize,
    count: usize,
    /// Half were faster, and nine of ten.
    half: Option<String>,
    most_of: Option<String>,
}

impl Recovery {
    fn of(mut seconds: Vec<i64>) -> Self {
        seconds.sort_unstable();
        let bounds = CLASSES.iter().map(|minutes| Some(*minutes)).chain([None]);
        let mut from = 0;
        let mut classes = Vec::new();
        for bound in bounds {
            let below = |one: &&i64| bound.is_none_or(|minutes| **one < minutes * 60);
            let up_to = seconds.iter().filter(below).count();
            classes.push((bound, up_to - from));
            from = up_to;
        }
        let share = |tenths: usize| seconds.get(seconds.len() * tenths / 10).copied();
        let text = |one: i64| format!("{:#}", SignedDuration::from_secs(one));
        Self {
            most: classes.iter().map(|(_, count)| *count).max().unwrap_or(0),
            classes,
            count: seconds.len(),
            half: share(5).map(text),
            most_of: share(9).map(text),
        }
    }
}

/// `GET /trends`
pub(in super::super) async fn show(req: HttpRequest, door: Data<Door>) -> HttpResponse {
    let view = match enter(&req, &door, "trends", Role::Viewer).await {
        Ok(view) => view,
        Err(answer) => return answer,
    };
    page(&view, load(&view, &door, &req).await)
}

async fn load<'v>(view: &'v View, door: &Door, req: &HttpRequest) -> Result<Trends<'v>, Problem> {
    let mut params = Params::of(req)?;
    let words = RANGES.map(|range| (range.word, range));
    let [day, ..] = RANGES;
    let range = params.choice("range", &words)?.unwrap_or(day);
    params.text("done");
    params.finish()?;
    let spans = range.spans(view);
    let since = spans.first().map_or(view.now, |(from, _)| *from);
    let store = &door.service.store;
    let counts = store.alerts_over_time(&spans).await?;
    let attempts = store.attempts_over_time(since).await?;
    let labels: Vec<(String, String)> = spans
        .iter()
        .enumerate()
        .map(|(n, (from, _))| {
            let short = if n % range.every == 0 { view.label(from, range.pattern) } else { String::new() };
            (short, view.label(from, "%Y-%m-%d %H:%M"))
        })
        .collect();
    let reasons = reasons(&counts);
    Ok(Trends {
        v: view,
        range,
        ranges: RANGES,
        alerts: Plot::of(&labels, by_decision(view, &counts, spans.len())),
        attempts: Plot::of(&labels, by_outcome(view, &attempts, &spans)),
        recovery: Recovery::of(store.recoveries(since).await?),
        reasons_most: reasons.first().map_or(0, |(_, count)| *count),
        reasons,
    })
}

fn by_decision(view: &View, counts: &[AlertCounts], spans: usize) -> Vec<Series> {
    let of = |decision: Decision| {
        let mut sums = vec![0_u32; spans];
        for one in counts.iter().filter(|one| one.decision == decision) {
            for (sum, count) in sums.iter_mut().zip(&one.counts) {
                *sum = sum.saturating_add(*count);
            }
        }
        Series::of(view.word("decision", decision.as_str()), sums)
    };
    Decision::ALL.map(of).into()
}

fn by_outcome(
    view: &View,
    attempts: &[(Timestamp, Option<Outcome>)],
    spans: &[(Timestamp, Timestamp)],
) -> Vec<Series> {
    let outcomes = [
        Some(Outcome::Accepted),
        Some(Outcome::Rejected),
        Some(Outcome::NotSent),
        Some(Outcome::Unknown),
        None,
    ];
    let of = |outcome: Option<Outcome>| {
        let within = |from: &Timestamp, until: &Timestamp| {
            attempts.iter().filter(|(at, ended)| *ended == outcome && from <= at && at < until).count()
        };
        let counts = spans.iter().map(|(from, until)| u32::try_from(within(from, until)).unwrap_or(u32::MAX));
        let name = outcome.map_or_else(|| view.say("in-flight"), |one| view.word("outcome", one.as_str()));
        Series::of(name, counts.collect())
    };
    outcomes.map(of).into()
}

fn reasons(counts: &[AlertCounts]) -> Vec<(&'static str, u32)> {
    let mut sums = std::collections::BTreeMap::<&'static str, u32>::new();
    for one in counts {
        let Some(reason) = one.reason else { continue };
        let sum = one.counts.iter().fold(0_u32, |sum, count| sum.saturating_add(*count));
        let all = sums.entry(reason.as_str()).or_default();
        *all = all.saturating_add(sum);
    }
    let mut sums: Vec<_> = sums.into_iter().filter(|(_, count)| *count > 0).collect();
    sums.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sums.truncate(REASONS);
    sums
}
