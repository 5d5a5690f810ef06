//! Asking: the second signals of a policy, all at once, right after the pre-flight read.
//!
//! Never: judges them (that is `domain::corroboration`), or believes an address that the cloud does not confirm.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::domain::alert::Alert;
use crate::domain::corroboration::{Ask, Seen, Signal, Wanted};
use crate::domain::policy::Policy;
use crate::domain::server::Server;
use crate::domain::still_named::Resolved;
use crate::domain::target::{TargetName, claimed_address};
use crate::ncloud::Clients;
use crate::service::Service;
use crate::signals::{Signals, Subject, ports_closed};
use crate::store::Remediation;

/// Longest wait for the cloud's word on whose address it is.
const ADDRESS_WITHIN: Duration = Duration::from_secs(3);
/// A signal keeps its own time; this much later it is given up from outside.
const GRACE: Duration = Duration::from_millis(500);

/// Asks every second signal that the remediation's policy wants, in the order of the policy.
pub(super) async fn ask_signals(
    service: &Service,
    cloud: &Arc<Clients>,
    signals: &Signals,
    remediation: &Remediation,
    server: &Server,
    named: Option<&Resolved>,
) -> Vec<Signal> {
    let (config, waiting) = (service.config(), &remediation.waiting);
    let policy = config.rules.policies.iter().find(|policy| policy.name == waiting.policy);
    let Some(policy) = policy.filter(|policy| !policy.corroborate.is_empty()) else { return Vec::new() };
    let address = address(cloud, policy, &waiting.alert, server, named).await;
    let subject = Arc::new(Subject { server: server.clone(), address });
    let alert = Arc::new(waiting.alert.clone());
    let asked_at = service.clock.now();
    let mut asked = JoinSet::new();
    for (index, wanted) in policy.corroborate.iter().cloned().enumerate() {
        let secret = config.signal_secret(&policy.name, index).cloned();
        let (signals, cloud) = (signals.clone(), Arc::clone(cloud));
        let (subject, alert) = (Arc::clone(&subject), Arc::clone(&alert));
        asked.spawn(async move {
            let within = Duration::try_from(wanted.timeout).unwrap_or(ADDRESS_WITHIN);
            let one = async {
                match &wanted.ask {
                    Ask::TcpClosed { ports } => match &subject.address {
                        Ok(address) => ports_closed(*address, ports, within).await,
                        Err(why) => Seen::CouldNotTell(why.clone()),
                    },
                    Ask::Promql { url, query } => {
                        signals.promql(url, query, secret.as_ref(), &subject, within).await
                    }
                    Ask::Alertmanager { url } => {
                        signals.alertmanager(url, secret.as_ref(), &alert, within).await
                    }
                    Ask::CloudInsight => match &cloud.insight {
                        Some(insight) => insight.event_open(&alert, &subject.server, asked_at).await,
                        None => Seen::CouldNotTell("it is not known where Cloud Insight is".to_owned()),
                    },
                }
            };
            // Silence of a port is an answer, and takes the whole time; of anything else it is none.
            let seen = timeout(within + GRACE, one).await;
            (index, seen.unwrap_or_else(|_late| Seen::CouldNotTell(format!("no answer within {within:?}"))))
        });
    }
    let mut seen = Vec::new();
    while let Some(done) = asked.join_next().await {
        seen.extend(done.ok());
    }
    let of = |index: usize, wanted: &Wanted| {
        let answer = seen.iter().find(|(place, _)| *place == index).map(|(_, seen)| seen.clone());
        let seen = answer.unwrap_or_else(|| Seen::CouldNotTell("asking failed".to_owned()));
        Signal { name: wanted.kind(), seen, asked_at }
    };
    let all: Vec<Signal> =
        policy.corroborate.iter().enumerate().map(|(index, wanted)| of(index, wanted)).collect();
    for signal in &all {
        tracing::info!(remediation.id = %remediation.id, signal = signal.name, seen = ?signal.seen, "second signal asked");
    }
    all
}

/// The server's address. Lists and details of the cloud carry none that is private, so the alert's own is taken, and
/// only if the cloud says that it belongs to exactly this server.
async fn address(
    cloud: &Clients,
    policy: &Policy,
    alert: &Alert,
    server: &Server,
    named: Option<&Resolved>,
) -> Result<IpAddr, String> {
    if !policy.corroborate.iter().any(Wanted::needs_address) {
        return Err("no address was needed".to_owned());
    }
    let Some(claimed) = claimed_address(policy, alert) else {
        return Err("the inventory has no address of this server; let `target` name a label as ip".to_owned());
    };
    let found = match named.filter(|read| read.name == TargetName::Ip(claimed)) {
        Some(read) => read.servers.clone(),
        None => match timeout(ADDRESS_WITHIN, cloud.reader.servers_by_ip(&server.region, claimed)).await {
            Ok(read) => read.map_err(|error| error.to_string()),
            Err(_late) => Err("no answer in time".to_owned()),
        },
    };
    match found.as_deref() {
        Ok([one]) if one.identity() == server.identity() => Ok(claimed),
        Ok(_) => Err("the cloud does not say that the alert's address is this server's".to_owned()),
        Err(error) => Err(format!("the cloud cannot say whose address it is: {error}")),
    }
}
