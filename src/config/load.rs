//! Reads the file, lays the environment over it, checks every section and puts the pieces together.
//!
//! Never: prints a line of the file, or starts anything with half a configuration.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use toml::Table;
use toml::de::DeTable;

use super::cloud::is_local;
use super::environment::Environment;
use super::problem::{Findings, Problem};
use super::secret::Vault;
use super::section::Section;
use super::{
    Config, SourceConfig, SourceKind, audit, cloud, dashboard, hash, maintenance, notify, policies, rules,
    service, sources, telemetry, tokens,
};
use crate::domain::policy::{Policy, Rules};
use crate::files;

/// Largest configuration file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A configuration that may be used, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is allowed but should be known.
    pub warnings: Vec<Problem>,
}

/// Reads the configuration from a file (none: the environment alone) and the environment.
/// All problems are told at once. Relative paths of secrets start from the file's folder, the
/// store's path from the working directory.
pub fn load(path: Option<&Path>, env: &Environment) -> Result<Loaded, Vec<Problem>> {
    let Some(path) = path else {
        return load_text("", "environment", Path::new(""), env);
    };
    let text = text_of(path)?;
    load_text(&text, &path.display().to_string(), path.parent().unwrap_or(Path::new("")), env)
}

/// The text of a configuration file, if it is one of a size.
fn text_of(path: &Path) -> Result<String, Vec<Problem>> {
    let refuse = |message: String| vec![Problem { key: path.display().to_string(), message }];
    files::text(path, FILE_BYTES_MAX).map_err(|error| {
        let says_why = files::is_irregular(&error) || error.kind() == ErrorKind::FileTooLarge;
        refuse(if says_why { error.to_string() } else { format!("cannot be read: {}", error.kind()) })
    })
}

/// Where a service tells how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// `server.ops_listen` where it is written, else `server.listen`.
    pub addr: SocketAddr,
    /// It speaks TLS there.
    pub tls: bool,
}

/// The listener alone, to ask a service that runs how it is. Whatever else the file says may be wrong: that keeps a service
/// from starting and does not stop one that runs.
pub fn listener(path: Option<&Path>, env: &Environment) -> Result<Listener, Vec<Problem>> {
    let (text, origin) = match path {
        Some(path) => (text_of(path)?, path.display().to_string()),
        None => (String::new(), "environment".to_owned()),
    };
    let findings = Findings::default();
    let table = syntax(&text, &origin)?;
    let mut root = Section::root(env.overlay(table, &findings), &findings);
    let mut section = root.section("server");
    let tls = section.has("tls");
    let (listen, ops_listen) = service::addresses(&mut section);
    let mut problems = findings.into_parts().0;
    problems.retain(|problem| problem.key == "server.listen");
    let listener = match ops_listen {
        Some(addr) => Listener { addr, tls: false },
        None => Listener { addr: listen, tls },
    };
    if problems.is_empty() { Ok(listener) } else { Err(problems) }
}

/// The table of a text. `origin` names it in complaints about its syntax.
fn syntax(text: &str, origin: &str) -> Result<Table, Vec<Problem>> {
    parse(text).map_err(|messages| {
        let problem = |message| Problem { key: origin.to_owned(), message };
        messages.into_iter().map(problem).collect()
    })
}

/// Reads the configuration from a text. `origin` names it in complaints about its syntax.
pub(super) fn load_text(
    text: &str,
    origin: &str,
    base: &Path,
    env: &Environment,
) -> Result<Loaded, Vec<Problem>> {
    let findings = Findings::default();
    let table = env.overlay(syntax(text, origin)?, &findings);
    let config = read(table, Vault { base, env }, &findings);
    let (mut problems, warnings) = findings.into_parts();
    match config {
        Some(config) if problems.is_empty() => Ok(Loaded { config, warnings }),
        Some(_) | None => {
            if problems.is_empty() {
                problems.push(Problem {
                    key: origin.to_owned(),
                    message: "incomplete, though no key was found wrong; please report this".to_owned(),
                });
            }
            Err(problems)
        }
    }
}

