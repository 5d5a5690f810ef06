//! Description: a server in words: as a scenario gives it, as a test changes it, as the controls show it.
//!
//! Never: behaves; that is `server`.

use serde::{Deserialize, Serialize};

/// What the guest does when it is interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaction {
    /// Crashes, writes its dump, reboots: a Windows guest prepared as the vendor's guide says.
    #[default]
    DumpAndReboot,
    /// Crashes and writes its dump, and stays down: automatic restart is off. It remains hung.
    DumpOnly,
    /// Nothing happens inside, as Linux ignores an unknown NMI by default. The cloud says success all the same.
    Ignore,
}

/// The state of the guest's crash dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dump {
    /// There is none.
    #[default]
    None,
    /// It is being written.
    Writing,
    /// It is whole, and nobody has fetched it.
    Complete,
    /// It is whole and fetched; another interrupt does no harm to it.
    Collected,
    /// It was being written when another interrupt came.
    Destroyed,
}

/// A server as a scenario describes it; afterwards, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSpec {
    /// `serverInstanceNo`.
    pub no: String,
    /// `serverName`.
    pub name: String,
    /// `regionCode`.
    pub region: String,
    /// `zoneCode`.
    pub zone: String,
    /// `vpcNo`.
    pub vpc_no: String,
    /// `subnetNo`.
    pub subnet_no: String,
    /// Found by the `ip` filter, and shown by no answer.
    pub private_ip: String,
    /// `publicIp`; empty for none.
    pub public_ip: String,
    /// `platformType.code`: `WND64`, `LNX64`, or anything a test likes.
    pub platform: String,
    /// `hypervisorType.code`: `XEN`, `KVM`, or anything a test likes.
    pub hypervisor: String,
    /// `memorySize`; also the size of the dump.
    pub memory_bytes: u64,
    /// `cpuCount`.
    pub cpu_count: u64,
    /// `serverInstanceStatus.code`.
    pub status: String,
    /// `serverInstanceOperation.code`.
    pub operation: String,
    /// `createDate`, in the vendor's form.
    pub create_date: String,
    /// `uptime`, in the vendor's form: when the guest came up.
    pub uptime: String,
    /// Whether the guest hangs. The cloud does not know: no answer shows it.
    pub hung: bool,
    /// What the guest does when it is interrupted.
    pub reaction: Reaction,
}

/// Changes to one server, in the words of [`ServerSpec`]; absent means as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerPatch {
    pub server_name: Option<String>,
    pub region_code: Option<String>,
    pub zone_code: Option<String>,
    pub subnet_no: Option<String>,
    pub private_ip: Option<String>,
    pub public_ip: Option<String>,
    pub platform: Option<String>,
    pub hypervisor: Option<String>,
    pub memory_bytes: Option<u64>,
    pub status: Option<String>,
    pub operation: Option<String>,
    pub create_date: Option<String>,
    pub uptime: Option<String>,
    pub hung: Option<bool>,
    pub reaction: Option<Reaction>,
    pub dump: Option<Dump>,
}

/// A server as the control endpoints show it, in the words of [`ServerSpec`], with what the cloud's own answers
/// hide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerView {
    pub server_instance_no: String,
    pub server_name: String,
    pub region_code: String,
    pub zone_code: String,
    pub subnet_no: String,
    pub private_ip: String,
    pub public_ip: String,
    pub platform: String,
    pub hypervisor: String,
    pub memory_bytes: u64,
    pub status: String,
    pub operation: String,
    pub create_date: String,
    pub uptime: String,
    pub hung: bool,
    pub reaction: Reaction,
    pub dump: Dump,
    /// Dumps ruined so far by another interrupt.
    pub dumps_destroyed: u32,
    /// Interrupts delivered so far.
    pub interrupts: u32,
}

impl Default for ServerSpec {
    /// A running Windows server on KVM in `KR`, with the sizes and dates of the vendor's examples.
    fn default() -> Self {
        Self {
            no: String::new(),
            name: String::new(),
            region: "KR".into(),
            zone: "KR-1".into(),
            vpc_no: "70011".into(),
            subnet_no: "150022".into(),
            private_ip: String::new(),
            public_ip: String::new(),
            platform: "WND64".into(),
            hypervisor: "KVM".into(),
            memory_bytes: 8 * 1024 * 1024 * 1024,
            cpu_count: 2,
            status: "RUN".into(),
            operation: "NULL".into(),
            create_date: "2026-02-03T10:15:00+0900".into(),
            uptime: "2026-10-30T08:00:12+0900".into(),
            hung: false,
            reaction: Reaction::DumpAndReboot,
        }
    }
}
