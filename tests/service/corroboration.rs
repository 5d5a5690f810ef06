//! Second signals: real ports, a real Prometheus, a real Alertmanager, and the simulated Cloud Insight.

use std::net::TcpListener;

use serde_json::{Value, json};
use simulator::{Behaviour, Script, Target as Place};

use crate::senders::{Sender, Target};
use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery,
    eventually, fleet, now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

struct Stage {
    cloud: Cloud,
    site: Site,
    service: Service,
}

/// A service whose policy wants these signals. Both servers live at addresses of this machine.
fn stage(signals: &str, settle: &'static str) -> Stage {
    let mut scenario = fleet(2);
    scenario.servers[0].private_ip = "127.0.0.1".into();
    scenario.servers[1].private_ip = "127.0.0.2".into();
    let cloud = Cloud::start(scenario);
    let site = Site::new(&Settings { settle, ..Settings::new(&cloud.running.endpoint()) });
    let written = std::fs::read_to_string(&site.config).unwrap();
    let line = "budget = [\"1000/1h\"]\n";
    assert_eq!(written.matches(line).count(), 1);
    let text = written.replace(line, &format!("{line}corroborate = [{signals}]\n"));
    std::fs::write(&site.config, text).unwrap();
    let service = site.start();
    service.wait_for_inventory(2);
    Stage { cloud, site, service }
}

impl Stage {
    /// Delivers one alert of a server with more labels.
    fn fire(&self, server: &str, labels: &[(&str, &str)]) -> Value {
        let mut alert = alert(server, "firing", &now_text());
        for (name, value) in labels {
            alert["labels"][*name] = json!(value);
        }
        let (status, answer) = self.service.deliver(&delivery(&[alert], server)).unwrap();
        assert_eq!(status, 202, "{answer}");
        assert_eq!(answer["alerts"][0]["decision"], "remediate", "{answer}");
        answer
    }

    /// Waits until the remediation of a server waits for a signal that could not tell.
    fn waits(&self, server: &str) -> Value {
        eventually("the remediation to wait for a second signal", || {
            let waiting = self.service.wait_for(server, &["queued", "settling", "cancelled", "confirmed"]);
            assert!(waiting["state"] != "cancelled" && waiting["state"] != "confirmed", "{waiting}");
            (waiting["reason"] == "not_corroborated").then_some(waiting)
        })
    }

    fn cancelled(&self, server: &str) -> Value {
        let ended = self.service.wait_for(server, &["cancelled", "accepted", "confirmed", "expired"]);
        assert_eq!((&ended["state"], &ended["reason"]), (&json!("cancelled"), &json!("not_corroborated")));
        assert_eq!(self.cloud.requests(server), 0);
        ended
    }

    fn sent(&self, server: &str) {
        self.service.wait_for(server, &["accepted", "confirmed"]);
        assert_eq!(self.cloud.requests(server), 1);
    }

