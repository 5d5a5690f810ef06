//! Wire: HTTP/1.1 requests in, with a limit on everything, and the parts of an answer.
//!
//! A hand-made reader, because a server library would not let the answer be cut, dripped or reset.
//!
//! Never: knows what an action is.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest request line and headers together, and longest body.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// One request, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query exactly as sent: these bytes are signed.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) keep_alive: bool,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why no request came out of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The peer went away; nobody is left to answer.
    Gone,
    Malformed,
    HeadTooLarge,
    BodyTooLarge,
}

/// An answer, before anything is done to spoil it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn new(status: u16, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Status line and headers. Without `length` the end of the connection ends the body.
    pub(crate) fn head(&self, date: &str, length: Option<usize>, keep_alive: bool) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\nDate: {date}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        if let Some(length) = length {
            head.push_str("Content-Length: ");
            head.push_str(&length.to_string());
            head.push_str("\r\n");
        }
        head.push_str(if keep_alive {
            "Connection: keep-alive\r\n\r\n"
        } else {
            "Connection: close\r\n\r\n"
        });
        head.into_bytes()
    }
}

/// Reads the next request. Bytes of a following request stay in `buffer`.
pub(crate) async fn read_request(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Request, Unreadable> {
    let mut searched = 0;
    let head_length = loop {
        if let Some(end) = end_of_head(buffer, searched) {
            break end;
        }
        if buffer.len() > HEAD_BYTES_MAX {
            return Err(Unreadable::HeadTooLarge);
        }
        searched = buffer.len().saturating_sub(3);
        read_more(stream, buffer).await?;
    };
    if head_length > HEAD_BYTES_MAX {
        return Err(Unreadable::HeadTooLarge);
    }
    let head: Vec<u8> = buffer.drain(..head_length).collect();
    let mut request = parse_head(&head).ok_or(Unreadable::Malformed)?;
    if request.header("transfer-encoding").is_some() {
        return Err(Unreadable::Malformed);
    }
    let length = match request.header("content-length") {
        None => 0,
        Some(digits) => digits.parse::<usize>().ok().ok_or(Unreadable::Malformed)?,
    };
    if length > BODY_BYTES_MAX {
        return Err(Unreadable::BodyTooLarge);
    }
    while buffer.len() < length {
        read_more(stream, buffer).await?;
    }
    request.body = buffer.drain(..length).collect();
    Ok(request)
}

async fn read_more(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<(), Unreadable> {
    match stream.read_buf(buffer).await {
        Ok(0) | Err(_) => Err(Unreadable::Gone),
        Ok(_) => Ok(()),
    }
}

fn end_of_head(buffer: &[u8], from: usize) -> Option<usize> {
    let tail = buffer.get(from..)?;
    let at = tail.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some(from.saturating_add(at).saturating_add(4))
}

fn parse_head(head: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let known_version = matches!(version, "HTTP/1.1" | "HTTP/1.0");
    if words.next().is_some() || method.is_empty() || !target.starts_with('/') || !known_version {
        return None;
    }
    let mut headers = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request {
        method: method.to_owned(),
        target: target.to_owned(),
        headers,
        body: Vec::new(),
        keep_alive: false,
    };
    let closing = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    request.keep_alive = version == "HTTP/1.1" && !closing;
    Some(request)
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Request, Unreadable> {
        let mut stream = bytes;
        read_request(&mut stream, &mut Vec::new()).await
    }

    #[tokio::test]
    async fn a_form_post_is_read_with_its_exact_target() {
        let request =
            read(b"POST /a/b?x=%20&y HTTP/1.1\r\nhost: h\r\nContent-Length: 3\r\n\r\na=1GET").await.unwrap();
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a/b?x=%20&y"));
        assert_eq!((request.path(), request.query()), ("/a/b", Some("x=%20&y")));
        assert_eq!(request.body, b"a=1");
        assert!(request.keep_alive);
    }

    #[tokio::test]
    async fn what_is_not_http_or_too_long_is_named() {
        assert_eq!(read(b"").await.unwrap_err(), Unreadable::Gone);
        assert_eq!(read(b"\x16\x03\x01 \r\n\r\n").await.unwrap_err(), Unreadable::Malformed);
        assert_eq!(read(&vec![b'a'; HEAD_BYTES_MAX + 2]).await.unwrap_err(), Unreadable::HeadTooLarge);
        let long_body = b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n";
        assert_eq!(read(long_body).await.unwrap_err(), Unreadable::BodyTooLarge);
    }
}
