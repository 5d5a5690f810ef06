//! The event stream: what is committed is seen soon, once and without a gap, whoever reads and whatever ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Cloud, LEAD, OPERATOR, Service, Settings, Site, VIEWER, alert, delivery, eventually, fleet, now_text,
};

/// One open stream, read by hand: what arrives when is what is tested.
struct Stream {
    connection: TcpStream,
    raw: Vec<u8>,
    text: String,
    /// Events that came with the opening.
    first: Vec<Seen>,
    /// Last place that the server named.
    place: i64,
    ended: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    id: i64,
    kind: String,
    data: Value,
}

impl Stream {
    fn open(service: &Service, query: &str, after: Option<i64>) -> Self {
        match Self::try_open(service, VIEWER, query, after) {
            Ok(stream) => stream,
            Err(answer) => panic!("{answer}"),
        }
    }

    /// Asks for a stream; the whole answer where there is none.
    fn try_open(service: &Service, token: &str, query: &str, after: Option<i64>) -> Result<Self, String> {
        let addr = service.url.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(addr).unwrap();
        // Small, so that little data fills it.
        socket2::SockRef::from(&connection).set_recv_buffer_size(64 * 1024).unwrap();
        let last = after.map_or_else(String::new, |place| format!("last-event-id: {place}\r\n"));
        let head = format!(
            "GET /api/v1/stream{query} HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n{last}\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        connection.set_nonblocking(true).unwrap();
        let (raw, text) = (Vec::new(), String::new());
        let mut stream = Self { connection, raw, text, first: Vec::new(), place: -1, ended: false };
        let end = eventually("the head of an answer", || {
            stream.fill();
            stream.raw.windows(4).position(|four| four == b"\r\n\r\n")
        });
        let head = String::from_utf8_lossy(&stream.raw[..end]).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(String::from_utf8_lossy(&stream.raw).into_owned());
        }
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        stream.raw.drain(..end + 4);
        eventually("the place where it starts", || {
            let more = stream.read();
            stream.first.extend(more);
            (stream.place >= 0).then_some(())
        });
        Ok(stream)
    }

    /// Takes what has arrived; false when the connection is over.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16384];
        loop {
            match self.connection.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => self.raw.extend_from_slice(&bytes[..count]),
                Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
            }
        }
    }

    /// The whole events that have arrived since.
    fn read(&mut self) -> Vec<Seen> {
        self.ended |= !self.fill();
        while let Some(end) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&self.raw[..end]).unwrap(), 16).unwrap();
            let Some(chunk) = self.raw.get(end + 2..end + 2 + size) else { break };
            if self.raw.len() < end + 4 + size {
                break;
            }
            self.text.push_str(std::str::from_utf8(chunk).unwrap());
            self.raw.drain(..end + 4 + size);
            self.ended |= size == 0;
        }
        let mut seen = std::mem::take(&mut self.first);
        while let Some(end) = self.text.find("\n\n") {
            let block: String = self.text.drain(..end + 2).collect();
            let field = |name: &str| {
                let values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                values.collect::<Vec<_>>().join("\n")
            };
            if let Ok(id) = field("id").parse() {
                self.place = id;
            }
            if block.contains("data: ") {
                let data = serde_json::from_str(&field("data")).unwrap();
                seen.push(Seen { id: self.place, kind: field("event"), data });
            }
        }
        seen
    }

    /// Reads until an event fits; all events up to it.
    fn until(&mut self, what: &str, fits: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut all = Vec::new();
        eventually(what, || {
            all.extend(self.read());
            assert!(!self.ended || all.iter().any(&fits), "the stream ended before {what}");
            all.iter().any(&fits).then_some(())
        });
        all
    }

    /// Whether the server has ended it.
    fn is_over(&mut self) -> bool {
        self.read();
        self.ended
    }
}

fn site(cloud: &Cloud, server: &str) -> (Site, Settings) {
    let mut settings = Settings::new(&cloud.running.endpoint());
    settings.mode = "shadow";
    settings.server = format!("listen = \"127.0.0.1:0\"\n{server}");
    (Site::new(&settings), settings)
}

