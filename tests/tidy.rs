//! Tidy: rules that are written down somewhere and must hold everywhere. Each check returns its faults as sentences.
//!
//! Never: judges style that rustfmt or clippy can judge.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use unhang::domain::guard::Reason;
use unhang::telemetry::{
    AlertLabels, BudgetLabels, DeliveryLabels, Metrics, NoLabels, NotifyLabels, PolicyLabels, ReceiverLabels,
    SourceLabels, SpanLabels, StateLabels,
};

/// The aim for the length of a file.
const LINES_AIM: usize = 400;
/// The limit. Between the two a file asks to be two.
const LINES_MAX: usize = 600;
/// Files that are longer, with the length they may not pass. Take a file off once it is split; add none.
const LONG: [(&str, usize); 0] = [];

/// Rooms and their floors. A room uses rooms of lower floors only.
const FLOORS: [(&str, u8); 34] = [
    ("domain", 0),
    ("files", 0),
    ("clock", 1),
    ("telemetry", 1),
    ("config", 1),
    ("durable", 1),
    ("store", 2),
    ("ncloud", 2),
    ("tls", 2),
    ("sources", 2),
    ("service", 3),
    ("export", 3),
    ("backtest", 3),
    ("moves", 4),
    ("intake", 5),
    ("hands", 5),
    ("inventory", 5),
    ("dispatcher", 5),
    ("verifier", 5),
    ("outbox", 5),
    ("traces", 5),
    ("server_role", 5),
    ("housekeeping", 5),
    ("http", 6),
    ("app", 7),
    ("cli", 8),
    ("demo", 8),
    ("main", 9),
    ("journal", 2),
    ("lease", 2),
    ("quarantine", 4),
    ("replica", 4),
    ("signals", 2),
    ("heads", 4),
];

/// Doors between rooms of one floor that are there today.
const SIDE_DOORS: [(&str, &str); 2] = [("inventory", "intake"), ("hands", "intake")];

/// Texts that a folder must not hold, outside comments and tests, and why.
const FORBIDDEN: [(&str, &[&str], &str); 3] = [
    (
        "src/domain",
        &["sqlx", "tokio", "tracing", "reqwest", "actix", "std::fs", "std::env", "Timestamp::now"],
        "the domain is pure",
    ),
    ("src/http", &["sqlx::", "crate::ncloud"], "http has heard neither of SQL nor of the cloud"),
    ("src/cli", &["sqlx::"], "only the store speaks SQL"),
];

