//! Traces: a collector on loopback gets one trace from the webhook to the proof, whatever happens in between, and nothing
//! else waits for it.

use std::collections::BTreeMap;
use std::net::TcpListener;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

use crate::receiver::{Mode, Receiver};
use crate::support::{
    ALERTMANAGER_TOKEN, Cloud, LEAD, Service, Settings, Site, alert, broken_laws, delivery, eventually,
    fleet, now_text,
};

const SERVER: &str = "91000001";
const SECOND: &str = "91000002";
const COLLECTOR_TOKEN: &str = "collector-test-token-0000000001";

fn traced(collector: &str, cloud: &Cloud) -> Settings {
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.more = format!("[telemetry]\notlp_endpoint = \"{collector}\"\nsecret_file = \"collector\"\n");
    settings
}

fn site(settings: &Settings) -> Site {
    let site = Site::new(settings);
    site.secret("collector", COLLECTOR_TOKEN);
    site
}

/// Every span that the collector took, each once: one that is told again is the same to the byte of its identity.
fn spans(collector: &Receiver) -> BTreeMap<Vec<u8>, Span> {
    let mut all = BTreeMap::new();
    for post in collector.posts().iter().filter(|post| post.taken) {
        assert_eq!(post.path, "/v1/traces");
        assert_eq!(post.headers["content-type"], "application/x-protobuf");
        assert_eq!(post.headers["authorization"], format!("Bearer {COLLECTOR_TOKEN}"));
        let request = ExportTraceServiceRequest::decode(post.bytes.as_slice()).unwrap();
        for spans in request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans) {
            for span in spans.spans {
                let again = all.insert(span.span_id.clone(), span.clone());
                assert!(again.is_none_or(|before: Span| before.name == span.name), "{span:?}");
            }
        }
    }
    all
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|pair| pair.key == key)?.value.clone()?.value?;
    if let Any::StringValue(text) = value {
        return Some(text);
    }
    let Any::IntValue(number) = value else { panic!("{key} is {value:?}") };
    Some(number.to_string())
}

/// Waits for the span of this name in a trace.
fn wait_for(collector: &Receiver, trace: &str, name: &str) -> Span {
    eventually(&format!("the span {name}"), || {
        let trace = hex::decode(trace).unwrap();
        spans(collector).into_values().find(|span| span.trace_id == trace && span.name == name)
    })
}

/// A delivery about the server with the trace of its sender; the answer.
fn deliver(service: &Service, server: &str, note: &str, traceparent: Option<&str>) -> Value {
    let body = delivery(&[alert(server, "firing", &now_text())], note);
    let asking = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let mut asking =
        asking.post(format!("{}/webhooks/alertmanager", service.url)).bearer_auth(ALERTMANAGER_TOKEN);
    if let Some(traceparent) = traceparent {
        asking = asking.header("traceparent", traceparent);
    }
    let answer = asking.header("content-type", "application/json").body(body.to_string()).send().unwrap();
    assert_eq!(answer.status(), 202);
    serde_json::from_str(&answer.text().unwrap()).unwrap()
}

fn counted(service: &Service, sample: &str) -> u64 {
    let text = reqwest::blocking::get(format!("{}/metrics", service.url)).unwrap().text().unwrap();
    text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok()).unwrap_or(0)
}

