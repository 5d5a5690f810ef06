//! Payload: requests as senders make them, rewritten in place before each sending, so that no two bodies are alike.
//!
//! Never: allocates per request; the generator shares the machine with what it measures.

use std::cell::Cell;
use std::rc::Rc;

/// First server of the made-up fleet; numbers have eight digits.
pub(crate) const FIRST_SERVER: u32 = 91_000_000;

/// Servers of one region: as many as the service reads of it.
pub(crate) const PER_REGION: u32 = 20_000;

/// The region of a server of the fleet, by its place.
pub(crate) fn region_of(server: u32) -> [u8; 2] {
    [b'K', if server < PER_REGION { b'R' } else { b'0' + (server / PER_REGION) as u8 }]
}

const STAMP: &str = "~STAMP~~~~~~";
const SERVER: &str = "~SERVER~";
const PRINT: &str = "~~~~~~PRINT~~~~~";
const REGION: &str = "~R";

/// Which servers the alerts of a request name.
#[derive(Debug, Clone)]
pub(crate) enum Subjects {
    /// Servers of a range, over and over.
    Known { of: u32, next: u32 },
    /// Each server once, shared by all connections.
    New { next: Rc<Cell<u32>>, end: u32 },
}

impl Subjects {
    fn take(&mut self) -> Option<u32> {
        match self {
            Self::Known { of, next } => {
                let server = *next % *of;
                *next = (server + 1) % *of;
                Some(server)
            }
            Self::New { next, end } => {
                let server = next.get();
                (server < *end).then(|| {
                    next.set(server + 1);
                    server
                })
            }
        }
    }
}

/// What a contestant wants to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Alertmanager's webhook body, version 4.
    Webhook,
    /// What Prometheus posts to Alertmanager: the same alerts without the envelope.
    Prometheus,
}

/// One connection's request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    stamps: Vec<usize>,
    servers: Vec<usize>,
    prints: Vec<usize>,
    regions: Vec<usize>,
    alerts: usize,
    subjects: Subjects,
    stamp: Rc<Cell<u64>>,
    frozen: bool,
    left: usize,
}

impl Request {
    /// A request of `alerts` alerts to `path`. `headers` are whole lines, each with its line end.
    pub(crate) fn new(
        form: Form,
        path: &str,
        headers: &str,
        alerts: usize,
        subjects: Subjects,
        stamp: Rc<Cell<u64>>,
    ) -> Self {
        let body = body(form, alerts);
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = (head + &body).into_bytes();
        let (stamps, servers, prints) =
            (places(&bytes, STAMP), places(&bytes, SERVER), places(&bytes, PRINT));
        let regions = places(&bytes, REGION);
        let (frozen, left) = (false, usize::MAX);
        Self { bytes, stamps, servers, prints, regions, alerts, subjects, stamp, frozen, left }
    }

    /// Sends the same bytes from now on: for contestants whose signature is over the body, and who remember nothing.
    pub(crate) fn freeze(mut self, sign: impl FnOnce(&[u8]) -> String) -> Self {
        self.rewrite();
        let text = String::from_utf8(self.bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        self.bytes = format!("{head}\r\n{}\r\n\r\n{body}", sign(body.as_bytes())).into_bytes();
        self.frozen = true;
        self
    }

    /// Alerts in each request.
    pub(crate) fn alerts(&self) -> usize {
        self.alerts
    }

    /// Ends after so many requests.
    pub(crate) fn end_after(&mut self, requests: usize) {
        self.left = requests;
    }

    /// The next request; none when it was the last, or there is no new server left.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        self.left = self.left.checked_sub(1)?;
        if self.frozen || self.rewrite() { Some(&self.bytes) } else { None }
    }

    /// Where the body begins.
    pub(crate) fn head(&self) -> usize {
        crate::wire::find(&self.bytes, b"\r\n\r\n").map_or(0, |end| end + 4)
    }

    /// The bytes as they were last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn rewrite(&mut self) -> bool {
        let (servers, prints) = (self.servers.len() / self.alerts, self.prints.len() / self.alerts);
        for n in 0..self.alerts {
            let Some(server) = self.subjects.take() else { return false };
            let stamp = self.stamp.get();
            self.stamp.set(stamp + 1);
            digits(&mut self.bytes, self.stamps[n], STAMP.len(), stamp);
            let place = self.regions[n];
            self.bytes[place..place + REGION.len()].copy_from_slice(&region_of(server));
            for place in &self.servers[n * servers..(n + 1) * servers] {
                digits(&mut self.bytes, *place, SERVER.len(), u64::from(FIRST_SERVER + server));
            }
            for place in &self.prints[n * prints..(n + 1) * prints] {
                digits(&mut self.bytes, *place, PRINT.len(), u64::from(server) + 1_000_000);
            }
        }
        true
    }
}

fn digits(bytes: &mut [u8], place: usize, width: usize, mut number: u64) {
    for at in (place..place + width).rev() {
        bytes[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn places(bytes: &[u8], mark: &str) -> Vec<usize> {
    let mark = mark.as_bytes();
    bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark).map(|(at, _)| at).collect()
}

/// The labels that all alerts of a group share.
const SHARED: &str = r#""alertname":"WindowsVmHung","env":"prod","job":"blackbox-icmp","severity":"critical","team":"platform-windows""#;

fn body(form: Form, alerts: usize) -> String {
    let all: Vec<String> = (0..alerts).map(|_| alert(form)).collect();
    let all = all.join(",");
    match form {
        Form::Prometheus => format!("[{all}]"),
        Form::Webhook => format!(
            r#"{{"receiver":"unhang","status":"firing","alerts":[{all}],"groupLabels":{{"alertname":"WindowsVmHung"}},"commonLabels":{{{SHARED}}},"commonAnnotations":{{"runbook_url":"https://runbooks.bench.example/windows/hung-vm"}},"externalURL":"http://alertmanager.bench.example:9093","version":"4","groupKey":"{{}}/{{severity=\"critical\"}}:{{alertname=\"WindowsVmHung\"}}","truncatedAlerts":0}}"#
        ),
    }
}

fn alert(form: Form) -> String {
    let labels = format!(
        r#"{{{SHARED},"instance":"win-{SERVER}.prod.bench.example:9182","region":"{REGION}","server_instance_no":"{SERVER}"}}"#
    );
    let annotations = format!(
        r#"{{"description":"No answer to ICMP and RDP from win-{SERVER} for 5 minutes; the hypervisor says RUN","runbook_url":"https://runbooks.bench.example/windows/hung-vm","summary":"win-{SERVER} hangs","value":"{STAMP}"}}"#
    );
    let common = format!(
        r#""labels":{labels},"annotations":{annotations},"startsAt":"{}","generatorURL":"http://prometheus.bench.example:9090/graph?g0.expr=probe_success+%3D%3D+0&g0.tab=1""#,
        starts_at()
    );
    match form {
        Form::Prometheus => format!("{{{common}}}"),
        Form::Webhook => {
            format!(
                r#"{{"status":"firing",{common},"endsAt":"0001-01-01T00:00:00Z","fingerprint":"{PRINT}"}}"#
            )
        }
    }
}

/// All alerts began when the program did: what is old is not acted upon.
fn starts_at() -> String {
    static BEGUN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BEGUN.get_or_init(|| format!("{:.3}", crate::machine::wall())).clone()
}
