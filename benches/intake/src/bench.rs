//! Bench: what was asked for, and one round of one contestant.
//!
//! Never: lets what else the machine does pass unseen: each round tells the share of it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;

use crate::board::{Board, Spread, short};
use crate::contestant::Contestant;
use crate::fleet::Fleet;
use crate::load::{PATIENT, Tally, closed, paced};
use crate::machine::{cpu_of, cpu_of_all, forget_peak_of, peak_of};
use crate::payload::{Request, Subjects};
use crate::unhang::{Setup, Unhang};

/// Servers with an open incident, over and over.
pub(crate) const KNOWN: u32 = 500;
/// Connections that are kept busy.
pub(crate) const CONNECTIONS: u32 = 64;

/// Longest wait for a contestant that goes on working.
const DIGEST_MAX: Duration = Duration::from_mins(1);
/// Share of the machine that others may take in a round that counts.
const FOREIGN_MAX: f64 = 0.16;

/// What to measure, and how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The release binary.
    #[arg(long, default_value = "target/release/unhang")]
    pub(crate) binary: PathBuf,
    /// Another binary, to compare with the first in turns.
    #[arg(long)]
    pub(crate) against: Option<PathBuf>,
    /// Repeats of known incidents only, one round; about 90 s.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Ten million rows, ten minutes of memory.
    #[arg(long)]
    pub(crate) long: bool,
    /// Scenarios to run, with commas between.
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Rounds of each contestant.
    #[arg(long)]
    pub(crate) rounds: Option<u32>,
    /// Seconds of a round.
    #[arg(long, default_value_t = 4.0)]
    pub(crate) seconds: f64,
    /// Without Alertmanager and webhook.
    #[arg(long)]
    pub(crate) no_peers: bool,
    /// Folder with the peers' configurations.
    #[arg(long, default_value = "benches/peers")]
    pub(crate) peers: PathBuf,
    /// Library that makes every fsync 2 ms slower.
    #[arg(long)]
    pub(crate) slow_disk: Option<PathBuf>,
    /// Folder for the plots.
    #[arg(long, default_value = "target/intake-bench/plots")]
    pub(crate) plots: PathBuf,
    /// Folder for the stores, on the disk that is to be measured.
    #[arg(long, default_value = "target/intake-bench")]
    pub(crate) dir: PathBuf,
}

/// A run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) board: Board,
    pub(crate) stamp: Rc<Cell<u64>>,
    dir: tempfile::TempDir,
    folders: u32,
    confirmed: u64,
    begun: Instant,
}

/// One contestant in one round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) tally: Tally,
    /// Microseconds of CPU for each accepted alert.
    pub(crate) cpu_us: f64,
    /// Highest memory in MiB.
    pub(crate) peak: f64,
    /// Share of the machine that others took.
    pub(crate) foreign: f64,
}

impl Bench {
    pub(crate) fn new(options: Options) -> Self {
        std::fs::create_dir_all(&options.dir).unwrap();
        let options = Options {
            binary: std::fs::canonicalize(&options.binary)
                .unwrap_or_else(|error| panic!("{}: {error}", options.binary.display())),
            against: options.against.map(|path| std::fs::canonicalize(path).unwrap()),
            slow_disk: options.slow_disk.map(|path| std::fs::canonicalize(path).unwrap()),
            dir: std::fs::canonicalize(&options.dir).unwrap(),
            plots: {
                std::fs::create_dir_all(&options.plots).unwrap();
                std::fs::canonicalize(&options.plots).unwrap()
            },
            ..options
        };
        let dir = tempfile::tempdir_in(&options.dir).unwrap();
        // No two runs send the same body.
        let stamp = machine_stamp();
        println!("machine: {}", crate::machine::description());
        Self {
            options,
            board: Board::default(),
            stamp: Rc::new(Cell::new(stamp)),
            dir,
            folders: 0,
            confirmed: 0,
            begun: Instant::now(),
        }
    }

