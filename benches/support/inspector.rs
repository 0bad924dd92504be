//! A thread that looks at everything without pause, when it is told to.

use std::{
    cmp::Reverse,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use threadctx::{Key, dump};

struct Shared {
    looks: AtomicBool,
    over: AtomicBool,
    /// How often it has looked.
    times: AtomicU64,
}

/// Iterates over a key's values and dumps all contexts, again and again.
pub(crate) struct Inspector {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Inspector {
    pub(crate) fn of(key: &'static Key<u64>) -> Self {
        let shared = Shared { looks: false.into(), over: false.into(), times: 0.into() };
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
        let mut all: Vec<_> = (0..turns * 2).map(|_| self.during_once(&code)).collect();
        all.sort_by_key(|(_, looks)| Reverse(*looks));
        all.into_iter().take(turns).map(|(result, _)| result).collect()
    }

    fn during_once<R>(&self, code: &impl Fn() -> R) -> (R, u64) {
        let before = self.times();
        self.shared.looks.store(true, Ordering::Release);
        self.thread.as_ref().expect("it is over at the drop only").thread().unpark();
        while self.times() == before {
            thread::yield_now();
        }
        let begun = self.times();
        let result = code();
        let looks = self.times() - begun;
        self.shared.looks.store(false, Ordering::Release);
        (result, looks)
    }

    fn times(&self) -> u64 {
        self.shared.times.load(Ordering::Acquire)
    }
}

fn inspect(shared: &Shared, key: &'static Key<u64>) {
    while !shared.over.load(Ordering::Acquire) {
        if !shared.looks.load(Ordering::Acquire) {
            thread::park();
            continue;
        }
        let seen = key.iter().count();
        assert!(seen > 0, "the owner has a value");
        // Making JSON of it would only give the owner a rest: it works on the dump alone.
        black_box(dump());
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