fn deliver(service: &Service, number: usize) -> String {
    let server = format!("{}", 91_000_001 + number % 20);
    let body = delivery(&[alert(&server, "firing", &now_text())], &format!("note {number}"));
    let (status, answer) = service.deliver(&body).unwrap();
    assert_eq!(status, 202, "{answer}");
    answer["deliveryId"].as_str().unwrap().to_owned()
}

/// Every row of the audit, oldest first.
fn audit(service: &Service) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = service.get(&format!("/api/v1/audit?order=asc&limit=1000{cursor}"), VIEWER);
        rows.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else { return rows };
        cursor = format!("&cursor={next}");
    }
}

#[test]
fn an_event_is_seen_within_a_second_and_is_the_row_of_the_audit() {
    let cloud = Cloud::start(fleet(20));
    let (site, _) = site(&cloud, "");
    let service = site.start();
    service.wait_for_inventory(20);
    let mut all = Stream::open(&service, "", None);
    let mut narrow =
        Stream::open(&service, "?serverInstanceNo=91000003&kind=alert_decided,incident_opened", None);
    for number in 0..20 {
        let id = deliver(&service, number);
        let committed = Instant::now();
        all.until("its event", |seen| seen.kind == "alert_decided" && seen.data["deliveryId"] == *id);
        let late = committed.elapsed();
        assert!(late < Duration::from_secs(1), "seen {late:?} after its commit");
    }
    let seen = narrow.until("the narrow event", |seen| seen.kind == "alert_decided");
    assert!(seen.iter().all(|seen| seen.data["serverInstanceNo"] == "91000003"), "{seen:?}");

    let rows = audit(&service);
    let mut again = Stream::open(&service, "?after=0", None);
    let last = rows.last().unwrap()["seq"].as_i64().unwrap();
    let told = again.until("the last row", |seen| seen.id >= last);
    for (seen, row) in told.iter().zip(&rows) {
        assert_eq!((&seen.data, &seen.kind), (row, &row["kind"].as_str().unwrap().to_owned()));
        assert_eq!(seen.id, row["seq"].as_i64().unwrap());
    }
    assert_eq!(told.len(), rows.len());

    for (query, says) in [
        ("?after=999999999", "the newest place is"),
        ("?after=-1", "after: expected a number"),
        ("?kind=,", "kind: expected 1 to 32"),
        ("?since=1", "since: unknown"),
    ] {
        let answer = Stream::try_open(&service, VIEWER, query, None).err().unwrap();
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(says), "{query}: {answer}");
    }
}

#[test]
fn a_stream_is_resumed_across_kills_without_a_gap_and_nothing_comes_twice() {
    let cloud = Cloud::start(fleet(20));
    let (site, _) = site(&cloud, "");
    let mut seen: Vec<Seen> = Vec::new();
    let mut place = 0;
    for life in 0..4 {
        let service = site.start();
        // Once by the header and once by the address; a header wins over the address that is repeated.
        let mut stream = match life {
            0 => Stream::open(&service, "", Some(0)),
            1 => Stream::open(&service, &format!("?after={place}"), None),
            _ => Stream::open(&service, "?after=0", Some(place)),
        };
        std::thread::scope(|scope| {
            let sending = scope
                .spawn(|| (0..40).map(|number| deliver(&service, life * 40 + number)).collect::<Vec<_>>());
            // Killed in the middle of the reading, with more committed than was read.
            seen.extend(stream.until("ten decisions", |one| one.data["seq"].as_i64() > Some(place + 10)));
            sending.join().unwrap();
            service.kill();
        });
        seen.extend(std::iter::from_fn(|| Some(stream.read()).filter(|more| !more.is_empty())).flatten());
        place = stream.place;
    }
    let service = site.start();
    let rows = audit(&service);
    let last = rows.last().unwrap()["seq"].as_i64().unwrap();
    let mut stream = Stream::open(&service, "", Some(place));
    seen.extend(stream.until("the last row", |one| one.id >= last));
    let ids: Vec<i64> = seen.iter().map(|one| one.id).take_while(|id| *id <= last).collect();
    let expected: Vec<i64> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
    assert_eq!(ids, expected);
}

