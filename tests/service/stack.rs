//! The local stack as its README starts it: a server hangs, the rule that ships notices, and one interrupt comes of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::senders::quiet_port;
use crate::support::eventually;

/// The script, and what it said. It ends what it started when it is asked to end.
struct Stack {
    script: Child,
    said: String,
    _lines: std::thread::JoinHandle<()>,
}

impl Stack {
    fn start(folder: &Path, ports: [u16; 4]) -> Self {
        let [unhang, prometheus, alertmanager, cloud] = ports.map(|port| port.to_string());
        let mut script = Command::new("bash")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/compose/processes.sh"))
            .arg(folder)
            .env("UNHANG", env!("CARGO_BIN_EXE_unhang"))
            .env("FAST", "1")
            .envs([("UNHANG_PORT", &unhang), ("PROMETHEUS_PORT", &prometheus)])
            .envs([("ALERTMANAGER_PORT", &alertmanager), ("CLOUD_PORT", &cloud)])
            .env_remove("UNHANG_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(script.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        for line in lines.by_ref() {
            said.push_str(&line);
            said.push('\n');
            if line.contains("_simulator/ledger") {
                break;
            }
        }
        let rest = std::thread::spawn(move || lines.for_each(drop));
        let stack = Self { script, said, _lines: rest };
        assert!(stack.said.contains("The stack is up"), "it did not come up: {}", stack.said);
        stack
    }

    /// Asks it to end, and waits until it has.
    fn stop(&mut self) {
        let pid = self.script.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        eventually("the stack to end", || self.script.try_wait().unwrap());
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if matches!(self.script.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

fn ledger(cloud: &str) -> Vec<Value> {
    let text = reqwest::blocking::get(format!("{cloud}/_simulator/ledger")).unwrap().text().unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_hung_server_is_noticed_by_the_shipped_rule_and_interrupted_once() {
    let folder = tempfile::tempdir().unwrap();
    let [unhang, prometheus, alertmanager, cloud] = [(); 4].map(|()| quiet_port());
    let mut stack = Stack::start(folder.path(), [unhang, prometheus, alertmanager, cloud]);
    let cloud = format!("http://127.0.0.1:{cloud}");
    let prometheus = format!("http://127.0.0.1:{prometheus}");

    // The rule asks for an exporter that was there before.
    let query = |query: &str| {
        let url = format!("{prometheus}/api/v1/query");
        let answer = reqwest::blocking::Client::new().get(url).query(&[("query", query)]).send().unwrap();
        let value: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        value["data"]["result"].as_array().cloned().unwrap_or_default()
    };
    eventually("three exporters to be scraped", || {
        (query("up{job=\"windows\"} == 1").len() == 3).then_some(())
    });
    assert!(query("ALERTS{alertname=\"WindowsVmHung\"}").is_empty());
    let hang = format!("{cloud}/_simulator/servers/90000001/hang");
    assert!(reqwest::blocking::Client::new().post(hang).send().unwrap().status().is_success());

    let token = stack.said.split("UNHANG_TOKEN=").nth(1).unwrap().lines().next().unwrap().to_owned();
    let status = |state: &str| {
        let url = format!("http://127.0.0.1:{unhang}/api/v1/remediations?state={state}");
        let answer = reqwest::blocking::Client::new().get(url).bearer_auth(&token).send().unwrap();
        let value: Value = serde_json::from_str(&answer.text().unwrap()).unwrap();
        value["items"].as_array().unwrap_or_else(|| panic!("{value}")).clone()
    };
    let confirmed = eventually("the reboot to be confirmed", || status("confirmed").first().cloned());
    assert_eq!(confirmed["serverInstanceNo"], "90000001", "{confirmed}");
    eventually("the alert to be over", || {
        query("ALERTS{alertname=\"WindowsVmHung\",alertstate=\"firing\"}").is_empty().then_some(())
    });
    let effects = ledger(&cloud);
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!(effects[0]["effect"], true, "{effects:?}");
    // What watches unhang itself sees it, and has nothing to tell.
    assert_eq!(query("up{job=\"unhang\"} == 1").len(), 1);
    let told = query("ALERTS{alertname=~\"Unhang.*\",alertstate=\"firing\"}");
    assert!(told.is_empty(), "{told:?}");

    stack.stop();
    let ports = [unhang, alertmanager];
    assert!(
        ports.iter().all(|port| std::net::TcpStream::connect(("127.0.0.1", *port)).is_err()),
        "something was left"
    );
}
