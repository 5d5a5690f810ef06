//! `kill -9` of the real binary, again and again, while alerts come in and interrupts go out.
//!
//! The seed is printed and can be given in `UNHANG_SEED`; `UNHANG_KILLS` sets the number of kills.

use std::time::{Duration, Instant};

use crate::support::{Cloud, Service, Settings, Site, VIEWER, alert, broken_laws, delivery, fleet, now_text};

/// Servers of a round, and the first one's number.
const FLEET: u64 = 600;
const FIRST: u64 = 91_000_001;

/// A small generator whose every run can be repeated from its seed (xorshift64*).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }
}

pub(crate) fn setting(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "how a person repeats or lengthens this run")]
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn killed_again_and_again_nothing_is_lost_and_no_server_is_interrupted_twice() {
    let kills = setting("UNHANG_KILLS").unwrap_or(200);
    let seed = setting("UNHANG_SEED").unwrap_or_else(|| u64::from(std::process::id()) | 1);
    println!("UNHANG_SEED={seed} UNHANG_KILLS={kills}");
    let mut dice = Dice::new(seed);
    let mut tally = Seen::default();
    // A fresh store and fresh servers now and then, so that there is always somebody left to interrupt.
    let mut left = kills;
    while left > 0 {
        let round = left.min(50);
        left -= round;
        let cloud = Cloud::start(fleet(u32::try_from(FLEET).unwrap()));
        let site = Site::new(&Settings { spacing: "1ms", ..Settings::new(&cloud.running.endpoint()) });
        let mut acknowledged = Vec::new();
        for _ in 0..round {
            one_life(&site, &cloud, &mut dice, &mut acknowledged);
        }
        // One more life without a kill: what was in flight is settled or unknown, and stays so.
        let service = site.start();
        // A crash alone never makes the attempt journal and the store disagree.
        let (_, quarantine) = service.get("/api/v1/quarantine", VIEWER);
        assert_eq!(quarantine["quarantine"], serde_json::Value::Null, "UNHANG_SEED={seed}: {quarantine}");
        let (code, _) = service.stop();
        assert_eq!(code, 0, "a graceful stop");
        let broken = broken_laws(&site, &cloud, &acknowledged);
        assert!(broken.is_empty(), "UNHANG_SEED={seed}\n{}", broken.join("\n"));
        tally.add(&site, &cloud, acknowledged.len());
    }
    println!("{kills} kills: {tally:?}");
    assert!(
        tally.acknowledged > 0 && tally.effects > 0,
        "the run must reach the machine it tests: {tally:?}"
    );
    assert!(tally.unknown > 0 || kills < 100, "no kill ever hit between intent and outcome: {tally:?}");
}

#[derive(Debug, Default)]
struct Seen {
    acknowledged: usize,
    effects: usize,
    unknown: usize,
}

impl Seen {
    fn add(&mut self, site: &Site, cloud: &Cloud, acknowledged: usize) {
        self.acknowledged += acknowledged;
        self.effects += cloud.effects().len();
        let store = site.store().display().to_string();
        let args = [
            "audit",
            "list",
            "--store",
            &store,
            "--outcome",
            "unknown",
            "--limit",
            "1000",
            "--output",
            "json",
        ];
        let (code, out, trouble) = site.run(&args);
        assert_eq!(code, 0, "{trouble}");
        let page: serde_json::Value = serde_json::from_str(&out).unwrap();
        self.unknown += page["items"].as_array().map_or(0, Vec::len);
    }
}

/// Starts the service, sends deliveries to servers picked at random, and kills it: at a random moment, or the moment the
/// cloud has seen a request, which is where a crash hurts most.
fn one_life(site: &Site, cloud: &Cloud, dice: &mut Dice, acknowledged: &mut Vec<String>) {
    let service = site.start();
    // What the last kill left unknown has demoted the policy; people would look first.
    service.promote();
    let life = Duration::from_millis(dice.below(140));
    let seen = cloud.running.ledger().len();
    let wanted =
        if dice.below(2) == 0 { usize::MAX } else { seen + 1 + usize::try_from(dice.below(4)).unwrap() };
    let begun = Instant::now();
    let mut sender = Dice(dice.below(u64::MAX >> 34) | 1);
    let told = std::thread::scope(|scope| {
        let sending = scope.spawn(|| keep_sending(&service, &mut sender));
        // With a request to wait for, the life may be a little longer, but never without an end.
        let end = if wanted == usize::MAX { life } else { life + Duration::from_millis(200) };
        while begun.elapsed() < end && cloud.running.ledger().len() < wanted {
            std::thread::park_timeout(Duration::from_micros(100));
        }
        service.kill();
        sending.join().unwrap()
    });
    acknowledged.extend(told);
}

/// Sends until the service is gone. Returns the deliveries that it answered with 202.
fn keep_sending(service: &Service, dice: &mut Dice) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let starts_at = now_text();
    for n in 0..500 {
        let alerts: Vec<_> = (0..=dice.below(3))
            .map(|_| {
                let server = (FIRST + dice.below(FLEET)).to_string();
                let status = if dice.below(8) == 0 { "resolved" } else { "firing" };
                alert(&server, status, &starts_at)
            })
            .collect();
        let note = if dice.below(4) == 0 { "the same".to_owned() } else { format!("{starts_at} {n}") };
        match service.deliver(&delivery(&alerts, &note)) {
            Some((202, answer)) => acknowledged.push(answer["deliveryId"].as_str().unwrap().to_owned()),
            Some(_) => {}
            None => break,
        }
    }
    acknowledged
}
