//! The guides, done word for word: their configurations are accepted, and the first steps lead where they say.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{code, run, stderr, stdout};

/// What every recipe needs around it.
const AROUND: &str = r#"
[cloud]
endpoint = "http://127.0.0.1:9"
region = "KR"
access_key_file = "EXAMPLES/access-key-id"
secret_key_file = "EXAMPLES/secret-key"
[[sources]]
name = "alertmanager"
kind = "alertmanager"
auth = [{ kind = "bearer", secret_file = "EXAMPLES/alertmanager-token" }]
[[tokens]]
name = "one"
role = "approver"
sha256 = "0000000000000000000000000000000000000000000000000000000000000001"
[[tokens]]
name = "two"
role = "approver"
sha256 = "0000000000000000000000000000000000000000000000000000000000000002"
"#;

fn document(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// Blocks of one language, in their order.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_recipe_of_the_cookbook_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let examples = format!("{}/config/example-secrets", env!("CARGO_MANIFEST_DIR"));
    let cookbook = document("cookbook.md");
    let recipes = blocks(&cookbook, "toml");
    assert!(recipes.len() > 5, "{}", recipes.len());
    for recipe in recipes {
        let path = folder.path().join("unhang.toml");
        std::fs::write(&path, format!("{}{recipe}", AROUND.replace("EXAMPLES", &examples))).unwrap();
        let checked = run(&["check-config", "--config", path.to_str().unwrap()]);
        assert_eq!(code(&checked), 0, "{recipe}\n{}{}", stdout(&checked), stderr(&checked));
    }
}

/// A process of the guide, ended with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Two free ports, in the place of those that the guide names.
struct Ports {
    cloud: u16,
    service: u16,
}

impl Ports {
    fn free() -> Self {
        let socket = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (socket(), socket());
        Self { cloud: one.local_addr().unwrap().port(), service: other.local_addr().unwrap().port() }
    }

    fn both(&self) -> [u16; 2] {
        [self.cloud, self.service]
    }

    fn put_into(&self, text: &str) -> String {
        text.replace("127.0.0.1:9090", &format!("127.0.0.1:{}", self.cloud))
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{}", self.service))
    }
}

fn shell(folder: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_unhang"));
    let script = format!("export PATH='{}':\"$PATH\"\n{script}", binary.parent().unwrap().display());
    let mut command = Command::new("bash");
    command.args(["-euc", &script]).current_dir(folder);
    for name in ["UNHANG_CONFIG", "UNHANG_URL", "UNHANG_TOKEN", "UNHANG_LOG"] {
        command.env_remove(name);
    }
    command
}

fn done(folder: &Path, script: &str) -> String {
    let output = shell(folder, script).output().unwrap();
    assert!(output.status.success(), "{script}\n{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Starts what stays, without the shell around it: it is ended by its own number.
fn started(folder: &Path, line: &str, port: u16) -> Started {
    let log = std::fs::File::create(folder.join(format!("{port}.log"))).unwrap();
    let mut command = shell(folder, &format!("exec {line}"));
    let child = Started(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    until("it listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    child
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_mins(1), "not within a minute: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn the_first_steps_lead_from_an_empty_folder_to_an_interrupt() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ports = Ports::free();
    let guide = ports.put_into(&document("getting-started.md"));
    let (_, guide) = guide.split_once("## A cloud that is none").unwrap();
    let (guide, _) = guide.split_once("## Your machines").unwrap();
    let steps = blocks(guide, "sh");
    let [cloud, secrets, alert, look] = steps[..] else { panic!("four steps: {steps:?}") };

    let _cloud = started(folder, cloud.trim(), ports.cloud);
    std::fs::write(folder.join("unhang.toml"), blocks(guide, "toml")[0]).unwrap();
    let (before, serve) = secrets.trim().rsplit_once('\n').unwrap();
    done(folder, before);
    let _service = started(folder, serve, ports.service);
    let answer = done(folder, alert);
    assert!(
        answer.contains("\"decision\":\"remediate\"") || answer.contains("\"decision\":\"pending\""),
        "{answer}"
    );
    until("the audit tells of an accepted interrupt", || done(folder, look).contains("accepted"));
}

#[test]
fn three_replicas_on_postgresql_work_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = crate::postgres::server();
    let ([cloud, a], [b, c]) = (Ports::free().both(), Ports::free().both());
    let mut page = document("postgresql.md")
        // The page's server is Debian's, and its owner is asked through sudo; this one is asked by its address.
        .replace("sudo -u postgres ", "")
        .replace("in 8081 8082 8083;", &format!("in {a} {b} {c};"));
    for (written, free) in [(9090, cloud), (8081, a), (8082, b), (8083, c), (5432, server.port())] {
        page = page.replace(&format!("127.0.0.1:{written}"), &format!("127.0.0.1:{free}"));
    }
    let (_, page) = page.split_once("## One machine, three replicas").unwrap();
    let (page, _) = page.split_once("## For real").unwrap();
    let steps = blocks(page, "sh");
    let [simulator, secrets, one, two, three, alert, look, death, sent] = steps[..] else {
        panic!("nine steps: {steps:?}")
    };

    let _cloud = started(folder, simulator.trim(), cloud);
    std::fs::write(folder.join("unhang.toml"), blocks(page, "toml")[0]).unwrap();
    let asked = format!("export PGHOST=127.0.0.1 PGUSER=postgres PGPORT={}\n", server.port());
    done(folder, &format!("{asked}{secrets}"));
    let dispatches = |port: u16| {
        done(folder, &format!("curl -sS http://127.0.0.1:{port}/readyz")).contains("\"dispatches\":true")
    };
    let first = started(folder, &format!("env {}", one.trim()), a);
    until("the first dispatches", || dispatches(a));
    let second = started(folder, &format!("env {}", two.trim()), b);
    let third = started(folder, &format!("env {}", three.trim()), c);
    done(folder, alert);
    until("the audit tells of an accepted interrupt", || {
        let told = done(folder, look);
        assert_eq!(told.matches("\"dispatches\":true").count(), 1, "{told}");
        told.contains("accepted")
    });

    let begun = Instant::now();
    let taken = done(folder, death);
    assert!(taken.contains("\"deliveryId\""), "{taken}");
    until("another dispatches", || dispatches(b) || dispatches(c));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(done(folder, sent).matches("\"effect\":true").count(), 1, "one effect");

    drop(first);
    let _first = started(folder, &format!("env {}", one.trim()), a);
    assert!(!dispatches(a), "who comes back is a standby");
    for left in [second, third] {
        done(folder, &format!("kill -INT {}", left.0.id()));
    }
    until("the first dispatches again", || dispatches(a));
}
