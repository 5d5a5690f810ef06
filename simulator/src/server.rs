//! Server: one machine of the fleet, and what an interrupt does to its guest.
//!
//! Owns the life cycle: hung, crashed and writing its dump, rebooting, up again. No timers: state is worked out
//! from the time given, whenever somebody looks.
//!
//! Never: asks for the time, or knows who is calling.

use crate::clock;
use crate::description::{Dump, Reaction, ServerPatch, ServerSpec, ServerView};

/// How fast a crash goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speeds {
    pub(crate) dump_bytes_per_second: u64,
    pub(crate) reboot_ms: i64,
    pub(crate) min_setup_ms: i64,
}

/// The server service refuses to control this server (returnCode 1100031).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotControllable;

/// An interrupt in progress.
#[derive(Debug)]
struct Crash {
    dump_done_ms: i64,
    ready_ms: i64,
    /// Cloud time minus machine time when it began.
    clock_offset_ms: i64,
    /// A second interrupt came while the dump was being written.
    spoiled: bool,
    reaction: Reaction,
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) spec: ServerSpec,
    crash: Option<Crash>,
    dump: Dump,
    dumps_destroyed: u32,
    interrupts: u32,
}

impl Server {
    pub(crate) fn new(spec: ServerSpec) -> Self {
        Self { spec, crash: None, dump: Dump::None, dumps_destroyed: 0, interrupts: 0 }
    }

    /// Brings the state up to `now_ms`.
    pub(crate) fn advance(&mut self, now_ms: i64) {
        let Some(crash) = &self.crash else { return };
        if now_ms >= crash.dump_done_ms && self.dump == Dump::Writing {
            self.dump = if crash.spoiled { Dump::Destroyed } else { Dump::Complete };
        }
        if now_ms < crash.ready_ms {
            return;
        }
        if self.spec.operation == "SETUP" {
            "NULL".clone_into(&mut self.spec.operation);
        }
        if crash.reaction == Reaction::DumpAndReboot {
            let up_at = crash.ready_ms.saturating_add(crash.clock_offset_ms);
            let before = clock::parse_vendor_date(&self.spec.uptime).unwrap_or(i64::MIN);
            // Dates have whole seconds; the new one must differ from the old one also in a fast test.
            self.spec.uptime = clock::vendor_date(up_at.max(before.saturating_add(1000)));
            self.spec.hung = false;
        }
        self.crash = None;
    }

    /// Delivers an interrupt; the answer says whether a dump was ruined by it.
    ///
    /// Eligible by the vendor's page of 2026-10-08: status RUN, and KVM with Linux or Windows, or XEN with
    /// Windows. Another operation in progress refuses it (seen with SETUP); whether the vendor also refuses
    /// while an earlier interrupt is being served is UNCONFIRMED, so here the harm is done.
    pub(crate) fn interrupt(
        &mut self,
        now_ms: i64,
        clock_offset_ms: i64,
        speeds: Speeds,
    ) -> Result<bool, NotControllable> {
        self.advance(now_ms);
        let idle = self.spec.operation == "NULL" || (self.crash.is_some() && self.spec.operation == "SETUP");
        if !(self.spec.status == "RUN" && idle && self.is_supported()) {
            return Err(NotControllable);
        }
        self.interrupts = self.interrupts.saturating_add(1);
        let reaction = self.spec.reaction;
        let (mut dump_ms, mut reboot_ms, mut destroyed, mut spoiled) = (0, 0, false, false);
        if reaction != Reaction::Ignore {
            spoiled = self.dump == Dump::Writing;
            destroyed = spoiled || self.dump == Dump::Complete;
            self.dump = Dump::Writing;
            dump_ms = self.dump_ms(speeds.dump_bytes_per_second);
            reboot_ms = speeds.reboot_ms;
        }
        if destroyed {
            self.dumps_destroyed = self.dumps_destroyed.saturating_add(1);
        }
        let dump_done_ms = now_ms.saturating_add(dump_ms);
        let ready_ms = dump_done_ms.saturating_add(reboot_ms).max(now_ms.saturating_add(speeds.min_setup_ms));
        "SETUP".clone_into(&mut self.spec.operation);
        self.crash = Some(Crash { dump_done_ms, ready_ms, clock_offset_ms, spoiled, reaction });
        Ok(destroyed)
    }

    /// The dump is fetched: from here on nothing can ruin it.
    pub(crate) fn collect_dump(&mut self) {
        if self.dump == Dump::Complete {
            self.dump = Dump::Collected;
        }
    }

    pub(crate) fn patch(&mut self, patch: ServerPatch) {
        fn put<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        let spec = &mut self.spec;
        put(&mut spec.name, patch.server_name);
        put(&mut spec.region, patch.region_code);
        put(&mut spec.zone, patch.zone_code);
        put(&mut spec.subnet_no, patch.subnet_no);
        put(&mut spec.private_ip, patch.private_ip);
        put(&mut spec.public_ip, patch.public_ip);
        put(&mut spec.platform, patch.platform);
        put(&mut spec.hypervisor, patch.hypervisor);
        put(&mut spec.memory_bytes, patch.memory_bytes);
        put(&mut spec.status, patch.status);
        put(&mut spec.operation, patch.operation);
        put(&mut spec.create_date, patch.create_date);
        put(&mut spec.uptime, patch.uptime);
        put(&mut spec.hung, patch.hung);
        put(&mut spec.reaction, patch.reaction);
        put(&mut self.dump, patch.dump);
    }

