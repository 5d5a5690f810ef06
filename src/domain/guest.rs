//! What a guest says of itself: how it would dump its memory, and a dump that it found.
//!
//! Never: taken for the word of a person, or for proof that something did not happen.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::evidence::Baseline;
use super::hold::NamePattern;
use super::limits::{earlier, later};
use super::server::ServerNo;

/// How far a guest's clock may be ahead of ours.
pub const GUEST_CLOCK_AHEAD: SignedDuration = SignedDuration::from_mins(5);
/// What a complete dump needs in the page file on top of the memory, in MiB.
pub const COMPLETE_DUMP_MORE_MIB: u64 = 257;
/// Longest path that is kept, in characters; Windows has no longer one in this place.
const PATH_MAX: usize = 260;
/// Longest bug check code that is kept, in characters.
const CODE_MAX: usize = 32;
/// Largest size that is taken: an exbibyte. More is no size of anything a server has.
const SIZE_MAX: u64 = 1 << 60;

/// What Windows is set to do when it stops. Names follow the values below
/// `HKLM\SYSTEM\CurrentControlSet\Control\CrashControl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DumpSettings {
    /// 0 none, 1 complete, 2 kernel, 3 small, 7 automatic.
    #[schema(minimum = 0, maximum = 7)]
    pub crash_dump_enabled: u8,
    /// Where the dump goes.
    #[schema(
        min_length = 1,
        max_length = 260,
        pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
    )]
    pub dump_file: String,
    /// The dump is kept when the disk gets short.
    #[serde(default)]
    pub always_keep_memory_dump: Option<bool>,
    /// An older dump is overwritten.
    #[serde(default)]
    pub overwrite: Option<bool>,
    /// It starts again by itself.
    pub auto_reboot: bool,
    /// A non-maskable interrupt ends in a dump; `None` where Windows does not ask for the setting.
    #[serde(default)]
    pub nmi_crash_dump: Option<bool>,
    /// Size of the page files in MiB.
    #[serde(default, rename = "pageFileMiB")]
    #[schema(minimum = 0, maximum = 1_152_921_504_606_846_976_i64)]
    pub page_file_mib: Option<u64>,
    /// Free space where the dump goes, in MiB.
    #[serde(default, rename = "freeDiskMiB")]
    #[schema(minimum = 0, maximum = 1_152_921_504_606_846_976_i64)]
    pub free_disk_mib: Option<u64>,
    /// Memory that the guest sees, in MiB.
    #[serde(default, rename = "memoryMiB")]
    #[schema(minimum = 0, maximum = 1_152_921_504_606_846_976_i64)]
    pub memory_mib: Option<u64>,
}

impl DumpSettings {
    /// Why an interrupt would leave no dump; `None` where it would leave one.
    pub fn why_no_dump(&self) -> Option<String> {
        if !matches!(self.crash_dump_enabled, 1 | 2 | 3 | 7) {
            return Some(format!("CrashDumpEnabled is {}", self.crash_dump_enabled));
        }
        if self.nmi_crash_dump == Some(false) {
            return Some("NMICrashDump is off".to_owned());
        }
        if !self.auto_reboot {
            return Some("AutoReboot is off: the server would stay down".to_owned());
        }
        if self.overwrite == Some(false) {
            return Some("Overwrite is off: where a dump lies already, none is written".to_owned());
        }
        let page_file = self.page_file_mib?;
        if page_file == 0 {
            return Some("there is no page file".to_owned());
        }
        let needed = self.memory_mib?.saturating_add(COMPLETE_DUMP_MORE_MIB);
        let too_small = self.crash_dump_enabled == 1 && page_file < needed;
        too_small.then(|| format!("the page file has {page_file} MiB; a complete dump needs {needed} MiB"))
    }
}

/// The servers that a source of kind `guest` may speak for. Without any it speaks for none.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// Numbers or exact names.
    pub servers: Vec<String>,
    /// A pattern of their names.
    pub name_pattern: Option<NamePattern>,
}

impl Binding {
    /// Whether it covers a server, by its number and by the name that the inventory has for the number. What is written
    /// as a number is never taken for a name: names are free, and one could be made of another server's number.
    pub fn covers(&self, no: &ServerNo, known_name: Option<&str>) -> bool {
        let listed = self.servers.iter().any(|one| match ServerNo::parse(one) {
            Ok(number) => number == *no,
            Err(_not_a_number) => known_name == Some(one.as_str()),
        });
        let fits = known_name.is_some_and(|name| self.name_pattern.as_ref().is_some_and(|p| p.matches(name)));
        listed || fits
    }
}

