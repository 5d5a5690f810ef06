//! The binary with a clean environment, and stores and configurations to point it at.

use std::path::{Path, PathBuf};
use std::process::Output;

use jiff::Timestamp;
use unhang::domain::audit::{Actor, AuditEvent};
use unhang::domain::audit_key::AuditKey;
use unhang::store::Store;

pub(crate) fn unhang(args: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_unhang"));
    for name in ["UNHANG_CONFIG", "UNHANG_URL", "UNHANG_TOKEN", "UNHANG_LOG", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.args(args).timeout(std::time::Duration::from_secs(20));
    command
}

pub(crate) fn run(args: &[&str]) -> Output {
    unhang(args).output().unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn example() -> String {
    format!("{}/config/example.toml", env!("CARGO_MANIFEST_DIR"))
}

/// A copy of the example whose store lies in `folder`.
pub(crate) fn config_in(folder: &Path) -> PathBuf {
    let secrets = format!("{}/config/example-secrets", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(example()).unwrap();
    let text = text
        .replace("sqlite://data/unhang.db", &format!("sqlite://{}/unhang.db", folder.display()))
        .replace("example-secrets", &secrets);
    let path = folder.join("unhang.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// A closed port of this machine.
pub(crate) fn nowhere() -> String {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", socket.local_addr().unwrap())
}

/// A store with five events, closed.
pub(crate) fn store_with_events(folder: &Path) -> PathBuf {
    store_of(&folder.join("unhang.db"), None, "accepted")
}

/// A store with five events of this outcome, hashed with this key.
pub(crate) fn store_of(path: &Path, key: Option<&str>, outcome: &'static str) -> PathBuf {
    let path = path.to_owned();
    let key = key.and_then(|key| AuditKey::new(key.into()));
    runtime().block_on(async {
        let (store, writer) = Store::open(&path, key, |_stats| {}).await.unwrap();
        let tasks = tokio_util::task::TaskTracker::new();
        tasks.spawn(writer);
        for number in 1..=5 {
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let at = Timestamp::from_second(1_790_000_000 + number).unwrap();
                        let mut event = AuditEvent::new(at, "attempt_outcome", Actor::service("=dispatcher"));
                        event.server_instance_no = Some(format!("9000000{number}"));
                        event.outcome = Some(outcome.to_owned());
                        event.request_id = Some(format!("0d4e1f9a-6f0e-4b6c-9d8f-3a1b2c3d4e5{number}"));
                        tx.append(&event).await
                    })
                })
                .await
                .unwrap();
        }
        tasks.close();
        drop(store);
        tasks.wait().await;
    });
    path
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
