//! The cloud's own record of calls as evidence: it can prove that a lost call arrived, and never that it did not.

use serde_json::{Value, json};
use simulator::{Behaviour, Reaction, Script, Target};

use crate::support::{
    Cloud, LEAD, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

/// A service that asks the record. The guests ignore interrupts, so that no reboot proves anything.
fn stage(more: &str) -> Stage {
    let mut scenario = fleet(2);
    for server in &mut scenario.servers {
        server.reaction = Reaction::Ignore;
    }
    let cloud = Cloud::start(scenario);
    let endpoint = cloud.running.endpoint();
    let more = format!("[cloud.tracer]\nendpoint = \"{endpoint}\"\n{more}\n");
    let site = Site::new(&Settings { more, ..Settings::new(&endpoint) });
    let service = site.start();
    service.wait_for_inventory(2);
    Stage { cloud, site, service }
}

impl Stage {
    /// Fires for a server whose next interrupt is answered like this, and returns the remediation once it is unknown.
    fn lose(&self, server: &str, behaviour: Behaviour) -> String {
        self.cloud.running.set_behaviour(Script::next_interrupt(server, behaviour)).unwrap();
        let (status, answer) =
            self.service.deliver(&delivery(&[alert(server, "firing", &now_text())], server)).unwrap();
        assert_eq!(status, 202, "{answer}");
        let lost = self.service.wait_for(server, &["unknown", "confirmed"]);
        lost["id"].as_str().unwrap().to_owned()
    }

    fn one(&self, id: &str) -> Value {
        let (status, one) = self.service.get(&format!("/api/v1/remediations/{id}"), VIEWER);
        assert_eq!(status, 200, "{one}");
        one
    }

    /// Waits until the record has been asked about it, with this in the answer.
    fn asked(&self, id: &str, has: &str) -> Value {
        eventually(&format!("an asking with {has}"), || {
            let one = self.one(id);
            (!one["activity"][has].is_null()).then_some(one)
        })
    }

    fn answers(&self, behaviour: Behaviour) {
        let script = Script { target: Target::Activities, ..Script::every_read(behaviour) };
        self.cloud.running.set_behaviour(script).unwrap();
    }

    fn never_again(&self, server: &str) {
        let again = delivery(&[alert(server, "firing", &now_text())], "again");
        let (_, answer) = self.service.deliver(&again).unwrap();
        assert_ne!(answer["alerts"][0]["decision"], "remediate", "{answer}");
        assert_eq!(self.cloud.requests(server), 1);
        assert_eq!(broken_laws(&self.site, &self.cloud, &[]), Vec::<String>::new());
    }
}

#[test]
fn the_record_of_our_call_ends_an_unknown_and_says_what_it_proves() {
    let on = stage("");
    let id = on.lose(FIRST, Behaviour::DoneThenClosed);
    on.service.wait_for(FIRST, &["confirmed"]);
    let one = on.one(&id);
    let evidence = &one["attempts"][0]["evidence"];
    assert_eq!(evidence["kind"], "activity", "{one}");
    assert!(evidence["proves"].as_str().unwrap().contains("not that the server rebooted"), "{evidence}");
    assert!(evidence["historyId"].as_str().unwrap().starts_with("history-"), "{evidence}");
    assert_eq!(one["attempts"][0]["outcome"], "unknown", "the answer was lost and stays lost: {one}");
    assert_eq!(one["activity"]["found"][0]["resourceId"], FIRST, "{one}");
    let (_, page) = on.service.get(&format!("/api/v1/audit?kind=evidence&remediationId={id}"), VIEWER);
    assert_eq!(page["items"][0]["detail"]["kind"], "activity", "{page}");
    on.never_again(FIRST);
}

#[test]
fn no_record_proves_nothing_and_neither_does_that_of_another_server() {
    let on = stage("");
    let first = on.lose(FIRST, Behaviour::DoneThenClosed);
    on.service.wait_for(FIRST, &["confirmed"]);
    // An unknown takes `auto` away from the policy.
    on.service.promote();
    let second = on.lose(SECOND, Behaviour::NotDoneClosed);
    let one = on.asked(&second, "answeredAt");
    let asked = one["activity"]["askedAt"].clone();
    // Asked again, and still nothing.
    eventually("the record to be asked again", || {
        (on.one(&second)["activity"]["askedAt"] != asked).then_some(())
    });
    let one = on.one(&second);
    assert_eq!((&one["state"], &one["activity"]["found"]), (&json!("unknown"), &json!([])), "{one}");
    assert_ne!(first, second);

    let (_, page) = on.service.get("/api/v1/remediations?state=unknown", VIEWER);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    let figures = reqwest::blocking::get(format!("{}/metrics", on.service.url)).unwrap().text().unwrap();
    assert!(figures.lines().any(|line| line == "unhang_unknown_open 1"), "{figures}");
    on.never_again(SECOND);
}

#[test]
fn a_record_that_cannot_be_read_leaves_it_unknown_until_it_can() {
    let on = stage("");
    on.answers(Behaviour::NotDone500);
    let id = on.lose(FIRST, Behaviour::DoneThenClosed);
    let one = on.asked(&id, "error");
    assert_eq!(one["state"], "unknown", "{one}");
    assert_eq!(on.cloud.requests(FIRST), 1);
    on.answers(Behaviour::Ok);
    on.service.wait_for(FIRST, &["confirmed"]);
    on.never_again(FIRST);
}

#[test]
fn a_person_who_settles_sees_what_the_record_said() {
    // The record calls it something that is not on our list, so it is shown and proves nothing.
    let on = stage("action_names = [\"Something Else\"]");
    let id = on.lose(FIRST, Behaviour::DoneThenClosed);
    let one = on.asked(&id, "answeredAt");
    assert_eq!(one["state"], "unknown", "{one}");
    on.site.secret("lead", LEAD);
    let args = ["settle", &id, "--verdict", "happened", "--reason", "seen in the console"];
    let (code, said, trouble) =
        on.site.run(&[&args[..], &["--url", &on.service.url, "--token-file", "lead"]].concat());
    assert_eq!(code, 0, "{trouble}");
    assert!(said.contains("1 about this server") && said.contains("history-1"), "{said}");
    let (_, page) = on.service.get(&format!("/api/v1/audit?kind=settlement&remediationId={id}"), VIEWER);
    assert_eq!(page["items"][0]["detail"]["activity"]["found"][0]["resourceId"], FIRST, "{page}");
    on.service.wait_for(FIRST, &["closed_happened"]);
}
