//! Every way on from a state.
//!
//! Never: leaves out an order of events because it is unlikely.

use unhang::domain::remediation::{Event, State as Standing, TRIES_MAX, transition};

use super::checks;
use super::facts::{Answer, Judge};
use super::state::{
    Action, Attempt, Commit, INSTANTS, Known, Plant, Process, Read, Rem, Request, Size, Stage, State,
};

type Ways = Vec<(Action, State)>;

/// All actions that are possible, with the states they lead to.
pub(super) fn all(state: &State, size: &Size, judge: &mut Judge) -> Ways {
    judge.with_approval(size.approval);
    let mut ways = Ways::new();
    outside(state, size, judge, &mut ways);
    people(state, size, judge, &mut ways);
    network(state, &mut ways);
    for slot in 0..state.processes.len() {
        match &state.processes[slot] {
            None => start(state, size, judge, slot, &mut ways),
            Some(process) => {
                ways.push(with(state, Action::ProcessDies(slot), |next| next.processes[slot] = None));
                work(state, size, judge, slot, process, &mut ways);
                sends(state, judge, slot, process, &mut ways);
            }
        }
    }
    for (_, next) in &mut ways {
        checks::always(next, state);
    }
    ways
}

fn with(state: &State, action: Action, change: impl FnOnce(&mut State)) -> (Action, State) {
    let mut next = state.clone();
    change(&mut next);
    (action, next)
}

fn shift(state: &mut State, rem: usize, event: Event) -> bool {
    let Ok(to) = transition(state.rems[rem].state, event) else { return false };
    state.rems[rem].state = to;
    true
}

fn small(index: usize) -> u8 {
    u8::try_from(index).unwrap()
}

fn outside(state: &State, size: &Size, judge: &mut Judge, ways: &mut Ways) {
    if state.now + 1 < size.instants {
        ways.push(with(state, Action::TimePasses, |next| next.now += 1));
    }
    for server in 0..size.servers {
        let answer = judge.decide(state, server);
        if answer == Answer::Opens && state.rems.len() < size.rems {
            ways.push(with(state, Action::AlertFires(server), |next| {
                let (now, policy) = (next.now, next.policy);
                next.rems.push(Rem {
                    server,
                    state: Standing::Settling,
                    begun: now,
                    notice: now,
                    approved: None,
                    policy,
                    boot: next.boots[usize::from(server)],
                });
            }));
        }
        if answer == Answer::Joins
            && let Some(live) = state.live(server).filter(|live| state.rems[*live].state.is_before_intent())
        {
            ways.push(with(state, Action::AlertFires(server), |next| next.rems[live].notice = next.now));
        }
        if size.boots && state.boots[usize::from(server)] != Some(state.now) {
            ways.push(with(state, Action::ServerStarts(server), |next| {
                next.boots[usize::from(server)] = Some(next.now);
            }));
        }
        // What the resolved notice takes back by itself is left out: the claim must see it alone.
        if size.resolves && state.resolved[usize::from(server)].is_none() && !state.rems.is_empty() {
            ways.push(with(state, Action::AlertResolves(server), |next| {
                next.resolved[usize::from(server)] = Some(next.now);
            }));
        }
    }
}

fn people(state: &State, size: &Size, judge: &mut Judge, ways: &mut Ways) {
    if !state.hold && size.holds {
        ways.push(with(state, Action::HoldSet, |next| next.hold = true));
    } else if state.hold && size.people {
        ways.push(with(state, Action::HoldCleared, |next| next.hold = false));
    }
    if state.policy == 0 && size.people {
        ways.push(with(state, Action::PolicyChanges, |next| next.policy = 1));
    }
    for rem in 0..state.rems.len() {
        let standing = state.rems[rem].state;
        if standing == Standing::AwaitingApproval && judge.approvable(state, rem) == Answer::Fine {
            ways.push(with(state, Action::PersonApproves(rem), |next| {
                shift(next, rem, Event::Approved);
                next.rems[rem].approved = Some(next.now);
                next.rems[rem].notice = next.now;
            }));
        }
        if !size.people || !matches!(standing, Standing::Unknown | Standing::Unconfirmed) {
            continue;
        }
        ways.push(with(state, Action::PersonSettles { rem, happened: true }, |next| {
            shift(next, rem, Event::SettledHappened);
        }));
        let last = state.attempts.iter().filter(|one| usize::from(one.rem) == rem).map(|one| one.at).max();
        if last.is_some_and(|at| INSTANTS[usize::from(state.now)] - INSTANTS[usize::from(at)] >= 600) {
            ways.push(with(state, Action::PersonSettles { rem, happened: false }, |next| {
                shift(next, rem, Event::SettledNotHappened);
                next.hold = true;
            }));
        }
    }
    for rem in 0..state.rems.len() {
        let of = |one: &&Attempt| usize::from(one.rem) == rem && one.effect && one.at < state.now;
        let open =
            matches!(state.rems[rem].state, Standing::Accepted | Standing::Unknown | Standing::Unconfirmed);
        if open && state.attempts.iter().any(|one| of(&one)) {
            ways.push(with(state, Action::RebootIsSeen { rem }, |next| {
                shift(next, rem, Event::RebootSeen);
            }));
        }
        if state.rems[rem].state == Standing::Accepted && state.now + 1 == size.instants {
            ways.push(with(state, Action::NoRebootInTime { rem }, |next| {
                shift(next, rem, Event::NoRebootInTime);
            }));
        }
    }
}

