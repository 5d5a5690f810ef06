//! `[[policies]]`: which alerts may lead to an interrupt, and how far.
//!
//! Never: reads an empty or an all-matching selector as "everything".

use jiff::SignedDuration;
use toml::Value;

use super::SignalSecret;
use super::corroborate::corroborate;
use super::rules::budgets;
use super::secret::Vault;
use super::section::{Section, hint, is_name, printable};
use crate::domain::alert::Labels;
use crate::domain::matcher::{InvalidMatcher, Matcher, Matchers};
use crate::domain::policy::{Mode, Policy, TargetKind, TargetRule};
use crate::domain::server::RegionCode;

const SECOND: SignedDuration = SignedDuration::from_secs(1);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
const HOUR: SignedDuration = SignedDuration::from_hours(1);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// All policies, in their order. The secrets of their second signals go into `secrets`.
pub(super) fn policies(
    sections: Vec<Section<'_>>,
    region: Option<&RegionCode>,
    sources: &[String],
    vault: Vault<'_>,
    secrets: &mut Vec<SignalSecret>,
) -> Vec<Policy> {
    let mut names: Vec<String> = Vec::new();
    let mut policies: Vec<Policy> = Vec::new();
    for mut section in sections {
        let name = section.required_text("name", "a name");
        let name = name.filter(|name| {
            if !is_name(name) {
                section.problem("name", "expected a-z, 0-9, _ and -, at most 63, not beginning with _ or -");
            } else if names.contains(name) {
                section.problem("name", "an earlier policy has the same name");
            } else {
                return true;
            }
            false
        });
        if let Some(name) = &name {
            section.rename(format!("policies.{name}"));
            names.push(name.clone());
        }
        let shown = section.key("match");
        let findings = section.findings();
        let signals = corroborate(&mut section, name.as_deref().unwrap_or_default(), vault, secrets);
        let Some(mut policy) = policy(section, name, region, sources) else {
            continue;
        };
        policy.corroborate = signals;
        if let Some(twin) = policies.iter().find(|earlier| same_alerts(earlier, &policy)) {
            findings.problem(
                shown,
                format!(
                    "the same match as policies.{}; an alert that two policies claim is suppressed",
                    twin.name
                ),
            );
        }
        policies.push(policy);
    }
    policies
}

fn policy(
    mut section: Section<'_>,
    name: Option<String>,
    region: Option<&RegionCode>,
    sources: &[String],
) -> Option<Policy> {
    let mode = mode(&mut section);
    let matchers = matchers(&mut section);
    let own_region = section.parsed(
        "region",
        "a region code such as \"KR\": 1 to 20 characters of A-Z, 0-9 and -",
        |text| RegionCode::parse(text).ok(),
    );
    let targets = targets(&mut section);
    let listens_to = source_names(&mut section, sources);
    let deny_servers = section.texts("deny_servers").unwrap_or_default();
    let budget = budgets(&mut section, "budget", &["2/1h"]);
    let settle = section.duration("settle", MINUTE * 2, SignedDuration::ZERO..=HOUR);
    let cooldown = section.duration("cooldown", DAY, MINUTE..=DAY * 30);
    if cooldown < MINUTE * 30 {
        section.warning(
            "cooldown",
            "shorter than 30m, the shortest dump window; the dump window counts instead",
        );
    }
    let delivery_age_max = section.duration("delivery_age_max", MINUTE * 5, SECOND..=DAY);
    let notice_age_max = section.duration("notice_age_max", MINUTE * 15, MINUTE..=DAY);
    let episode_age_max = section.duration("episode_age_max", HOUR * 6, MINUTE..=DAY * 30);
    let approval_wait = section.duration("approval_wait", MINUTE * 60, MINUTE..=DAY);
    let asks = section.has("require_attestation");
    let require_attestation = section.duration("require_attestation", HOUR * 168, HOUR..=DAY * 366);
    if settle >= notice_age_max {
        section.warning(
            "settle",
            "not shorter than notice_age_max: an alert that is told only once expires first",
        );
    }
    section.finish();
    Some(Policy {
        name: name?,
        mode,
        matchers: matchers?,
        sources: listens_to,
        region: own_region.or_else(|| region.cloned())?,
        targets,
        deny_servers,
        settle,
        cooldown,
        budget,
        delivery_age_max,
        notice_age_max,
        episode_age_max,
        approval_wait,
        require_attestation: asks.then_some(require_attestation),
        corroborate: Vec::new(),
    })
}

fn mode(section: &mut Section<'_>) -> Mode {
    let modes = [Mode::Off, Mode::Shadow, Mode::Approve, Mode::Auto].map(|mode| (mode.as_str(), mode));
    let mode = section.choice("mode", &modes).unwrap_or(Mode::Approve);
    if mode == Mode::Auto {
        section.warning("mode", "auto: interrupts are sent without asking a person");
    }
    mode
}

