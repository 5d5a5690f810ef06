//! Configuration: TOML, environment and secret files become types, or a list of problems with their keys.
//!
//! Never: echoes a secret, guesses a value, or fills in a limit as "none". The only reader of the environment.

mod audit;
mod certificate;
mod cloud;
mod corroborate;
mod dashboard;
mod environment;
mod hash;
mod load;
mod maintenance;
mod notify;
mod place;
mod policies;
mod problem;
mod receiver;
mod rules;
mod secret;
mod section;
mod service;
mod size;
mod sources;
mod telemetry;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::domain::activity::ActivityRules;
use crate::domain::audit_key::{AuditKey, KeyRing};
use crate::domain::guest::Binding;
use crate::domain::matcher::Matchers;
use crate::domain::notice::Links;
use crate::domain::policy::{Rules, Trust};
use crate::domain::server::RegionCode;

pub use audit::audit_key_from;
pub use certificate::{
    CertificateFault, ClientNames, Identity, SanName, TlsConfig, Validity, provider, read_client_ca,
    read_identity,
};
pub use environment::Environment;
pub use load::{Listener, Loaded, listener, load};
pub use place::{Place, Server};
pub use problem::{Problem, check_report};
pub use receiver::{ReceiverConfig, ReceiverKind, SignKey};
pub use secret::read_key_file;
pub use telemetry::{OtlpConfig, TelemetryConfig};

/// The whole configuration, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// SHA-256 (hex) of the effective configuration without secrets; stored with every decision.
    pub hash: String,
    /// `[server]`
    pub server: ServerConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[cloud]`
    pub cloud: CloudConfig,
    /// `[[sources]]`
    pub sources: Vec<SourceConfig>,
    /// `[[policies]]`, `[limits]`, `[eligibility]`, `[[maintenance]]`, `[storm]`, `[breaker]`
    pub rules: Rules,
    /// `[dispatch]`
    pub dispatch: DispatchConfig,
    /// `[verify]`
    pub verify: VerifyConfig,
    /// `[inventory]`
    pub inventory: InventoryConfig,
    /// `[[tokens]]`
    pub tokens: Vec<TokenConfig>,
    /// Secrets of the second signals that policies ask.
    pub signal_secrets: Vec<SignalSecret>,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[dashboard]`
    pub dashboard: DashboardConfig,
    /// `[[notify]]`
    pub notify: Vec<ReceiverConfig>,
    /// `[telemetry]`
    pub telemetry: TelemetryConfig,
}

impl Config {
    /// The bearer secret of one second signal of a policy, by its place in the policy.
    pub fn signal_secret(&self, policy: &str, index: usize) -> Option<&SecretString> {
        let all = &self.signal_secrets;
        all.iter().find(|one| one.policy == policy && one.index == index).map(|one| &one.secret)
    }
}

impl Config {
    /// Where messages point to.
    pub fn links(&self) -> Links {
        Links { public_url: self.server.public_url.clone() }
    }

    /// A receiver by its name.
    pub fn receiver(&self, name: &str) -> Option<&ReceiverConfig> {
        self.notify.iter().find(|one| one.name == name)
    }
}

/// The bearer secret of a second signal; kept beside the policy, whose hash must not know it.
#[derive(Debug, Clone)]
pub struct SignalSecret {
    /// Name of the policy.
    pub policy: String,
    /// Place of the signal in the policy.
    pub index: usize,
    /// The secret.
    pub secret: SecretString,
}

