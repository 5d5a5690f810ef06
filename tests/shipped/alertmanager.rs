//! The receiver for Alertmanager: sound, and each alert takes its way.

use crate::{asked, content, shipped};

fn receivers(labels: &[&str]) -> String {
    let file = format!("--config.file={}", shipped("alertmanager/receiver.yml").display());
    let said = content("amtool", &[&["config", "routes", "test", &file], labels].concat());
    // It may warn on standard error, which comes after.
    said.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_receiver_is_sound_and_a_hung_server_reaches_unhang_and_people() {
    content("amtool", &["check-config", &shipped("alertmanager/receiver.yml").display().to_string()]);
    assert_eq!(receivers(&["alertname=WindowsVmHung", "server_instance_no=90000001"]), "unhang,people");
}

#[test]
fn alerts_about_unhang_itself_reach_people_alone() {
    for alertname in ["UnhangDown", "UnhangUnknownOpen", "WindowsScrapesFailing"] {
        assert_eq!(receivers(&[&format!("alertname={alertname}")]), "people", "{alertname}");
    }
}

#[test]
fn a_receiver_that_is_not_there_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("receiver.yml");
    let text = crate::text_of("alertmanager/receiver.yml").replace("- name: people", "- name: somebody");
    std::fs::write(&path, text).unwrap();
    let (fine, said) = asked("amtool", &["check-config", &path.display().to_string()]);
    assert!(!fine && said.contains("people"), "{said}");
}
