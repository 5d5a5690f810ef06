//! The library between the binary and the C library: built once, told what to do through a page that both see.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Cloud, Service, Site};

/// Events in the order of `enum event` in `shim.c`.
const EVENTS: [&str; 25] = [
    "db-open",
    "db-read",
    "db-write",
    "db-sync",
    "db-truncate",
    "wal-read",
    "wal-write",
    "wal-sync",
    "wal-truncate",
    "begin",
    "file-open",
    "file-read",
    "file-write",
    "file-sync",
    "file-remove",
    "file-stat",
    "client-recv",
    "client-send",
    "cloud-connect",
    "cloud-send",
    "cloud-recv",
    "any-db",
    "any-file",
    "any-client",
    "any-cloud",
];

// Places in `struct page`.
const CLOCK: u64 = 0;
const GENERATION: u64 = 8;
const FIRED: u64 = 16;
const LOADED: u64 = 24;
const COUNTS: u64 = 64;
const ORDER: u64 = 576;
const PAGE: u64 = 4096;

/// What is to happen at which call; the words are those of `shim.c`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) event: &'static str,
    side: &'static str,
    pub(crate) nth: u64,
    action: &'static str,
    often: &'static str,
    text: &'static str,
    gate: (&'static str, &'static str),
}

impl Order {
    const fn on(event: &'static str, side: &'static str) -> Self {
        Self { event, side, nth: 1, action: "kill", often: "once", text: "-", gate: ("-", "-") }
    }

    /// Instead of the call.
    pub(crate) const fn before(event: &'static str) -> Self {
        Self::on(event, "before")
    }

    /// When the call has been made.
    pub(crate) const fn after(event: &'static str) -> Self {
        Self::on(event, "after")
    }

    /// Counts only calls with these bytes.
    pub(crate) const fn holding(self, text: &'static str) -> Self {
        Self { text, ..self }
    }

    /// Counts only from the moment on when a call of this event held these bytes.
    pub(crate) const fn since(self, event: &'static str, text: &'static str) -> Self {
        Self { gate: (event, text), ..self }
    }

    pub(crate) const fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// `kill`, `stop`, `fail`, or `full`.
    pub(crate) const fn with(self, action: &'static str) -> Self {
        Self { action, ..self }
    }

    /// From then on, every time.
    pub(crate) const fn ever(self) -> Self {
        Self { often: "ever", ..self }
    }
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { event, side, nth, action, often, text, gate } = self;
        write!(f, "{event} {side} {nth} {action} {often} {text} {} {}", gate.0, gate.1)
    }
}

/// One page, for the processes of one site.
#[derive(Debug)]
pub(crate) struct Shim {
    page: File,
    environment: Vec<(String, String)>,
}

impl Shim {
    /// A page for the processes of this site that are started through it.
    pub(crate) fn new(site: &Site, cloud: &Cloud) -> Self {
        let path = site.dir.path().join("shim-page");
        let page = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        page.set_len(PAGE).unwrap();
        let text = |path: &Path| path.display().to_string();
        let environment = vec![
            ("LD_PRELOAD".to_owned(), text(library())),
            ("SHIM_PAGE".to_owned(), text(&path)),
            ("SHIM_STORE".to_owned(), text(&site.store())),
            ("SHIM_CLOUD".to_owned(), cloud.running.addr().port().to_string()),
        ];
        Self { page, environment }
    }

    /// Keeps everything that is written, synced, promised and asked for in this file as well.
    pub(crate) fn recording(mut self, to: &Path) -> Self {
        self.environment.push(("SHIM_RECORD".to_owned(), to.display().to_string()));
        self
    }

    /// Starts the binary with the library in it; what it said if it ended instead.
    pub(crate) fn start(&self, site: &Site) -> Result<Service, String> {
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.put(LOADED, 0);
        let started = site.try_start_with(&environment);
        assert_eq!(self.get(LOADED), 1, "the binary did not load the library; is it linked statically?");
        started
    }

    /// Gives an order; it replaces what was ordered before, and its counting begins now.
    pub(crate) fn order(&self, order: Order) {
        self.orders(&[order]);
    }

    /// Gives one order or two, in force side by side.
    pub(crate) fn orders(&self, orders: &[Order]) {
        let lines: Vec<String> = orders.iter().map(ToString::to_string).collect();
        let mut text = lines.join("\n").into_bytes();
        assert!(text.len() < 500 && orders.len() <= 2, "{lines:?}");
        text.push(0);
        self.put(FIRED, 0);
        self.page.write_all_at(&text, ORDER).unwrap();
        self.put(GENERATION, self.get(GENERATION) + 1);
    }

    /// Takes the order back.
    pub(crate) fn disarm(&self) {
        self.page.write_all_at(&[0], ORDER).unwrap();
        self.put(GENERATION, self.get(GENERATION) + 1);
    }

    /// How often orders were carried out.
    pub(crate) fn fired(&self) -> u64 {
        self.get(FIRED)
    }

    /// Calls of an event since the page was made.
    pub(crate) fn count(&self, event: &str) -> u64 {
        let place = EVENTS.iter().position(|known| *known == event).unwrap();
        self.get(COUNTS + 8 * u64::try_from(place).unwrap())
    }

    /// Moves the wall clock of the processes, while they run.
    pub(crate) fn set_clock_offset_ms(&self, offset: i64) {
        self.page.write_all_at(&offset.to_ne_bytes(), CLOCK).unwrap();
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.page.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }

    fn put(&self, at: u64, value: u64) {
        self.page.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}

/// Compiles the library, once for each run of the tests.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/campaigns/shim.c");
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let built = Command::new("cc")
            .args(["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&to, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .unwrap_or_else(|error| panic!("the C compiler cc is needed: {error}"));
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        to
    })
}

/// Whether a process is frozen by a signal.
pub(crate) fn is_frozen(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Lets a frozen process go on.
pub(crate) fn thaw(pid: u32) {
    assert!(Command::new("kill").args(["-CONT", &pid.to_string()]).status().unwrap().success());
}