#[test]
fn one_trace_leads_from_the_webhook_to_the_proof() {
    let (cloud, collector) = (Cloud::start(fleet(2)), Receiver::start());
    let site = site(&traced(&collector.url(""), &cloud));
    let service = site.start();
    service.wait_for_inventory(2);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let answer = deliver(&service, SERVER, "one", Some(&format!("00-{trace}-00f067aa0ba902b7-01")));
    assert_eq!(answer["traceId"], trace);
    let done = service.wait_for(SERVER, &["confirmed"]);
    let whole = wait_for(&collector, trace, "remediation");
    let all = spans(&collector);
    let named = |name: &str| {
        let found: Vec<&Span> = all.values().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0].clone()
    };
    let (delivery, decision) = (named("delivery"), named("decision"));
    assert_eq!(hex::encode(&delivery.parent_span_id), "00f067aa0ba902b7", "below the sender's own span");
    assert!(delivery.end_time_unix_nano > delivery.start_time_unix_nano, "{delivery:?}");
    assert_eq!(attribute(&delivery, "unhang.alerts").as_deref(), Some("1"));
    assert_eq!(decision.parent_span_id, delivery.span_id);
    assert_eq!(attribute(&decision, "unhang.decision").as_deref(), Some("remediate"));
    let stages = ["settle", "queue", "preflight", "interrupt", "watch", "remediation"].map(named);
    for span in &stages {
        assert_eq!(hex::encode(&span.trace_id), trace);
        assert_eq!(span.parent_span_id, decision.span_id, "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
        assert_eq!(attribute(span, "unhang.server.no").as_deref(), Some(SERVER));
        assert_eq!(attribute(span, "unhang.policy").as_deref(), Some("hung-windows"));
        assert_eq!(attribute(span, "unhang.remediation.id").as_deref(), done["id"].as_str());
        assert_eq!(span.status, None, "{span:?}");
    }
    let [settle, queue, _preflight, interrupt, watch, _whole] = &stages;
    assert_eq!(attribute(interrupt, "unhang.outcome").as_deref(), Some("accepted"));
    assert_eq!(attribute(interrupt, "http.response.status_code").as_deref(), Some("200"));
    let asked = service.get(&format!("/api/v1/remediations/{}", done["id"].as_str().unwrap()), LEAD).1;
    assert_eq!(
        attribute(interrupt, "unhang.request_id").as_deref(),
        asked["attempts"][0]["requestId"].as_str()
    );
    // Each stage begins where the one before ended.
    for (before, after) in [(settle, queue), (queue, interrupt), (interrupt, watch)] {
        assert_eq!(before.end_time_unix_nano, after.start_time_unix_nano, "{before:?} {after:?}");
    }
    assert_eq!(whole.start_time_unix_nano, settle.start_time_unix_nano);
    assert_eq!(whole.end_time_unix_nano, watch.end_time_unix_nano);
    assert!(watch.end_time_unix_nano > watch.start_time_unix_nano);
    // The figures point at the trace.
    let text = reqwest::blocking::get(format!("{}/metrics", service.url)).unwrap().text().unwrap();
    for figure in ["unhang_attempts_total{outcome=\"accepted\"}", "unhang_cloud_call_seconds_bucket"] {
        let points =
            |line: &&str| line.starts_with(figure) && line.contains(&format!("# {{trace_id=\"{trace}\"}}"));
        assert_eq!(text.lines().filter(points).count(), 1, "{figure}: {text}");
    }
    // No secret of anybody, in any post.
    for post in collector.posts() {
        let scenario = simulator::Scenario::demo();
        for secret in [ALERTMANAGER_TOKEN, LEAD, scenario.secret_key.as_str(), scenario.access_key.as_str()] {
            assert!(!post.body.contains(secret) && !post.body.contains(COLLECTOR_TOKEN));
        }
    }
    eventually("the figure", || {
        (counted(&service, "unhang_trace_spans_total{result=\"exported\"}") >= 8).then_some(())
    });
}

#[test]
fn the_trace_goes_on_after_a_kill_in_the_middle() {
    let (cloud, collector) = (Cloud::start(fleet(1)), Receiver::start());
    let mut settings = traced(&collector.url(""), &cloud);
    settings.mode = "approve";
    let site = site(&settings);
    let service = site.start();
    service.wait_for_inventory(1);
    let trace = deliver(&service, SERVER, "killed", None)["traceId"].as_str().unwrap().to_owned();
    let waiting = service.wait_for(SERVER, &["awaiting_approval"]);
    let decision = wait_for(&collector, &trace, "decision");
    service.kill();
    let told_before = spans(&collector).len();
    // The next process does not take what is older for its own: one story, one trace.
    let service = site.start();
    let id = waiting["id"].as_str().unwrap();
    let approve = || (service.approve(id, LEAD, json!({ "reason": "it hangs" })).0 == 200).then_some(());
    eventually("the approval", approve);
    service.wait_for(SERVER, &["confirmed"]);
    wait_for(&collector, &trace, "remediation");
    let all = spans(&collector);
    assert!(all.len() > told_before);
    for name in ["settle", "approval", "queue", "preflight", "interrupt", "watch", "remediation"] {
        let found: Vec<&Span> = all.values().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(
            (&found[0].trace_id, &found[0].parent_span_id),
            (&decision.trace_id, &decision.span_id),
            "{name}"
        );
    }
    // The approval spans the kill.
    let approval = all.values().find(|span| span.name == "approval").unwrap();
    assert!(approval.end_time_unix_nano > approval.start_time_unix_nano);
    let delivery = wait_for(&collector, &trace, "delivery");
    assert_eq!((delivery.parent_span_id.len(), &decision.parent_span_id), (0, &delivery.span_id));
    assert!(broken_laws(&site, &cloud, &[]).is_empty());
}