    /// A new folder for a contestant.
    pub(crate) fn folder(&mut self) -> PathBuf {
        self.folders += 1;
        let dir = self.dir.path().join(self.folders.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// A service of ours on a new folder.
    pub(crate) async fn unhang(
        &mut self,
        name: &str,
        binary: &Path,
        fleet: &Fleet,
        setup: &Setup,
    ) -> Contestant {
        let dir = self.folder();
        Contestant::Unhang(name.to_owned(), Unhang::start(binary, &dir, fleet, setup).await)
    }

    /// The first binary on a new folder, with every server known.
    pub(crate) async fn taught(&mut self, fleet: &Fleet, setup: &Setup) -> Contestant {
        let binary = self.options.binary.clone();
        let contestant = self.unhang("unhang", &binary, fleet, setup).await;
        self.teach(&contestant).await;
        contestant
    }

    /// Each server fires once, so that all that follows is a repeat.
    pub(crate) async fn teach(&self, contestant: &Contestant) {
        let time = if matches!(contestant, Contestant::Webhook(_)) { 1 } else { 60 };
        self.teach_some(contestant, (0, KNOWN), 1, Duration::from_secs(time)).await;
    }

    /// Each server of a range fires once, so many in a request; tells what was accepted in the time.
    pub(crate) async fn teach_some(
        &self,
        contestant: &Contestant,
        (first, end): (u32, u32),
        alerts: usize,
        time: Duration,
    ) -> Tally {
        let next = Rc::new(Cell::new(first));
        let new = |_| Subjects::New { next: Rc::clone(&next), end };
        let requests = contestant.requests(4, alerts, &self.stamp, new);
        closed(contestant.process().addr, requests, time).await
    }

    /// Requests of repeats for each of so many connections.
    pub(crate) fn repeats(&self, contestant: &Contestant, connections: u32, alerts: usize) -> Vec<Request> {
        let known = |n: u32| Subjects::Known { of: KNOWN, next: n * KNOWN / connections };
        contestant.requests(connections, alerts, &self.stamp, known)
    }

    /// Repeats of the first servers, one in a request.
    pub(crate) fn repeats_of(&self, contestant: &Contestant, of: u32) -> Vec<Request> {
        let known = |n: u32| Subjects::Known { of, next: n * of / CONNECTIONS };
        contestant.requests(CONNECTIONS, 1, &self.stamp, known)
    }

    /// Repeats a second, one in a request, as many as it takes.
    pub(crate) async fn top_rate(&self, contestant: &Contestant) -> f64 {
        let requests = self.repeats(contestant, CONNECTIONS, 1);
        let top = closed(contestant.process().addr, requests, Duration::from_secs(3)).await.rate();
        println!("  {:<22} {} alerts/s as fast as answers come", contestant.name(), short(top));
        top
    }

    /// One round of repeats, one in a request, at a fixed rate.
    pub(crate) async fn paced_round(&mut self, contestant: &Contestant, rate: f64, time: Duration) -> Round {
        let requests = self.repeats(contestant, CONNECTIONS, 1);
        let load = paced(contestant.process().addr, requests, rate, time, PATIENT);
        let mut round = self.watched(contestant, load).await;
        round.tell(contestant.name());
        self.confirm(contestant, &round.tally).await;
        round
    }

    pub(crate) fn wants(&self, scenario: &str) -> bool {
        if self.options.only.is_empty() {
            !self.options.quick || scenario == "repeats"
        } else {
            self.options.only.iter().any(|only| only == scenario)
        }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.options.rounds.unwrap_or(if self.options.quick { 2 } else { 4 })
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.options.seconds)
    }

    /// Binaries of this service that take part, with their names.
    pub(crate) fn binaries(&self) -> Vec<(String, PathBuf)> {
        let mut all = vec![("unhang".to_owned(), self.options.binary.clone())];
        all.extend(self.options.against.iter().map(|path| ("against".to_owned(), path.clone())));
        all
    }

    /// One round: as fast as answers come, all servers known.
    pub(crate) async fn round(&self, contestant: &Contestant, alerts: usize) -> Round {
        let requests = self.repeats(contestant, CONNECTIONS, alerts);
        let addr = contestant.process().addr;
        self.watched(contestant, closed(addr, requests, self.time())).await
    }

    /// Runs a load, and watches what the contestant and the machine spend on it.
    pub(crate) async fn watched(&self, contestant: &Contestant, load: impl Future<Output = Tally>) -> Round {
        let pid = contestant.process().pid();
        let own = std::process::id();
        forget_peak_of(pid);
        let (spent, mine, (busy, all)) = (cpu_of(pid), cpu_of(own), cpu_of_all());
        let tally = load.await;
        let (spent, mine) = (cpu_of(pid) - spent, cpu_of(own) - mine);
        let (busy, all) = (cpu_of_all().0 - busy, cpu_of_all().1 - all);
        Round {
            cpu_us: if tally.alerts == 0 { f64::NAN } else { spent * 1e6 / tally.alerts as f64 },
            peak: peak_of(pid),
            foreign: ((busy - spent - mine) / all).max(0.0),
            tally,
        }
    }

    /// Waits until a contestant is done with what it was sent, so that it does not work through the rounds of others.
    pub(crate) async fn digested(&self, contestant: &Contestant) {
        let (begun, pid) = (Instant::now(), contestant.process().pid());
        loop {
            let spent = cpu_of(pid);
            tokio::time::sleep(Duration::from_millis(200)).await;
            let over = begun.elapsed() > DIGEST_MAX;
            if cpu_of(pid) - spent < 0.025 || over {
                break;
            }
        }
        let took = begun.elapsed().as_secs_f64();
        if took > 1.0 {
            println!("  {:<22} goes on working for {took:.1} s after the last answer", contestant.name());
        }
    }

    /// Each accepted delivery of ours must be there afterwards, with all its alerts.
    pub(crate) async fn confirm(&mut self, contestant: &Contestant, tally: &Tally) {
        let Contestant::Unhang(name, unhang) = contestant else { return };
        assert_eq!(tally.ids.len() as u64, tally.accepted, "{name}: an accepted delivery has no id");
        let (missing, alerts) = unhang.missing(&tally.ids).await;
        self.confirmed += tally.ids.len() as u64 - missing as u64;
        if missing > 0 || alerts != tally.alerts {
            let figure = format!("{missing} deliveries, {} alerts not there", tally.alerts - alerts);
            self.board.truth(&format!("{name}: what was accepted is in the store"), false, &figure);
        }
    }
}

impl Bench {
    /// Ends the run: says how many answers were followed up, and prints the table.
    pub(crate) fn close(&mut self) {
        if self.confirmed > 0 {
            let figure = format!("{} found", short(self.confirmed as f64));
            let what = "each accepted delivery is in the store, with all its alerts";
            self.board.truth(what, !self.board.broken(), &figure);
        }
        self.board.print();
        println!("\nall of it took {:.0} s", self.begun.elapsed().as_secs_f64());
    }
}

/// Leaves out the rounds in which others took much of the machine, of all contestants alike, while enough are left.
pub(crate) fn leave_out_busy(rounds: &mut [Vec<Round>]) {
    let count = rounds.iter().map(Vec::len).min().unwrap_or(0);
    let quiet: Vec<bool> =
        (0..count).map(|n| rounds.iter().all(|mine| mine[n].foreign <= FOREIGN_MAX)).collect();
    let left = quiet.iter().filter(|quiet| **quiet).count();
    if left == count {
        return;
    }
    if left * 2 < count {
        println!(
            "  THE MACHINE WAS BUSY: others took more than a sixth of it in {} of {count} rounds; all are kept, none is good",
            count - left
        );
        return;
    }
    println!("  {} of {count} rounds left out: others took more than a sixth of the machine", count - left);
    for mine in rounds {
        let mut keep = quiet.iter();
        mine.retain(|_| keep.next().is_some_and(|quiet| *quiet));
    }
}

/// Rounds of one contestant against another's, in pairs.
pub(crate) fn ratios(own: &[Round], other: &[Round]) -> Spread {
    Spread::of(
        &own.iter().zip(other).map(|(own, other)| own.tally.rate() / other.tally.rate()).collect::<Vec<_>>(),
    )
}

impl Round {
    /// One line for people.
    pub(crate) fn tell(&mut self, name: &str) {
        let (p50, p99) = (self.tally.percentile(50.0), self.tally.percentile(99.0));
        println!(
            "  {name:<22} {:>8} alerts/s  p50 {} ms  p99 {} ms  {} µs CPU/alert  {} MiB  others {:.0} %{}",
            short(self.tally.rate()),
            short(p50),
            short(p99),
            short(self.cpu_us),
            short(self.peak),
            self.foreign * 100.0,
            if self.tally.not_accepted() > 0 {
                format!("  NOT ACCEPTED: {:?}, broken {}", self.tally.refused, self.tally.broken)
            } else {
                String::new()
            }
        );
    }
}

/// Medians of one contestant's rounds.
pub(crate) fn tell_all(name: &str, rounds: &mut [Round]) {
    let of = |rounds: &mut [Round], figure: fn(&mut Round) -> f64| {
        Spread::of(&rounds.iter_mut().map(figure).collect::<Vec<_>>())
    };
    println!(
        "  {name:<22} alerts/s {}  p50 {} ms  p99 {} ms  CPU/alert {} µs  peak {} MiB",
        of(rounds, |round| round.tally.rate()),
        of(rounds, |round| round.tally.percentile(50.0)),
        of(rounds, |round| round.tally.percentile(99.0)),
        of(rounds, |round| round.cpu_us),
        of(rounds, |round| round.peak),
    );
}

fn machine_stamp() -> u64 {
    let seconds = crate::machine::wall().as_second().unsigned_abs();
    seconds % 100_000 * 10_000_000
}
