//! Keys of a server role: asked of a metadata service on loopback, renewed before they run out, and never sent without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::json;

use crate::support::{
    Cloud, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, eventually, fleet, now_text,
};

const SERVER: &str = "91000001";

/// What is answered below the list of roles.
#[derive(Clone)]
enum Answer {
    /// Keys that are good for so many seconds from when they are asked for.
    Keys(String, String, i64),
    /// This, whatever it is.
    Said(u16, &'static str),
    /// The connection is dropped.
    Nothing,
}

struct Metadata {
    addr: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Metadata {
    fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let metadata = Self {
            addr: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
        };
        let (answer, asked) = (Arc::clone(&metadata.answer), Arc::clone(&metadata.asked));
        // Ends with the process of the tests.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let line = lines.next().and_then(Result::ok).unwrap_or_default();
                for _header in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {}
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                asked.lock().unwrap().push(path.clone());
                let answer = answer.lock().unwrap().clone();
                let (status, body) = match answer {
                    Answer::Keys(access, secret, seconds) => (200, keys(&access, &secret, seconds)),
                    Answer::Said(status, body) => (status, body.to_owned()),
                    Answer::Nothing => continue,
                };
                let body = if path.ends_with('/') { "role-7\n".to_owned() } else { body };
                let head = format!(
                    "HTTP/1.1 {status} Word\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _gone = stream.write_all((head + &body).as_bytes());
            }
        });
        metadata
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }
}

#[expect(clippy::disallowed_methods, reason = "the metadata service has its own clock")]
fn keys(access: &str, secret: &str, seconds: i64) -> String {
    let until = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    let said = json!({
        "AccessKeyId": access, "SecretAccessKey": secret, "Expiration": until.to_string(),
        "Code": "Success", "Message": "", "SomethingNew": 1,
    });
    said.to_string()
}

fn good(seconds: i64) -> Answer {
    let scenario = simulator::Scenario::demo();
    Answer::Keys(scenario.access_key, scenario.secret_key, seconds)
}

fn site(cloud: &Cloud, metadata: &Metadata) -> Site {
    let settings = Settings::new(&cloud.running.endpoint());
    let site = Site::new(&settings);
    let text = std::fs::read_to_string(&site.config).unwrap();
    let text = text.replace("access_key_file = \"access\"\nsecret_key_file = \"secret\"\n", "");
    let url = format!("http://{}/latest/meta-data/iam/security-credentials/", metadata.addr);
    std::fs::write(&site.config, format!("{text}\n[cloud.server_role]\nurl = \"{url}\"\n")).unwrap();
    for file in ["access", "secret"] {
        std::fs::remove_file(site.dir.path().join(file)).unwrap();
    }
    site
}

fn may_send(service: &Service) -> bool {
    let (status, ready) = service.get("/readyz", VIEWER);
    assert_eq!(status, 200, "whatever the metadata service does: {ready}");
    ready["checks"]["maySend"].as_bool().unwrap()
}

#[test]
fn keys_of_the_role_are_asked_for_used_and_renewed() {
    let cloud = Cloud::start(fleet(1));
    // The first ones are refused by the cloud, and good for four seconds: those that follow are asked for in time.
    let metadata =
        Metadata::start(Answer::Keys("a-key-of-before".to_owned(), "a-secret-of-before".to_owned(), 4));
    let site = site(&cloud, &metadata);
    let service = site.start();
    metadata.says(good(3600));
    service.wait_for_inventory(1);
    service.deliver(&delivery(&[alert(SERVER, "firing", &now_text())], "renewed")).unwrap();
    service.wait_for(SERVER, &["confirmed"]);
    let asked = metadata.asked.lock().unwrap().clone();
    assert_eq!(asked[0], "/latest/meta-data/iam/security-credentials/");
    assert_eq!(asked[1], "/latest/meta-data/iam/security-credentials/role-7");
    let log = std::fs::read_to_string(site.log()).unwrap();
    let scenario = simulator::Scenario::demo();
    for secret in [scenario.secret_key.as_str(), scenario.access_key.as_str(), "a-secret-of-before"] {
        assert!(!log.contains(secret));
    }
    assert!(broken_laws(&site, &cloud, &[]).is_empty());
}

#[test]
fn without_keys_that_are_good_nothing_is_sent_and_alerts_are_taken() {
    let cloud = Cloud::start(fleet(1));
    let metadata = Metadata::start(Answer::Nothing);
    let site = site(&cloud, &metadata);
    let service = site.start();
    assert!(!may_send(&service), "there are none yet");
    let body = delivery(&[alert(SERVER, "firing", &now_text())], "none yet");
    let (status, answer) = service.deliver(&body).unwrap();
    assert_eq!((status, answer["alerts"][0]["decision"].as_str()), (202, Some("pending")), "{answer}");
    // Odd answers are no keys.
    for odd in [Answer::Said(404, "{}"), Answer::Said(200, "<html>"), good(-60)] {
        metadata.says(odd);
        let before = metadata.asked.lock().unwrap().len();
        eventually("another look", || (metadata.asked.lock().unwrap().len() > before + 3).then_some(()));
        assert!(!may_send(&service));
    }
    assert_eq!(cloud.requests(SERVER), 0);
    // Good for a moment: the server is read and interrupted; then they run out and nothing more may be sent.
    metadata.says(good(4));
    service.wait_for(SERVER, &["accepted", "confirmed"]);
    metadata.says(Answer::Nothing);
    eventually("the keys to run out", || (!may_send(&service)).then_some(()));
    metadata.says(good(3600));
    eventually("new ones", || may_send(&service).then_some(()));
    assert_eq!(cloud.requests(SERVER), 1);
    assert!(broken_laws(&site, &cloud, &[]).is_empty());
}
