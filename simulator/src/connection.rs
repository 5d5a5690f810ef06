//! Connection: accepts peers and carries requests and replies, in order or deliberately not.
//!
//! Never: decides what an answer says.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cloud::Cloud;
use crate::document::Format;
use crate::gateway::Denial;
use crate::performance::Reply;
use crate::records::{self, Record};
use crate::wire::{Answer, Request, Unreadable, read_request};
use crate::{actions, clock, control};

/// Connections served at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 1024;
/// How long a connection may take over its next request.
const REQUEST_WAIT_MAX: Duration = Duration::from_mins(1);
/// How long a peer may take to read an answer.
const WRITE_WAIT_MAX: Duration = Duration::from_mins(1);
/// Length of an oversize body.
const OVERSIZE_BYTES: usize = 10 * 1024 * 1024;
/// A dripped body ends here, whole or not.
const DRIP_MAX: Duration = Duration::from_mins(10);
/// Bytes that are not HTTP: the beginning of a TLS alert, and worse.
const NOISE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x46 *** line noise ***\r\n\r\n\0\xff";
/// Pause after a failed accept, mostly for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, cloud: Arc<Cloud>) {
    let mut peers = JoinSet::new();
    loop {
        while peers.try_join_next().is_some() {}
        if peers.len() >= CONNECTIONS_MAX {
            peers.join_next().await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let cloud = Arc::clone(&cloud);
                peers.spawn(async move {
                    if let Err(error) = converse(stream, &cloud).await {
                        tracing::debug!(%error, "simulator: a connection ended early");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "simulator: cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(mut stream: TcpStream, cloud: &Cloud) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(2048);
    loop {
        let read = timeout(REQUEST_WAIT_MAX, read_request(&mut stream, &mut buffer)).await;
        let request = match read {
            Err(_) | Ok(Err(Unreadable::Gone)) => return Ok(()),
            Ok(Err(unreadable)) => return turn_away(&mut stream, cloud, &unreadable).await,
            Ok(Ok(request)) => request,
        };
        let reply = reply_to(cloud, &request).await;
        if !deliver(&mut stream, cloud, reply, request.keep_alive).await? {
            return Ok(());
        }
    }
}

async fn reply_to(cloud: &Cloud, request: &Request) -> Reply {
    let path = request.path();
    if path == "/" || path.starts_with("/_simulator/") {
        return Reply::Whole(control::answer(cloud, request));
    }
    if let Some(record) = Record::at(path) {
        return records::answer(cloud, record, request).await;
    }
    actions::answer(cloud, request).await
}

async fn turn_away(stream: &mut TcpStream, cloud: &Cloud, unreadable: &Unreadable) -> io::Result<()> {
    let answer = match unreadable {
        Unreadable::Gone => return Ok(()),
        Unreadable::Malformed => Denial::BadRequest.answer(Format::Json),
        Unreadable::HeadTooLarge => Answer { status: 431, ..Denial::TooLarge.answer(Format::Json) },
        Unreadable::BodyTooLarge => Denial::TooLarge.answer(Format::Json),
    };
    deliver(stream, cloud, Reply::Whole(answer), false).await.map(drop)
}

/// Carries out a reply; says whether the connection can take another request.
async fn deliver(stream: &mut TcpStream, cloud: &Cloud, reply: Reply, keep_alive: bool) -> io::Result<bool> {
    let date = || clock::http_date(cloud.now_ms());
    match reply {
        Reply::Whole(answer) => {
            let mut bytes = answer.head(&date(), Some(answer.body.len()), keep_alive);
            bytes.extend_from_slice(&answer.body);
            write(stream, &bytes).await?;
            return Ok(keep_alive);
        }
        Reply::Truncated(answer) => {
            let mut bytes = answer.head(&date(), Some(answer.body.len()), false);
            bytes.extend(answer.body.iter().take(answer.body.len() / 2));
            write(stream, &bytes).await?;
        }
        Reply::Oversize(answer) => {
            let mut bytes = answer.head(&date(), None, false);
            let blanks = OVERSIZE_BYTES.saturating_sub(answer.body.len());
            bytes.extend_from_slice(&answer.body);
            bytes.resize(bytes.len().saturating_add(blanks), b' ');
            write(stream, &bytes).await?;
        }
        Reply::Dripped(answer, bytes_per_second) => {
            let head = answer.head(&date(), Some(answer.body.len()), false);
            write(stream, &head).await?;
            drip(stream, &answer.body, bytes_per_second).await?;
        }
        Reply::Close => {}
        Reply::Reset => {
            stream.set_zero_linger()?;
            return Ok(false);
        }
        Reply::Stall { ms } => sleep(Duration::from_millis(ms)).await,
        Reply::Garbage => write(stream, NOISE).await?,
    }
    stream.shutdown().await?;
    Ok(false)
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    timeout(WRITE_WAIT_MAX, stream.write_all(bytes)).await.map_err(io::Error::from)?
}

/// Sends a body at its pace: single bytes when slow, tenths of a second when fast.
async fn drip(stream: &mut TcpStream, body: &[u8], bytes_per_second: u64) -> io::Result<()> {
    let pace = bytes_per_second.max(1);
    let (piece, pause_ms) = if pace < 10 { (1, 1000 / pace) } else { (pace / 10, 100) };
    let piece = usize::try_from(piece).unwrap_or(usize::MAX);
    let pieces = async {
        for part in body.chunks(piece) {
            write(stream, part).await?;
            sleep(Duration::from_millis(pause_ms)).await;
        }
        Ok(())
    };
    timeout(DRIP_MAX, pieces).await.unwrap_or(Ok(()))
}
