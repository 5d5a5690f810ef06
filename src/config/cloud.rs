//! `[cloud]`: where the NAVER Cloud API is, how it is called, with which keys.
//!
//! Never: fills in a region, or lets keys travel over plain HTTP to another machine.

use std::net::IpAddr;

use jiff::SignedDuration;
use secrecy::SecretString;

use super::problem::Findings;
use super::secret::Vault;
use super::section::Section;
use super::{CallMethod, CloudConfig, DateRule, ResponseFormat, ServerRoleConfig, TracerConfig};
use crate::domain::activity::ActivityRules;
use crate::domain::corroboration::Ask;
use crate::domain::policy::Policy;
use crate::domain::server::RegionCode;

const PUBLIC: &str = "https://ncloud.apigw.ntruss.com";
const SITES: [(&str, &str); 3] = [
    ("public", PUBLIC),
    ("gov", "https://ncloud.apigw.gov-ntruss.com"),
    ("fin", "https://fin-ncloud.apigw.fin-ntruss.com"),
];
/// Cloud Insight beside each server API. Public and government: the vendor's pages; financial: seen in clients only.
/// <https://api.ncloud-docs.com/docs/en/management-cloudinsight-index>
const INSIGHT: [(&str, &str); 3] = [
    (PUBLIC, "https://cw.apigw.ntruss.com"),
    ("https://ncloud.apigw.gov-ntruss.com", "https://cw.apigw.gov-ntruss.com"),
    ("https://fin-ncloud.apigw.fin-ntruss.com", "https://cw.apigw.fin-ntruss.com"),
];
/// Names under which the record may show our call. UNCONFIRMED: made after `Create Server Instance` and
/// `createServerInstance`, which were seen in the field.
const ACTION_NAMES: [&str; 2] = ["Interrupt Server Instance", "interruptServerInstance"];
/// Where the vendor's Go SDK asks for the keys of a server role.
const METADATA: &str = "http://169.254.169.254/latest/meta-data/iam/security-credentials/";
/// Above this, a stop (timeout + 5 s) outlives the 45 s that the shipped units allow.
const QUIET_TIMEOUT_MAX: SignedDuration = SignedDuration::from_secs(40);

/// `[cloud]`; the region is handed back by itself, because policies need it even when a key is missing.
pub(super) fn cloud(mut section: Section<'_>, vault: Vault<'_>) -> (Option<RegionCode>, Option<CloudConfig>) {
    let endpoint = endpoint(&mut section);
    let region = region(&mut section);
    let methods = [("POST", CallMethod::Post), ("GET", CallMethod::Get)];
    let method = section.choice("method", &methods);
    let formats = [("json", ResponseFormat::Json), ("xml", ResponseFormat::Xml)];
    let response_format = section.choice("response_format", &formats);
    let server_role = server_role(&mut section);
    let (access_key, secret_key) = match &server_role {
        Some(_) => keys_of_the_role(&mut section, vault),
        None => (
            vault.cloud_key(&mut section, "access_key", "access_key_file", "NCLOUD_ACCESS_KEY_ID"),
            vault.cloud_key(&mut section, "secret_key", "secret_key_file", "NCLOUD_SECRET_KEY"),
        ),
    };
    let second = SignedDuration::from_secs(1);
    let timeout =
        section.duration("timeout", SignedDuration::from_secs(30), second..=SignedDuration::from_mins(2));
    if timeout > QUIET_TIMEOUT_MAX {
        section
            .warning("timeout", "a stop waits for this time and 5 s more; the shipped units kill after 45 s");
    }
    let read_timeout = section.duration(
        "read_timeout",
        SignedDuration::from_secs(10),
        second..=SignedDuration::from_mins(1),
    );
    let reads_per_second = section.whole("reads_per_second", 10, 1..=1000);
    let clock_skew_max = section.duration(
        "clock_skew_max",
        SignedDuration::from_secs(60),
        second..=SignedDuration::from_mins(4),
    );
    let insight_endpoint = insight_endpoint(&mut section, endpoint.as_deref());
    let tracer = if section.has("tracer") { tracer(section.section("tracer")) } else { None };
    section.take("tracer");
    let dates = [DateRule::Required, DateRule::IfSent];
    let date = section.choice("date", &dates.map(|rule| (rule.as_str(), rule)));
    section.finish();
    let (Some(endpoint), Some(code), Some(access_key), Some(secret_key)) =
        (endpoint, region.clone(), access_key, secret_key)
    else {
        return (region, None);
    };
    let config = CloudConfig {
        endpoint,
        region: code,
        method: method.unwrap_or(CallMethod::Post),
        response_format: response_format.unwrap_or(ResponseFormat::Json),
        access_key,
        secret_key,
        timeout,
        read_timeout,
        reads_per_second,
        clock_skew_max,
        insight_endpoint,
        tracer,
        date: date.unwrap_or(DateRule::Required),
        server_role,
    };
    (region, Some(config))
}

