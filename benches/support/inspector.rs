//! A thread that looks at everything without pause, when it is told to.

use std::{
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

    /// Runs `code` while the other thread looks without pause, from when it has begun to.
    pub(crate) fn during<R>(&self, code: impl FnOnce() -> R) -> R {
        let before = self.times();
        self.shared.looks.store(true, Ordering::Release);
        self.thread.as_ref().expect("it is over at the drop only").thread().unpark();
        while self.times() == before {
            thread::yield_now();
        }
        let result = code();
        self.shared.looks.store(false, Ordering::Release);
        result
    }

    pub(crate) fn times(&self) -> u64 {
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
        assert!(!dump().to_json().is_empty());
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