/// The syntax errors of a text with their places, never with their lines.
fn parse(text: &str) -> Result<Table, Vec<String>> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let told = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let before = text.get(..at).unwrap_or_default();
        let line = before.matches('\n').count().saturating_add(1);
        let column = before.chars().rev().take_while(|&c| c != '\n').count().saturating_add(1);
        format!("line {line}, column {column}: {}", error.message())
    };
    if errors.is_empty() {
        text.parse().map_err(|error| vec![told(&error)])
    } else {
        Err(errors.iter().map(told).collect())
    }
}

fn read(table: Table, vault: Vault<'_>, findings: &Findings) -> Option<Config> {
    let mut root = Section::root(table, findings);
    let server = service::server(root.section("server"), vault);
    let client_ca = server.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
    let store = service::store(root.section("store"), vault);
    let (region, cloud) = cloud::cloud(root.section("cloud"), vault);
    let (names, sources) = sources::sources(root.sections("sources"), client_ca, vault);
    let mut signal_secrets = Vec::new();
    let written = root.sections("policies");
    let policies = policies::policies(written, region.as_ref(), &names, vault, &mut signal_secrets);
    let limits = rules::limits(root.section("limits"));
    let eligibility = rules::eligibility(root.has("eligibility"), root.section("eligibility"));
    let storm_guard = rules::storm(root.section("storm"));
    let breaker = rules::breaker(root.section("breaker"));
    let windows = maintenance::maintenance(root.sections("maintenance"));
    let dispatch = service::dispatch(root.section("dispatch"));
    let verify = service::verify(root.section("verify"));
    let inventory = service::inventory(root.section("inventory"));
    let written = root.sections("tokens");
    let people_written = written.len();
    let people = tokens::tokens(written);
    let audit = audit::audit(root.section("audit"), vault, &store);
    let dashboard = dashboard::dashboard(root.section("dashboard"));
    let receivers = notify::notify(root.sections("notify"), vault);
    let traces = telemetry::telemetry(root.section("telemetry"), vault);
    root.finish();
    if people.len() == people_written {
        tokens::judge(&policies, &people, findings);
    }
    sources::judge_heartbeats(&sources, &policies, findings);
    judge_whole(&names, policies.is_empty(), findings);
    judge_attestations(&policies, &sources, findings);
    let cloud = cloud?;
    let mut config = Config {
        hash: String::new(),
        server,
        store,
        sources,
        rules: Rules {
            policies,
            limits,
            eligibility,
            maintenance: windows,
            storm: storm_guard,
            breaker,
            clock_skew_max: cloud.clock_skew_max,
        },
        cloud,
        dispatch,
        verify,
        inventory,
        tokens: people,
        signal_secrets,
        audit,
        dashboard,
        notify: receivers,
        telemetry: traces,
    };
    cloud::judge_insight(&config.cloud, &config.rules.policies, findings);
    judge_examples(is_local(&config.cloud.endpoint), findings);
    config.hash = hash::hash(&config);
    Some(config)
}

fn judge_whole(sources: &[String], no_policies: bool, findings: &Findings) {
    if sources.is_empty() {
        findings.warning("sources", "none is configured: no alert can come in");
    }
    if no_policies {
        findings.warning("policies", "none is configured: alerts are recorded and nothing is done");
    }
}

/// A policy that asks for the word of a guest needs somebody who may give it.
fn judge_attestations(policies: &[Policy], sources: &[SourceConfig], findings: &Findings) {
    if sources.iter().any(|source| source.kind == SourceKind::Guest) {
        return;
    }
    for policy in policies.iter().filter(|policy| policy.require_attestation.is_some()) {
        findings.warning(
            format!("policies.{}.require_attestation", policy.name),
            "no source of kind guest is configured: nothing can attest, so no server is ever eligible",
        );
    }
}

/// Published credentials pass while everything is an example or a simulation, and are refused beside real keys.
fn judge_examples(simulated: bool, findings: &Findings) {
    let examples = findings.examples();
    let real_keys = !examples.iter().any(|key| key.starts_with("cloud."));
    for key in examples {
        if real_keys && !simulated {
            findings.problem(key, "an example credential beside real cloud keys; replace it");
        } else {
            findings.warning(key, "example credential in use; replace it before going live");
        }
    }
}