/// `[cloud.server_role]`: written, it gives the keys.
fn server_role(section: &mut Section<'_>) -> Option<ServerRoleConfig> {
    if !section.has("server_role") {
        section.take("server_role");
        return None;
    }
    let mut inner = section.section("server_role");
    let written = inner.text("url").unwrap_or_else(|| METADATA.to_owned());
    let url = metadata_url(&written).unwrap_or_else(|| {
        inner.problem(
            "url",
            "expected https, or plain http to a loopback or link-local (169.254.…) address, without user or query",
        );
        String::new()
    });
    let role = inner.text("role").filter(|role| {
        let is_one =
            role.len() <= 256 && role.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let is_one = is_one && !role.starts_with('.');
        if !is_one {
            inner.problem("role", "expected the identifier of a role: letters, digits, -, _ and .");
        }
        is_one
    });
    inner.finish();
    Some(ServerRoleConfig { url, role })
}

/// Whoever answers there is believed, so the address must not leave the machine unprotected.
fn metadata_url(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let link_local = url
        .host_str()
        .and_then(|host| host.parse::<std::net::Ipv4Addr>().ok())
        .is_some_and(|ip| ip.is_link_local());
    let near = url.scheme() == "http" && (is_loopback(&url) || link_local);
    (is_bare(&url) && (near || url.scheme() == "https")).then(|| url.as_str().to_owned())
}

/// The role's keys are not known yet. Others beside them would leave open which are meant.
fn keys_of_the_role(
    section: &mut Section<'_>,
    vault: Vault<'_>,
) -> (Option<SecretString>, Option<SecretString>) {
    for (inline, file, variable) in [
        ("access_key", "access_key_file", "NCLOUD_ACCESS_KEY_ID"),
        ("secret_key", "secret_key_file", "NCLOUD_SECRET_KEY"),
    ] {
        section.refuse_inline(inline, "cloud.server_role, which is written");
        if section.take(file).is_some() {
            section.problem(file, "cloud.server_role is written as well; keep one");
        }
        if vault.env.get(variable).is_some() {
            section.warning("server_role", format!("{variable} is set as well; the role's keys are used"));
        }
    }
    (Some(SecretString::from("")), Some(SecretString::from("")))
}

/// A written endpoint; else that of the site; else, where the cloud is this machine, the same.
fn insight_endpoint(section: &mut Section<'_>, cloud: Option<&str>) -> Option<String> {
    let Some(text) = section.text("insight_endpoint") else {
        let of_site = INSIGHT.iter().find(|(server, _)| Some(*server) == cloud);
        let local = cloud.filter(|endpoint| is_local(endpoint));
        return of_site.map(|(_, insight)| *insight).or(local).map(str::to_owned);
    };
    checked_endpoint(&text).map_err(|why| section.problem("insight_endpoint", why)).ok()
}