    pub(crate) fn view(&self) -> ServerView {
        let spec = &self.spec;
        ServerView {
            server_instance_no: spec.no.clone(),
            server_name: spec.name.clone(),
            region_code: spec.region.clone(),
            zone_code: spec.zone.clone(),
            subnet_no: spec.subnet_no.clone(),
            private_ip: spec.private_ip.clone(),
            public_ip: spec.public_ip.clone(),
            platform: spec.platform.clone(),
            hypervisor: spec.hypervisor.clone(),
            memory_bytes: spec.memory_bytes,
            status: spec.status.clone(),
            operation: spec.operation.clone(),
            create_date: spec.create_date.clone(),
            uptime: spec.uptime.clone(),
            hung: spec.hung,
            reaction: spec.reaction,
            dump: self.dump,
            dumps_destroyed: self.dumps_destroyed,
            interrupts: self.interrupts,
        }
    }

    fn is_supported(&self) -> bool {
        let windows = self.spec.platform.starts_with("WND");
        match self.spec.hypervisor.as_str() {
            "XEN" => windows,
            "KVM" => windows || ["LNX", "UBD", "UBS"].iter().any(|os| self.spec.platform.starts_with(os)),
            _ => false,
        }
    }

    fn dump_ms(&self, bytes_per_second: u64) -> i64 {
        let ms = u128::from(self.spec.memory_bytes) * 1000 / u128::from(bytes_per_second.max(1));
        i64::try_from(ms).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dump of 1,000 ms and a reboot of 500 ms.
    const SPEEDS: Speeds = Speeds { dump_bytes_per_second: 100, reboot_ms: 500, min_setup_ms: 0 };

    fn windows() -> Server {
        Server::new(ServerSpec { memory_bytes: 100, hung: true, ..ServerSpec::default() })
    }

    fn check(server: &mut Server, at_ms: i64, expected: &str) {
        server.advance(at_ms);
        let view = server.view();
        let told = format!("{} {} {:?} hung={}", view.status, view.operation, view.dump, view.hung);
        assert_eq!(told, expected, "at {at_ms} ms");
    }

    #[test]
    fn an_interrupt_dumps_reboots_and_moves_uptime_forward() {
        let mut server = windows();
        let before = server.spec.uptime.clone();
        assert_eq!(server.interrupt(0, 0, SPEEDS), Ok(false));
        check(&mut server, 0, "RUN SETUP Writing hung=true");
        check(&mut server, 999, "RUN SETUP Writing hung=true");
        check(&mut server, 1_000, "RUN SETUP Complete hung=true");
        check(&mut server, 1_499, "RUN SETUP Complete hung=true");
        assert_eq!(server.spec.uptime, before);
        check(&mut server, 1_500, "RUN NULL Complete hung=false");
        assert_eq!(server.spec.uptime, "2026-10-30T08:00:13+0900");
    }

    #[test]
    fn a_second_interrupt_while_dumping_leaves_no_dump() {
        let mut server = windows();
        assert_eq!(server.interrupt(0, 0, SPEEDS), Ok(false));
        assert_eq!(server.interrupt(500, 0, SPEEDS), Ok(true));
        check(&mut server, 2_000, "RUN NULL Destroyed hung=false");
        assert_eq!((server.view().interrupts, server.view().dumps_destroyed), (2, 1));
    }

    #[test]
    fn an_interrupt_before_collection_overwrites_the_dump_and_after_it_does_not() {
        let mut server = windows();
        assert_eq!(server.interrupt(0, 0, SPEEDS), Ok(false));
        assert_eq!(server.interrupt(10_000, 0, SPEEDS), Ok(true));
        check(&mut server, 20_000, "RUN NULL Complete hung=false");
        server.collect_dump();
        assert_eq!(server.interrupt(20_000, 0, SPEEDS), Ok(false));
    }

    #[test]
    fn setup_lasts_its_minimum_and_some_guests_do_not_come_back() {
        let mut ignoring = windows();
        ignoring.spec.reaction = Reaction::Ignore;
        let slow = Speeds { min_setup_ms: 5_000, ..SPEEDS };
        assert_eq!(ignoring.interrupt(0, 0, slow), Ok(false));
        check(&mut ignoring, 4_999, "RUN SETUP None hung=true");
        check(&mut ignoring, 5_000, "RUN NULL None hung=true");

        let mut down = windows();
        down.spec.reaction = Reaction::DumpOnly;
        assert_eq!(down.interrupt(0, 0, SPEEDS), Ok(false));
        check(&mut down, 9_000, "RUN NULL Complete hung=true");
    }

    #[test]
    fn only_running_idle_supported_servers_can_be_interrupted() {
        for (platform, hypervisor, status, operation, eligible) in [
            ("WND64", "XEN", "RUN", "NULL", true),
            ("WND32", "KVM", "RUN", "NULL", true),
            ("LNX64", "KVM", "RUN", "NULL", true),
            ("LNX64", "XEN", "RUN", "NULL", false),
            ("WND64", "RHV", "RUN", "NULL", false),
            ("WND64", "KVM", "NSTOP", "NULL", false),
            ("WND64", "KVM", "RUN", "SETUP", false),
        ] {
            let mut server = windows();
            server.spec.platform = platform.into();
            server.spec.hypervisor = hypervisor.into();
            server.spec.status = status.into();
            server.spec.operation = operation.into();
            let found = server.interrupt(0, 0, SPEEDS).is_ok();
            assert_eq!(found, eligible, "{platform} {hypervisor} {status} {operation}");
        }
    }
}
