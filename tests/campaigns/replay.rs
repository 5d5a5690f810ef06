//! Playing a recorded run back up to any point, with what a power loss may leave: everything that was synced, and of the
//! rest nothing, all, a beginning, any part, or a torn piece.

use std::collections::BTreeMap;
use std::path::Path;

use crate::story::Dice;

/// One thing that the process did, in order.
#[derive(Debug)]
enum Step {
    Write {
        file: String,
        at: usize,
        bytes: Vec<u8>,
    },
    Cut {
        file: String,
        size: usize,
    },
    Remove {
        file: String,
    },
    /// Only what was synced is put in the place of something.
    Move {
        file: String,
        to: String,
    },
    SyncBegins {
        file: String,
    },
    SyncDone {
        file: String,
    },
    /// A delivery was promised.
    Promise,
    /// An interrupt left: server and signed time.
    Request,
}

/// A run as it was recorded.
#[derive(Debug)]
pub(crate) struct Recording {
    steps: Vec<Step>,
    pub(crate) promises: Vec<String>,
    pub(crate) requests: Vec<(String, String)>,
}

/// What is on the disk after a power loss, and what had been promised and asked for before it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) promises: usize,
    pub(crate) requests: usize,
    pub(crate) how: String,
    /// Steps of the run that had been made.
    pub(crate) point: usize,
}

fn between<'t>(text: &'t str, before: &str, after: char) -> Option<&'t str> {
    text.split_once(before)?.1.split(after).next()
}

impl Recording {
    /// Reads what the library recorded; the format is that of `record` in `shim.c`.
    pub(crate) fn read(path: &Path) -> Self {
        let log = std::fs::read(path).unwrap();
        let mut this = Self { steps: Vec::new(), promises: Vec::new(), requests: Vec::new() };
        let number = |at: usize| u64::from_ne_bytes(log[at..at + 8].try_into().unwrap());
        let mut at = 0;
        while at < log.len() {
            let (kind, name) = (log[at], usize::from(log[at + 1]));
            let (offset, size) = (number(at + 2), usize::try_from(number(at + 10)).unwrap());
            at += 18;
            let file = String::from_utf8_lossy(&log[at..at + name]).into_owned();
            at += name;
            let has_bytes = matches!(kind, b'W' | b'A' | b'Q' | b'M');
            let bytes = &log[at..at + if has_bytes { size } else { 0 }];
            at += bytes.len();
            let offset = usize::try_from(offset).unwrap();
            this.add(kind, file, offset, bytes);
        }
        this
    }

    fn add(&mut self, kind: u8, file: String, offset: usize, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        // The lock is not part of what is kept.
        let step = match kind {
            _ if file.strip_suffix(".lock").is_some() => return,
            b'W' => Step::Write { file, at: offset, bytes: bytes.to_vec() },
            b'T' => Step::Cut { file, size: offset },
            b'U' => Step::Remove { file },
            b'M' => Step::Move { file, to: text.into_owned() },
            b's' => Step::SyncBegins { file },
            b'S' => Step::SyncDone { file },
            b'A' if text.starts_with("HTTP/1.1 202") => {
                let id = between(&text, "\"deliveryId\":\"", '"').unwrap().to_owned();
                self.promises.push(id);
                Step::Promise
            }
            b'Q' => {
                let server = between(&text, "serverInstanceNo=", '&').unwrap().to_owned();
                let signed = between(&text, "x-ncp-apigw-timestamp: ", '\r').unwrap().to_owned();
                self.requests.push((server, signed));
                Step::Request
            }
            _ => return,
        };
        self.steps.push(step);
    }

