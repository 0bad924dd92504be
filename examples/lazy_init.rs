//! Python's subclass of `threading.local` whose `__init__` runs once on each thread that touches it: here an initialiser
//! of the key, or of the place where the value is needed, and one that may fail. Counters prove how often each ran.
//!
//! ```text
//! cargo run --example lazy_init
//! ```

use std::{
    num::ParseIntError,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use threadctx::Key;

const THREADS: usize = 8;
const TOUCHES: usize = 100;

/// How often an initialiser ran, and how often the value that it made was dropped.
struct Counter {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Counter {
    const fn new() -> Self {
        Self { made: AtomicUsize::new(0), dropped: AtomicUsize::new(0) }
    }

    fn make(&'static self) -> Buffer {
        self.made.fetch_add(1, Ordering::Relaxed);
        Buffer { counter: self }
    }

    /// Called after the threads were joined, which orders their counting before this.
    fn check(&self, expected: usize) {
        assert_eq!(self.made.load(Ordering::Relaxed), expected);
        assert_eq!(self.dropped.load(Ordering::Relaxed), expected);
    }
}

/// What a thread needs one of.
struct Buffer {
    counter: &'static Counter,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.counter.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `touch` many times on each of many threads.
fn on_all_threads(touch: fn(usize)) {
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(move || (0..TOUCHES).for_each(touch))).collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no touch panics"));
}

/// The key knows how to make its value: any first access does, a read too.
fn key_that_makes_its_value() {
    static COUNTER: Counter = Counter::new();
    static BUFFER: Key<Buffer> = Key::new("lazy", "buffer").init(|| COUNTER.make());

    on_all_threads(|_| assert!(BUFFER.with(|_| ()).is_some()));
    COUNTER.check(THREADS);
    println!("init: {THREADS} threads, {TOUCHES} touches each, {THREADS} values made and dropped");
}

/// The caller knows, perhaps from what is at hand only there.
fn caller_that_makes_the_value() {
    static COUNTER: Counter = Counter::new();
    static BUFFER: Key<Buffer> = Key::new("lazy", "buffer of the caller");

    on_all_threads(|_| drop(BUFFER.get_or_init(|| COUNTER.make())));
    COUNTER.check(THREADS);
    println!("get_or_init: the same");
}

/// Making it may fail. Then the caller has the error, the thread has no value, and the next touch tries again.
fn caller_that_fails_at_first() {
    static TRIES: AtomicUsize = AtomicUsize::new(0);
    static LIMIT: Key<u32> = Key::new("lazy", "limit").debug();

    /// The setting is wrong at a thread's first look at it, and has been mended at the second.
    fn limit(touch: usize) -> Result<u32, ParseIntError> {
        let limit = LIMIT.get_or_try_init(|| {
            TRIES.fetch_add(1, Ordering::Relaxed);
            (if touch == 0 { "many" } else { "250" }).parse()
        });
        limit.map(|limit| *limit)
    }

    on_all_threads(|touch| match limit(touch) {
        Ok(limit) => assert_eq!((limit, touch > 0), (250, true)),
        Err(error) => assert_eq!((error.to_string(), touch), ("invalid digit found in string".to_owned(), 0)),
    });
    assert_eq!(TRIES.load(Ordering::Relaxed), 2 * THREADS);
    println!("get_or_try_init: tried twice on each thread, failed once, made once");
}

/// A thread that never touches the value never pays for one.
fn thread_that_does_not_touch() {
    static COUNTER: Counter = Counter::new();
    static BUFFER: Key<Buffer> = Key::new("lazy", "buffer of nobody").init(|| COUNTER.make());

    on_all_threads(|_| drop(threadctx::get_thread_ctx().handle()));
    assert_eq!(BUFFER.iter().count(), 0, "to look for values makes none");
    COUNTER.check(0);
    println!("untouched: nothing made");
}

fn main() {
    key_that_makes_its_value();
    caller_that_makes_the_value();
    caller_that_fails_at_first();
    thread_that_does_not_touch();
    assert!(threadctx::contexts().is_empty());
}
