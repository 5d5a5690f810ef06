//! Kinds of messages that no common story has: a breaker, a reboot that never came, a call that never left.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use simulator::Script;

use super::{ALL, behaviour, fire, hook, say, server, stage, start};
use crate::past;
use crate::receiver::Receiver;
use crate::support::{Cloud, LEAD, Settings, Site, broken_laws, eventually};

fn hooked(receiver: &Receiver, more: &str) -> String {
    format!("{more}{}", hook("hook", receiver, &format!("events = {ALL}")))
}

fn lawful(site: &Site, cloud: &Cloud) {
    assert_eq!(broken_laws(site, cloud, &[]), Vec::<String>::new());
}

#[test]
fn an_open_breaker_is_told_once_and_so_is_its_end() {
    let receiver = Receiver::start();
    let more = hooked(&receiver, "[breaker]\nfailures = 2\n");
    let (cloud, site, _) = stage(3, |plain| Settings { more, ..plain });
    let service = start(&site, 3);
    cloud.running.set_behaviour(Script::every_interrupt(behaviour("status_404"))).unwrap();
    for n in 0..2 {
        fire(&service, &[n], "refused");
        service.wait_for(&server(n), &["rejected"]);
    }
    let open = receiver.wait_for_kind("breaker_opened").json();
    assert_eq!(open["data"]["policy"], "hung-windows");
    assert_eq!(open["data"]["condition"], "breaker/hung-windows");
    assert!(open["data"]["text"].as_str().unwrap().contains("2 bad attempts in a row"), "{open}");
    assert_eq!(fire(&service, &[2], "stopped")[0]["reason"], "breaker_open");
    service.kill();
    let service = start(&site, 3);
    say(&service, LEAD, "breakers/hung-windows/reset");
    receiver.wait_for_kind("breaker_closed");
    let told = ["rejected", "rejected", "breaker_opened", "breaker_closed"];
    assert_eq!(receiver.kinds(), told, "once each, over a restart");
    assert_eq!(cloud.requests(&server(2)), 0);
    lawful(&site, &cloud);
}

#[test]
fn an_accepted_interrupt_without_a_reboot_is_told_and_asks_for_a_person() {
    let receiver = Receiver::start();
    let more = hooked(&receiver, "");
    let (cloud, site, _) = stage(1, |plain| Settings { more, ..plain });
    assert_eq!(start(&site, 1).stop().0, 0);
    // Longer ago than the dump and the time after it in which a reboot is waited for.
    past::attempted(&site, &server(0), 120, "accepted", "accepted");
    let service = site.start();
    let id = past::remediation_of(&server(0));
    let told = receiver.wait_for_kind("unconfirmed").json();
    assert_eq!(told["data"]["condition"], format!("unconfirmed/{id}"));
    assert_eq!(told["data"]["serverName"], "win-000");
    assert!(told["data"]["text"].as_str().unwrap().contains("no reboot was seen"), "{told}");
    let body = json!({ "verdict": "happened", "reason": "event 1001 in its log" });
    let (status, said) = service.post(&format!("/api/v1/remediations/{id}/settle"), LEAD, &body);
    assert_eq!(status, 200, "{said}");
    receiver.wait_for_kind("settled");
    assert_eq!(receiver.kinds(), ["unconfirmed", "settled"]);
    assert!(cloud.running.ledger().is_empty());
}

/// A way to the cloud. Once it is cut nobody new gets through; who is connected stays so.
struct Way {
    addr: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    fn to(cloud: &str) -> Self {
        let cloud: SocketAddr = cloud.trim_start_matches("http://").parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Self { addr: listener.local_addr().unwrap(), is_cut: Arc::default() };
        let is_cut = Arc::clone(&way.is_cut);
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if is_cut.load(Ordering::Relaxed) {
                    return;
                }
                let far = TcpStream::connect(cloud).unwrap();
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                std::thread::spawn(move || carry(&near, &far));
                std::thread::spawn(move || carry(&far_too, &near_too));
            }
        });
        way
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        eventually("the way to be cut", || TcpStream::connect(self.addr).is_err().then_some(()));
    }
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _broken_off = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(std::net::Shutdown::Write);
}

#[test]
fn an_interrupt_that_never_left_is_told_when_no_try_is_left() {
    let receiver = Receiver::start();
    let more = hooked(&receiver, "");
    let (cloud, site, settings) = stage(1, |plain| plain);
    let way = Way::to(&settings.endpoint);
    site.write(&Settings { endpoint: format!("http://{}", way.addr), more, ..settings });
    let service = start(&site, 1);
    // Reads go on over the connection that they have; an interrupt begins one of its own.
    way.cut();
    fire(&service, &[0], "cut off");
    let told = receiver.wait_for_kind("not_sent").json();
    let one = service.wait_for(&server(0), &["not_sent"]);
    assert_eq!(told["data"]["remediationId"], one["id"]);
    let text = told["data"]["text"].as_str().unwrap();
    assert!(text.contains("could not be sent") && text.contains("still hangs"), "{told}");
    assert_eq!(one["attempts"].as_array().unwrap().len(), 3, "{one}");
    assert_eq!(receiver.kinds(), ["not_sent"], "once, after the last try");
    assert!(cloud.running.ledger().is_empty());
    lawful(&site, &cloud);
}
