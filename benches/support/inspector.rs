//! A thread that looks at everything without pause, when it is told to.

use std::{
    cmp::Reverse,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use threadctx::{Key, dump};

struct Shared {
    /// One of `REST`, `LOOK` and `WORK`.
    does: AtomicU8,
    over: AtomicBool,
    /// How often it has done that.
    times: AtomicU64,
}

const REST: u8 = 0;
/// Iterate and dump.
const LOOK: u8 = 1;
/// Something of about that size that nobody else has anything to do with: what it costs others that a thread is busy at all,
/// perhaps on the other half of their core.
const WORK: u8 = 2;

/// Iterates over a key's values and dumps all contexts, again and again.
pub(crate) struct Inspector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Inspector {
    pub(crate) fn of(key: &'static Key<u64>) -> Self {
        let shared = Shared { does: REST.into(), over: false.into(), times: 0.into() };
        let shared = Arc::new(shared);
        let inspect = {
            let shared = Arc::clone(&shared);
            move || inspect(&shared, key)
        };
        Self { shared, thread: Some(thread::spawn(inspect)) }
    }

    /// So many turns of `code` while the other thread looks without pause, and what they gave: those of the half in which
    /// it looked most often. In the others it may have had no core.
    pub(crate) fn during<R>(&self, turns: usize, code: impl Fn() -> R) -> Vec<R> {
        self.turns(LOOK, turns, code)
    }

    /// The same while it works on something of its own.
    pub(crate) fn beside<R>(&self, turns: usize, code: impl Fn() -> R) -> Vec<R> {
        self.turns(WORK, turns, code)
    }

    fn turns<R>(&self, does: u8, turns: usize, code: impl Fn() -> R) -> Vec<R> {
        let mut all: Vec<_> = (0..turns * 2).map(|_| self.turn(does, &code)).collect();
        all.sort_by_key(|(_, times)| Reverse(*times));
        all.into_iter().take(turns).map(|(result, _)| result).collect()
    }

    fn turn<R>(&self, does: u8, code: &impl Fn() -> R) -> (R, u64) {
        let before = self.times();
        self.shared.does.store(does, Ordering::Release);
        self.thread.as_ref().expect("it is over at the drop only").thread().unpark();
        while self.times() == before {
            thread::yield_now();
        }
        let begun = self.times();
        let result = code();
        let times = self.times() - begun;
        self.shared.does.store(REST, Ordering::Release);
        (result, times)
    }

    fn times(&self) -> u64 {
        self.shared.times.load(Ordering::Acquire)
    }
}

fn look(key: &'static Key<u64>) {
    let seen = key.iter().count();
    assert!(seen > 0, "the owner has a value");
    // Making JSON of it would only give the owner a rest: it works on the dump alone.
    black_box(dump());
}

fn inspect(shared: &Shared, key: &'static Key<u64>) {
    while !shared.over.load(Ordering::Acquire) {
        match shared.does.load(Ordering::Acquire) {
            LOOK => look(key),
            WORK => drop(black_box((0..32).map(|number| format!("{number}")).collect::<Vec<_>>())),
            _ => {
                thread::park();
                continue;
            }
        }
        shared.times.fetch_add(1, Ordering::Release);
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let thread = self.thread.take().expect("it is dropped once");
        thread.thread().unpark();
        thread.join().expect("it does not panic");
    }
}