/// Names that say nothing of what a module owns.
const VAGUE: [&str; 10] =
    ["util", "utils", "common", "manager", "helper", "helpers", "misc", "handler", "handlers", "shared"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Every file below a folder, as paths from the root, in order.
fn files(folder: &str, extension: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(path) = open.pop() {
        if let Ok(entries) = fs::read_dir(&path) {
            open.extend(entries.flatten().map(|entry| entry.path()));
        } else if path.extension().is_some_and(|given| given == extension)
            && let Ok(short) = path.strip_prefix(root())
        {
            found.push(short.display().to_string());
        }
    }
    found.sort();
    found
}

/// The body of another file's `mod tests`.
fn is_test_file(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The code of a file without its comments and its tests.
fn code(path: &str) -> String {
    let text = read(path);
    let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    own.lines().filter(|line| !line.trim_start().starts_with("//")).fold(String::new(), |all, line| {
        let line = line.split(" // ").next().unwrap_or_default();
        all + line + "\n"
    })
}

fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn pattern(text: &str) -> Option<Regex> {
    Regex::new(text).ok()
}

fn check(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn every_reason_has_an_entry_in_the_runbook_and_no_entry_is_left_over() {
    let runbook = read("docs/RUNBOOK.md");
    let mut faults = Vec::new();
    let mut entries: Vec<&str> = runbook.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    for reason in Reason::ALL {
        match entries.iter().position(|entry| *entry == reason.as_str()) {
            Some(place) => drop(entries.remove(place)),
            None => faults.push(format!("docs/RUNBOOK.md: no heading `### {}`", reason.as_str())),
        }
    }
    for left in entries {
        faults.push(format!("docs/RUNBOOK.md: `### {left}` is no reason, or is there twice"));
    }
    check(&faults);
}

#[test]
fn every_source_file_says_what_it_owns() {
    let silent = |path: &String| !is_test_file(path) && !read(path).starts_with("//! ");
    let faults: Vec<String> = files("src", "rs")
        .into_iter()
        .chain(files("simulator/src", "rs"))
        .filter(silent)
        .map(|path| format!("{path}: must begin with `//!` and what it owns"))
        .collect();
    check(&faults);
}

#[test]
fn no_file_is_too_long() {
    let long: BTreeMap<&str, usize> = LONG.into_iter().collect();
    let mut faults = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("simulator/src", "rs")) {
        let lines = read(&path).lines().count();
        let most = long.get(path.as_str()).copied().unwrap_or(LINES_MAX);
        if lines > most {
            faults.push(format!("{path}: {lines} lines, at most {most}; the aim is {LINES_AIM}: split it"));
        }
    }
    check(&faults);
}

#[test]
fn arrows_between_rooms_point_down() {
    let floors: BTreeMap<&str, u8> = FLOORS.into_iter().collect();
    let side_doors: BTreeSet<(&str, &str)> = SIDE_DOORS.into_iter().collect();
    let mut faults = Vec::new();
    let uses = pattern(r"crate::([a-z_]+)").into_iter().collect::<Vec<_>>();
    for path in files("src", "rs").iter().filter(|path| !is_test_file(path)) {
        let room = room_of(path);
        if room == "lib" {
            continue;
        }
        let text = code(path);
        if text.contains("crate::{") {
            faults.push(format!("{path}: import each room with a line of its own, not crate::{{…}}"));
        }
        let Some(own) = floors.get(room) else {
            faults.push(format!("{path}: room {room} has no floor; give it one in tests/tidy.rs"));
            continue;
        };
        for other in uses.iter().flat_map(|regex| regex.captures_iter(&text)).filter_map(|hit| hit.get(1)) {
            let other = other.as_str();
            let down = floors.get(other).is_none_or(|floor| floor < own);
            if other != room && !down && !side_doors.contains(&(room, other)) {
                faults.push(format!("{path}: {room} must not use {other}; arrows point down"));
            }
        }
    }
    faults.dedup();
    check(&faults);
}

#[test]
fn what_a_room_must_not_know_it_does_not_name() {
    let mut faults = Vec::new();
    for (folder, words, why) in FORBIDDEN {
        for path in files(folder, "rs").iter().filter(|path| !is_test_file(path)) {
            let text = code(path);
            for word in words.iter().filter(|word| text.contains(**word)) {
                faults.push(format!("{path}: names {word}; {why}"));
            }
        }
    }
    for path in files("src", "rs") {
        let opens = ["File::open(", "fs::read(", "fs::read_to_string"];
        let tests = is_test_file(&path) || path == "src/ncloud/loopback.rs";
        if !tests && room_of(&path) != "files" && opens.iter().any(|word| code(&path).contains(word)) {
            faults.push(format!("{path}: opens a file by itself; src/files.rs never waits for one"));
        }
        if room_of(&path) != "store" && code(&path).contains("sqlx::query") {
            faults.push(format!("{path}: holds sqlx::query; only the store speaks SQL"));
        }
    }
    check(&faults);
}

#[test]
fn module_names_say_what_they_own() {
    let mut faults = Vec::new();
    for path in files("src", "rs").into_iter().chain(files("simulator/src", "rs")) {
        let vague = |part: &str| VAGUE.contains(&part.trim_end_matches(".rs"));
        if path.split('/').any(vague) {
            faults.push(format!("{path}: the name says nothing of what it owns"));
        }
    }
    check(&faults);
}

#[test]
fn the_readme_tells_the_two_commands() {
    let readme = read("README.md");
    let faults: Vec<String> = ["cargo run --release -- demo --once", "bash tests/run.sh"]
        .into_iter()
        .filter(|command| !readme.lines().any(|line| line.trim() == *command))
        .map(|command| format!("README.md: no line of its own says `{command}`"))
        .collect();
    check(&faults);
}

#[test]
fn every_document_is_a_page_of_the_book() {
    let summary = read("docs/SUMMARY.md");
    let linked: Vec<String> = pattern(r"\]\(([^)\s]+)\)")
        .iter()
        .flat_map(|regex| regex.captures_iter(&summary))
        .filter_map(|hit| hit.get(1))
        .map(|page| format!("docs/{}", page.as_str()))
        .collect();
    let faults: Vec<String> = files("docs", "md")
        .into_iter()
        .filter(|document| document != "docs/SUMMARY.md" && !document.starts_with("docs/adr/"))
        .filter(|document| linked.iter().filter(|page| *page == document).count() != 1)
        .map(|document| format!("docs/SUMMARY.md: {document} is not listed once"))
        .collect();
    check(&faults);
}

#[test]
fn links_and_paths_in_documents_lead_somewhere() {
    let mut documents = vec![
        "README.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
        "CHANGELOG.md".to_owned(),
        "SECURITY.md".to_owned(),
    ];
    documents.extend(files("docs", "md"));
    documents.extend(files("config", "md"));
    let links = pattern(r"\]\(([^)\s]+)\)");
    let paths = pattern(r"`((?:src|config|docs|migrations|simulator)/[A-Za-z0-9_./-]+)`");
    let mut faults = Vec::new();
    for document in &documents {
        let text = read(document);
        if text.is_empty() {
            faults.push(format!("{document}: is missing or empty"));
        }
        let folder = Path::new(document).parent().unwrap_or(Path::new(""));
        let targets = links.iter().flat_map(|regex| regex.captures_iter(&text)).filter_map(|hit| hit.get(1));
        for target in targets.map(|target| target.as_str()) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let file = if file.is_empty() { PathBuf::from(document) } else { folder.join(file) };
            if !root().join(&file).exists() {
                faults.push(format!("{document}: the link to {target} leads nowhere"));
            } else if !anchor.is_empty() && !anchors(&file).contains(anchor) {
                faults.push(format!("{document}: {target} has no such heading"));
            }
        }
        for path in paths.iter().flat_map(|regex| regex.captures_iter(&text)).filter_map(|hit| hit.get(1)) {
            if !root().join(path.as_str()).exists() {
                faults.push(format!("{document}: names {}, which does not exist", path.as_str()));
            }
        }
    }
    check(&faults);
}

/// The anchors that GitHub makes of a document's headings.
fn anchors(document: &Path) -> BTreeSet<String> {
    let text = read(document);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn migrations_are_numbered_without_gaps() {
    let name = pattern(r"^([0-9]{4})_[a-z0-9_]+\.sql$");
    let mut faults = Vec::new();
    for (place, path) in files("migrations/sqlite", "sql").iter().enumerate() {
        let file = path.rsplit('/').next().unwrap_or_default();
        let number =
            name.iter().find_map(|regex| regex.captures(file)?.get(1)?.as_str().parse::<usize>().ok());
        if number != Some(place + 1) {
            faults.push(format!("{path}: expected {:04}_name.sql in its place", place + 1));
        }
    }
    check(&faults);
}

#[test]
fn alert_rules_and_dashboard_name_only_figures_that_exist() {
    let known = figures();
    let mut faults = Vec::new();
    let figure = pattern(r"unhang_[a-z_]+");
    for path in [
        "config/prometheus/unhang-alerts.rules.yml",
        "config/prometheus/unhang-alerts.test.yml",
        "config/prometheus/unhang-recording.rules.yml",
        "config/prometheus/unhang-recording.test.yml",
        "config/grafana/unhang-dashboard.json",
    ] {
        let text = read(path);
        let named: BTreeSet<&str> =
            figure.iter().flat_map(|regex| regex.find_iter(&text)).map(|hit| hit.as_str()).collect();
        if named.is_empty() {
            faults.push(format!("{path}: names no figure"));
        }
        for name in named.into_iter().filter(|name| !known.contains(*name)) {
            faults.push(format!("{path}: {name} is not among the figures of src/telemetry.rs"));
        }
    }
    check(&faults);
}

/// Names of all samples, with every family filled.
fn figures() -> BTreeSet<String> {
    let metrics = Metrics::new();
    let source = || "s".to_owned();
    metrics.deliveries.get_or_create(&DeliveryLabels { source: source(), result: "accepted" }).inc();
    metrics.alerts.get_or_create(&AlertLabels { source: source(), decision: "ignored", reason: "" }).inc();
    metrics.count_attempt("accepted", None);
    metrics.time_call("list", 1.0, None);
    metrics.remediations.get_or_create(&StateLabels { state: "queued".to_owned() }).set(1);
    metrics.last_delivery.get_or_create(&SourceLabels { source: source() }).set(1.0);
    metrics.heartbeat_age.get_or_create(&SourceLabels { source: source() }).set(1.0);
    let budget = BudgetLabels { scope: "global", name: String::new(), budget: "3/1h".to_owned() };
    metrics.budget_remaining.get_or_create(&budget).set(1);
    let policy = || PolicyLabels { policy: "p".to_owned() };
    metrics.breaker_open.get_or_create(&policy()).set(1);
    metrics.policy_demoted.get_or_create(&policy()).set(1);
    let receiver = || "r".to_owned();
    metrics
        .notify_deliveries
        .get_or_create(&NotifyLabels { receiver: receiver(), result: "delivered" })
        .inc();
    metrics.notify_waiting.get_or_create(&ReceiverLabels { receiver: receiver() }).set(1);
    metrics.notify_oldest_waiting.get_or_create(&ReceiverLabels { receiver: receiver() }).set(1.0);
    metrics.tls_expires.get_or_create(&NoLabels {}).set(1.0);
    metrics.tls_files_broken.get_or_create(&NoLabels {}).set(1);
    metrics.trace_spans.get_or_create(&SpanLabels { result: "exported" }).inc();
    let text = metrics.encode().unwrap_or_default();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}
