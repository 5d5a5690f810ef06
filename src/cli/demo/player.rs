//! Plays the story: real HTTP in, the API and the simulator's ledger to look at what came of it.
//!
//! Never: sleeps for a fixed time where it can look, or waits without an end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use simulator::{Behaviour, Running, Script, Target};

use super::config::{ALERTMANAGER, CLOUD_INSIGHT, INSIGHT_HEADER, Keys};
use super::payload::{self, Sender, Telling};
use super::story::{Scene, Step, Word};
use crate::cli::client::{Client, text_of};
use crate::cli::failure::Failure;
use crate::cli::out::{Out, clean};
use crate::clock::Clock;
use crate::telemetry::chain;

/// Longest wait for something that must come by itself.
const PATIENCE: Duration = Duration::from_secs(8);
/// Gap between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A step as it went: what was seen, or what is wrong.
type Seen = Result<String, String>;

/// The one who plays.
pub(super) struct Player<'a> {
    http: reqwest::Client,
    /// Reads the API.
    pub(super) api: Client,
    url: String,
    keys: &'a Keys,
    /// The simulated cloud.
    pub(super) cloud: &'a Running,
    begun: BTreeMap<(&'static str, &'static str), Timestamp>,
    last: Option<Delivered>,
    remediation: Option<String>,
    /// Every `requestId` that the story saw.
    pub(super) request_ids: Vec<String>,
}

/// The newest delivery.
struct Delivered {
    source: &'static str,
    body: String,
    id: String,
}

