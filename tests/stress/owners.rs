//! Those who have contexts: a crowd that comes and goes, one that stays, and one that changes hooks.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, ThreadId},
};

use threadctx::{Key, State, context, exit_thread_ctx, get_thread_ctx, on_thread_exit, on_thread_start};

use crate::{
    CENSUS, READING, goes_on,
    report::{Fault, Op, check, count},
    support::random::Random,
    values::{KEYS, NS, TITLES, Value, caught, fail, hook_may_fail, note},
};

/// What the crowd adds up. Between a beginning and its end a total may have it or not.
static TOTAL: Key<u64> = Key::new("stress, total", "total").init(|| 0).keep_total(merge);
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
/// The part of it that threads have added which were joined.
static LEFT: AtomicU64 = AtomicU64::new(0);

/// What [`steady`] counts up. Never absent once it is there.
pub(crate) static STEADY: Key<Count> = Key::new("stress, steady", "steady").debug();

static COUNTS_ALIVE: AtomicU64 = AtomicU64::new(0);

/// A number in many copies.
#[derive(Debug)]
pub(crate) struct Count([u64; 6]);

impl Count {
    fn new(number: u64) -> Self {
        COUNTS_ALIVE.fetch_add(1, Ordering::SeqCst);
        Self([number; 6])
    }

    /// Its number, if it is whole.
    pub(crate) fn number(&self) -> Option<u64> {
        self.0.iter().all(|copy| *copy == self.0[0]).then_some(self.0[0])
    }
}