/// `[server]`: the HTTP door.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// A second address, for health and figures alone; `None`: they are served at the first.
    pub ops_listen: Option<SocketAddr>,
    /// `[server.tls]`; `None`: plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Largest body of a delivery in bytes (default 4 MiB).
    pub body_bytes_max: usize,
    /// Most alerts in one delivery (default 2000).
    pub alerts_max: usize,
    /// Longest label value in bytes (default 4096).
    pub label_bytes_max: usize,
    /// Most labels on one alert (default 64).
    pub labels_max: usize,
    /// Time in which a body must have arrived (default 10 s).
    pub body_timeout: SignedDuration,
    /// Deliveries per second that one source may send before it is answered 503 (default 2000).
    pub deliveries_per_second: u32,
    /// Deliveries that may wait for the writer before the door answers 503 (default 1024).
    pub queue_max: usize,
    /// Event streams that may be open at once before the next is answered 503 (default 500).
    pub streams_max: usize,
    /// A client that takes nothing of its answer for so long is cut off (default 1 min).
    pub write_timeout: SignedDuration,
    /// Address under which people reach the pages, for links in messages; none: messages carry commands.
    pub public_url: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed for IP lists and whose `X-Forwarded-Proto` for the login; empty: the
    /// peer address counts.
    pub trusted_proxies: Vec<IpNet>,
}

/// `[dashboard]`: the pages for people.
#[derive(Debug, Clone)]
pub struct DashboardConfig {
    /// A session that nobody uses for so long ends (default 30 min). Live updates of an open page do not count as use.
    pub idle: SignedDuration,
    /// A session ends after so long whatever is done with it (default 12 h).
    pub session_max: SignedDuration,
    /// Time zone of pages until a reader chooses one (default UTC), as in `Asia/Seoul`.
    pub zone: String,
    /// Log-in by a proxy that has checked who somebody is; `None`: by token only.
    pub proxy_login: Option<ProxyLoginConfig>,
}

/// `[dashboard] proxy_login`: a proxy names the person in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyLoginConfig {
    /// Header that carries the `name` of one of the `[[tokens]]`.
    pub header: String,
    /// Addresses of that proxy; from any other the header is ignored. Never empty.
    pub from: Vec<IpNet>,
}

/// `[store]`: where facts live.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Where facts live, from `url`.
    pub place: Place,
    /// The SQLite file; with a server, a name in `folder` (default `data`) beside which this replica keeps its own files.
    pub path: PathBuf,
    /// What this replica is called (default: the name of its machine). Not part of the configuration's hash.
    pub replica: String,
    /// File whose presence is a global hold (default: `HOLD` beside the store).
    pub hold_file: PathBuf,
    /// The attempt journal (default: `JOURNAL` beside the store; better on another disk).
    pub journal: PathBuf,
    /// Free bytes of the store's file system below which nothing is sent (default 512 MiB).
    pub watermark_bytes: u64,
    /// Bytes kept aside for the outcome of a call when the disk is full (default 64 MiB); 0: none.
    pub ballast_bytes: u64,
}

/// How the cloud is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallMethod {
    /// Form body (default).
    Post,
    /// Query string.
    Get,
}

impl CallMethod {
    /// The word used in configuration and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Get => "GET",
        }
    }
}

/// Which format the cloud is asked for; both are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFormat {
    /// `responseFormatType=json` (default)
    Json,
    /// `responseFormatType=xml`
    Xml,
}

impl ResponseFormat {
    /// The word used in configuration and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }
}

/// Whether the cloud's `Date` must have confirmed our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateRule {
    /// A recent one that agrees, or nothing is sent (default).
    Required,
    /// One that was sent must agree; where the cloud sends none, the monotonic clock suffices.
    IfSent,
}

impl DateRule {
    /// The word used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::IfSent => "if_sent",
        }
    }
}