#[test]
fn a_second_alert_and_a_resolved_one_point_at_the_story_that_they_belong_to() {
    let (cloud, collector) = (Cloud::start(fleet(1)), Receiver::start());
    let mut settings = traced(&collector.url(""), &cloud);
    settings.settle = "10m";
    let site = site(&settings);
    let service = site.start();
    service.wait_for_inventory(1);
    let first = deliver(&service, SERVER, "first", None)["traceId"].as_str().unwrap().to_owned();
    let second = deliver(&service, SERVER, "second", None);
    assert_eq!(second["alerts"][0]["decision"], "duplicate");
    let opening = wait_for(&collector, &first, "decision");
    let joined = wait_for(&collector, second["traceId"].as_str().unwrap(), "decision");
    assert_eq!((&joined.links[0].trace_id, &joined.links[0].span_id), (&opening.trace_id, &opening.span_id));
    let (_, third) = service.deliver(&delivery(&[alert(SERVER, "resolved", &now_text())], "third")).unwrap();
    let whole = wait_for(&collector, &first, "remediation");
    assert_eq!(attribute(&whole, "unhang.state").as_deref(), Some("cancelled"));
    let notice = wait_for(&collector, third["traceId"].as_str().unwrap(), "delivery");
    assert_eq!((&whole.links[0].trace_id, &whole.links[0].span_id), (&notice.trace_id, &notice.span_id));
}

#[test]
fn a_collector_that_is_away_or_mute_holds_nothing_up_and_gets_everything_later() {
    let (cloud, collector) = (Cloud::start(fleet(2)), Receiver::start());
    let site = site(&traced(&collector.url("/behind/a/proxy"), &cloud));
    let (addr, refused) = (collector.addr, Mode::Answer(503));
    collector.behave(refused);
    let service = site.start();
    service.wait_for_inventory(2);
    let trace = deliver(&service, SERVER, "away", None)["traceId"].as_str().unwrap().to_owned();
    eventually("a post that was not taken", || (!collector.posts().is_empty()).then_some(()));
    assert_eq!(collector.posts()[0].path, "/behind/a/proxy/v1/traces");
    // Then it takes a post and never says a word. Meanwhile a server is interrupted.
    collector.behave(Mode::Never);
    let posts = collector.posts().len();
    eventually("a post without an answer", || (collector.posts().len() > posts).then_some(()));
    let begun = std::time::Instant::now();
    deliver(&service, SECOND, "mute", None);
    service.wait_for(SECOND, &["confirmed"]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(9), "sooner than the post is given up");
    drop(collector);
    eventually("the figure", || (counted(&service, "unhang_trace_export_failures_total") > 1).then_some(()));
    let log = std::fs::read_to_string(site.log()).unwrap();
    assert_eq!(log.matches("the collector takes no traces").count(), 1, "told once");
    // It comes back, under the address it had.
    let collector = Receiver::at(addr);
    let trace_id = hex::decode(&trace).unwrap();
    let names = eventually("the whole story", || {
        let posts = collector.posts();
        let taken = posts.iter().filter(|post| post.taken);
        let all = taken.flat_map(|post| {
            ExportTraceServiceRequest::decode(post.bytes.as_slice()).unwrap().resource_spans
        });
        let spans = all.flat_map(|one| one.scope_spans).flat_map(|one| one.spans);
        let names: Vec<String> =
            spans.filter(|span| span.trace_id == trace_id).map(|span| span.name).collect();
        names.iter().any(|name| name == "remediation").then_some(names)
    });
    for name in ["delivery", "decision", "settle", "queue", "preflight", "interrupt", "watch"] {
        assert!(names.iter().any(|one| one == name), "{name} is not among {names:?}");
    }
    assert!(std::fs::read_to_string(site.log()).unwrap().contains("the collector takes traces again"));
    assert!(broken_laws(&site, &cloud, &[]).is_empty());
}

#[test]
fn spans_that_are_refused_for_themselves_are_left_out_and_counted() {
    let (cloud, collector) = (Cloud::start(fleet(1)), Receiver::start());
    collector.behave(Mode::Answer(400));
    let site = site(&traced(&collector.url(""), &cloud));
    let service = site.start();
    service.wait_for_inventory(1);
    deliver(&service, SERVER, "refused", None);
    service.wait_for(SERVER, &["confirmed"]);
    eventually("the figure", || {
        (counted(&service, "unhang_trace_spans_total{result=\"refused\"}") >= 8).then_some(())
    });
    assert_eq!(counted(&service, "unhang_trace_export_failures_total"), 0);
}

#[test]
fn without_an_endpoint_nobody_is_called() {
    let cloud = Cloud::start(fleet(1));
    // The address that a collector has by custom, if it is free here.
    let custom = TcpListener::bind("127.0.0.1:4318");
    let site = Site::new(&Settings::new(&cloud.running.endpoint()));
    let service = site.try_start_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")]).unwrap();
    service.wait_for_inventory(1);
    deliver(&service, SERVER, "off", None);
    service.wait_for(SERVER, &["confirmed"]);
    if let Ok(listener) = custom {
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
    assert_eq!(counted(&service, "unhang_trace_export_failures_total"), 0);
}
