//! The laws of the model, asked of every state and of every intent.
//!
//! Never: asks production.

use std::collections::BTreeSet;

use super::state::{Action, Attempt, COOLDOWN, INSTANTS, Known, Read, Request, State};
use crate::simulation::checker::LEGAL;

/// The dump window of the model's servers, in seconds.
const DUMP_WINDOW: i64 = 1800;

fn gap(from: u8, to: u8) -> i64 {
    INSTANTS[usize::from(to)] - INSTANTS[usize::from(from)]
}

/// Everything that the intent which was just committed must find.
pub(super) fn intent(state: &mut State, read: Read, epoch: u8) {
    let Some((new, before)) = state.attempts.split_last() else { return };
    let (new, before): (Attempt, Vec<Attempt>) = (*new, before.to_vec());
    let rem = state.rems[usize::from(new.rem)];
    let server = |attempt: &Attempt| state.rems[usize::from(attempt.rem)].server;
    let acted = |attempt: &&Attempt| {
        !matches!(attempt.outcome, Some(Known::NotSent | Known::Rejected)) || attempt.effect
    };
    let same: Vec<Attempt> =
        before.iter().filter(|one| server(one) == rem.server).filter(acted).copied().collect();
    let again = before.iter().any(|one| one.rem == new.rem && one.outcome != Some(Known::NotSent));
    let over = state.resolved[usize::from(rem.server)].is_some_and(|end| rem.begun <= end);
    let last = before.iter().filter(|one| one.rem != new.rem).map(|one| one.at).max();
    let in_flight = before.iter().filter(|one| one.outcome.is_none()).count();
    let (epoch_now, hold, policy) = (state.epoch, state.hold, state.policy);
    state.must(epoch == epoch_now, "an intent of a stale epoch");
    state.must(!hold, "an intent under a hold");
    state.must(!over, "an intent after the alert resolved");
    state.must(rem.policy == policy, "an intent by a changed policy");
    state.must(!again, "an intent after one that may have been sent");
    state.must(same.iter().all(|one| gap(one.at, new.at) >= COOLDOWN), "an intent inside the cooldown");
    // By the server as it really was when it was read, whatever was remembered of it.
    let boot = read.boot;
    state.must(boot.is_none_or(|at| at < rem.begun), "an intent on a server that was restarted since");
    let window = boot.is_none_or(|at| gap(at, new.at) >= DUMP_WINDOW);
    state.must(window, "an intent in the dump window of a boot");
    state.must(gap(read.at, new.at) <= 30, "an intent on an old pre-flight");
    state.must(gap(rem.notice, new.at) <= 900, "an intent on an old notice");
    state.must(rem.approved.is_none_or(|at| gap(at, new.at) <= 600), "an intent on an old approval");
    state.must(last.is_none_or(|at| gap(at, new.at) >= 30), "an intent too soon after another");
    state.must(in_flight == 0, "two intents in flight");
}

/// Everything that holds in every state. `before` is the state that the last action began with.
pub(super) fn always(state: &mut State, before: &State) {
    for server in 0..2 {
        let live = state.rems.iter().filter(|rem| rem.server == server && !rem.state.is_terminal()).count();
        state.must(live <= 1, "two live remediations of one server");
        let effects: Vec<u8> = state
            .attempts
            .iter()
            .filter(|one| one.effect && state.rems[usize::from(one.rem)].server == server)
            .map(|one| one.at)
            .collect();
        let apart = effects.windows(2).all(|pair| gap(pair[0], pair[1]) >= COOLDOWN);
        state.must(apart, "two effects in a cooldown");
    }
    for index in 0..state.attempts.len() {
        let one = state.attempts[index];
        let sent = one.request != Request::None;
        state.must(one.outcome != Some(Known::NotSent) || !sent, "not sent, but it was handed over");
        state.must(one.outcome != Some(Known::Rejected) || !one.effect, "rejected, but it had an effect");
        state.must(one.outcome != Some(Known::Accepted) || one.effect, "accepted, but it had no effect");
        let requests =
            state.attempts.iter().filter(|a| a.rem == one.rem && a.request != Request::None).count();
        state.must(requests <= 1, "two requests of one remediation");
    }
    for (index, rem) in before.rems.iter().enumerate() {
        let now = state.rems[index].state;
        state.must(rem.state == now || LEGAL.contains(&(rem.state, now)), "an illegal move");
    }
    let orphan = state.attempts.iter().any(|one| one.outcome.is_none() && one.epoch < state.epoch);
    state.must(!orphan, "an intent of a dead epoch in flight");
}

/// Notes what a step shows.
pub(super) fn reached(before: &State, action: Action, state: &State, all: &mut BTreeSet<&'static str>) {
    all.extend(state.rems.iter().map(|rem| rem.state.as_str()));
    let unknown = |one: &Attempt| one.outcome == Some(Known::Unknown);
    if before.attempts.iter().zip(&state.attempts).any(|(old, new)| unknown(old) && !unknown(new)) {
        all.insert("a late answer decided an unknown");
    }
    let undoing = before.processes.iter().flatten().any(|process| matches!(process.undo, Some((_, Some(_)))));
    if undoing && matches!(action, Action::Undoes(_)) {
        all.insert("an intent whose commit had failed was there");
    }
    if state.boots.iter().any(Option::is_some) && !state.attempts.is_empty() && before.attempts.is_empty() {
        all.insert("an intent on a server that was started before");
    }
    if state.attempts.iter().filter(|one| one.effect).count() == 2 {
        all.insert("a second effect after the cooldown");
    }
}
