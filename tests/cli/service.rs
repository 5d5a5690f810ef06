//! `serve` and `demo` as processes.

use std::path::Path;

use tempfile::TempDir;

use crate::support::{code, config_in, run, stderr, stdout, unhang};

#[test]
fn serve_says_what_keeps_it_from_starting() {
    let folder = TempDir::new().unwrap();
    let config = config_in(folder.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let start = |store: &str| {
        unhang(&["serve", "--config", config.to_str().unwrap()])
            .env("UNHANG__SERVER__LISTEN", &listen)
            .env("UNHANG__STORE__URL", format!("sqlite://{store}"))
            .env("UNHANG__CLOUD__SITE", "public")
            .output()
            .unwrap()
    };
    let output = start(folder.path().join("a.db").to_str().unwrap());
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("cannot listen on {listen}")), "{}", stderr(&output));

    let foreign = folder.path().join("foreign.db");
    std::fs::write(&foreign, "some other program's file, not a database").unwrap();
    let output = start(foreign.to_str().unwrap());
    assert_eq!(code(&output), 3, "{}", stderr(&output));
    assert!(stderr(&output).contains("not an unhang store"), "{}", stderr(&output));
}

/// A service that runs, and what it says.
struct Served {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStderr>>,
}

impl Served {
    fn start(config: &Path) -> Self {
        use std::io::BufRead as _;
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_unhang"))
            .args(["serve", "--config", config.to_str().unwrap()])
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads until a line says this; the end of the output fails.
    fn says(&mut self, text: &str) -> serde_json::Value {
        loop {
            let line = self.lines.next().unwrap_or_else(|| panic!("it ended without {text:?}")).unwrap();
            let value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if line.contains(text) {
                return value;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn serve_keeps_its_configuration_over_a_broken_reload_and_stops_when_told() {
    let runtime = runtime_with_threads();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let cloud = runtime.block_on(simulator::start(any, simulator::Scenario::demo(), None)).unwrap();
    let folder = TempDir::new().unwrap();
    let path = config_in(folder.path());
    let scenario = simulator::Scenario::demo();
    std::fs::write(folder.path().join("access"), &scenario.access_key).unwrap();
    std::fs::write(folder.path().join("secret"), &scenario.secret_key).unwrap();
    let secrets = format!("{}/config/example-secrets", env!("CARGO_MANIFEST_DIR"));
    let good = std::fs::read_to_string(&path)
        .unwrap()
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("site = \"public\"", &format!("endpoint = \"{}\"", cloud.endpoint()))
        .replace(&format!("{secrets}/access-key-id"), "access")
        .replace(&format!("{secrets}/secret-key"), "secret");
    std::fs::write(&path, &good).unwrap();

    let mut served = Served::start(&path);
    served.says("unhang is ready");

    let second = run(&["serve", "--config", path.to_str().unwrap()]);
    assert_eq!(code(&second), 3, "{}", stderr(&second));
    assert!(stderr(&second).contains("in use by another unhang process"), "{}", stderr(&second));

    std::fs::write(&path, good.replace("mode = \"approve\"", "mode = \"perhaps\"")).unwrap();
    served.signal("-HUP");
    assert_eq!(served.says("configuration: expected")["key"], "policies.hung-windows.mode");
    served.says("the old one stays");
    std::fs::write(&path, good.replace("mode = \"approve\"", "mode = \"shadow\"")).unwrap();
    served.signal("-HUP");
    served.says("the configuration was read again");

    // The store is there to be read while the service runs.
    let store = folder.path().join("unhang.db");
    let output = run(&["audit", "list", "--kind", "config_loaded", "--store", store.to_str().unwrap()]);
    assert!(stdout(&output).contains("config_loaded"), "{}", stdout(&output));

    served.signal("-TERM");
    served.says("stopped");
    assert!(served.child.wait().unwrap().success());
    drop(cloud);
    let output = run(&["audit", "verify", "--deep", "--config", path.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

fn runtime_with_threads() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn the_demo_plays_its_story() {
    let output = run(&["demo", "--once"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(!stdout(&output).contains('✗'), "{}", stdout(&output));
    assert!(stdout(&output).contains("requestId"), "{}", stdout(&output));
}