fn network(state: &State, ways: &mut Ways) {
    for attempt in 0..state.attempts.len() {
        let one = state.attempts[attempt];
        if one.request != Request::Travelling {
            continue;
        }
        let mut arrives = |action, effect: bool, reply: Option<Known>| {
            ways.push(with(state, action, |next| {
                let row = &mut next.attempts[attempt];
                row.request = Request::Arrived;
                row.effect = effect;
                row.reply = reply;
            }));
        };
        let signed_ago = INSTANTS[usize::from(state.now)] - INSTANTS[usize::from(one.at)];
        if signed_ago <= 300 {
            arrives(Action::CloudActs { attempt, answers: true }, true, Some(Known::Accepted));
            arrives(Action::CloudActs { attempt, answers: false }, true, None);
        }
        arrives(Action::CloudRefuses { attempt }, false, Some(Known::Rejected));
        arrives(Action::RequestIsLost { attempt }, false, None);
    }
}

fn start(state: &State, size: &Size, judge: &Judge, slot: usize, ways: &mut Ways) {
    // The first place is filled first; they are alike.
    if state.epoch >= size.epochs || (slot == 1 && state.processes[0].is_none()) {
        return;
    }
    let resend = judge.plant == Some(Plant::ResendOnUnknown);
    ways.push(with(state, Action::ProcessStarts(slot), |next| {
        next.epoch += 1;
        let epoch = next.epoch;
        for attempt in 0..next.attempts.len() {
            if next.attempts[attempt].outcome.is_none() && next.attempts[attempt].epoch < epoch {
                write(next, small(attempt), if resend { Known::NotSent } else { Known::Unknown });
            }
        }
        next.processes[slot] = Some(Process { epoch, kept: None, undo: None, sends: Vec::new() });
    }));
}

/// Writes an outcome as the dispatcher does: once, but that an unknown may still be decided by its own late answer.
fn write(state: &mut State, attempt: u8, outcome: Known) {
    let row = &mut state.attempts[usize::from(attempt)];
    let late = row.outcome == Some(Known::Unknown) && matches!(outcome, Known::Accepted | Known::Rejected);
    if row.outcome.is_some() && !late {
        return;
    }
    row.outcome = Some(outcome);
    let rem = usize::from(row.rem);
    let tries = state.attempts.iter().filter(|one| usize::from(one.rem) == rem).count();
    let more = tries < usize::try_from(TRIES_MAX).unwrap();
    let event = match outcome {
        Known::Accepted => Event::Accepted,
        Known::Rejected => Event::Rejected,
        Known::Unknown => Event::Lost,
        Known::NotSent if more => Event::NotSentTryAgain,
        Known::NotSent => Event::NotSentForGood,
    };
    shift(state, rem, event);
}

fn work(state: &State, size: &Size, judge: &mut Judge, slot: usize, process: &Process, ways: &mut Ways) {
    if let Some((_, attempt)) = process.undo {
        ways.push(with(state, Action::Undoes(slot), |next| {
            if let Some(attempt) = attempt {
                write(next, attempt, Known::NotSent);
            }
            next.processes[slot].as_mut().unwrap().undo = None;
        }));
        return;
    }
    for rem in 0..state.rems.len() {
        match state.rems[rem].state {
            Standing::Settling => {
                if let Answer::Move(event) = judge.settled(state, rem) {
                    ways.push(with(state, Action::Settles { process: slot, rem }, |next| {
                        shift(next, rem, event);
                    }));
                }
            }
            Standing::AwaitingApproval => {
                if let Answer::Move(event) = judge.approvable(state, rem) {
                    ways.push(with(state, Action::Reviews { process: slot, rem }, |next| {
                        shift(next, rem, event);
                    }));
                }
            }
            Standing::Queued => ask(state, size, judge, slot, process, rem, ways),
            _ => {}
        }
    }
}