    /// The lines of the guard in the trace of an event of this kind.
    fn lines(&self, kind: &str, server: &str) -> Vec<Value> {
        let (_, page) =
            self.service.get(&format!("/api/v1/audit?kind={kind}&serverInstanceNo={server}"), VIEWER);
        let trace =
            page["items"][0]["detail"]["trace"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
        trace.into_iter().filter(|line| line["guard"] == "not_corroborated").collect()
    }

    fn sound(&self) {
        assert_eq!(broken_laws(&self.site, &self.cloud, &[]), Vec::<String>::new());
    }
}

fn listening(address: &str) -> (TcpListener, u16) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_server_whose_ports_answer_is_left_alone_and_a_silent_one_is_interrupted() {
    let (listener, open) = listening("127.0.0.1");
    let on = stage(&format!("{{ kind = \"tcp_closed\", ports = [{open}], timeout = \"2s\" }}"), "0s");
    on.fire(FIRST, &[("instance", "127.0.0.1:9182")]);
    let decided = on.lines("alert_decided", FIRST);
    assert_eq!(decided[0]["verdict"], "wait", "{decided:?}");
    assert!(decided[0]["seen"].as_str().unwrap().contains("not asked yet"), "{decided:?}");
    let ended = on.cancelled(FIRST);
    assert!(ended["detail"].as_str().unwrap().contains(&format!("port {open} takes connections")), "{ended}");
    // The other server listens nowhere: its port is closed.
    on.fire(SECOND, &[("instance", "127.0.0.2:9182")]);
    on.sent(SECOND);
    let asked = on.lines("attempt_intent", SECOND);
    assert_eq!((asked.len(), &asked[0]["verdict"]), (1, &json!("pass")), "{asked:?}");
    drop(listener);
    on.sound();
}

#[test]
fn without_an_address_that_the_cloud_confirms_nobody_can_tell() {
    let (gone, closed) = listening("127.0.0.1");
    drop(gone);
    let on = stage(&format!("{{ kind = \"tcp_closed\", ports = [{closed}] }}"), "0s");
    on.fire(FIRST, &[]);
    let waiting = on.waits(FIRST);
    assert!(waiting["detail"].as_str().unwrap().contains("no address"), "{waiting}");
    // An address that the cloud does not know is not believed, though nothing answers there.
    on.fire(SECOND, &[("instance", "127.0.0.3:9182")]);
    let waiting = on.waits(SECOND);
    assert!(waiting["detail"].as_str().unwrap().contains("does not say"), "{waiting}");
    assert_eq!(on.cloud.running.ledger().len(), 0);
}

#[test]
fn a_query_of_prometheus_agrees_with_a_row_disagrees_without_and_waits_when_it_is_gone() {
    let target = Target::start(FIRST);
    let nobody = "route: { receiver: none }\nreceivers: [{ name: none }]\n";
    let alertmanager = Sender::alertmanager(nobody, ALERTMANAGER_TOKEN);
    let prometheus = Sender::prometheus(target.addr, &alertmanager);
    let url = prometheus.url.clone();
    eventually("a first scrape", || {
        let query = format!("{url}/api/v1/query?query=windows_vm_hung");
        reqwest::blocking::get(query).unwrap().text().unwrap().contains(FIRST).then_some(())
    });
    let signal = |name: &str| {
        format!(
            "{{ kind = \"promql\", url = \"{url}\", query = 'windows_vm_hung{{server_instance_no=\"${name}\"}} > 0' }}"
        )
    };
    let on = stage(&signal("no"), "0s");
    on.fire(FIRST, &[]);
    on.sent(FIRST);
    on.fire(SECOND, &[]);
    let ended = on.cancelled(SECOND);
    assert!(ended["detail"].as_str().unwrap().contains("no row"), "{ended}");
    on.sound();

    let on = stage(&signal("no"), "0s");
    drop(prometheus);
    on.fire(FIRST, &[]);
    let waiting = on.waits(FIRST);
    assert!(waiting["detail"].as_str().unwrap().contains("could not tell"), "{waiting}");
    assert_eq!(on.cloud.running.ledger().len(), 0);
}

/// An alert as Alertmanager takes it in.
fn firing(server: &str) -> Value {
    json!({ "labels": { "alertname": "WindowsVmHung", "server_instance_no": server }, "startsAt": now_text() })
}

#[test]
fn an_alert_that_is_silenced_in_alertmanager_while_it_settles_is_not_acted_on() {
    // It notifies nobody: the delivery is made by hand, so that its time is ours to choose.
    let nobody = "route: { receiver: none }\nreceivers: [{ name: none }]\n";
    let alertmanager = Sender::alertmanager(nobody, ALERTMANAGER_TOKEN);
    let on = stage(&format!("{{ kind = \"alertmanager\", url = \"{}\" }}", alertmanager.url), "2s");
    alertmanager.post(&[firing(FIRST), firing(SECOND)]);
    let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let listed = || -> Vec<Value> {
        let answer = http.get(format!("{}/api/v2/alerts", alertmanager.url)).send().unwrap();
        serde_json::from_str(&answer.text().unwrap()).unwrap()
    };
    let fingerprint = |server: &str| {
        let of = |row: &&Value| row["labels"]["server_instance_no"] == *server;
        listed().iter().find(of).map(|row| row["fingerprint"].as_str().unwrap().to_owned())
    };
    let state = |server: &str, wanted: &str| {
        eventually(&format!("{server} to be {wanted}"), || {
            let of = |row: &&Value| row["labels"]["server_instance_no"] == *server;
            listed().iter().find(of).filter(|row| row["status"]["state"] == *wanted).map(drop)
        });
    };
    state(FIRST, "active");
    state(SECOND, "active");
    for server in [FIRST, SECOND] {
        let mut told = alert(server, "firing", &now_text());
        told["fingerprint"] = json!(fingerprint(server).unwrap());
        let (_, answer) = on.service.deliver(&delivery(&[told], server)).unwrap();
        assert_eq!(answer["alerts"][0]["decision"], "remediate", "{answer}");
    }
    let silence = json!({
        "matchers": [{ "name": "server_instance_no", "value": FIRST, "isRegex": false, "isEqual": true }],
        "startsAt": now_text(), "endsAt": "2099-01-01T00:00:00Z", "createdBy": "test", "comment": "test",
    });
    let answer = http
        .post(format!("{}/api/v2/silences", alertmanager.url))
        .header("content-type", "application/json")
        .body(silence.to_string())
        .send()
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().unwrap());
    state(FIRST, "suppressed");
    let ended = on.cancelled(FIRST);
    assert!(ended["detail"].as_str().unwrap().contains("silenced or inhibited"), "{ended}");
    on.sent(SECOND);
    on.sound();
}

