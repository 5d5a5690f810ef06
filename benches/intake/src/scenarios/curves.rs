//! Curves: what an alert costs as the work grows: with audit rows, servers, live incidents and policies.
//!
//! Never: lets two things grow at once, save that each load leaves its own rows behind.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::board::{Goal, Spread, short, whole};
use crate::contestant::Contestant;
use crate::copies::audit_rows;
use crate::fleet::Fleet;
use crate::load::closed;
use crate::machine::memory_of;
use crate::payload::PER_REGION;
use crate::plot::{Line, Panel, curves};
use crate::unhang::{Setup, Unhang};

/// Servers with an incident where incidents are not what grows.
const FEW: u32 = 100;
/// Servers that the alerts are about where the list of servers is what grows.
const FEWER: u32 = 10;
/// Loads of each point.
const LOADS: u32 = 3;
/// "A straight line or better": all alerts together cost a straight line while each of them costs the same. At the far end
/// one may cost twice as much, for indexes grow deeper and caches do not.
const FLAT: f64 = 0.5;

/// One point of a curve.
#[derive(Debug)]
struct Point {
    x: f64,
    rate: Spread,
    /// MiB before the load, and the most during it.
    start: f64,
    peak: f64,
    /// The largest share of the machine that others took.
    foreign: f64,
}

pub(super) async fn run(bench: &mut Bench) {
    let long = bench.options.long;
    println!(
        "\ncost as work grows: repeats, 1 in a request, {LOADS} loads of {} s each",
        time(bench).as_secs_f64()
    );
    let points = rows(bench, if long { 7 } else { 6 }).await;
    judge(bench, "audit rows", &points);
    let points = servers(bench, if long { 5 } else { 4 }).await;
    judge(bench, "servers", &points);
    let points = incidents(bench, if long { 5 } else { 4 }).await;
    judge(bench, "live incidents", &points);
    let points = policies(bench).await;
    judge(bench, "policies", &points);
}

fn time(bench: &Bench) -> Duration {
    Duration::from_secs_f64(if bench.options.long {
        bench.options.seconds
    } else {
        bench.options.seconds / 4.0
    })
}

fn decades(from: u32, to: u32) -> impl Iterator<Item = u32> {
    (from..=to).map(|power| 10_u32.pow(power))
}

/// Each on a store of its own, filled before its service starts.
async fn rows(bench: &mut Bench, most: u32) -> Vec<Point> {
    let fleet = Fleet::start(FEW);
    let mut points = Vec::new();
    for wanted in decades(3, most) {
        let unhang = with_few(bench, &fleet, FEW, &Setup::default()).await;
        let dir = unhang.stop();
        let begun = Instant::now();
        let rows = match audit_rows(&dir.join("unhang.db"), u64::from(wanted)).await {
            Ok(rows) => rows,
            Err(error) => {
                println!("  rows cannot be copied: {error}");
                let what = format!("cost with {} audit rows", whole(f64::from(wanted)));
                bench.board.unmeasured(&what, &error);
                std::fs::remove_dir_all(dir).unwrap();
                break;
            }
        };
        let filled = begun.elapsed().as_secs_f64();
        let unhang = again(bench, &dir, &Setup::default()).await;
        println!(
            "  {} audit rows, filled in {} s, ready after {} ms",
            whole(rows as f64),
            short(filled),
            ready(&unhang)
        );
        points.push(measure(bench, &unhang, rows as f64, FEW).await);
        ended(unhang, &dir);
    }
    points
}

/// As many servers in the list; the alerts are about few of them.
async fn servers(bench: &mut Bench, most: u32) -> Vec<Point> {
    let mut points = Vec::new();
    for servers in decades(1, most) {
        let fleet = Fleet::start(servers);
        let unhang = with_few(bench, &fleet, FEWER, &Setup::default()).await;
        let dir = unhang.stop();
        let unhang = again(bench, &dir, &Setup::default()).await;
        let regions = servers.div_ceil(PER_REGION);
        println!(
            "  {} servers in {regions} regions, ready after {} ms",
            whole(f64::from(servers)),
            ready(&unhang)
        );
        points.push(measure(bench, &unhang, f64::from(servers), FEWER).await);
        ended(unhang, &dir);
    }
    points
}

/// One store in which ever more servers fire; the alerts are about all that do.
async fn incidents(bench: &mut Bench, most: u32) -> Vec<Point> {
    let fleet = Fleet::start(10_u32.pow(most));
    let binary = bench.options.binary.clone();
    let dir = bench.folder();
    let mut unhang = Unhang::start(&binary, &dir, &fleet, &Setup::default()).await;
    let patience = Duration::from_secs(if bench.options.long { 180 } else { 20 });
    let (mut points, mut before) = (Vec::new(), 0);
    for wanted in decades(1, most) {
        let contestant = Contestant::Unhang("unhang".into(), unhang);
        let begun = Instant::now();
        let alerts = if wanted < 1000 { 1 } else { 20 };
        let taught = bench.teach_some(&contestant, (before, wanted), alerts, patience).await;
        let new = taught.alerts as f64 / begun.elapsed().as_secs_f64();
        let live = before + taught.alerts as u32;
        let Contestant::Unhang(_, taught) = contestant else { break };
        // What opening them took of the memory is not what keeping them takes.
        let contestant = Contestant::Unhang("unhang".into(), taught.restart().await);
        println!("  {} live incidents, opened at {} a second", whole(f64::from(live)), short(new));
        points.push(measure(bench, &contestant, f64::from(live), live).await);
        let Contestant::Unhang(_, measured) = contestant else { break };
        unhang = measured;
        if live < wanted {
            println!(
                "  THE LAST POINT IS NOT {wanted}: only so many were opened in {} s",
                patience.as_secs()
            );
            break;
        }
        before = wanted;
    }
    points
}