/// The `match` of a policy: there must be one, and it must ask for some label.
fn matchers(section: &mut Section<'_>) -> Option<Matchers> {
    let matchers = selector(section)?;
    if matchers.0.is_empty() {
        section
            .problem("match", "missing or empty; expected labels such as { alertname = \"WindowsVmHung\" }");
        return None;
    }
    if matchers.matches(&Labels::new()) {
        section.problem(
            "match",
            "also matches an alert without any label; at least one condition must ask for a label",
        );
    }
    Some(matchers)
}

/// A `match`: a table (every label equals) or a list of matchers. Absent is empty; `None` is a mistake.
pub(super) fn selector(section: &mut Section<'_>) -> Option<Matchers> {
    match section.take("match") {
        None => Some(Matchers::default()),
        Some(Value::Table(table)) => {
            let all: Vec<Option<Matcher>> =
                table.into_iter().map(|(label, value)| equality(section, &label, value)).collect();
            all.into_iter().collect::<Option<Vec<_>>>().map(Matchers)
        }
        Some(Value::Array(entries)) => {
            let mut all = Vec::new();
            for (index, entry) in entries.into_iter().enumerate() {
                let key = format!("match[{index}]");
                let parsed = entry.as_str().map(Matcher::parse);
                match &parsed {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => section.problem(&key, explain(error)),
                    None => section.problem(&key, format!("expected a text, got {}", entry.type_str())),
                }
                all.push(parsed.and_then(Result::ok));
            }
            all.into_iter().collect::<Option<Vec<_>>>().map(Matchers)
        }
        Some(other) => {
            section.problem(
                "match",
                format!("expected a table of labels or a list of matchers, got {}", other.type_str()),
            );
            None
        }
    }
}

fn equality(section: &Section<'_>, label: &str, value: Value) -> Option<Matcher> {
    let key = format!("match.{}", printable(label));
    let Value::String(value) = value else {
        section.problem(&key, format!("expected a text, got {}", value.type_str()));
        return None;
    };
    let name_ok = |b: u8| b.is_ascii_alphanumeric() || b"_:.-".contains(&b);
    if label.is_empty() || !label.bytes().all(name_ok) {
        section.problem(&key, "a label name has only letters, digits, _ : . -");
        return None;
    }
    if ["=~", "!~", "!="].iter().any(|sign| value.starts_with(sign)) {
        section.warning(&key, "compared letter by letter; for operators write match = [\"label=~value\"]");
    }
    Some(Matcher::equal(label, value))
}

/// Why a matcher was refused, on one line and without its text.
fn explain(error: &InvalidMatcher) -> String {
    let why = error.why.lines().next_back().unwrap_or_default();
    let why = why.trim_start_matches("error: ");
    format!("expected a matcher such as alertname=\"WindowsVmHung\" or env!~\"dev|test\": {why}")
}

fn targets(section: &mut Section<'_>) -> Vec<TargetRule> {
    const EXPECTED: &str = "\"label:NAME\", \"label:NAME as ip\" or \"label:NAME as name\"";
    if section.is_empty_list("target") {
        section.problem("target", format!("expected at least one of {EXPECTED}"));
    }
    let default = || TargetRule::parse("label:server_instance_no");
    let rules = section
        .list("target", EXPECTED, |text| TargetRule::parse(text).ok())
        .unwrap_or_else(|| default().into_iter().collect());
    for (index, rule) in rules.iter().enumerate() {
        let never = |before: &TargetRule| {
            before.label == rule.label && (before.kind, rule.kind) != (TargetKind::Ip, TargetKind::Name)
        };
        if rules.iter().take(index).any(never) {
            section.warning(
                &format!("target[{index}]"),
                "can never apply: an earlier rule reads the same label; only \"as ip\" and after it \"as name\" can both be of use",
            );
        }
    }
    rules
}

fn source_names(section: &mut Section<'_>, configured: &[String]) -> Vec<String> {
    let names = section.texts("sources").unwrap_or_default();
    let known: Vec<&str> = configured.iter().map(String::as_str).collect();
    for (index, name) in names.iter().enumerate() {
        if !configured.contains(name) {
            section.problem(
                &format!("sources[{index}]"),
                format!("no source has this name{}", hint(name, &known)),
            );
        }
    }
    names
}

/// Whether two enabled policies claim exactly the same labels and can hear the same source.
fn same_alerts(left: &Policy, right: &Policy) -> bool {
    let enabled = left.mode != Mode::Off && right.mode != Mode::Off;
    let shared = left.sources.is_empty()
        || right.sources.is_empty()
        || left.sources.iter().any(|name| right.sources.contains(name));
    let sorted = |policy: &Policy| {
        let mut texts = policy.matchers.texts();
        texts.sort_unstable();
        texts.dedup();
        texts
    };
    enabled && shared && sorted(left) == sorted(right)
}
