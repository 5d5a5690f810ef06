//! Scenario: the made-up world to start with, from TOML or built in.
//!
//! Never: changes while the simulator runs; what changes lives in `cloud`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::behaviour::Script;
use crate::description::ServerSpec;
use crate::error::Error;
use crate::server::Speeds;

/// Longest reboot a scenario may ask for.
const REBOOT_MAX: Duration = Duration::from_hours(24);

/// A region as `getRegionList` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionSpec {
    /// `regionCode`.
    pub code: String,
    /// `regionName`.
    pub name: String,
}

/// The world to start with. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The one access key that is let in.
    pub access_key: String,
    /// Its secret. A made-up one: a simulator must never be given a real key.
    pub secret_key: String,
    /// Milliseconds the cloud's clock is ahead of the machine's: shifts `Date` and the 5-minute window.
    pub clock_offset_ms: i64,
    /// How fast a crashed guest writes its memory out.
    pub dump_bytes_per_second: u64,
    /// Time from the end of the dump until the guest is up.
    pub reboot_seconds: f64,
    /// Shortest time an interrupted server shows operation `SETUP`.
    pub min_setup_ms: u64,
    /// Time until an interrupt shows in the activity record.
    pub activity_delay_ms: u64,
    /// `ruleId` of the events that are open while a server hangs.
    pub event_rule_id: String,
    /// Regions, in the order of `getRegionList`; the first one is taken where a call names none.
    pub regions: Vec<RegionSpec>,
    /// The fleet.
    pub servers: Vec<ServerSpec>,
    /// Misbehaviour in force from the start.
    pub behaviours: Vec<Script>,
}

impl Default for Scenario {
    fn default() -> Self {
        let region = |code: &str, name: &str| RegionSpec { code: code.into(), name: name.into() };
        Self {
            access_key: "EXAMPLE-ACCESS-KEY-0001".into(),
            secret_key: "example-secret-key-do-not-use-000000001".into(),
            clock_offset_ms: 0,
            dump_bytes_per_second: 20 * 1024 * 1024 * 1024,
            reboot_seconds: 0.4,
            min_setup_ms: 0,
            activity_delay_ms: 0,
            event_rule_id: "700000000000000001".into(),
            regions: vec![
                region("KR", "Korea"),
                region("SGN", "Singapore(New)"),
                region("JPN", "Japan(New)"),
            ],
            servers: Vec::new(),
            behaviours: Vec::new(),
        }
    }
}

impl Scenario {
    /// The fleet of the demo: six named servers of every kind and twenty Windows web servers.
    pub fn demo() -> Self {
        let named = |no: &str, name: &str, ip: &str, platform: &str, hypervisor: &str| ServerSpec {
            no: no.into(),
            name: name.into(),
            private_ip: ip.into(),
            platform: platform.into(),
            hypervisor: hypervisor.into(),
            ..ServerSpec::default()
        };
        let mut servers = vec![
            ServerSpec {
                public_ip: "203.0.113.21".into(),
                ..named("90000001", "win-app-01", "10.0.0.21", "WND64", "XEN")
            },
            named("90000002", "win-app-02", "10.0.0.22", "WND64", "KVM"),
            named("90000003", "lnx-web-01", "10.0.0.23", "LNX64", "KVM"),
            named("90000004", "lnx-old-01", "10.0.0.24", "LNX64", "XEN"),
            ServerSpec {
                zone: "KR-2".into(),
                memory_bytes: 16 * 1024 * 1024 * 1024,
                ..named("90000005", "win-db-01", "10.0.0.25", "WND64", "XEN")
            },
            ServerSpec {
                zone: "KR-2".into(),
                ..named("90000006", "win-edge-01", "10.0.0.26", "WND64", "KVM")
            },
        ];
        for number in 1..=20_u32 {
            let even = number % 2 == 0;
            servers.push(ServerSpec {
                zone: if even { "KR-2" } else { "KR-1" }.into(),
                subnet_no: if even { "150023" } else { "150022" }.into(),
                ..named(
                    &format!("900001{number:02}"),
                    &format!("win-web-{number:02}"),
                    &format!("10.0.1.{}", 10 + number),
                    "WND64",
                    if even { "KVM" } else { "XEN" },
                )
            });
        }
        Self { servers, ..Self::default() }
    }

    /// Reads a scenario from TOML and checks it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let scenario: Self = toml::from_str(text).map_err(Error::ScenarioSyntax)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let complain = |text: String| Err(Error::Scenario(text));
        if self.access_key.is_empty() || self.secret_key.is_empty() {
            return complain("access_key and secret_key must not be empty".into());
        }
        if self.regions.is_empty() {
            return complain("regions must name at least one region".into());
        }
        if self.dump_bytes_per_second == 0 {
            return complain("dump_bytes_per_second must be at least 1".into());
        }
        self.reboot()?;
        let mut numbers = BTreeSet::new();
        for server in &self.servers {
            self.check_server(server)?;
            if !numbers.insert(server.no.as_str()) {
                return complain(format!("servers: {} is there twice", server.no));
            }
        }
        let unknown = self
            .behaviours
            .iter()
            .filter_map(|b| b.server_instance_no.as_deref())
            .find(|no| !numbers.contains(no));
        match unknown {
            Some(no) => complain(format!("behaviours: no server {no}")),
            None => Ok(()),
        }
    }

    pub(crate) fn check_server(&self, server: &ServerSpec) -> Result<(), Error> {
        if server.no.is_empty() {
            return Err(Error::Scenario("servers: no must not be empty".into()));
        }
        if !self.regions.iter().any(|region| region.code == server.region) {
            return Err(Error::Scenario(format!("servers: {} is in no listed region", server.no)));
        }
        Ok(())
    }

    pub(crate) fn speeds(&self) -> Result<Speeds, Error> {
        Ok(Speeds {
            dump_bytes_per_second: self.dump_bytes_per_second.max(1),
            reboot_ms: i64::try_from(self.reboot()?.as_millis()).unwrap_or(i64::MAX),
            min_setup_ms: i64::try_from(self.min_setup_ms).unwrap_or(i64::MAX),
        })
    }

    fn reboot(&self) -> Result<Duration, Error> {
        match Duration::try_from_secs_f64(self.reboot_seconds) {
            Ok(reboot) if reboot <= REBOOT_MAX => Ok(reboot),
            Ok(_) | Err(_) => Err(Error::Scenario("reboot_seconds must be between 0 and 86400".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_the_demo_fleet_with_examples_of_misbehaviour() {
        let shipped = Scenario::parse(include_str!("../scenarios/demo.toml")).unwrap();
        assert!(!shipped.behaviours.is_empty());
        assert_eq!(Scenario { behaviours: Vec::new(), ..shipped }, Scenario::demo());
    }

    #[test]
    fn contradictions_and_unknown_keys_are_refused() {
        for (text, expected) in [
            ("colour = 1", "cannot read the scenario"),
            ("regions = []", "scenario: regions must name at least one region"),
            ("reboot_seconds = -1.0", "scenario: reboot_seconds must be between 0 and 86400"),
            ("dump_bytes_per_second = 0", "scenario: dump_bytes_per_second must be at least 1"),
            ("servers = [{ no = '1' }, { no = '1' }]", "scenario: servers: 1 is there twice"),
            ("servers = [{ no = '1', region = 'US' }]", "scenario: servers: 1 is in no listed region"),
            (
                "behaviours = [{ server_instance_no = '9', behaviour = { kind = 'ok' } }]",
                "scenario: behaviours: no server 9",
            ),
        ] {
            assert_eq!(Scenario::parse(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