/// A memory dump that the guest found on its disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FoundDump {
    /// Where.
    pub path: String,
    /// How big.
    pub size_bytes: u64,
    /// When it was written, by the guest's clock.
    pub written_at: Timestamp,
    /// Bug check code, where the guest knows it.
    pub bugcheck_code: Option<String>,
}

/// One word of a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Attestation {
    /// How it is set.
    #[serde(rename_all = "camelCase")]
    DumpSettings {
        /// When the guest looked, by its clock.
        at: Timestamp,
        /// What it saw.
        settings: DumpSettings,
    },
    /// A dump is there.
    #[serde(rename_all = "camelCase")]
    DumpFound {
        /// When the guest looked, by its clock.
        at: Timestamp,
        /// Where.
        #[schema(
            min_length = 1,
            max_length = 260,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        path: String,
        /// How big.
        #[schema(minimum = 1, maximum = 1_152_921_504_606_846_976_i64)]
        size_bytes: u64,
        /// When it was written, by the guest's clock.
        written_at: Timestamp,
        /// Bug check code, where the guest knows it.
        #[serde(default)]
        #[schema(
            min_length = 1,
            max_length = 32,
            pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        )]
        bugcheck_code: Option<String>,
    },
}

impl Attestation {
    /// The word used in JSON and store.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DumpSettings { .. } => "dump_settings",
            Self::DumpFound { .. } => "dump_found",
        }
    }

    /// When the guest looked.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::DumpSettings { at, .. } | Self::DumpFound { at, .. } => *at,
        }
    }

    /// The dump that it speaks of.
    pub fn found(&self) -> Option<FoundDump> {
        match self {
            Self::DumpSettings { .. } => None,
            Self::DumpFound { at: _, path, size_bytes, written_at, bugcheck_code } => Some(FoundDump {
                path: path.clone(),
                size_bytes: *size_bytes,
                written_at: *written_at,
                bugcheck_code: bugcheck_code.clone(),
            }),
        }
    }

    /// Checks what the types do not say. The error is the field and what was expected.
    pub fn check(&self, received_at: Timestamp) -> Result<(), (&'static str, String)> {
        let latest = later(received_at, GUEST_CLOCK_AHEAD);
        let text = |field, text: &str, most: usize| {
            let fits = !text.trim().is_empty() && text.chars().count() <= most;
            let plain = !text.chars().any(char::is_control);
            let expected = || format!("expected 1 to {most} characters on one line");
            if fits && plain { Ok(()) } else { Err((field, expected())) }
        };
        if self.at() > latest {
            return Err(("at", format!("expected a time not after {latest}: the guest's clock is ahead")));
        }
        match self {
            Self::DumpSettings { at: _, settings } => {
                if settings.crash_dump_enabled > 7 {
                    return Err(("settings.crashDumpEnabled", "expected a number from 0 to 7".to_owned()));
                }
                let sizes = [
                    ("settings.pageFileMiB", settings.page_file_mib),
                    ("settings.freeDiskMiB", settings.free_disk_mib),
                    ("settings.memoryMiB", settings.memory_mib),
                ];
                if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size > Some(SIZE_MAX)) {
                    return Err((field, format!("expected at most {SIZE_MAX}")));
                }
                text("settings.dumpFile", &settings.dump_file, PATH_MAX)
            }
            Self::DumpFound { at: _, path, size_bytes, written_at: _, bugcheck_code } => {
                if !(1..=SIZE_MAX).contains(size_bytes) {
                    return Err(("sizeBytes", format!("expected a number from 1 to {SIZE_MAX}")));
                }
                text("path", path, PATH_MAX)?;
                bugcheck_code.as_ref().map_or(Ok(()), |code| text("bugcheckCode", code, CODE_MAX))
            }
        }
    }
}

/// Newest settings that a guest attested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttestedSettings {
    /// When the guest looked; never later than we heard of it.
    pub at: Timestamp,
    /// What it saw.
    pub settings: DumpSettings,
}

/// What is known of one server from its guest and from the people who look after its dumps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestFacts {
    /// When a person last said that the dump is collected.
    pub dump_collected_at: Option<Timestamp>,
    /// Newest settings attested.
    pub dump_settings: Option<AttestedSettings>,
}

/// In-guest proof of an interrupt: a dump dated after the intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestDump {
    /// What kind of evidence.
    pub kind: &'static str,
    /// What it proves.
    pub proves: &'static str,
    /// The dump.
    #[serde(flatten)]
    pub dump: FoundDump,
    /// Source that told of it.
    pub told_by: String,
}

