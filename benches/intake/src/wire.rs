//! Wire: HTTP/1.1 over one kept connection, with as little work as it takes.
//!
//! Never: understands more of HTTP than status, length and chunks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer; the texts lie in the connection's buffer.
#[derive(Debug)]
pub(crate) struct Answer<'w> {
    pub(crate) status: u16,
    pub(crate) head: &'w [u8],
    pub(crate) body: &'w [u8],
    /// The peer closes after this one.
    pub(crate) last: bool,
}

fn broken(what: &'static str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

/// Where `wanted` begins.
pub(crate) fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The value of a header, by its name in lower case.
pub(crate) fn header<'h>(head: &'h [u8], name: &str) -> Option<&'h str> {
    let text = std::str::from_utf8(head).ok()?;
    text.split("\r\n").find_map(|line| {
        let (given, value) = line.split_once(':')?;
        given.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Wire {
    pub(crate) async fn connect(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024) })
    }

    /// Sends bytes; what is answered is read by others, or by nobody.
    pub(crate) async fn send(&mut self, request: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(request).await
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> std::io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// Waits for something to read, or the end of the connection; whether it came in time.
    pub(crate) async fn readable(&self, within: Duration) -> bool {
        tokio::time::timeout(within, self.stream.readable()).await.is_ok()
    }

    /// Reads the answer to what was sent.
    pub(crate) async fn answer(&mut self) -> std::io::Result<Answer<'_>> {
        self.buffer.clear();
        let head = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let status = self.buffer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        let status: u16 = status.ok_or_else(|| broken("no status"))?;
        let lines = &self.buffer[..head];
        let last = header(lines, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if header(lines, "transfer-encoding").is_some() {
            while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                self.more().await?;
            }
        } else {
            let length = header(lines, "content-length").and_then(|length| length.parse::<usize>().ok());
            let end = head + length.unwrap_or(0);
            while self.buffer.len() < end {
                self.more().await?;
            }
        }
        Ok(Answer { status, head: &self.buffer[..head], body: &self.buffer[head..], last })
    }

    async fn more(&mut self) -> std::io::Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}
