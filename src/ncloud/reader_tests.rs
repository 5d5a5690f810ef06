use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::ncloud::loopback::{Peer, Seen, http, sample};

/// 2026-11-21T00:00:00Z
const NOW_MS: i64 = 1_795_219_200_000;

fn reader(peer: &Peer) -> Reader {
    Reader::new(&peer.config(), || NOW_MS).unwrap()
}

fn kr() -> RegionCode {
    RegionCode::parse("KR").unwrap()
}

fn no(text: &str) -> ServerNo {
    ServerNo::parse(text).unwrap()
}

fn ok(body: &str) -> String {
    http("200 OK", "connection: close\r\n", body)
}

/// Runs a read against answers given in order; returns its result and the requests.
async fn run<T>(peer: &Peer, read: impl Future<Output = T>, answers: &[String]) -> (T, Vec<Seen>) {
    let serve = async {
        let mut seen = Vec::new();
        for answer in answers {
            seen.push(peer.answer(answer).await);
        }
        seen
    };
    tokio::join!(read, serve)
}

fn list(total: usize, servers: &[(&str, &str)]) -> String {
    let rows: Vec<String> = servers
        .iter()
        .map(|(no, name)| {
            format!(
                r#"{{"serverInstanceNo":"{no}","serverName":"{name}","createDate":"2026-02-03T10:15:00+0900",
                    "memorySize":1,"regionCode":"KR"}}"#
            )
        })
        .collect();
    ok(&format!(
        r#"{{"getServerInstanceListResponse":{{"totalRows":{total},"serverInstanceList":[{}],"returnCode":"0"}}}}"#,
        rows.join(",")
    ))
}

#[tokio::test]
async fn regions_and_the_clock_are_read() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    assert_eq!(reader.skew_ms(), None);
    let answer = http(
        "200 OK",
        "connection: close\r\ndate: Sat, 21 Nov 2026 00:02:00 GMT\r\n",
        &sample("region-list.json"),
    );
    let (regions, seen) = run(&peer, reader.regions(), &[answer]).await;
    assert_eq!(regions.unwrap().len(), 3);
    assert_eq!(reader.skew_ms(), Some(120_500));
    assert_eq!(seen[0].path_and_query(), "/vserver/v2/getRegionList?responseFormatType=json");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn a_name_that_needs_escaping_is_signed_as_sent_and_compared() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let answer = list(2, &[("1", "A b+C"), ("2", "a b+c-2")]);
    let (servers, seen) = run(&peer, reader.servers_by_name(&kr(), "a b+c"), &[answer]).await;
    let servers = servers.unwrap();
    assert_eq!((servers.len(), servers[0].no.as_str(), servers[0].name.as_str()), (1, "1", "A b+C"));
    let path = seen[0].path_and_query();
    assert!(path.contains("serverName=a%20b%2Bc&"), "{path}");
    let config = peer.config();
    let signature =
        crate::ncloud::signature::sign("GET", path, NOW_MS, &config.access_key, &config.secret_key);
    assert_eq!(seen[0].header("x-ncp-apigw-signature-v2"), signature);
}

#[tokio::test]
async fn all_pages_are_read() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let answers = [list(3, &[("1", "a"), ("2", "b")]), list(3, &[("3", "c")])];
    let (servers, seen) = run(&peer, reader.all_servers(&kr()), &answers).await;
    let numbers: Vec<_> = servers.unwrap().into_iter().map(|s| s.no).collect();
    assert_eq!(numbers, [no("1"), no("2"), no("3")]);
    assert!(seen[0].path_and_query().contains("regionCode=KR&pageNo=1&pageSize=100&"));
    assert!(seen[1].path_and_query().contains("pageNo=2&"));
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn a_changing_list_is_an_error() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let answers = [list(3, &[("1", "a")]), list(2, &[("2", "b")])];
    let (servers, _) = run(&peer, reader.all_servers(&kr()), &answers).await;
    assert_eq!(servers, Err(ReadError::List { action: SERVER_LIST, why: ListError::Changed }));
}

#[tokio::test]
async fn look_ups_use_the_filters() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let numbers = [no("1"), no("9")];
    let answer = list(2, &[("1", "a"), ("5", "e")]);
    let (servers, seen) = run(&peer, reader.servers_by_no(&kr(), &numbers), &[answer]).await;
    assert_eq!(servers.unwrap().len(), 1);
    assert!(seen[0].path_and_query().contains("serverInstanceNoList.1=1&serverInstanceNoList.2=9&"));
    let ip = "10.0.0.31".parse().unwrap();
    let answer = list(1, &[("1", "a")]);
    let (servers, seen) = run(&peer, reader.servers_by_ip(&kr(), ip), &[answer]).await;
    assert_eq!(servers.unwrap().len(), 1);
    assert!(seen[0].path_and_query().contains("ip=10.0.0.31&"));
}

#[tokio::test]
async fn one_server_or_none_but_never_another() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let detail = |name: &str| [ok(&sample(name))];
    let (found, _) =
        run(&peer, reader.server(&kr(), &no("90000001")), &detail("detail-windows-xen-run.json")).await;
    assert!(found.unwrap().unwrap().is_running());
    let (none, _) =
        run(&peer, reader.server(&kr(), &no("90000001")), &detail("detail-not-found-empty.json")).await;
    assert_eq!(none, Ok(None));
    let (other, _) =
        run(&peer, reader.server(&kr(), &no("90000009")), &detail("detail-windows-xen-run.json")).await;
    assert!(matches!(other, Err(ReadError::WrongServer { .. })), "{other:?}");
}

