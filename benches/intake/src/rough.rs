//! Rough: senders that behave badly: too slowly, or deaf, or far too much at once.
//!
//! Never: gives up before the service does, within a bound.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::load::{Tally, delivery_id};
use crate::payload::Request;
use crate::wire::{Wire, find};

/// A slow sender waits so long for an answer when all of it is sent.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// What is left of the answers is read for so long.
const READ_FOR: Duration = Duration::from_secs(3);
/// What a deaf sender's system takes for it, in bytes: little, so that the service notices soon.
const RECEIVE: u32 = 4096;

/// What a sender got in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// 202 and an id.
    Accepted(u128),
    /// Another status.
    Status(u16),
    /// The connection was closed without an answer.
    Closed,
    /// Nothing came.
    Nothing,
}

impl End {
    /// As people say it.
    pub(crate) fn word(self) -> String {
        match self {
            Self::Accepted(_) => "202".to_owned(),
            Self::Status(status) => status.to_string(),
            Self::Closed => "closed without an answer".to_owned(),
            Self::Nothing => "no answer".to_owned(),
        }
    }
}

/// Sends the body in so many bytes at a time, with a rest between; gives what came of it and when.
pub(crate) async fn drip(addr: SocketAddr, request: &Request, piece: usize, rest: Duration) -> (End, f64) {
    let begun = Instant::now();
    let Ok(mut wire) = Wire::connect(addr).await else { return (End::Closed, 0.0) };
    let (head, body) = request.bytes().split_at(request.head());
    let mut sent = wire.send(head).await.is_ok();
    for piece in body.chunks(piece) {
        // An answer that comes early is the end of it.
        if !sent || wire.readable(rest).await {
            break;
        }
        sent = wire.send(piece).await.is_ok();
    }
    let end = match tokio::time::timeout(ANSWER_WITHIN, wire.answer()).await {
        Err(_elapsed) => End::Nothing,
        Ok(Err(_closed)) => End::Closed,
        Ok(Ok(answer)) if answer.status == 202 => {
            delivery_id(answer.body).map_or(End::Status(answer.status), End::Accepted)
        }
        Ok(Ok(answer)) => End::Status(answer.status),
    };
    (end, begun.elapsed().as_secs_f64())
}

/// What came of a sender that did not read.
#[derive(Debug, Default)]
pub(crate) struct Deaf {
    /// Requests that the system took from it.
    pub(crate) sent: u64,
    /// Seconds until the service cut it off; NaN where it did not.
    pub(crate) cut_off: f64,
    /// Acceptances that lay unread, read at the end.
    pub(crate) tally: Tally,
}

/// Sends requests one after the other, reads nothing for so long, and then what is left.
pub(crate) async fn deaf(addr: SocketAddr, mut request: Request, time: Duration) -> Deaf {
    let (begun, mut deaf) = (Instant::now(), Deaf { cut_off: f64::NAN, ..Deaf::default() });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(RECEIVE).unwrap();
    let Ok(mut stream) = socket.connect(addr).await else { return deaf };
    let sending = async {
        while let Some(bytes) = request.next() {
            if stream.write_all(bytes).await.is_err() {
                deaf.cut_off = begun.elapsed().as_secs_f64();
                return;
            }
            deaf.sent += 1;
        }
    };
    tokio::time::timeout(time, sending).await.ok();
    let mut left = Vec::new();
    // What was not read when it was cut off is gone with the connection.
    tokio::time::timeout(READ_FOR, stream.read_to_end(&mut left)).await.ok();
    let mut rest = left.as_slice();
    while let Some(at) = find(rest, b"\"deliveryId\":\"") {
        if let Some(id) = delivery_id(&rest[at..]) {
            deaf.tally.accept(id, 1);
        }
        rest = &rest[at + 1..];
    }
    deaf
}

/// Sends what may be refused before it is all there, and reads meanwhile; gives what came of it and when.
pub(crate) async fn huge(addr: SocketAddr, bytes: &[u8]) -> (End, f64) {
    let begun = Instant::now();
    let Ok(stream) = TcpStream::connect(addr).await else { return (End::Closed, 0.0) };
    let (mut reader, mut writer) = stream.into_split();
    let reading = async {
        let mut answer = Vec::new();
        loop {
            if let Some(end) = whole(&answer) {
                return end;
            }
            match reader.read_buf(&mut answer).await {
                Ok(0) | Err(_) => return End::Closed,
                Ok(_) => {}
            }
        }
    };
    let writing = async {
        writer.write_all(bytes).await.ok();
        std::future::pending::<()>().await;
    };
    let end = tokio::select! {
        end = reading => end,
        () = writing => End::Nothing,
        () = tokio::time::sleep(Duration::from_mins(1)) => End::Nothing,
    };
    (end, begun.elapsed().as_secs_f64())
}

/// What an answer says, when enough of it is there.
fn whole(answer: &[u8]) -> Option<End> {
    let head = find(answer, b"\r\n\r\n")?;
    let status: u16 = std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()?;
    if status == 202 { delivery_id(&answer[head..]).map(End::Accepted) } else { Some(End::Status(status)) }
}

/// The same request with a body that does not say how long it is.
pub(crate) fn chunked(request: &Request) -> Vec<u8> {
    let (head, body) = request.bytes().split_at(request.head());
    let head = std::str::from_utf8(head).unwrap();
    let head: Vec<&str> = head.split("\r\n").filter(|line| !line.starts_with("content-length")).collect();
    let mut bytes = head.join("\r\n").replacen("\r\n", "\r\ntransfer-encoding: chunked\r\n", 1).into_bytes();
    for piece in body.chunks(64 * 1024) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