impl Clone for Count {
    fn clone(&self) -> Self {
        Self::new(self.0[0])
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        COUNTS_ALIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

thread_local! {
    /// Whether merges fail on this thread: at an exit, that is, since the crowd asks for no totals.
    static MERGE_FAILS: Cell<bool> = const { Cell::new(false) };
}

fn merge(one: &u64, other: &u64) -> u64 {
    if MERGE_FAILS.take() {
        fail(Fault::Merge);
    }
    one + other
}

/// Looks at the total; checks that it has all that is certain and nothing that is not.
pub(crate) fn check_total() {
    let least = ENDED.load(Ordering::SeqCst);
    let total = TOTAL.total().unwrap_or(0);
    let most = BEGUN.load(Ordering::SeqCst);
    check((least..=most).contains(&total), || format!("a total of {total}, not in {least}..={most}"));
    count(Op::Totals, 1);
}

/// What a child that is forked now must have at least: others' values are not in it.
#[cfg(unix)]
pub(crate) fn certain_in_a_child() -> u64 {
    LEFT.load(Ordering::SeqCst)
}

/// In that child.
#[cfg(unix)]
pub(crate) fn assert_total_in_a_child(least: u64) {
    let total = TOTAL.total().unwrap_or(0);
    assert!(total >= least && total <= BEGUN.load(Ordering::SeqCst));
}

/// With nobody there.
pub(crate) fn check_sums() {
    let (begun, ended) = (BEGUN.load(Ordering::SeqCst), ENDED.load(Ordering::SeqCst));
    check(begun == ended, || "the test has lost count".to_owned());
    let total = TOTAL.total();
    check(total.unwrap_or(0) == ended, || format!("a total of {total:?} in place of {ended}"));
}

pub(crate) fn add_nothing() {
    TOTAL.set(0);
}

/// Starts threads, some at once, joins them, and sees that they are gone.
pub(crate) fn crowd(mut random: Random) {
    while goes_on() {
        let started: Vec<_> = (0..=random.below(5)).map(|_| start(Random::new(random.next()))).collect();
        for (number, wait) in started {
            wait();
            CENSUS.died(number);
        }
    }
}

/// Starts one; gives its number and a way to wait for its end.
fn start(mut random: Random) -> (u64, Box<dyn FnOnce()>) {
    let number = CENSUS.born();
    count(Op::Threads, 1);
    let is_foreign = random.one_in(4);
    let (tell, told) = std::sync::mpsc::channel();
    let life = move || {
        let mut member = Member { number, random, added: 0 };
        member.live();
        tell.send((thread::current().id(), member.added)).expect("somebody joins");
        if member.random.one_in(10) {
            count(Op::Panicked, 1);
            fail(Fault::Closure);
        }
    };
    let wait = start_thread(is_foreign, life);
    let wait = move || {
        wait();
        let (id, added): (ThreadId, u64) = told.recv().expect("it told before it ended");
        check(context(id).is_none(), || format!("{number} was joined and its context is there"));
        LEFT.fetch_add(added, Ordering::SeqCst);
    };
    (number, Box::new(wait))
}

#[cfg_attr(not(unix), allow(unused_variables, reason = "no other kind of thread there"))]
fn start_thread(is_foreign: bool, life: impl FnOnce() + Send + 'static) -> Box<dyn FnOnce()> {
    #[cfg(unix)]
    if is_foreign {
        count(Op::Foreign, 1);
        // A panic ends at its edge.
        let thread = crate::support::foreign::Foreign::start(move || _ = caught(life));
        return Box::new(|| thread.join());
    }
    let thread = thread::spawn(life);
    Box::new(|| thread.join().unwrap_or_else(|payload| note(&*payload)))
}

/// One of the crowd.
struct Member {
    number: u64,
    random: Random,
    added: u64,
}

impl Member {
    fn live(&mut self) {
        if self.random.one_in(8) {
            MERGE_FAILS.set(true);
        }
        // Some live long enough to be met again and again.
        let length = if self.random.one_in(8) { 3_000 } else { 60 };
        for _ in 0..10 + self.random.below(length) {
            caught(|| self.step());
            caught(|| self.check_own());
        }
    }

    fn value(&self, key: usize) -> Value {
        Value::new(self.number, key)
    }

    fn check_own(&self) {
        for (n, key) in KEYS.iter().enumerate() {
            let is_mine = |value: &Value| value.of == self.number && value.key == n && value.is_whole();
            check(key.with(is_mine) != Some(false), || format!("{} finds a strange value", self.number));
        }
    }

    fn step(&mut self) {
        let n = self.random.below(KEYS.len() as u64) as usize;
        let (key, value) = (&KEYS[n], |member: &Self| member.value(n));
        count(Op::Writes, 1);
        match self.random.below(16) {
            0 | 1 => key.set(value(self)),
            2 | 3 => drop(key.replace(value(self))),
            4 => drop(key.take()),
            5 => _ = key.update(|value| value.key = n),
            6 => drop(key.get_or_init(|| value(self))),
            7 => _ = key.with(|_| key.set(value(self))),
            8 => key.scope(value(self), || {
                key.set(value(self));
                self.may_fail();
            }),
            9 => {
                let (one, two) = (key.enter(value(self)), key.enter(value(self)));
                drop(one);
                self.may_fail();
                drop(two);
            }
            10 | 11 => self.step_by_name(),
            12 => self.add(),
            13 => get_thread_ctx().on_exit(|_| hook_may_fail()),
            14 => self.may_fail(),
            _ => self.exit(),
        }
    }

    fn step_by_name(&mut self) {
        let n = self.random.below((TITLES.len() - KEYS.len()) as u64) as usize;
        let (key, ctx) = (KEYS.len() + n, get_thread_ctx());
        let (namespace, name) = (ctx.namespace(NS), TITLES[key]);
        match self.random.below(5) {
            0 | 1 => drop(namespace.insert(name, self.value(key)).expect("it is of that type")),
            2 => drop(namespace.get_or_insert_with(name, || self.value(key)).expect("it is of that type")),
            3 => _ = namespace.remove(name),
            _ => namespace.clear(),
        }
    }

    fn add(&mut self) {
        let more = self.random.below(100);
        BEGUN.fetch_add(more, Ordering::SeqCst);
        TOTAL.update(|total| *total += more);
        ENDED.fetch_add(more, Ordering::SeqCst);
        self.added += more;
    }

    fn exit(&mut self) {
        if !self.random.one_in(4) {
            return;
        }
        let before = get_thread_ctx().handle();
        count(Op::Exits, 1);
        let exited = match self.random.one_in(2) {
            true => KEYS[0].with(|_| exit_thread_ctx()).unwrap_or_else(exit_thread_ctx),
            false => exit_thread_ctx(),
        };
        check(exited && before.state() == State::Exited, || "an exit was refused".to_owned());
        check(KEYS.iter().all(|key| key.get().is_none()), || "an exit left something".to_owned());
    }

    fn may_fail(&mut self) {
        if self.random.one_in(4) {
            fail(Fault::Closure);
        }
    }
}

/// Writes one key in every way that never leaves it absent.
pub(crate) fn steady(mut random: Random) {
    for n in 1.. {
        let is_alone = READING.load(Ordering::SeqCst) == 0;
        match random.below(4) {
            0 => STEADY.set(Count::new(n)),
            1 => drop(STEADY.replace(Count::new(n))),
            2 if STEADY.update(|value| *value = Count::new(n)).is_some() => (),
            _ => {
                if STEADY.with(|_| STEADY.set(Count::new(n))).is_none() {
                    STEADY.set(Count::new(n));
                }
            }
        }
        let is_mine = STEADY.with(Count::number) == Some(Some(n));
        check(is_mine, || format!("{n} was written and is not there"));
        count(Op::Writes, 1);
        // What was kept for readers goes with the first write after the last of them.
        if !goes_on() && is_alone {
            let alive = COUNTS_ALIVE.load(Ordering::SeqCst);
            check(alive == 1, || format!("{alive} values of one key are alive"));
            break;
        }
    }
}

/// Adds and removes hooks that fail now and then, and so do the values that they captured.
pub(crate) fn hooks(mut random: Random) {
    let mut guards = Vec::new();
    while goes_on() {
        let captured = Value::new(u64::MAX, 0);
        let hook = move |_| {
            check(captured.is_whole(), || "a hook ran after it was dropped".to_owned());
            hook_may_fail();
        };
        guards.push(if random.one_in(2) { on_thread_start(hook) } else { on_thread_exit(hook) });
        if guards.len() > 4 {
            let n = random.below(guards.len() as u64) as usize;
            drop(guards.swap_remove(n));
        }
        count(Op::Hooks, 1);
        // As often as others get on; else the lists are all that there is.
        thread::yield_now();
    }
}