fn ask(
    state: &State,
    size: &Size,
    judge: &mut Judge,
    slot: usize,
    process: &Process,
    rem: usize,
    ways: &mut Ways,
) {
    let halted = process.epoch != state.epoch && judge.plant != Some(Plant::NoEpochCheck);
    let read = process.kept.filter(|(of, _)| usize::from(*of) == rem).map(|(_, read)| read);
    match judge.claim(state, rem, read, halted) {
        Answer::Read => ways.push(with(state, Action::Asks { process: slot, rem }, |next| {
            let boot = next.boots[usize::from(next.rems[rem].server)];
            let read = Read { at: next.now, boot };
            next.processes[slot].as_mut().unwrap().kept = Some((small(rem), read));
        })),
        Answer::Move(event) => ways.push(with(state, Action::Asks { process: slot, rem }, |next| {
            shift(next, rem, event);
            next.processes[slot].as_mut().unwrap().kept = None;
        })),
        Answer::Go if state.attempts.len() < size.attempts => {
            let first = judge.plant == Some(Plant::CallBeforeCommit);
            for commit in [Commit::Good, Commit::Failed, Commit::FailedButThere] {
                let action = Action::Claims { process: slot, rem, commit };
                ways.push(with(state, action, |next| claim(next, slot, rem, read, commit, first)));
            }
        }
        _ => {}
    }
}

/// The intent transaction, with what becomes of its commit.
fn claim(next: &mut State, slot: usize, rem: usize, read: Option<Read>, commit: Commit, call_first: bool) {
    let epoch = next.processes[slot].as_ref().unwrap().epoch;
    let index = small(next.attempts.len());
    let durable = commit != Commit::Failed;
    next.must(!call_first, "a request without a durable intent");
    if durable {
        let at = next.now;
        let request = Request::None;
        let rem = small(rem);
        next.attempts.push(Attempt { rem, epoch, at, outcome: None, request, effect: false, reply: None });
        checks::intent(next, read.unwrap_or(Read { at: 0, boot: None }), epoch);
        shift(next, usize::from(rem), Event::Claimed);
    }
    let process = next.processes[slot].as_mut().unwrap();
    process.kept = None;
    if commit == Commit::Good {
        process.sends.push((index, Stage::Ready));
    } else {
        process.undo = Some((small(rem), durable.then_some(index)));
    }
}

fn sends(state: &State, judge: &Judge, slot: usize, process: &Process, ways: &mut Ways) {
    for (place, (attempt, stage)) in process.sends.iter().enumerate() {
        let (attempt, row) = (*attempt, state.attempts[usize::from(*attempt)]);
        let mut goes = |action, change: &dyn Fn(&mut State), to: Option<Stage>| {
            ways.push(with(state, action, |next| {
                change(next);
                let sends = &mut next.processes[slot].as_mut().unwrap().sends;
                match to {
                    Some(stage) => sends[place].1 = stage,
                    None => drop(sends.remove(place)),
                }
            }));
        };
        match stage {
            Stage::Ready => {
                let late = state.now != row.at;
                if late && judge.plant != Some(Plant::LateHandOver) {
                    let action = Action::HandsOver { process: slot, attempt };
                    goes(action, &|_| {}, Some(Stage::Answered(Known::NotSent)));
                    continue;
                }
                let hand = |next: &mut State| {
                    next.attempts[usize::from(attempt)].request = Request::Travelling;
                    next.must(!late, "handed over after its deadline");
                };
                goes(Action::HandsOver { process: slot, attempt }, &hand, Some(Stage::Waiting));
                let action = Action::CannotConnect { process: slot, attempt };
                goes(action, &|_| {}, Some(Stage::Answered(Known::NotSent)));
            }
            Stage::Waiting => {
                let action = Action::GivesUpWaiting { process: slot, attempt };
                goes(action, &|_| {}, Some(Stage::Answered(Known::Unknown)));
                if let Some(reply) = row.reply {
                    goes(Action::Hears { process: slot, attempt }, &|_| {}, Some(Stage::Answered(reply)));
                }
            }
            Stage::Answered(outcome) => {
                let store = |next: &mut State| write(next, attempt, *outcome);
                goes(Action::StoresOutcome { process: slot, attempt }, &store, None);
            }
        }
    }
}
