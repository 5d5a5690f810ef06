//! Tests only: a peer on loopback that is told exchange by exchange what to do.
//!
//! Never: sleeps to be in step; what it does is awaited together with the call under test.

use std::io::ErrorKind;

use jiff::SignedDuration;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::config::{CallMethod, CloudConfig, DateRule, ResponseFormat};
use crate::domain::server::RegionCode;

pub(super) struct Peer {
    listener: TcpListener,
}

/// A request as it came over the wire.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<String>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}: ");
        self.headers.iter().find_map(|h| h.strip_prefix(&prefix)).unwrap_or("")
    }

    pub(super) fn path_and_query(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

impl Peer {
    pub(super) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(super) fn config(&self) -> CloudConfig {
        CloudConfig {
            endpoint: format!("http://{}", self.listener.local_addr().unwrap()),
            region: RegionCode::parse("KR").unwrap(),
            method: CallMethod::Post,
            response_format: ResponseFormat::Json,
            access_key: SecretString::from("EXAMPLE-ACCESS-KEY-0001"),
            secret_key: SecretString::from("example-secret-key-do-not-use-000000001"),
            timeout: SignedDuration::from_secs(2),
            read_timeout: SignedDuration::from_secs(2),
            reads_per_second: 1_000,
            clock_skew_max: SignedDuration::from_secs(60),
            insight_endpoint: None,
            tracer: None,
            server_role: None,
            date: DateRule::Required,
        }
    }

    pub(super) async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }

    /// Accepts, reads one request, writes the answer, and waits until the client has closed. Panics if the
    /// client says anything more on the connection.
    pub(super) async fn answer(&self, answer: impl AsRef<[u8]>) -> Seen {
        let mut stream = self.accept().await;
        let seen = read_request(&mut stream).await;
        stream.write_all(answer.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest).await {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        assert!(rest.is_empty(), "{rest:?}");
        seen
    }

    /// Nobody else has connected.
    pub(super) fn assert_no_more_connections(self) {
        let listener = self.listener.into_std().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

pub(super) async fn read_request(stream: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let head_end = loop {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "closed in the head");
        bytes.extend_from_slice(&buffer[..n]);
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.lines().map(str::to_owned);
    let mut seen = Seen { line: lines.next().unwrap(), headers: lines.collect(), body: String::new() };
    let length: usize = seen.header("content-length").parse().unwrap_or(0);
    let mut body = bytes[head_end + 4..].to_vec();
    while body.len() < length {
        let n = stream.read_buf(&mut body).await.unwrap();
        assert!(n > 0, "closed in the body");
    }
    seen.body = String::from_utf8(body).unwrap();
    seen
}

/// An answer as text.
pub(super) fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

pub(super) fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/samples/ncloud/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
