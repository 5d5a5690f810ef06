//! Contestant: who takes part, how each is started, and what each wants to be sent.
//!
//! Never: gives one of them an easier payload than the others, save what it cannot read.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::payload::{Form, Request, Subjects};
use crate::process::{Process, free_addr};
use crate::unhang::{Unhang, authorization};

/// As in benches/peers/webhook.json.
const WEBHOOK_SECRET: &str = "bench-secret-of-the-webhook-peer";

/// One who takes part.
#[derive(Debug)]
pub(crate) enum Contestant {
    /// A binary of this service, under a name of its own when two are compared.
    Unhang(String, Unhang),
    /// Alertmanager: keeps alerts in memory.
    Alertmanager(Process),
    /// adnanh/webhook: checks an HMAC and starts a command for each request.
    Webhook(Process),
    /// One transaction for each request, in this program.
    Naive(Process),
}

impl Contestant {
    pub(crate) fn alertmanager(dir: &Path, peers: &Path) -> Self {
        let addr = free_addr();
        let mut command = Command::new("prometheus-alertmanager");
        command
            .arg(format!("--config.file={}", peers.join("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", dir.join("alertmanager").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--cluster.listen-address=");
        Self::Alertmanager(Process::listening(command, addr))
    }

    pub(crate) fn webhook(peers: &Path) -> Self {
        let addr = free_addr();
        let mut command = Command::new("webhook");
        command.arg("-hooks").arg(peers.join("webhook.json")).args(["-ip", "127.0.0.1", "-port"]);
        command.arg(addr.port().to_string());
        Self::Webhook(Process::listening(command, addr))
    }

    pub(crate) fn naive(store: PathBuf, slow_disk: Option<&Path>) -> Self {
        let addr = free_addr();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("naive").arg("--listen").arg(addr.to_string()).arg("--store").arg(store);
        if let Some(library) = slow_disk {
            command.env("LD_PRELOAD", library).env("SLOW_FSYNC_US", "2000");
        }
        Self::Naive(Process::listening(command, addr))
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Unhang(name, _) => name,
            Self::Alertmanager(_) => "alertmanager",
            Self::Webhook(_) => "webhook",
            Self::Naive(_) => "one transaction each",
        }
    }

    pub(crate) fn process(&self) -> &Process {
        match self {
            Self::Unhang(_, unhang) => &unhang.process,
            Self::Alertmanager(process) | Self::Webhook(process) | Self::Naive(process) => process,
        }
    }

    /// A request for each of so many connections.
    pub(crate) fn requests(
        &self,
        connections: u32,
        alerts: usize,
        stamp: &Rc<Cell<u64>>,
        subjects: impl Fn(u32) -> Subjects,
    ) -> Vec<Request> {
        let one = |n: u32| {
            let new = |form, path, headers: &str| {
                Request::new(form, path, headers, alerts, subjects(n), Rc::clone(stamp))
            };
            match self {
                Self::Unhang(..) => new(Form::Webhook, "/webhooks/alertmanager", &authorization()),
                Self::Naive(_) => new(Form::Webhook, "/", ""),
                Self::Alertmanager(_) => new(Form::Prometheus, "/api/v2/alerts", ""),
                // Its signature is over the body: made once, so that the generator does not pay for it.
                Self::Webhook(_) => new(Form::Webhook, "/hooks/alert", "").freeze(signature),
            }
        };
        (0..connections).map(one).collect()
    }
}

fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("x-signature: {}", hex::encode(mac.finalize().into_bytes()))
}
