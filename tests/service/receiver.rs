//! A receiver of messages on loopback: takes what is posted, remembers it, and misbehaves on demand.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::eventually;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 200.
    Take,
    /// This status.
    Answer(u16),
    /// 422 for a body that holds this word, 200 for any other.
    Refuse(&'static str),
    /// Reads everything and never says a word.
    Never,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
    /// It was answered 200.
    pub(crate) taken: bool,
}

impl Post {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// `proposed` of `unhang.proposed`.
    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap_or_default().trim_start_matches("unhang.").to_owned()
    }
}

/// A running receiver. Its threads end with it.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) addr: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    mode: Arc<Mutex<Mode>>,
    gone: Arc<AtomicBool>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _nobody_home = TcpStream::connect(self.addr);
    }
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap())
    }

    /// Listens at an address, which may be that of one that has gone.
    pub(crate) fn at(addr: SocketAddr) -> Self {
        let listener = eventually("the port", || TcpListener::bind(addr).ok());
        let receiver = Self {
            addr: listener.local_addr().unwrap(),
            posts: Arc::default(),
            mode: Arc::new(Mutex::new(Mode::Take)),
            gone: Arc::default(),
        };
        let (posts, mode, gone) =
            (Arc::clone(&receiver.posts), Arc::clone(&receiver.mode), Arc::clone(&receiver.gone));
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if gone.load(Ordering::Relaxed) {
                    return;
                }
                let (posts, mode) = (Arc::clone(&posts), Arc::clone(&mode));
                std::thread::spawn(move || serve(&stream, &posts, &mode));
            }
        });
        receiver
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) fn behave(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(crate) fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// Kinds of what was taken, in their order.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.posts().iter().filter(|post| post.taken).map(Post::kind).collect()
    }

    /// Waits for a message that was taken.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&Post) -> bool) -> Post {
        eventually(&format!("the message {what}"), || {
            self.posts().into_iter().find(|post| post.taken && wanted(post))
        })
    }

    /// Waits for a message of a kind.
    pub(crate) fn wait_for_kind(&self, kind: &str) -> Post {
        self.wait_for(kind, |post| post.kind() == kind)
    }
}

fn serve(stream: &TcpStream, posts: &Mutex<Vec<Post>>, mode: &Mutex<Mode>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut bytes = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut bytes).ok()?;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    let mode = match *mode.lock().unwrap() {
        Mode::Refuse(word) if body.contains(word) => Mode::Answer(422),
        Mode::Refuse(_) => Mode::Take,
        other @ (Mode::Take | Mode::Answer(_) | Mode::Never) => other,
    };
    let post = Post { path, headers, body, bytes, taken: mode == Mode::Take };
    posts.lock().unwrap().push(post);
    let status = match mode {
        Mode::Take | Mode::Refuse(_) => 200,
        Mode::Answer(status) => status,
        Mode::Never => {
            // Until the other side gives up.
            let _end = reader.read(&mut [0]);
            return None;
        }
    };
    let answer = format!("HTTP/1.1 {status} Word\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    let mut stream = stream;
    stream.write_all(answer.as_bytes()).ok()
}