#[test]
fn two_hundred_streams_stay_whole_while_deliveries_come_and_end_at_a_stop() {
    const STREAMS: usize = 200;
    let cloud = Cloud::start(fleet(20));
    // One thread reads them all, one after the other: the later ones wait.
    let (site, _) = site(&cloud, &format!("streams_max = {STREAMS}\nwrite_timeout = \"10m\""));
    let service = site.start();
    service.wait_for_inventory(20);
    let open = |token: &str| Stream::try_open(&service, token, "", Some(0));
    let mut streams: Vec<Stream> = (0..STREAMS / 2).map(|_| open(VIEWER).unwrap()).collect();

    let refused = open(VIEWER).err().unwrap();
    assert!(
        refused.starts_with("HTTP/1.1 429") && refused.contains("at most 100 event streams"),
        "{refused}"
    );
    streams.extend((0..STREAMS / 2).map(|_| open(LEAD).unwrap()));
    let refused = open(OPERATOR).err().unwrap();
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("too_many_streams"), "{refused}");
    assert!(refused.to_ascii_lowercase().contains("retry-after"), "{refused}");
    drop(streams.pop());
    let last = eventually("the place of a stream that was closed", || {
        deliver(&service, 7);
        open(OPERATOR).ok()
    });
    streams.push(last);

    std::thread::scope(|scope| {
        for thread in 0..4 {
            let service = &service;
            scope.spawn(move || (0..50).for_each(|number| drop(deliver(service, thread * 50 + number))));
        }
    });
    let rows = audit(&service);
    let last = rows.last().unwrap()["seq"].as_i64().unwrap();
    for stream in &mut streams {
        let seen = stream.until("the last row", |one| one.id >= last);
        let ids: Vec<i64> = seen.iter().map(|one| one.id).take_while(|id| *id <= last).collect();
        assert_eq!(ids.len(), rows.len());
        assert!(ids.windows(2).all(|two| two[1] == two[0] + 1), "{ids:?}");
    }
    let (code, took) = service.stop();
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(2), "the stop took {took:?}");
    assert!(streams.iter_mut().all(Stream::is_over));
}

#[test]
fn who_reads_nothing_is_cut_off_and_delays_nobody() {
    let cloud = Cloud::start(fleet(20));
    let (site, _) = site(&cloud, "streams_max = 3\nwrite_timeout = \"2s\"");
    let service = site.start();
    service.wait_for_inventory(20);
    // More than the buffers of a connection hold.
    for number in 0..12 {
        let alerts: Vec<Value> = (0..200).map(|_| alert("91000001", "firing", &now_text())).collect();
        let (status, answer) = service.deliver(&delivery(&alerts, &format!("many {number}"))).unwrap();
        assert_eq!(status, 202, "{answer}");
    }
    let idle = Stream::open(&service, "?after=0", None);
    let mut reads = Stream::open(&service, "", None);
    let begun = Instant::now();
    let third = eventually("the place of the one who reads nothing", || {
        deliver(&service, 3);
        reads.read();
        Stream::try_open(&service, VIEWER, "", None).ok()
    });
    assert!(begun.elapsed() < Duration::from_secs(20), "cut off after {:?}", begun.elapsed());
    let id = deliver(&service, 4);
    reads.until("the other's event", |seen| seen.data["deliveryId"] == *id);
    drop((idle, third));
}

#[test]
fn a_stream_ends_when_its_token_is_taken_away() {
    let cloud = Cloud::start(fleet(1));
    let (site, settings) = site(&cloud, "");
    let service = site.start();
    let mut stream = Stream::open(&service, "", None);
    site.write(&settings);
    let text = std::fs::read_to_string(&site.config).unwrap();
    std::fs::write(
        &site.config,
        text.replace("name = \"looker\"", "name = \"gone\"")
            .replace(&hex::encode(<sha2::Sha256 as sha2::Digest>::digest(VIEWER)), &"0".repeat(64)),
    )
    .unwrap();
    let pid = service.pid().to_string();
    assert!(std::process::Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    eventually("the end of the stream", || stream.is_over().then_some(()));
}
