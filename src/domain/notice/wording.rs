//! Wording: the text of a message from its template, for chats that read marks and for everything else.
//!
//! Never: lets a text of others become a mark, a link or a call of everybody; runs a template without an end.

use std::collections::BTreeMap;

use jiff::Timestamp;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use serde::Serialize;

use super::{Kind, Message, plain};

/// Before and after the usual text of every kind.
const HEAD: &str = "{{ title | bold }}: ";
const TAIL: &str = "{% if next %}\n{{ next }}{% endif %}";
/// Longest text of a message, in characters.
const TEXT_MAX: usize = 3000;
/// Longest template, in bytes.
const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
/// Steps that a template may take.
const FUEL: u64 = 20_000;

/// Who reads the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Slack and what imitates it: `<link|text>`, `*bold*`, `` `code` ``.
    Slack,
    /// No marks at all.
    Plain,
}

/// Why a template is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WordingError(String);

/// The templates of one receiver; a kind without one has its usual text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wording(BTreeMap<Kind, String>);

/// Where people find what a message is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Address of the pages, without a slash at its end; `None`: the command line is told instead.
    pub public_url: Option<String>,
}

/// What a person may do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What it is called.
    pub label: &'static str,
    /// Its page.
    pub link: Option<String>,
    /// Its command.
    pub command: Option<String>,
}

impl Links {
    /// What to do about a message.
    pub fn next(&self, message: &Message) -> Next {
        let id = message.remediation_id.as_deref().filter(|id| is_safe(id));
        let policy = message.policy.as_deref().filter(|name| is_safe(name));
        let number = message.number;
        let of_id = |command: &str, more: &str| id.map(|id| format!("unhang {command} {id}{more}"));
        let of_number = |command: &str| number.map(|n| format!("unhang {command} {n} --reason TEXT"));
        let (label, command) = match message.kind {
            Kind::Proposed => ("Approve or deny", of_id("approve", " --reason TEXT")),
            Kind::Unknown | Kind::Unconfirmed => {
                ("Settle", of_id("settle", " --verdict happened --reason TEXT"))
            }
            Kind::StormOpened => ("Clear the storm", of_number("storm clear")),
            Kind::HoldSet => ("Clear the hold", of_number("hold clear")),
            Kind::QuarantineOpened => ("Compare", Some("unhang quarantine show".to_owned())),
            Kind::PolicyDemoted => {
                ("Promote", policy.map(|name| format!("unhang policy promote {name} --reason TEXT")))
            }
            Kind::BreakerOpened => {
                ("Reset", policy.map(|name| format!("unhang breaker reset {name} --reason TEXT")))
            }
            Kind::HeadsMissing => ("Verify the audit", Some("unhang audit verify --deep".to_owned())),
            Kind::Test => ("Look", None),
            Kind::Withdrawn
            | Kind::Sent
            | Kind::Rejected
            | Kind::NotSent
            | Kind::Confirmed
            | Kind::Settled
            | Kind::StormCleared
            | Kind::HoldCleared
            | Kind::SourceSilent
            | Kind::SourceHeardAgain
            | Kind::QuarantineCleared
            | Kind::PolicyPromoted
            | Kind::BreakerClosed
            | Kind::AuditHead => ("Look", id.map(|id| format!("unhang audit list --remediation {id}"))),
        };
        Next { label, link: self.link(message), command }
    }

    fn link(&self, message: &Message) -> Option<String> {
        let base = self.public_url.as_deref()?;
        if let Some(id) = message.remediation_id.as_deref().filter(|id| is_safe(id)) {
            return Some(format!("{base}/remediations/{id}"));
        }
        if message.kind == Kind::Test {
            return Some(format!("{base}/"));
        }
        if message.kind == Kind::AuditHead {
            return Some(format!("{base}/audit"));
        }
        let missing = message.kind == Kind::HeadsMissing;
        let event = if missing { "audit_heads_missing" } else { message.kind.as_str() };
        let filter = [("policy", &message.policy), ("source", &message.source)];
        let filter = filter.into_iter().filter_map(|(name, value)| {
            let value = value.as_deref().filter(|value| is_safe(value))?;
            Some(format!("&{name}={value}"))
        });
        Some(format!("{base}/audit?kind={event}{}", filter.collect::<String>()))
    }
}