    pub(crate) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The last steps before a point, for whoever looks for the cause.
    pub(crate) fn before(&self, point: usize) -> String {
        let told = self.steps[point.saturating_sub(30)..point].iter().map(|step| {
            if let Step::Write { file, at, bytes } = step {
                return format!("write {file} at {at}: {} bytes", bytes.len());
            }
            format!("{step:?}")
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// Gives a state for each of so many points, picked by the dice, in the order of the run.
    pub(crate) fn states(&self, count: usize, dice: &mut Dice, mut take: impl FnMut(State)) {
        let mut points: Vec<usize> = (0..count).map(|_| 1 + dice.index(self.steps.len())).collect();
        points.sort_unstable();
        let mut points = points.into_iter().peekable();
        let mut disk = Disk::default();
        for (n, step) in self.steps.iter().enumerate() {
            disk.apply(step);
            while points.next_if_eq(&(n + 1)).is_some() {
                take(disk.after_power_loss(dice, n + 1));
            }
        }
    }
}

#[derive(Debug, Default)]
struct Disk<'r> {
    durable: BTreeMap<&'r str, Vec<u8>>,
    /// Not yet synced, in order.
    pending: BTreeMap<&'r str, Vec<&'r Step>>,
    /// How much was pending when the sync that is under way began.
    syncing: BTreeMap<&'r str, usize>,
    promises: usize,
    requests: usize,
}

impl<'r> Disk<'r> {
    fn apply(&mut self, step: &'r Step) {
        match step {
            Step::Write { file, .. } | Step::Cut { file, .. } | Step::Remove { file } => {
                self.pending.entry(file).or_default().push(step);
            }
            // Names are journalled by the file system, in order.
            Step::Move { file, to } => {
                let durable = self.durable.remove(&**file).unwrap_or_default();
                self.durable.insert(to, durable);
                let pending = self.pending.remove(&**file).unwrap_or_default();
                self.pending.insert(to, pending);
            }
            Step::SyncBegins { file } => {
                self.syncing.insert(file, self.pending.get(&**file).map_or(0, Vec::len));
            }
            Step::SyncDone { file } => {
                let covered = self.syncing.remove(&**file).unwrap_or(0);
                let done: Vec<&Step> = self.pending.entry(file).or_default().drain(..covered).collect();
                let durable = self.durable.entry(file).or_default();
                for step in done {
                    put(durable, step, usize::MAX);
                }
                self.order_metadata();
            }
            Step::Promise => self.promises += 1,
            Step::Request => self.requests += 1,
        }
    }

    /// Metadata is journalled: a removal is durable once anything later has been synced.
    fn order_metadata(&mut self) {
        for (file, steps) in &mut self.pending {
            if let Some(last) = steps.iter().rposition(|step| matches!(step, Step::Remove { .. })) {
                steps.drain(..=last);
                self.durable.insert(file, Vec::new());
            }
        }
    }

    fn after_power_loss(&self, dice: &mut Dice, point: usize) -> State {
        let kind = dice.below(5);
        let mut files = BTreeMap::new();
        let mut lost = 0;
        let names: std::collections::BTreeSet<&str> =
            self.durable.keys().chain(self.pending.keys()).copied().collect();
        for name in names {
            let mut bytes = self.durable.get(name).cloned().unwrap_or_default();
            let steps = self.pending.get(name).map_or(&[][..], Vec::as_slice);
            let upto = match kind {
                0 => 0,
                1 | 3 => steps.len(),
                _ => dice.index(steps.len() + 1),
            };
            for (n, step) in steps[..upto].iter().enumerate() {
                if kind == 3 && dice.below(2) == 0 {
                    lost += 1;
                    continue;
                }
                // The last one may be torn, at a sector.
                let keep = if kind == 4 && n + 1 == upto { dice.index(9) * 512 } else { usize::MAX };
                put(&mut bytes, step, keep);
            }
            lost += steps.len() - upto;
            if !bytes.is_empty() {
                files.insert(name.to_owned(), bytes);
            }
        }
        let kind =
            ["nothing", "all", "a beginning", "any part", "a torn piece"][usize::try_from(kind).unwrap()];
        let how = format!("at step {point}, of what was not synced: {kind} ({lost} writes lost)");
        State { files, promises: self.promises, requests: self.requests, how, point }
    }
}

/// Carries a step out on bytes; of a write at most `keep` bytes arrive.
fn put(file: &mut Vec<u8>, step: &Step, keep: usize) {
    match step {
        Step::Write { at, bytes, .. } => {
            let bytes = &bytes[..bytes.len().min(keep)];
            let end = at + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at..end].copy_from_slice(bytes);
        }
        Step::Cut { size, .. } => file.resize(*size, 0),
        Step::Remove { .. } => file.clear(),
        Step::Move { .. }
        | Step::SyncBegins { .. }
        | Step::SyncDone { .. }
        | Step::Promise
        | Step::Request => {}
    }
}
