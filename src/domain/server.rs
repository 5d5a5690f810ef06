//! Servers as the vendor describes them, and the table that says which may be interrupted.
//!
//! Never: trusts a raw string. A `ServerNo` that exists has been checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a text is not a server number or region code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The server number is not 1 to 20 ASCII digits without a leading zero.
    #[error("expected a server instance number: 1 to 20 digits 0-9, not starting with 0")]
    ServerNo,
    /// The region code is not 1 to 20 upper-case letters, digits or dashes.
    #[error("expected a region code: 1 to 20 characters of A-Z, 0-9 and -")]
    RegionCode,
}

/// The vendor's `serverInstanceNo`: 1 to 20 ASCII digits, no leading zero.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[1-9][0-9]{0,19}$", examples("90000001"))]
#[serde(transparent)]
pub struct ServerNo(String);

impl ServerNo {
    /// Checks a raw text.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let digits = (1..=20).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_digit());
        if digits && !raw.starts_with('0') { Ok(Self(raw.to_owned())) } else { Err(InvalidName::ServerNo) }
    }

    /// The number as text, as the vendor spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The vendor's `regionCode`, an opaque configured text such as `KR`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[schema(value_type = String, pattern = "^[A-Z0-9-]{1,20}$", examples("KR"))]
#[serde(transparent)]
pub struct RegionCode(String);

impl RegionCode {
    /// Checks a raw text.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let known = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        if (1..=20).contains(&raw.len()) && raw.bytes().all(known) {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidName::RegionCode)
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RegionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! checked_deserialize {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = String::deserialize(deserializer)?;
                Self::parse(&raw).map_err(serde::de::Error::custom)
            }
        }
    };
}
checked_deserialize!(ServerNo);
checked_deserialize!(RegionCode);

/// Operating system family, read from `platformType.code`
/// (`WND32`, `WND64`, `LNX32`, `LNX64`, `UBD64`, `UBS64` are known).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Os {
    /// `WND*`
    Windows,
    /// `LNX*`, `UBD*`, `UBS*`
    Linux,
    /// Anything else: never eligible.
    Unknown,
}

impl Os {
    /// Reads the vendor's platform code.
    pub fn from_platform_code(code: &str) -> Self {
        if code.starts_with("WND") {
            Self::Windows
        } else if ["LNX", "UBD", "UBS"].iter().any(|prefix| code.starts_with(prefix)) {
            Self::Linux
        } else {
            Self::Unknown
        }
    }

    /// Lower-case name, as written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Unknown => "unknown",
        }
    }
}

/// One server as the cloud described it in one answer. Codes are kept as the vendor spells them,
/// because unknown ones must not fail parsing and must not be eligible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// `serverInstanceNo`
    pub no: ServerNo,
    /// `regionCode`
    pub region: RegionCode,
    /// `serverName`
    pub name: String,
    /// `createDate`: together with number and name the identity of the server.
    pub created_at: Timestamp,
    /// `uptime`: when the server was last started, as the cloud sees it.
    pub uptime_at: Option<Timestamp>,
    /// `platformType.code`
    pub platform_code: String,
    /// `hypervisorType.code`; empty where the answer has none.
    pub hypervisor_code: String,
    /// `serverInstanceStatus.code`; only `RUN` may be interrupted.
    pub status_code: String,
    /// `serverInstanceOperation.code`; only `NULL` (none) may be interrupted.
    pub operation_code: String,
    /// `memorySize` in bytes.
    pub memory_bytes: u64,
    /// `zoneCode`
    pub zone_code: String,
    /// `subnetNo`
    pub subnet_no: String,
    /// `placementGroupNo`; empty where none.
    pub placement_group_no: String,
}

impl Server {
    /// Operating system family.
    pub fn os(&self) -> Os {
        Os::from_platform_code(&self.platform_code)
    }

    /// What makes this the same server later on.
    pub fn identity(&self) -> Identity {
        Identity { no: self.no.clone(), name: self.name.clone(), created_at: self.created_at }
    }

    /// `serverInstanceStatus.code` is `RUN`.
    pub fn is_running(&self) -> bool {
        self.status_code == "RUN"
    }

    /// `serverInstanceOperation.code` is `NULL`, the vendor's word for none.
    pub fn is_idle(&self) -> bool {
        self.operation_code == "NULL"
    }
}

/// Number, create date and name: a number that is given out again does not pass for the old server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// `serverInstanceNo`
    pub no: ServerNo,
    /// `serverName`
    pub name: String,
    /// `createDate`
    pub created_at: Timestamp,
}

/// Which operating systems may be interrupted, per hypervisor code. What is not listed is refused.
///
/// The vendor's rule changed twice (Windows only; Windows on XEN only; KVM any and XEN Windows),
/// so it is a table in the configuration. Default: XEN and KVM, Windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(value_type = BTreeMap<String, Vec<Os>>)]
#[serde(transparent)]
pub struct Eligibility(pub BTreeMap<String, BTreeSet<Os>>);

impl Default for Eligibility {
    fn default() -> Self {
        let windows = BTreeSet::from([Os::Windows]);
        Self(BTreeMap::from([("XEN".to_owned(), windows.clone()), ("KVM".to_owned(), windows)]))
    }
}

impl Eligibility {
    /// Whether the table lists this server's hypervisor and operating system.
    pub fn allows(&self, server: &Server) -> bool {
        self.allows_kind(&server.hypervisor_code, &server.platform_code)
    }

    /// Whether the table lists this hypervisor with the operating system of this platform.
    pub fn allows_kind(&self, hypervisor_code: &str, platform_code: &str) -> bool {
        let os = Os::from_platform_code(platform_code);
        self.0.get(hypervisor_code).is_some_and(|systems| systems.contains(&os))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_numbers_are_plain_digits() {
        assert_eq!(ServerNo::parse("4299").unwrap().as_str(), "4299");
        for bad in ["", "0", "-1", "042", "4299 OR 1=1", "４２９９", "4299\n", "123456789012345678901", "1e3"]
        {
            assert!(ServerNo::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn region_codes_are_short_and_plain() {
        for good in ["KR", "SGN", "FKR-2"] {
            assert_eq!(RegionCode::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "kr", "K R", "KR_1", "KR\n", "ABCDEFGHIJKLMNOPQRSTU"] {
            assert!(RegionCode::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn systems_have_the_words_of_the_configuration() {
        for (code, word) in
            [("WND64", "windows"), ("LNX32", "linux"), ("UBS64", "linux"), ("BSD64", "unknown")]
        {
            assert_eq!(Os::from_platform_code(code).as_str(), word, "{code}");
        }
    }

    #[test]
    fn unknown_codes_are_never_eligible() {
        let table = Eligibility::default();
        let mut server = sample();
        assert!(table.allows(&server));
        server.hypervisor_code = "RHV".into();
        assert!(!table.allows(&server));
        server.hypervisor_code = "XEN".into();
        server.platform_code = "LNX64".into();
        assert!(!table.allows(&server));
        server.platform_code = "BSD64".into();
        assert!(!table.allows(&server));
    }

    fn sample() -> Server {
        Server {
            no: ServerNo::parse("90000001").unwrap(),
            region: RegionCode::parse("KR").unwrap(),
            name: "win-app-01".into(),
            created_at: Timestamp::UNIX_EPOCH,
            uptime_at: None,
            platform_code: "WND64".into(),
            hypervisor_code: "XEN".into(),
            status_code: "RUN".into(),
            operation_code: "NULL".into(),
            memory_bytes: 8 << 30,
            zone_code: "KR-1".into(),
            subnet_no: String::new(),
            placement_group_no: String::new(),
        }
    }
}