/// `[cloud]`: the NAVER Cloud API.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Scheme and host, without a trailing slash. Plain `http` only to a loopback address.
    pub endpoint: String,
    /// Region of everything that names none.
    pub region: RegionCode,
    /// POST or GET.
    pub method: CallMethod,
    /// JSON or XML.
    pub response_format: ResponseFormat,
    /// Access key id.
    pub access_key: SecretString,
    /// Secret key.
    pub secret_key: SecretString,
    /// Longest wait for the answer of an interrupt (default 30 s).
    pub timeout: SignedDuration,
    /// Longest wait for the answer of a read (default 10 s).
    pub read_timeout: SignedDuration,
    /// Reads per second (default 10).
    pub reads_per_second: u32,
    /// Largest difference between our clock and the cloud's `Date` before nothing is sent (default 60 s;
    /// the cloud itself refuses above five minutes).
    pub clock_skew_max: SignedDuration,
    /// Whether that `Date` must be there.
    pub date: DateRule,
    /// `[cloud.server_role]`: the keys come from the metadata service of this machine, and the two above are empty;
    /// `None`: they are those.
    pub server_role: Option<ServerRoleConfig>,
    /// Scheme and host of Cloud Insight; `None` where the site is not known and none is written.
    pub insight_endpoint: Option<String>,
    /// `[cloud.tracer]`: the cloud's own record of calls; `None`: not asked.
    pub tracer: Option<TracerConfig>,
}

/// `[cloud.tracer]`: Cloud Activity Tracer, `GetActivityList`.
/// <https://api.ncloud-docs.com/docs/en/management-cloudactivitytracer-getactivitylist>
#[derive(Debug, Clone)]
pub struct TracerConfig {
    /// Scheme and host.
    pub endpoint: String,
    /// Which entries are our call. All words UNCONFIRMED by the vendor.
    pub rules: ActivityRules,
}

/// `[cloud.server_role]`: the metadata service of the machine, as the vendor's Go SDK asks it.
/// <https://github.com/NaverCloudPlatform/ncloud-sdk-go-v2>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRoleConfig {
    /// Address of the list of roles; the keys of one are below it.
    pub url: String,
    /// The role; `None`: the only one of the list.
    pub role: Option<String>,
}

/// Dialect of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Prometheus Alertmanager, webhook payload version 4.
    Alertmanager,
    /// Grafana Alerting's webhook contact point.
    Grafana,
    /// NAVER Cloud Insight's outgoing webhook with our payload template.
    CloudInsight,
    /// The servers themselves: may post attestations, and nothing else.
    Guest,
}

impl SourceKind {
    /// The word used in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alertmanager => "alertmanager",
            Self::Grafana => "grafana",
            Self::CloudInsight => "cloud_insight",
            Self::Guest => "guest",
        }
    }
}

/// `[[sources]]`: one sender of alerts.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    /// Name in the path `/webhooks/{name}`.
    pub name: String,
    /// Dialect.
    pub kind: SourceKind,
    /// How far it is believed (default propose).
    pub trust: Trust,
    /// Credentials; any one of them suffices, so that they can be rotated. Never empty.
    pub auth: Vec<CredentialConfig>,
    /// Networks it may call from; empty: any.
    pub allow_from: Vec<IpNet>,
    /// Cloud Insight only: exact `EVENT_STATUS` texts that mean firing (UNCONFIRMED by the vendor; default `ALARM`).
    pub firing_values: Vec<String>,
    /// Cloud Insight only: exact `EVENT_STATUS` texts that mean resolved (default `RESOLVE`).
    pub resolved_values: Vec<String>,
    /// Its sign of life, where one is expected.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Kind `guest` only: the servers that it may speak for.
    pub speaks_for: Binding,
}

/// `heartbeat` of a source: alerts that say "the way from the rule to here works" and nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct HeartbeatConfig {
    /// Labels of the alert that is one.
    pub matchers: Matchers,
    /// Silent for longer, the source is not believed to tell what matters (default 5 min).
    pub within: SignedDuration,
}