/// `[cloud.tracer]`
fn tracer(mut section: Section<'_>) -> Option<TracerConfig> {
    let enabled = match section.take("enabled") {
        None => true,
        Some(toml::Value::Boolean(enabled)) => enabled,
        Some(other) => {
            section.problem("enabled", format!("expected true or false, got {}", other.type_str()));
            false
        }
    };
    let text = section.required_text(
        "endpoint",
        "a scheme and a host such as \"https://cloudactivitytracer.apigw.ntruss.com\"",
    );
    let endpoint =
        text.and_then(|text| checked_endpoint(&text).map_err(|why| section.problem("endpoint", why)).ok());
    let mut words = |key: &'static str, default: &[&str]| {
        if section.is_empty_list(key) {
            section.problem(key, "an empty list would never match; leave the key out for the default");
        }
        section.texts(key).unwrap_or_else(|| default.iter().map(|word| (*word).to_owned()).collect())
    };
    let rules = ActivityRules {
        action_names: words("action_names", &ACTION_NAMES),
        success_values: words("success_values", &["SUCCESS"]),
        source_types: words("source_types", &["API"]),
        source_ips: section
            .list("source_ips", "an address such as \"203.0.113.7\"", |text| {
                text.parse::<IpAddr>().ok().map(|ip| ip.to_string())
            })
            .unwrap_or_default(),
    };
    section.finish();
    endpoint.filter(|_| enabled).map(|endpoint| TracerConfig { endpoint, rules })
}

/// A policy that asks Cloud Insight needs to know where that is.
pub(super) fn judge_insight(cloud: &CloudConfig, policies: &[Policy], findings: &Findings) {
    let asks = |policy: &&Policy| policy.corroborate.iter().any(|wanted| wanted.ask == Ask::CloudInsight);
    if cloud.insight_endpoint.is_none() && policies.iter().any(|policy| asks(&policy)) {
        findings.problem(
            "cloud.insight_endpoint",
            "missing; a policy asks Cloud Insight, and where that is does not follow from cloud.endpoint",
        );
    }
}

/// Whether the endpoint is this machine: a simulator, not the cloud.
pub(super) fn is_local(endpoint: &str) -> bool {
    reqwest::Url::parse(endpoint).is_ok_and(|url| is_loopback(&url))
}

fn region(section: &mut Section<'_>) -> Option<RegionCode> {
    const EXPECTED: &str =
        "a region code such as \"KR\" (A-Z, 0-9, -); without one the cloud silently takes its first region";
    if !section.has("region") {
        section.problem("region", format!("missing; expected {EXPECTED}"));
    }
    section.parsed("region", EXPECTED, |text| RegionCode::parse(text).ok())
}

fn endpoint(section: &mut Section<'_>) -> Option<String> {
    if section.has("endpoint") && section.has("site") {
        section.problem("site", "cloud.endpoint is set as well; keep one");
    }
    let site_written = section.has("site");
    let site = section.choice("site", &SITES);
    let Some(text) = section.text("endpoint") else {
        return site.or((!site_written).then_some(PUBLIC)).map(str::to_owned);
    };
    match checked_endpoint(&text) {
        Ok(endpoint) => Some(endpoint),
        Err(why) => {
            section.problem("endpoint", why);
            None
        }
    }
}

/// Whether an address has a host and nothing beside it but a path: no user, password, query or fragment.
pub(super) fn is_bare(url: &reqwest::Url) -> bool {
    url.has_host()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

fn checked_endpoint(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected a scheme and a host such as \"https://ncloud.apigw.ntruss.com\", without path, user or query";
    let url = reqwest::Url::parse(text).ok().ok_or(EXPECTED)?;
    let bare = url.path() == "/" && is_bare(&url);
    match url.scheme() {
        "https" | "http" if !bare => Err(EXPECTED),
        "http" if !is_loopback(&url) => {
            Err("plain http is allowed to a loopback address only; expected https")
        }
        "https" | "http" => Ok(url.origin().ascii_serialization()),
        _ => Err(EXPECTED),
    }
}

pub(super) fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
