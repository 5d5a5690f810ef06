use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::Clock;
use crate::config::{Config, Environment, load};
use crate::domain::server::{RegionCode, ServerNo};
use crate::journal::Journal;
use crate::lease::Lease;
use crate::store::Store;
use crate::telemetry::Metrics;

fn config(folder: &Path, cloud: &simulator::Running) -> Config {
    let scenario = simulator::Scenario::demo();
    let path = folder.join("unhang.toml");
    let store = folder.join("unhang.db");
    let text = format!(
        "[store]\nurl = \"sqlite://{}\"\n[cloud]\nendpoint = \"{}\"\nregion = \"KR\"\n",
        store.display(),
        cloud.endpoint()
    );
    std::fs::write(&path, text).unwrap();
    let keys = [("NCLOUD_ACCESS_KEY_ID", scenario.access_key), ("NCLOUD_SECRET_KEY", scenario.secret_key)];
    let env: Environment = keys.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    load(Some(&path), &env).unwrap().config
}

/// A service that is about to send, the cloud it would send to, and the folder of both.
async fn about_to_send() -> (Service, InterruptClient, simulator::Running, tempfile::TempDir) {
    let cloud = simulator::start("127.0.0.1:0".parse().unwrap(), simulator::Scenario::demo(), None).await;
    let cloud = cloud.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), &cloud);
    let (store, writer) = Store::open(&config.store.path, None, |_stats| {}).await.unwrap();
    TaskTracker::new().spawn(writer);
    let journal = Arc::new(Journal::open(&config.store.journal));
    let client = InterruptClient::new(&config.cloud).unwrap();
    let service = Service::new(store, journal, Clock::default(), config, Metrics::new(), Lease::alone(1));
    (service, client, cloud, folder)
}

async fn send(service: &Service, client: &InterruptClient) -> AttemptReport {
    let (region, server) = (RegionCode::parse("KR").unwrap(), ServerNo::parse("90000001").unwrap());
    let signed_at = service.clock.wall();
    let prepared = client.prepare(&region, &server, signed_at.as_millisecond());
    let line = IntentLine {
        attempt_id: 1,
        nonce: "nonce-1".to_owned(),
        server_instance_no: server.to_string(),
        region_code: region.to_string(),
        signed_at,
        counts: None,
    };
    hand_over(service, client, prepared, Instant::now() + Duration::from_secs(10), line).await
}

#[tokio::test]
async fn intent_and_answer_are_in_the_journal() {
    let (service, client, cloud, _folder) = about_to_send().await;
    let report = send(&service, &client).await;
    assert_eq!((report.outcome, cloud.ledger().len()), (Outcome::Accepted, 1));
    let known = Journal::read(service.journal.path()).unwrap().unwrap();
    assert_eq!(known.intents.len(), 1);
    let answer = known.answers.get("nonce-1").unwrap();
    assert_eq!((answer.outcome, &answer.request_id), (Outcome::Accepted, &report.request_id));
    assert!(report.answer.is_some() && answer.answer == report.answer, "{answer:?}");
}

#[tokio::test]
async fn a_hold_file_that_comes_after_the_intent_still_holds() {
    let (service, client, cloud, _folder) = about_to_send().await;
    std::fs::write(&service.config().store.hold_file, "stop").unwrap();
    let report = send(&service, &client).await;
    assert_eq!(report.outcome, Outcome::NotSent, "{}", report.cause);
    assert!(report.cause.contains("hold file"), "{}", report.cause);
    assert!(cloud.ledger().is_empty());
    assert_eq!(service.journal.known().answers.get("nonce-1").unwrap().outcome, Outcome::NotSent);
}

#[tokio::test]
async fn without_its_line_in_the_journal_nothing_is_sent() {
    let (service, client, cloud, _folder) = about_to_send().await;
    std::fs::remove_file(service.journal.path()).unwrap();
    let report = send(&service, &client).await;
    assert_eq!(report.outcome, Outcome::NotSent, "{}", report.cause);
    assert!(cloud.ledger().is_empty());
    assert!(service.health().halted.unwrap().contains("journal"), "nothing else is sent either");
}