/// Whether a name needs no care in an address or a command.
fn is_safe(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl Wording {
    /// Takes a template for a kind, after a trial with everything set and with nothing set.
    pub fn set(&mut self, kind: Kind, template: &str) -> Result<(), WordingError> {
        if template.len() > TEMPLATE_BYTES_MAX {
            return Err(WordingError(format!("longer than {TEMPLATE_BYTES_MAX} bytes")));
        }
        self.0.insert(kind, template.to_owned());
        for style in [Style::Slack, Style::Plain] {
            let try_with = |message: &Message| {
                self.try_text(style, message, &Links::default()).map_err(|error| WordingError(told(&error)))
            };
            try_with(&Message::new(kind, Timestamp::UNIX_EPOCH))?;
            if try_with(&sample(kind))?.trim().is_empty() {
                return Err(WordingError("gives an empty text".to_owned()));
            }
        }
        Ok(())
    }

    /// The text of a message. A template that fails for this message is replaced by the usual one.
    pub fn text(&self, style: Style, message: &Message, links: &Links) -> String {
        let text = self
            .try_text(style, message, links)
            .or_else(|_failed| Self::default().try_text(style, message, links))
            .unwrap_or_else(|_failed| message.kind.title().to_owned());
        // An empty text is refused by chats.
        let text = if text.trim().is_empty() { message.kind.title().to_owned() } else { text };
        if text.chars().count() <= TEXT_MAX {
            return text;
        }
        text.chars().take(TEXT_MAX).chain(['…']).collect()
    }

    fn try_text(&self, style: Style, message: &Message, links: &Links) -> Result<String, Error> {
        let usual;
        let template = match self.0.get(&message.kind) {
            Some(template) => template.as_str(),
            None => {
                usual = format!("{HEAD}{}{TAIL}", message.kind.text());
                usual.as_str()
            }
        };
        environment(style).render_str(template, words(style, message, links))
    }
}

/// What a template may name.
fn words(style: Style, message: &Message, links: &Links) -> Value {
    let next = links.next(message);
    let text = |text: &Option<String>| Value::from(text.clone());
    let time = |at: Timestamp| Value::from(at.to_string());
    let server =
        if message.server_name.is_some() { &message.server_name } else { &message.server_instance_no };
    Value::from_pairs([
        ("title", Value::from(message.kind.title())),
        ("kind", Value::from(message.kind.as_str())),
        ("severity", Value::from(message.kind.severity().as_str())),
        ("at", time(message.at)),
        ("server", text(server)),
        ("server_no", text(&message.server_instance_no)),
        ("server_name", text(&message.server_name)),
        ("region", text(&message.region_code)),
        ("source", text(&message.source)),
        ("policy", text(&message.policy)),
        ("alert", text(&message.alert)),
        ("remediation_id", text(&message.remediation_id)),
        ("incident_id", text(&message.incident_id)),
        ("request_id", text(&message.request_id)),
        ("trace_id", text(&message.trace_id)),
        ("number", Value::from(message.number)),
        ("who", text(&message.who)),
        ("reason", text(&message.reason)),
        ("detail", text(&message.detail)),
        ("until", message.until.map_or_else(|| Value::from(()), time)),
        ("link", text(&next.link)),
        ("command", text(&next.command)),
        ("next", shown(style, &next)),
    ])
}

/// What to do next, as it stands in a text.
fn shown(style: Style, next: &Next) -> Value {
    match (&next.link, &next.command) {
        (Some(link), _) => linked(style, link, next.label),
        (None, Some(command)) => Value::from_safe_string(format!("{}: {}", next.label, code(style, command))),
        (None, None) => Value::from(()),
    }
}

fn linked(style: Style, link: &str, label: &str) -> Value {
    Value::from_safe_string(match style {
        Style::Slack => format!("<{}|{}>", escaped(link).replace('|', "%7C"), escaped(label)),
        Style::Plain => format!("{label}: {link}"),
    })
}

fn code(style: Style, text: &str) -> String {
    let text = if text.is_empty() { "-" } else { text };
    match style {
        Style::Slack => format!("`{}`", escaped(&text.replace('`', "'"))),
        Style::Plain => text.to_owned(),
    }
}

/// The three characters that Slack gives a meaning, and `@`, by which its imitators call people.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '@' => safe.push_str("@\u{200b}"),
            other => safe.push(other),
        }
    }
    safe
}

fn environment(style: Style) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_auto_escape_callback(|_name| AutoEscape::None);
    environment.set_formatter(move |out: &mut Output<'_>, _state: &mut State<'_, '_>, value: &Value| {
        write(style, out, value)
    });
    environment.add_filter("code", move |value: Value| {
        Value::from_safe_string(code(style, &if value.is_none() { String::new() } else { value.to_string() }))
    });
    environment.add_filter("bold", move |value: String| {
        Value::from_safe_string(match style {
            Style::Slack => format!("*{}*", escaped(&value.replace('*', " "))),
            Style::Plain => value,
        })
    });
    environment.add_filter("url", move |link: Option<String>, label: String| {
        link.map_or_else(|| Value::from(()), |link| linked(style, &link, &label))
    });
    environment
}

fn write(style: Style, out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Ok(());
    }
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "no such word"));
    }
    let text = value.to_string();
    let text = if value.is_safe() || style == Style::Plain { text } else { escaped(&text) };
    out.write_str(&text).map_err(|_full| Error::new(ErrorKind::WriteFailure, "the text cannot be written"))
}

/// What is wrong with a template, and in which line. A template is no secret, and its text is not shown all the same.
fn told(error: &Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    plain(&format!("{line}{detail}"), 200)
}

/// A message with every field set.
fn sample(kind: Kind) -> Message {
    let word = || Some("word".to_owned());
    Message {
        until: Some(Timestamp::UNIX_EPOCH),
        server_instance_no: word(),
        server_name: word(),
        region_code: word(),
        source: word(),
        policy: word(),
        alert: word(),
        remediation_id: word(),
        incident_id: word(),
        request_id: word(),
        trace_id: word(),
        number: Some(1),
        who: word(),
        reason: word(),
        detail: word(),
        ..Message::new(kind, Timestamp::UNIX_EPOCH)
    }
}