impl<'a> Player<'a> {
    /// A player at the door of a running service.
    pub(super) fn new(url: &str, cloud: &'a Running, keys: &'a Keys) -> Result<Self, Failure> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| Failure::unreachable(chain(&error)))?;
        Ok(Self {
            http,
            api: Client::with_token(url, keys.viewer.secret.clone())?,
            url: url.to_owned(),
            keys,
            cloud,
            begun: BTreeMap::new(),
            last: None,
            remediation: None,
            request_ids: Vec::new(),
        })
    }

    /// Waits until the service knows the fleet.
    pub(super) async fn wait_until_ready(&self) -> Result<(), Failure> {
        let fleet = self.cloud.servers().len();
        let until = Instant::now() + PATIENCE;
        loop {
            let known = self.api.list(&["servers"]).await;
            match known {
                Ok(servers) if servers.len() >= fleet => return Ok(()),
                Ok(servers) if Instant::now() >= until => {
                    let known = servers.len();
                    return Err(Failure::not_so(format!("the service knows {known} of {fleet} servers")));
                }
                Err(failure) if Instant::now() >= until => return Err(failure),
                Ok(_) | Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Plays a scene; false when a step was not as expected.
    pub(super) async fn play(&mut self, scene: &Scene, out: &mut Out) -> Result<bool, Failure> {
        out.line("")?;
        out.line(scene.title)?;
        self.remediation = None;
        for step in &scene.steps {
            let what = describe(step);
            let seen = self.step(step).await;
            let (mark, told) = match &seen {
                Ok(text) => ('✓', text),
                Err(text) => ('✗', text),
            };
            let told = if told.is_empty() { String::new() } else { format!(": {}", clean(told)) };
            out.line(format_args!("  {mark} {what}{told}"))?;
            out.flush()?;
            if seen.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn step(&mut self, step: &Step) -> Seen {
        match step {
            Step::Hang(server) => self.cloud.hang(server).map(|_view| String::new()).map_err(|e| chain(&e)),
            Step::Misbehave(server, behaviour) => self.misbehave(server, behaviour.clone()),
            Step::Tell(telling, expected) => self.tell(telling, *expected).await,
            Step::TellAgain => self.tell_again().await,
            Step::Decided(expected) => self.decided(*expected).await,
            Step::SaidNo(guard) => self.said_no(guard).await,
            Step::Reaches(state) => self.reaches(state).await,
            Step::HasRequestId => self.has_request_id().await,
            Step::Ledger { server, requests, effects } => self.ledger(server, *requests, *effects),
        }
    }

    fn misbehave(&self, server: &str, behaviour: Behaviour) -> Seen {
        let server_instance_no = Some(server.to_owned());
        let script = Script { server_instance_no, target: Target::Interrupt, behaviour, times: Some(1) };
        self.cloud.set_behaviour(script).map(|()| String::new()).map_err(|error| chain(&error))
    }

    async fn tell(&mut self, telling: &Telling, expected: Word) -> Seen {
        let key = (telling.alert, telling.server);
        let begun = *self.begun.entry(key).or_insert_with(|| Clock::default().wall());
        let source = match telling.sender {
            Sender::Alertmanager => ALERTMANAGER,
            Sender::CloudInsight { .. } => CLOUD_INSIGHT,
        };
        let body = payload::body(telling, begun).to_string();
        let answer = self.deliver(source, &body).await?;
        let id = text_of(&answer, "deliveryId");
        self.last = Some(Delivered { source, body, id });
        let alert = answer.pointer("/alerts/0").ok_or("the answer holds no alert")?;
        let remediation = text_of(alert, "remediationId");
        if !remediation.is_empty() {
            self.remediation = Some(remediation);
        }
        judge(alert, expected)
    }

    async fn deliver(&self, source: &str, body: &str) -> Result<Value, String> {
        let request = self.http.post(format!("{}/webhooks/{source}", self.url));
        let request = if source == ALERTMANAGER {
            request.bearer_auth(&self.keys.alertmanager)
        } else {
            request.header(INSIGHT_HEADER, &self.keys.cloud_insight)
        };
        let answer = request
            .header("Content-Type", "application/json")
            .body(body.to_owned())
            .send()
            .await
            .map_err(|error| chain(&error))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| chain(&error))?;
        if status != 202 {
            return Err(format!("answered {status} instead of 202: {text}"));
        }
        serde_json::from_str(&text).map_err(|error| format!("the answer is no JSON: {error}"))
    }

    async fn tell_again(&mut self) -> Seen {
        let last = self.last.as_ref().ok_or("nothing was delivered yet")?;
        let answer = self.deliver(last.source, &last.body).await?;
        let again = text_of(&answer, "deliveryId");
        if again == last.id { Ok(again) } else { Err(format!("got {again}, expected {}", last.id)) }
    }

    async fn decided(&self, expected: Word) -> Seen {
        let last = self.last.as_ref().ok_or("nothing was delivered yet")?;
        let until = Instant::now() + PATIENCE;
        loop {
            let delivery =
                self.api.get(&["deliveries", &last.id], &[]).await.map_err(|failure| failure.text())?;
            let alert = delivery.pointer("/alerts/0").ok_or("the delivery holds no alert")?;
            if text_of(alert, "decision") != "pending" || Instant::now() >= until {
                return judge(alert, expected);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn said_no(&self, guard: &str) -> Seen {
        let last = self.last.as_ref().ok_or("nothing was delivered yet")?;
        let delivery =
            self.api.get(&["deliveries", &last.id], &[]).await.map_err(|failure| failure.text())?;
        let trace = delivery.pointer("/alerts/0/trace").and_then(Value::as_array);
        let trace = trace.ok_or("the delivery holds no trace")?;
        let no = trace
            .iter()
            .find(|check| text_of(check, "guard") == guard && text_of(check, "verdict") == "stop");
        no.map(|check| text_of(check, "seen")).ok_or_else(|| "it did not".to_owned())
    }

    async fn reaches(&self, state: &str) -> Seen {
        let until = Instant::now() + PATIENCE;
        loop {
            let remediation = self.read_remediation().await?;
            let now = text_of(&remediation, "state");
            if now == state {
                return Ok(text_of(&remediation, "detail"));
            }
            if Instant::now() >= until {
                return Err(format!("it is {now}: {}", text_of(&remediation, "detail")));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn has_request_id(&mut self) -> Seen {
        let remediation = self.read_remediation().await?;
        let id = remediation.pointer("/attempts/0/requestId").and_then(Value::as_str).unwrap_or_default();
        if id.is_empty() {
            return Err("the attempt has none".to_owned());
        }
        if !self.cloud.ledger().iter().any(|entry| entry.request_id.as_deref() == Some(id)) {
            return Err(format!("{id} is not in the cloud's ledger"));
        }
        self.request_ids.push(id.to_owned());
        Ok(id.to_owned())
    }

    async fn read_remediation(&self) -> Result<Value, String> {
        let id = self.remediation.as_deref().ok_or("there is no remediation")?;
        self.api.get(&["remediations", id], &[]).await.map_err(|failure| failure.text())
    }

    fn ledger(&self, server: &str, requests: usize, effects: usize) -> Seen {
        let of_server: Vec<_> = self
            .cloud
            .ledger()
            .into_iter()
            .filter(|entry| entry.server_instance_no.as_deref() == Some(server))
            .collect();
        let done = of_server.iter().filter(|entry| entry.effect).count();
        let seen = format!("requests {}, effects {done}", of_server.len());
        if of_server.len() == requests && done == effects { Ok(String::new()) } else { Err(seen) }
    }
}

fn judge(alert: &Value, expected: Word) -> Seen {
    let (decision, reason) = (text_of(alert, "decision"), text_of(alert, "reason"));
    let right = decision == expected.decision
        && if expected.reasons.is_empty() {
            reason.is_empty()
        } else {
            expected.reasons.contains(&reason.as_str())
        };
    let detail = text_of(alert, "detail");
    if right {
        // The reason has been said, unless several are right.
        return Ok(if expected.reasons.len() > 1 { format!("{reason}: {detail}") } else { detail });
    }
    Err(format!("got {decision} {reason}: {detail}"))
}

fn describe(step: &Step) -> String {
    let words = |word: &Word| match word.reasons {
        [] => word.decision.to_owned(),
        [reason] => format!("{}/{reason}", word.decision),
        several => format!("{}/{}", word.decision, several.join(" or ")),
    };
    match step {
        Step::Hang(server) => format!("the guest of {server} hangs"),
        Step::Misbehave(server, _) => {
            format!("the cloud will close the connection instead of answering for {server}")
        }
        Step::Tell(telling, expected) => {
            let sender = match telling.sender {
                Sender::Alertmanager => "Alertmanager",
                Sender::CloudInsight { .. } => "Cloud Insight",
            };
            let status = if telling.firing { "firing" } else { "resolved" };
            format!(
                "{sender} tells {status} about {} (\"{}\") → {}",
                telling.server,
                telling.note,
                words(expected)
            )
        }
        Step::TellAgain => "the same body again → the same deliveryId".to_owned(),
        Step::Decided(expected) => format!("looked up → {}", words(expected)),
        Step::SaidNo(guard) => format!("the guard {guard} says no"),
        Step::Reaches(state) => format!("the remediation is {state}"),
        Step::HasRequestId => "the cloud's requestId is kept".to_owned(),
        Step::Ledger { server, requests, effects } => {
            format!("the cloud's own ledger for {server}: requests {requests}, effects {effects}")
        }
    }
}
