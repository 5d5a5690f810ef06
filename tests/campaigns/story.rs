//! What the campaigns tell again and again: a sender that repeats, a person who approves, and how it must end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checker::{Seen, hold_to_the_laws};
use crate::shim::Shim;
use crate::support::{Cloud, LEAD, Service, Settings, Site, VIEWER, alert, delivery, fleet, now_text};

pub(crate) const FIRST: &str = "91000001";
pub(crate) const SECOND: &str = "91000002";
pub(crate) const THIRD: &str = "91000003";

/// States in which nothing more happens by itself, or in which a person is called.
pub(crate) const REST: [&str; 7] =
    ["confirmed", "unknown", "rejected", "not_sent", "unconfirmed", "cancelled", "expired"];

/// As [`REST`], or sent and taken by the cloud.
const SENT: [&str; 8] =
    ["accepted", "confirmed", "unknown", "rejected", "not_sent", "unconfirmed", "cancelled", "expired"];

/// A small generator whose every run can be repeated from its seed (xorshift64*).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    pub(crate) fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }
}

/// A number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a person repeats or lengthens a run")]
    std::env::var(name).ok()?.parse().ok()
}

/// The seed of this run, printed so that it can be repeated.
pub(crate) fn seed(what: &str, sizes: &str) -> u64 {
    let seed = setting("UNHANG_SEED").unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("{what}: UNHANG_SEED={seed} {sizes}");
    seed
}

/// Windows servers that reboot at once.
pub(crate) fn quick_fleet(count: u32) -> simulator::Scenario {
    let mut scenario = fleet(count);
    scenario.reboot_seconds = 0.05;
    for server in &mut scenario.servers {
        server.memory_bytes = 1 << 30;
    }
    scenario
}

/// A cloud, a data folder, and the library in between.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    pub(crate) site: Site,
    pub(crate) shim: Shim,
}

impl Stage {
    pub(crate) fn new(servers: u32, change: impl FnOnce(Settings) -> Settings) -> Self {
        let cloud = Cloud::start(quick_fleet(servers));
        let settings = Settings { spacing: "1ms", ..Settings::new(&cloud.running.endpoint()) };
        let site = Site::new(&change(settings));
        let shim = Shim::new(&site, &cloud);
        Self { cloud, site, shim }
    }

    /// Removes the hold file, as a person does after looking at the log. True when there was one.
    pub(crate) fn lift_hold_file(&self) -> bool {
        std::fs::remove_file(self.site.dir.path().join("data/HOLD")).is_ok()
    }

    /// Once the fault is over a server that has had no part in it is served, and no law is broken.
    pub(crate) fn is_well_again(&self, service: &Service, sender: &mut Sender, server: &str, what: &str) {
        let state = sender.bring_to(&SENT, service, server, "well again", PATIENCE);
        let well = matches!(state.as_deref(), Some("accepted" | "confirmed"));
        assert!(well, "{what}: not well again: {state:?}\n{}", self.log_tail());
        assert_eq!(self.cloud.requests(server), 1, "{what}");
    }

    /// Ends the process and asks the checker.
    pub(crate) fn hold_to_the_laws(&self, service: &Service, sender: &Sender, seed: u64, what: &str) {
        service.kill();
        hold_to_the_laws(&Seen::of(self, sender), seed, what);
    }

    /// The end of what the processes wrote.
    pub(crate) fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.site.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// Longest that a story may take to come to rest.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A sender and what it was promised.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    /// Deliveries answered with 202.
    pub(crate) acknowledged: Vec<String>,
    /// Answers that no sender may get.
    pub(crate) strange: Vec<String>,
}

impl Sender {
    /// Sends once; the answer if it was taken.
    pub(crate) fn offer(&mut self, service: &Service, body: &Value) -> Option<Value> {
        match service.deliver(body) {
            Some((202, answer)) => {
                self.acknowledged.push(answer["deliveryId"].as_str().unwrap().to_owned());
                Some(answer)
            }
            Some((503, _)) | None => None,
            Some((status, answer)) => {
                self.strange.push(format!("law 5: a sender was answered {status}: {answer}"));
                None
            }
        }
    }

    /// Gives the policy `auto` back: an unknown of an earlier life took it, and the next ones would ask people only.
    pub(crate) fn promote(service: &Service) {
        let why = json!({ "reason": "looked at it" });
        let _ended_meanwhile = service.try_post("/api/v1/policies/hung-windows/promote", LEAD, &why);
    }

    /// Sends until it is taken, approves where a person is asked, and waits until the server's remediation is at rest.
    /// `None` when the process ended, or patience was over.
    pub(crate) fn bring_to_rest(
        &mut self,
        service: &Service,
        server: &str,
        note: &str,
        patience: Duration,
    ) -> Option<String> {
        self.bring_to(&REST, service, server, note, patience)
    }

    fn bring_to(
        &mut self,
        states: &[&str],
        service: &Service,
        server: &str,
        note: &str,
        patience: Duration,
    ) -> Option<String> {
        let body = delivery(&[alert(server, "firing", &now_text())], note);
        let (begun, mut taken) = (Instant::now(), false);
        while begun.elapsed() < patience && service.ended().is_none() {
            if taken {
                match state_of(service, server) {
                    Some((state, _)) if states.contains(&state.as_str()) => return Some(state),
                    Some((state, id)) if state == "awaiting_approval" => approve(service, &id),
                    Some(_) | None => {}
                }
            } else {
                taken = self.offer(service, &body).is_some();
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        None
    }
}

/// State and identifier of the newest remediation of a server.
pub(crate) fn state_of(service: &Service, server: &str) -> Option<(String, String)> {
    let (_, page) = service.try_get("/api/v1/remediations?limit=1000", VIEWER)?;
    let found = page["items"].as_array()?.iter().find(|one| one["serverInstanceNo"] == server)?;
    Some((found["state"].as_str()?.to_owned(), found["id"].as_str()?.to_owned()))
}

fn approve(service: &Service, id: &str) {
    let body = json!({ "reason": "it hangs", "confirmStillHung": true });
    let _asked_again_if_it_failed = service.try_approve(id, LEAD, body);
}