#[tokio::test]
async fn a_400_means_none_only_if_the_list_has_none() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let refused = http(
        "400 Bad Request",
        "connection: close\r\n",
        r#"{"responseError":{"returnCode":"77","returnMessage":"?"}}"#,
    );
    let answers = [refused.clone(), list(0, &[])];
    let (none, _) = run(&peer, reader.server(&kr(), &no("1")), &answers).await;
    assert_eq!(none, Ok(None));
    let answers = [refused, list(1, &[("1", "a")])];
    let (error, _) = run(&peer, reader.server(&kr(), &no("1")), &answers).await;
    assert!(matches!(error, Err(ReadError::Refused { status: 400, .. })), "{error:?}");
    let gateway = http("404 Not Found", "connection: close\r\n", r#"{"error":{"errorCode":"300"}}"#);
    let (error, _) = run(&peer, reader.server(&kr(), &no("1")), &[gateway]).await;
    assert!(matches!(error, Err(ReadError::Refused { status: 404, .. })), "{error:?}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn trouble_is_repeated_three_times_at_most_and_refusals_never() {
    let peer = Peer::start().await;
    let ticks = AtomicI64::new(NOW_MS);
    let reader = Reader::new(&peer.config(), move || ticks.fetch_add(1_000, Ordering::Relaxed)).unwrap();
    let busy =
        http("503 Service Unavailable", "connection: close\r\n", &sample("gateway-error-endpoint.json"));
    let limited = http("429 Too Many Requests", "connection: close\r\n", "slow down");
    let answers = [busy.clone(), limited, ok(&sample("region-list.json"))];
    let (regions, seen) = run(&peer, reader.regions(), &answers).await;
    assert_eq!(regions.unwrap().len(), 3);
    assert_ne!(seen[0].header("x-ncp-apigw-timestamp"), seen[1].header("x-ncp-apigw-timestamp"));
    assert_ne!(seen[0].header("x-ncp-apigw-signature-v2"), seen[1].header("x-ncp-apigw-signature-v2"));
    let (regions, _) = run(&peer, reader.regions(), &[busy.clone(), busy.clone(), busy]).await;
    assert!(matches!(regions, Err(ReadError::Refused { status: 503, .. })), "{regions:?}");
    let denied =
        http("401 Unauthorized", "connection: close\r\n", &sample("gateway-error-auth-invalid.json"));
    let (regions, _) = run(&peer, reader.regions(), &[denied]).await;
    let error = regions.unwrap_err();
    assert!(error.is_auth());
    assert!(error.to_string().contains("clock"), "{error}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn other_answers_are_not_taken_for_ours() {
    let peer = Peer::start().await;
    let reader = reader(&peer);
    for body in [
        sample("detail-windows-xen-run.json"),
        "<html></html>".to_owned(),
        String::new(),
        r#"{"getRegionListResponse":{"regionList":[]}}"#.to_owned(),
    ] {
        let (regions, _) = run(&peer, reader.regions(), &[ok(&body)]).await;
        assert!(matches!(regions, Err(ReadError::Unreadable { .. })), "{regions:?}");
    }
    let code = r#"{"getRegionListResponse":{"regionList":[],"returnCode":"800","returnMessage":"m"}}"#;
    let (regions, _) = run(&peer, reader.regions(), &[ok(code)]).await;
    assert!(matches!(regions, Err(ReadError::Refused { status: 200, .. })), "{regions:?}");
    peer.assert_no_more_connections();
}

#[tokio::test]
async fn an_unreachable_cloud_is_named_as_such() {
    let config = Peer::start().await.config();
    let error = Reader::new(&config, || NOW_MS).unwrap().regions().await.unwrap_err();
    assert!(matches!(error, ReadError::Unreachable { .. }), "{error}");
}

#[test]
fn the_skew_is_taken_at_the_middle_of_the_exchange() {
    let clock = CloudClock::default();
    let mono = Instant::now();
    let at = |ms: u64, wall_ms| Moment { mono: mono + Duration::from_millis(ms), wall_ms };
    clock.observe(NOW_MS, at(0, NOW_MS - 1_000), at(4_000, NOW_MS + 3_000));
    assert_eq!(clock.skew_ms(), Some(-500));

    // The wall clock jumped by a minute while the answer was under way: half of that would look like an agreement.
    clock.observe(NOW_MS, at(5_000, NOW_MS), at(5_100, NOW_MS + 60_100));
    assert_eq!(clock.skew_ms(), Some(-500));
}

/// The service's tasks run on several threads.
#[tokio::test]
async fn calls_can_move_between_threads() {
    fn check<T: Send>(_future: T) {}
    let peer = Peer::start().await;
    let reader = reader(&peer);
    let region = kr();
    let number = no("1");
    check(reader.regions());
    check(reader.all_servers(&region));
    check(reader.servers_by_no(&region, std::slice::from_ref(&number)));
    check(reader.servers_by_name(&region, "a"));
    check(reader.server(&region, &number));
    let client = crate::ncloud::InterruptClient::new(&peer.config()).unwrap();
    let prepared = client.prepare(&region, &number, NOW_MS);
    check(client.send(prepared, Instant::now()));
}
