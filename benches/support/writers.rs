//! Threads that write without pause, and what a thread that dumps again and again takes from them.
//!
//! They are more than there are cores, and by the clock alone the writers would lose the share of the one that dumps,
//! whatever it did to them. What counts is the time in which a writer could have written: all that has passed, but for
//! what it waited for a core while it could run. So time in which it is blocked counts, and what a cache had to fetch again.

use std::{
    fs,
    hint::black_box,
    io,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use threadctx::{DumpOptions, Key};

/// How many threads write.
pub(crate) const WRITERS: usize = 8;

/// Writes between two looks at whether it is over.
const BATCH: u32 = 64;

/// Has them write `key` for as long as `time`, and gives the nanoseconds that a write takes.
pub(crate) fn pace(key: &'static Key<u64>, time: Duration) -> f64 {
    let (begin, over) = (Barrier::new(WRITERS + 1), AtomicBool::new(false));
    let sums = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| write(key, &begin, &over))).collect();
        begin.wait();
        thread::sleep(time);
        over.store(true, Ordering::Release);
        let written = writers.into_iter().map(|writer| writer.join().expect("it does not panic"));
        written.fold((Duration::ZERO, 0.0), |sums, one| (sums.0 + one.0, sums.1 + one.1))
    });
    sums.0.as_nanos() as f64 / sums.1
}

/// How long one writer could write, and how often it did.
fn write(key: &'static Key<u64>, begin: &Barrier, over: &AtomicBool) -> (Duration, f64) {
    key.set(7);
    begin.wait();
    let (start, waited, mut writes) = (Instant::now(), waited_for_a_core(), 0.0);
    while !over.load(Ordering::Acquire) {
        (0..BATCH).for_each(|_| key.set(black_box(7)));
        writes += f64::from(BATCH);
    }
    let waited = waited_for_a_core().saturating_sub(waited);
    (start.elapsed().saturating_sub(waited), writes)
}

/// How long this thread has waited for a core while it could run: the second number of three. Where the system does not
/// tell, there is nothing to leave out.
fn waited_for_a_core() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let waited = told.and_then(|told| told.split_whitespace().nth(1)?.parse().ok());
    Duration::from_nanos(waited.unwrap_or(0))
}

/// A thread that dumps everything in a loop, as JSON into nothing, when it is told to.
pub(crate) struct Dumper<'scope> {
    shared: &'scope Shared,
    thread: thread::ScopedJoinHandle<'scope, ()>,
}

/// What the thread that dumps and the one that tells it to share.
#[derive(Default)]
pub(crate) struct Shared {
    dumps: AtomicBool,
    is_over: AtomicBool,
    /// It waits until it may go on.
    rests: AtomicBool,
    /// How many contexts it has written.
    written: AtomicU64,
}

impl<'scope> Dumper<'scope> {
    /// Starts it; it rests at first.
    pub(crate) fn start(scope: &'scope thread::Scope<'scope, '_>, shared: &'scope Shared) -> Self {
        Self { shared, thread: scope.spawn(|| dump_in_a_loop(shared)) }
    }

    /// What `code` gives while the other thread dumps. It goes on where it was interrupted the last time, so that in many
    /// turns each part of a dump comes up.
    pub(crate) fn during<R>(&self, code: impl Fn() -> R) -> R {
        let Shared { dumps, rests, written, .. } = self.shared;
        loop {
            dumps.store(true, Ordering::Release);
            self.thread.thread().unpark();
            let before = written.load(Ordering::Acquire);
            let result = code();
            let progress = written.load(Ordering::Acquire) - before;
            dumps.store(false, Ordering::Release);
            while !rests.load(Ordering::Acquire) {
                thread::yield_now();
            }
            // It may have had no core, which would say nothing.
            if progress > 0 {
                return result;
            }
        }
    }

    pub(crate) fn end(self) {
        self.shared.is_over.store(true, Ordering::Release);
        self.thread.thread().unpark();
        self.thread.join().expect("it does not panic");
    }
}

fn dump_in_a_loop(shared: &Shared) {
    let all = DumpOptions::new().max_contexts(usize::MAX).max_bytes(usize::MAX).budget(Duration::MAX);
    while shared.may_go_on() {
        // The only error is that it is over.
        let _ = all.write_json(&mut Sink(shared));
    }
}

impl Shared {
    /// Rests for as long as it has to; false when it is over.
    fn may_go_on(&self) -> bool {
        while !self.dumps.load(Ordering::Acquire) && !self.is_over.load(Ordering::Acquire) {
            self.rests.store(true, Ordering::Release);
            thread::park();
        }
        self.rests.store(false, Ordering::Release);
        !self.is_over.load(Ordering::Acquire)
    }
}

/// Counts what comes, piece by piece.
struct Sink<'s>(&'s Shared);

impl io::Write for Sink<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.written.fetch_add(1, Ordering::Release);
        if self.0.may_go_on() { Ok(piece.len()) } else { Err(io::ErrorKind::Other.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
