//! The pages as a browser without a script uses them: what is ordered by their forms, with the real service behind.

use serde_json::{Value, json};

use crate::faults::Locker;
use crate::hostile::session;
use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet,
    now_text,
};

const FIRST: &str = "91000001";
const SECOND: &str = "91000002";

/// A page or the answer to a form.
#[derive(Debug)]
struct Page {
    status: u16,
    location: String,
    text: String,
}

impl Page {
    /// The value of a hidden field.
    fn hidden(&self, name: &str) -> String {
        let before = format!("name=\"{name}\" value=\"");
        let after = self.text.split(&before).nth(1).unwrap_or_else(|| panic!("no field {name}: {self:?}"));
        after.split('"').next().unwrap().to_owned()
    }
}

/// A person who has logged in.
struct Browser {
    http: reqwest::blocking::Client,
    url: String,
    cookie: String,
    form: String,
}

impl Browser {
    fn log_in(service: &Service, token: &str) -> Self {
        let http = reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let (url, cookie) = (service.url.clone(), session(&service.url, token));
        let mut browser = Self { http, url, cookie, form: String::new() };
        browser.form = browser.get("/").hidden("form");
        browser
    }

    fn told(&self, request: reqwest::blocking::RequestBuilder) -> Page {
        let answer = request.header("cookie", &self.cookie).send().unwrap();
        let location =
            answer.headers().get("location").map_or("", |value| value.to_str().unwrap()).to_owned();
        Page { status: answer.status().as_u16(), location, text: answer.text().unwrap() }
    }

    fn get(&self, path: &str) -> Page {
        self.told(self.http.get(format!("{}{path}", self.url)))
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let request = self.http.post(format!("{}{path}", self.url)).header("origin", &self.url);
        self.told(request.form(&[&[("form", self.form.as_str())], fields].concat()))
    }
}

fn started(site: &Site) -> Service {
    let service = site.start();
    service.wait_for_inventory(2);
    service
}

fn fire(service: &Service, server: &str) -> Value {
    let (status, answer) =
        service.deliver(&delivery(&[alert(server, "firing", &now_text())], server)).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["alerts"][0].clone()
}

#[test]
fn an_approval_is_good_only_for_the_decision_that_was_shown() {
    let cloud = Cloud::start(fleet(2));
    let site = Site::new(&Settings { mode: "approve", ..Settings::new(&cloud.running.endpoint()) });
    let service = started(&site);
    let waiting = |server: &str| {
        fire(&service, server);
        service.wait_for(server, &["awaiting_approval"])["id"].as_str().unwrap().to_owned()
    };
    let (id, other) = (waiting(FIRST), waiting(SECOND));
    let lead = Browser::log_in(&service, LEAD);
    let place = format!("/remediations/{id}");
    let shown = lead.get(&place);
    let (version, decision) = (shown.hidden("version"), shown.hidden("decision"));
    let of_another = lead.get(&format!("/remediations/{other}")).hidden("decision");
    assert_ne!(decision, of_another);

    let order = format!("/api/v1{place}/approve");
    let form = |decision: &str| {
        let fields =
            [("version", version.as_str()), ("decision", decision), ("token", LEAD), ("reason", "it hangs")];
        lead.post(&format!("{place}/approve"), &fields)
    };
    for wrong in [of_another.as_str(), ""] {
        let body = json!({ "reason": "it hangs", "version": version.parse::<i64>().unwrap(), "decisionHash": wrong });
        let (status, said) = service.post(&order, LEAD, &body);
        assert_eq!((status, &said["code"]), (409, &json!("version_changed")), "{said}");
        let told = form(wrong);
        assert_eq!(told.status, 409, "{told:?}");
        assert!(told.text.contains("It has changed since you looked"), "{told:?}");
    }
    let (_, one) = service.get(&order.replace("/approve", ""), VIEWER);
    assert_eq!((&one["state"], &one["approvedBy"]), (&json!("awaiting_approval"), &Value::Null), "{one}");
    assert_eq!((&one["attempts"], cloud.running.ledger().len()), (&json!([]), 0), "{one}");

    // What was shown is still good.
    let told = form(&decision);
    assert_eq!(
        (told.status, told.location.as_str()),
        (303, format!("{place}?done=approved").as_str()),
        "{told:?}"
    );
    service.wait_for(FIRST, &["accepted", "confirmed"]);
    assert_eq!((cloud.requests(FIRST), cloud.requests(SECOND)), (1, 0));
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}

#[test]
fn the_hold_button_stops_everything_when_the_store_takes_no_hold() {
    let cloud = Cloud::start(fleet(2));
    let site = Site::new(&Settings { settle: "2s", ..Settings::new(&cloud.running.endpoint()) });
    let service = started(&site);
    let oncall = Browser::log_in(&service, OPERATOR);
    let file = site.store().parent().unwrap().join("HOLD");
    fire(&service, FIRST);
    let lock = Locker::on(&site.store());

    // It holds everything, so only an order to hold everything may end there.
    let narrow = [("scope", "server"), ("name", FIRST), ("reason", "only this one")];
    let told = oncall.post("/holds", &narrow);
    assert_eq!((told.status, file.exists()), (503, false), "{told:?}");
    let told = oncall.post("/holds", &[("scope", "global"), ("reason", "stop it all"), ("back", "now")]);
    assert_eq!((told.status, told.location.as_str()), (303, "/?done=hold-file-set"), "{told:?}");
    let words = std::fs::read_to_string(&file).unwrap();
    assert!(words.ends_with(" oncall: stop it all\n"), "{words}");
    assert!(oncall.get(&told.location).text.contains("the hold file was written"));
    let holds = oncall.get("/holds");
    assert!(holds.text.contains(file.to_str().unwrap()), "{holds:?}");
    drop(lock);

    let over = service.wait_for(FIRST, &["cancelled"]);
    assert_eq!(over["reason"], "hold", "{over}");
    let answer = eventually("deliveries to be taken in", || {
        let body = delivery(&[alert(SECOND, "firing", &now_text())], SECOND);
        service.deliver(&body).filter(|(status, _)| *status == 202).map(|(_, answer)| answer)
    });
    assert_eq!(answer["alerts"][0]["reason"], "hold", "{answer}");
    assert!(cloud.running.ledger().is_empty());
    assert_eq!(broken_laws(&site, &cloud, &[]), Vec::<String>::new());
}