/// A dump proves that the server stopped after the intent, when it was written after it, and not later than we heard
/// of it. A guest that looked (`at`) after we heard of it has a clock that is ahead of ours: its dates are corrected by
/// as much, so that a dump from before the intent does not pass for one of it. A clock that is behind proves nothing.
pub fn guest_dump(
    baseline: &Baseline,
    dump: FoundDump,
    told_by: &str,
    at: Timestamp,
    received_at: Timestamp,
) -> Option<GuestDump> {
    let ahead = at.duration_since(received_at).max(SignedDuration::ZERO);
    let written_at = earlier(dump.written_at, ahead);
    let after = written_at >= baseline.intent_at;
    let heard = written_at <= later(received_at, GUEST_CLOCK_AHEAD);
    (after && heard).then(|| GuestDump {
        kind: "guest_dump",
        proves: "a memory dump written after the intent",
        dump,
        told_by: told_by.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::at;
    use super::*;

    fn settings(enabled: u8, nmi: Option<bool>) -> DumpSettings {
        DumpSettings {
            crash_dump_enabled: enabled,
            dump_file: "%SystemRoot%\\MEMORY.DMP".into(),
            always_keep_memory_dump: None,
            overwrite: Some(true),
            auto_reboot: true,
            nmi_crash_dump: nmi,
            page_file_mib: None,
            free_disk_mib: None,
            memory_mib: None,
        }
    }

    #[test]
    fn only_settings_that_write_a_dump_will_do() {
        for (enabled, nmi, good) in [
            (0, Some(true), false),
            (1, Some(true), true),
            (1, None, true),
            (1, Some(false), false),
            (2, None, true),
            (3, None, true),
            (4, None, false),
            (7, None, true),
        ] {
            assert_eq!(settings(enabled, nmi).why_no_dump().is_none(), good, "{enabled} {nmi:?}");
        }
    }

    #[test]
    fn settings_that_lose_the_dump_or_the_server_will_not_do() {
        let set = |change: fn(&mut DumpSettings)| {
            let mut settings = settings(1, Some(true));
            (settings.page_file_mib, settings.memory_mib) = (Some(8192 + 257), Some(8192));
            change(&mut settings);
            settings.why_no_dump().unwrap_or_default()
        };
        assert_eq!(set(|_| {}), "");
        assert!(set(|s| s.page_file_mib = Some(0)).contains("no page file"));
        assert!(set(|s| (s.page_file_mib, s.memory_mib) = (Some(0), None)).contains("no page file"));
        assert!(set(|s| s.page_file_mib = Some(8192 + 256)).contains("needs 8449 MiB"));
        assert!(set(|s| s.memory_mib = Some(u64::MAX)).contains("needs"));
        assert!(set(|s| s.auto_reboot = false).contains("AutoReboot"));
        assert!(set(|s| s.overwrite = Some(false)).contains("Overwrite"));
        // A kernel dump takes what it takes, and what is not reported is not judged.
        assert_eq!(set(|s| (s.crash_dump_enabled, s.page_file_mib) = (2, Some(4096))), "");
        assert_eq!(set(|s| s.page_file_mib = None), "");
        assert_eq!(set(|s| s.memory_mib = None), "");
        assert_eq!(set(|s| s.overwrite = None), "");
    }

    #[test]
    fn a_binding_covers_numbers_exact_names_and_whole_patterns() {
        let no = |text: &str| ServerNo::parse(text).unwrap();
        let listed = Binding { servers: vec!["90000001".into(), "win-db-01".into()], name_pattern: None };
        assert!(listed.covers(&no("90000001"), None));
        assert!(listed.covers(&no("90000007"), Some("win-db-01")));
        assert!(!listed.covers(&no("90000007"), Some("win-db-011")));
        assert!(!listed.covers(&no("90000007"), Some("90000001")), "a name that is another's number");
        assert!(!listed.covers(&no("90000007"), None));
        let fits = Binding { servers: Vec::new(), name_pattern: NamePattern::parse("win-.*") };
        assert!(fits.covers(&no("90000007"), Some("win-db-01")));
        assert!(!fits.covers(&no("90000007"), Some("old-win-db-01")));
        assert!(!fits.covers(&no("90000007"), None), "nobody knows its name");
        assert!(!Binding::default().covers(&no("90000007"), Some("win-db-01")));
    }

    #[test]
    fn a_dump_proves_only_when_it_was_written_between_the_intent_and_now() {
        let baseline = Baseline { intent_at: at(0), uptime_at: None, memory_bytes: 1 };
        let proof = |written: i64, looked: i64, heard: i64| {
            let dump = FoundDump {
                path: "C:\\Windows\\MEMORY.DMP".into(),
                size_bytes: 1,
                written_at: at(written),
                bugcheck_code: None,
            };
            guest_dump(&baseline, dump, "guests", at(looked), at(heard)).is_some()
        };
        assert!(!proof(-1, 60, 60));
        assert!(proof(0, 60, 60));
        assert!(proof(60 + 300, 60, 60));
        assert!(!proof(60 + 301, 60, 60));
        // A clock that is 200 s ahead dates a dump of 101 s before the intent 99 s after it.
        assert!(!proof(99, 260, 60));
        assert!(!proof(199, 260, 60));
        assert!(proof(200, 260, 60));
        // One that is behind, or an attestation that was long under way, gains nothing.
        assert!(!proof(-1, -200, 60));
        assert!(proof(0, -200, 60));
    }

    #[test]
    fn an_attestation_is_strict() {
        let read = |text: &str| serde_json::from_str::<Attestation>(text);
        let found = r#"{"kind":"dump_found","at":"2026-11-22T00:00:00Z","path":"C:\\M.DMP","sizeBytes":1,"writtenAt":"2026-11-22T00:00:00Z""#;
        assert!(read(&format!("{found}}}")).is_ok());
        assert!(read(&format!("{found},\"bugcheckCode\":\"0x80\"}}")).is_ok());
        assert!(read(&format!("{found},\"more\":1}}")).is_err());
        assert!(read(&found.replace("\"sizeBytes\":1", "\"sizeBytes\":\"1\"")).is_err());
        assert!(read(&found.replace("dump_found", "dump_lost")).is_err());
        let set = r#"{"kind":"dump_settings","at":"2026-11-22T00:00:00Z","settings":{"crashDumpEnabled":1,"dumpFile":"x","autoReboot":true,"pageFileMiB":5}}"#;
        let said = read(set).unwrap();
        assert_eq!(
            serde_json::from_str::<Attestation>(&serde_json::to_string(&said).unwrap()).unwrap(),
            said
        );
        assert!(read(&set.replace("autoReboot", "autoreboot")).is_err());
        let now: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        assert!(said.check(now).is_ok());
        assert_eq!(said.check(now - SignedDuration::from_mins(6)).unwrap_err().0, "at");
        let odd = read(&set.replace("\"dumpFile\":\"x\"", "\"dumpFile\":\"\\u0007\"")).unwrap();
        assert_eq!(odd.check(now).unwrap_err().0, "settings.dumpFile");
        let wrong = |text: &str| read(text).unwrap().check(now).unwrap_err().0;
        assert_eq!(wrong(&set.replace("\"dumpFile\":\"x\"", "\"dumpFile\":\" \"")), "settings.dumpFile");
        assert_eq!(wrong(&set.replace("Enabled\":1", "Enabled\":8")), "settings.crashDumpEnabled");
        assert!(read(&set.replace("Enabled\":1", "Enabled\":7")).unwrap().check(now).is_ok());
        assert!(said.check(now - GUEST_CLOCK_AHEAD).is_ok());
        assert_eq!((said.kind(), said.found()), ("dump_settings", None));
        let found = format!("{found},\"bugcheckCode\":\"0x80\"}}");
        let dump = read(&found).unwrap();
        assert!(dump.check(now).is_ok());
        assert_eq!((dump.kind(), dump.found().map(|dump| dump.size_bytes)), ("dump_found", Some(1)));
        assert!(read(&found.replace("0x80", &"8".repeat(CODE_MAX))).unwrap().check(now).is_ok());
        assert_eq!(wrong(&found.replace("\"sizeBytes\":1", "\"sizeBytes\":0")), "sizeBytes");
        assert_eq!(wrong(&found.replace("C:\\\\M.DMP", "")), "path");
        assert_eq!(wrong(&found.replace("0x80", &"8".repeat(CODE_MAX + 1))), "bugcheckCode");
        for size in [SIZE_MAX + 1, u64::MAX] {
            let size = format!(":{size}");
            assert_eq!(
                wrong(&found.replace("sizeBytes\":1", &format!("sizeBytes\"{size}"))),
                "sizeBytes",
                "{size}"
            );
            assert_eq!(
                wrong(&set.replace("MiB\":5", &format!("MiB\"{size}"))),
                "settings.pageFileMiB",
                "{size}"
            );
        }
    }
}