impl Config {
    /// Whose heartbeat is asked for before something born of `source` under `policy` is sent: the source's own; for an
    /// order by hand that of every source of the policy, because the notice that it is over would come from there.
    pub fn heartbeats_of(&self, source: &str, policy: &str) -> Vec<(String, SignedDuration)> {
        let own = self.sources.iter().any(|one| one.name == source);
        let policy = self.rules.policies.iter().find(|one| one.name == policy);
        let asked = |one: &&SourceConfig| {
            let of_policy = policy.is_none_or(|p| p.sources.is_empty() || p.sources.contains(&one.name));
            if own { one.name == source } else { of_policy }
        };
        let within = |one: &SourceConfig| Some((one.name.clone(), one.heartbeat.as_ref()?.within));
        self.sources.iter().filter(asked).filter_map(within).collect()
    }
}

/// One credential of a source.
#[derive(Debug, Clone)]
pub enum CredentialConfig {
    /// `Authorization: Bearer …`
    Bearer {
        /// The token.
        secret: SecretString,
    },
    /// `Authorization: Basic …`
    Basic {
        /// User name.
        username: String,
        /// Password.
        secret: SecretString,
    },
    /// A static header, for senders that can do no more.
    Header {
        /// Header name.
        name: String,
        /// Expected value.
        secret: SecretString,
    },
    /// HMAC-SHA256 over `timestamp:body` in lower-case hex, as Grafana signs.
    Hmac {
        /// Shared key.
        secret: SecretString,
        /// Header with the signature (default `X-Grafana-Alerting-Signature`).
        signature_header: String,
        /// Header with the unix seconds (default `X-Grafana-Alerting-Timestamp`; the sender must be told to send it).
        timestamp_header: String,
        /// Largest difference between that time and ours (default 300 s).
        tolerance: SignedDuration,
    },
    /// The certificate of a client, which an authority of `server.tls.client_ca_file` vouches for.
    ClientCertificate {
        /// Alternative name that it must have.
        san: SanName,
    },
}

/// `[dispatch]`
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// Longest time between two looks at the queue (default 1 s).
    pub tick: SignedDuration,
}

/// `[verify]`
#[derive(Debug, Clone)]
pub struct VerifyConfig {
    /// Gap between two looks at a server (default 10 s).
    pub poll: SignedDuration,
    /// Time after which an accepted interrupt without a reboot is unconfirmed, on top of the dump window (default 30 min).
    pub window: SignedDuration,
    /// Time after which the verifier stops looking for late evidence (default 24 h).
    pub give_up: SignedDuration,
}

/// `[inventory]`
#[derive(Debug, Clone)]
pub struct InventoryConfig {
    /// Gap between two reads of the whole server list (default 5 min).
    pub refresh: SignedDuration,
    /// Age up to which an entry is believed (default 10 min).
    pub fresh_for: SignedDuration,
    /// How long a look-up of one target is repeated (default 60 s).
    pub lookup_for: SignedDuration,
}

/// What a person may do; each role includes the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Replays, orders by hand, silences, holds, cancels.
    Operator,
    /// Approves, denies, settles.
    Approver,
    /// All.
    Admin,
}

impl Role {
    /// The word used in configuration and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }
}

/// `[[tokens]]`: one person's key to the API.
#[derive(Clone)]
pub struct TokenConfig {
    /// The person.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub sha256: [u8; 32],
}

impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenConfig")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// `[audit]`: how the audit is made to show what was done to it.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// Key that new rows are hashed with; without one whoever can write the store can rewrite the chain.
    pub key: Option<AuditKey>,
    /// Keys of older rows.
    pub old_keys: Vec<AuditKey>,
    /// File that heads are appended to (default: beside the store, with `.heads`; it belongs on another disk).
    pub heads_file: PathBuf,
    /// The file is written in the configuration: where there is none, heads are missing.
    pub heads_named: bool,
    /// Gap between two heads (default 1 h).
    pub heads_every: SignedDuration,
}

impl AuditConfig {
    /// All keys, to verify with.
    pub fn ring(&self) -> KeyRing {
        KeyRing::new(self.key.clone(), self.old_keys.iter().cloned())
    }
}