/// As many policies, of which one claims the alerts: it is the first, and all are asked.
async fn policies(bench: &mut Bench) -> Vec<Point> {
    let fleet = Fleet::start(FEW);
    let mut points = Vec::new();
    for policies in decades(0, 3) {
        let setup = Setup { policies, ..Setup::default() };
        let unhang = with_few(bench, &fleet, FEW, &setup).await;
        let dir = unhang.stop();
        let unhang = again(bench, &dir, &setup).await;
        println!("  {policies} policies, ready after {} ms", ready(&unhang));
        points.push(measure(bench, &unhang, f64::from(policies), FEW).await);
        ended(unhang, &dir);
    }
    points
}

/// A new service in which few servers fire.
async fn with_few(bench: &mut Bench, fleet: &Fleet, few: u32, setup: &Setup) -> Unhang {
    let (binary, dir) = (bench.options.binary.clone(), bench.folder());
    let unhang = Unhang::start(&binary, &dir, fleet, setup).await;
    let contestant = Contestant::Unhang("unhang".into(), unhang);
    bench.teach_some(&contestant, (0, few), 1, Duration::from_secs(30)).await;
    let Contestant::Unhang(_, unhang) = contestant else { panic!("it was made here") };
    unhang
}

async fn again(bench: &Bench, dir: &Path, setup: &Setup) -> Contestant {
    Contestant::Unhang("unhang".into(), Unhang::again(&bench.options.binary, dir, setup).await)
}

fn ready(contestant: &Contestant) -> String {
    match contestant {
        Contestant::Unhang(_, unhang) => short(unhang.ready.as_secs_f64() * 1000.0),
        Contestant::Alertmanager(_) | Contestant::Webhook(_) | Contestant::Naive(_) => String::new(),
    }
}

/// Large stores are not kept until the end of the run.
fn ended(contestant: Contestant, dir: &Path) {
    drop(contestant);
    std::fs::remove_dir_all(dir).unwrap();
}

async fn measure(bench: &mut Bench, contestant: &Contestant, x: f64, known: u32) -> Point {
    let start = memory_of(contestant.process().pid());
    let (mut rates, mut peak, mut foreign) = (Vec::new(), f64::NAN, 0.0_f64);
    for _ in 0..LOADS {
        let requests = bench.repeats_of(contestant, known);
        let load = closed(contestant.process().addr, requests, time(bench));
        let mut round = bench.watched(contestant, load).await;
        round.tell("");
        bench.confirm(contestant, &round.tally).await;
        rates.push(round.tally.rate());
        (peak, foreign) = (round.peak.max(peak), round.foreign.max(foreign));
    }
    Point { x, rate: Spread::of(&rates), start, peak, foreign }
}

fn judge(bench: &mut Bench, what: &str, points: &[Point]) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    println!(
        "\n| {what} | alerts/s: median (min–max) | against the first | MiB at the start | MiB at most | against the first | others took |"
    );
    println!("|---|---|---|---|---|---|---|");
    for point in points {
        println!(
            "| {} | {} | {} × | {} | {} | {} × | {:.0} % |",
            whole(point.x),
            point.rate,
            short(point.rate.median / first.rate.median),
            short(point.start),
            short(point.peak),
            short(point.peak / first.peak),
            point.foreign * 100.0,
        );
    }
    println!();
    let worst =
        points.iter().map(|point| point.rate.median / first.rate.median).fold(f64::INFINITY, f64::min);
    let range = format!("{} to {} {what}", whole(first.x), whole(last.x));
    let goal = Goal::AtLeast(FLAT);
    bench.board.judge(
        &format!("{range}: alerts/s against the first, worst"),
        goal,
        " ×",
        Spread::of(&[worst]),
    );
    let figure =
        format!("{} × ({} to {} MiB)", short(last.peak / first.peak), short(first.peak), short(last.peak));
    bench.board.note(&format!("{range}: memory under load against the first"), &figure);
    let of = |figure: fn(&Point) -> f64| points.iter().map(|point| (point.x, figure(point))).collect();
    let name = format!("curve-{}.svg", what.replace(' ', "-"));
    let panel = |title: String, up: &str, lines| Panel {
        title,
        across: what.to_owned(),
        up: up.to_owned(),
        decades: false,
        lines,
    };
    let panels = [
        panel(
            format!("Alerts taken in, by {what}"),
            "alerts a second",
            vec![Line::new("repeats, 1 in a request", of(|point| point.rate.median))],
        ),
        panel(
            format!("Memory, by {what}"),
            "MiB resident",
            vec![
                Line::new("most, under load", of(|point| point.peak)),
                Line::new("at the start", of(|point| point.start)),
            ],
        ),
    ];
    curves(&bench.options.plots.join(name), &panels);
}
