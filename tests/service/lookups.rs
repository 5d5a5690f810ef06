//! Look-ups of names that are not in the list: fair among sources, with a cap for each.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Cloud, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const QUIET: &str = "quiet-source-test-token-000001";

/// An alert about a name, which must be looked up.
fn about(name: &str) -> Value {
    let mut about = alert(name, "firing", &now_text());
    about["labels"] = json!({ "alertname": "WindowsVmHung", "hostname": name });
    about
}

#[test]
fn an_alert_is_looked_up_within_5_s_beside_2100_unknown_names_of_another_source() {
    let cloud = Cloud::start(fleet(2));
    let more = "[[sources]]\nname = \"quiet\"\nkind = \"alertmanager\"\n\
                auth = [{ kind = \"bearer\", secret_file = \"quiet\" }]\n";
    let site = Site::new(&Settings { more: more.to_owned(), ..Settings::new(&cloud.running.endpoint()) });
    site.secret("quiet", QUIET);
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(&site.config, text.replace("reads_per_second = 1000", "reads_per_second = 10")).unwrap();
    let service = site.start();
    service.wait_for_inventory(2);

    for part in 0..21 {
        let names: Vec<Value> = (0..100).map(|n| about(&format!("flood-{}", part * 100 + n))).collect();
        let (status, answer) = service.deliver(&delivery(&names, &part.to_string())).unwrap();
        assert_eq!(status, 202, "{answer}");
    }
    let begun = Instant::now();
    let (status, answer) = service.post("/webhooks/quiet", QUIET, &delivery(&[about("not-there")], "quiet"));
    assert_eq!((status, &answer["alerts"][0]["decision"]), (202, &json!("pending")), "{answer}");
    let decided = |source: &str, reason: &str| {
        let path = format!("/api/v1/audit?source={source}&kind=alert_decided&reason={reason}&limit=1000");
        service.get(&path, VIEWER).1["items"].as_array().unwrap().len()
    };
    eventually("the quiet source's alert to be decided", || {
        (decided("quiet", "target_unknown") == 1).then_some(())
    });
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(5), "it took {took:?}");

    // What is over the cap is refused at once, and says why; nothing waits without bound.
    eventually("the names over the cap to be refused", || {
        (decided("alertmanager", "blind") >= 1000).then_some(())
    });
    let path = "/api/v1/audit?source=alertmanager&kind=alert_decided&reason=blind&limit=1";
    let said = service.get(path, VIEWER).1["items"][0].to_string();
    assert!(said.contains("200 names of this source wait for a look-up already"), "{said}");
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}
