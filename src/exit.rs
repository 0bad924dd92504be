//! Orderly exit: hooks, then values, newest first, in rounds, with the context still current.
//!
//! Everything here looks the context up anew after each call of the user's code, which may have changed it.

use std::cmp::Reverse;

use crate::{
    ThreadCtx,
    context::{ExitHook, State},
    current::{self, Owner},
    identity::{Declared, Identity},
    names::Names,
    panics::{self, What},
    slot::{KeySlot, Outgoing, RawSlot, Shared},
    stats, total,
};

/// What hooks and drops leave behind is cleaned in this many rounds; then it is dropped unheard.
const ROUNDS: usize = 8;
/// How often an exit gives its time slice away so that a reader may leave a slot. After that the reader drops what waits for it.
const YIELDS: u32 = 32;

/// A value that a round is to end.
#[derive(Clone, Copy)]
enum Ending {
    Key(&'static Identity),
    Name(usize),
}

/// Runs the current context's exit until nothing is left or the rounds are over. `for_all` runs the hooks that are not the
/// context's own, after those in the first round.
pub(crate) fn run(for_all: fn()) {
    current::owner(|owner| {
        owner.context().set_state(State::Exiting);
        owner.own().holds_deferred.set(owner.context().deferred().hold());
    });
    for round in 0..ROUNDS {
        adopt_names();
        // What is filled from here on belongs to the next round.
        let limit = current::owner(|owner| owner.next_fill()).unwrap_or_default();
        run_hooks(current::owner(take_hooks).unwrap_or_default());
        if round == 0 {
            for_all();
        }
        // A hook may have made the first use of a key.
        adopt_names();
        let endings = current::owner(|owner| endings_before(owner, limit)).unwrap_or_default();
        endings.into_iter().for_each(end);
        if current::owner(is_empty) != Some(false) {
            return;
        }
    }
    retain_totals();
}

/// A value that was put in by name, before its key was first used somewhere, is the key's now.
fn adopt_names() {
    drop(current::owner(|owner| owner.adopt_names()));
}

/// What is left after the rounds counts for its key's total all the same.
fn retain_totals() {
    adopt_names();
    let left = current::owner(|owner| owner.context().filled_keys().map(KeySlot::key).collect::<Vec<_>>());
    for identity in left.unwrap_or_default() {
        if let Some(key) = identity.total() {
            drop(total::retain(identity, key));
        }
    }
}

fn take_hooks(owner: Owner<'_>) -> Vec<ExitHook> {
    owner.own().hooks.take()
}

fn run_hooks(hooks: Vec<ExitHook>) {
    for hook in hooks.into_iter().rev() {
        panics::contain(What::Hook, || hook(ThreadCtx::new()));
    }
}

fn is_empty(owner: Owner<'_>) -> bool {
    owner.own().values.get() == 0 && !owner.own().has_hooks()
}

/// The values that were filled before `limit`, newest first, each with the time when it was filled.
fn endings_before(owner: Owner<'_>, limit: u64) -> Vec<(u64, Ending)> {
    let mut endings = Vec::with_capacity(owner.own().values.get());
    let mut note = |slot: &RawSlot, ending| {
        endings.extend(slot.filled_at(owner).filter(|at| *at < limit).map(|at| (at, ending)));
    };
    for slot in owner.context().filled_keys() {
        note(slot.raw(), Ending::Key(slot.key()));
    }
    for (index, slot) in owner.context().names().into_iter().flat_map(Names::filled) {
        note(slot, Ending::Name(index));
    }
    endings.sort_unstable_by_key(|(at, _)| Reverse(*at));
    endings
}

/// When the value was filled that is there now, if one is.
fn filled_at(owner: Owner<'_>, ending: Ending) -> Option<u64> {
    match ending {
        Ending::Key(identity) => owner.key(identity)?.filled_at(),
        Ending::Name(index) => owner.name(index)?.filled_at(),
    }
}

/// Ends one value, if it is still the one that the round found.
fn end((at, ending): (u64, Ending)) {
    let is_there = || current::owner(|owner| filled_at(owner, ending)).flatten() == Some(at);
    if let Ending::Key(identity) = ending {
        if let Some(key) = identity.exit_hook().filter(|_| is_there()) {
            run_key_hook(identity, key);
        }
        if let Some(key) = identity.total().filter(|_| is_there()) {
            return drop(total::retain(identity, key));
        }
    }
    drop(take(at, ending));
}

/// Runs the key's hook with its value. If the hook replaces the value, the new one belongs to the next round.
fn run_key_hook(identity: &'static Identity, key: &dyn Declared) {
    let share = || current::owner(|owner| owner.key(identity)?.share()).flatten();
    let Some(value) = share() else { return };
    panics::contain(What::Hook, || key.run_exit_hook(value.as_any()));
    let now = share();
    if now.as_ref().is_some_and(|now| !now.same(&value)) {
        current::owner(|owner| owner.key(identity).map(|slot| slot.refill()));
    }
    drop_all([Some(value), now]);
}

fn drop_all(values: [Option<Shared>; 2]) {
    values.into_iter().flatten().for_each(panics::contain_drop);
}

/// Takes the value out, if it is still the one that was filled at that time.
fn take(at: u64, ending: Ending) -> Option<Outgoing> {
    current::owner(|owner| match ending {
        Ending::Key(identity) => {
            let slot = owner.key(identity)?;
            (slot.filled_at() == Some(at)).then(|| slot.exchange(None).into())
        }
        Ending::Name(index) => Some(take_name(owner, at, index)),
    })?
}

/// Takes the value out from under its name, unless a key goes by that meanwhile: then the next round ends it as the key's.
fn take_name(owner: Owner<'_>, at: u64, index: usize) -> Outgoing {
    // A total that has counted the value was taken under this lock, after the first use of its key.
    let _totals = total::lock_retained();
    let mut outgoing = owner.adopt_names();
    if owner.name(index).and_then(|slot| slot.filled_at()) == Some(at) {
        outgoing.append(owner.take_name_at(index).unwrap_or_default());
    }
    outgoing
}

/// What the rounds of an exit left over.
#[must_use = "dropping it runs the user's code: choose where"]
pub(crate) struct Leftovers {
    hooks: Vec<ExitHook>,
    values: Outgoing,
}

impl Leftovers {
    /// A panic in one of them is contained and counted, and the others drop too.
    pub(crate) fn drop_contained(self) {
        self.hooks.into_iter().for_each(panics::contain_drop);
        drop(self.values);
    }
}

/// Takes what the rounds left over, and what was retired for readers that have gone by now. The context is not current
/// any more: nothing can be added.
pub(crate) fn take_leftovers(owner: Owner<'_>) -> Leftovers {
    let hooks = take_hooks(owner);
    let left = hooks.len() + owner.own().values.get();
    let mut values = Outgoing::default();
    if left != 0 {
        stats::add(|counters| &counters.left_over, left as u64);
        values.append(owner.take_keys(|_| true));
        values.append(owner.take_names(|_| true));
    }
    let deferred = owner.context().deferred();
    if owner.own().holds_deferred.take() || deferred.hold() {
        values.append(deferred.release(YIELDS));
    }
    Leftovers { hooks, values }
}