#[test]
fn an_event_that_cloud_insight_has_closed_cancels_and_trouble_there_only_delays() {
    let on = stage("{ kind = \"cloud_insight\" }", "0s");
    let labels = [("rule_id", "700000000000000001"), ("metric", "avg_cpu_used_rto")];
    on.fire(FIRST, &labels);
    on.cancelled(FIRST);

    let events = |behaviour| Script { target: Place::Events, ..Script::every_read(behaviour) };
    on.cloud.running.hang(SECOND).unwrap();
    on.cloud.running.set_behaviour(events(Behaviour::OkOversize)).unwrap();
    on.fire(SECOND, &labels);
    let waiting = on.waits(SECOND);
    assert!(waiting["detail"].as_str().unwrap().contains("could not tell"), "{waiting}");
    assert_eq!(on.cloud.requests(SECOND), 0);
    on.cloud.running.set_behaviour(events(Behaviour::Ok)).unwrap();
    on.sent(SECOND);
    on.sound();
}

#[test]
fn an_order_by_hand_is_refused_where_a_second_signal_could_never_agree_to_it() {
    let order = |on: &Stage| {
        let body = json!({
            "serverInstanceNo": FIRST, "regionCode": "KR", "policy": "hung-windows", "reason": "frozen console",
            "mode": "execute",
        });
        on.service.post("/api/v1/remediations", OPERATOR, &body)
    };
    let on = stage(
        "{ kind = \"tcp_closed\", ports = [3389] }, \
         { kind = \"alertmanager\", url = \"http://127.0.0.1:9\" }, \
         { kind = \"promql\", url = \"http://127.0.0.1:9\", query = \"up{instance=\\\"$ip\\\"} == 0\" }",
        "0s",
    );
    let (status, said) = order(&on);
    assert_eq!((status, &said["code"]), (422, &json!("policy_refused")), "{said}");
    let detail = said["detail"].as_str().unwrap();
    for part in ["second signals that an order by hand cannot have: ", "tcp_closed", "alertmanager", "promql"]
    {
        assert!(detail.contains(part), "{part}: {said}");
    }
    assert!(on.service.remediations().is_empty());
    // What can be asked of the server itself is waited for as ever.
    let on = stage(
        "{ kind = \"promql\", url = \"http://127.0.0.1:9\", query = \"up{name=\\\"$name\\\"} == 0\" }",
        "0s",
    );
    let (status, said) = order(&on);
    assert_eq!(status, 202, "{said}");
    on.waits(FIRST);
}
