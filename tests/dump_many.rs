//! What can be tested only with more contexts than a test can have threads: tasks that wait.

#![cfg(not(loom))]

use std::{
    future, io,
    ops::Range,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Waker},
    thread,
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use serde_json::Value;
use threadctx::{DumpCounts, DumpOptions, FutureExt, Key, get_thread_ctx};

#[path = "../benches/support/writers.rs"]
mod writers;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

static KEYS: [Key<u64>; 2] = [Key::new("dump test", "one").json(), Key::new("dump test", "two").json()];

/// One test at a time has many contexts, since each looks at the memory of the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Tasks that wait with values of the keys in their contexts.
struct Many(Vec<Pin<Box<dyn Future<Output = ()>>>>);

impl Many {
    fn new(numbers: Range<u64>, keys: usize) -> Self {
        let start = |number| {
            let task = async move {
                KEYS[..keys].iter().for_each(|key| key.set(number));
                future::pending().await
            };
            let mut task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task.in_context());
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            task
        };
        Self(numbers.map(start).collect())
    }
}

/// Counts what is written and keeps the last of it.
#[derive(Default)]
struct Sieve {
    bytes: usize,
    largest: usize,
}

impl io::Write for Sieve {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len();
        self.largest = self.largest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unlimited() -> DumpOptions {
    let all = DumpOptions::new().namespace("dump test");
    all.max_contexts(usize::MAX).max_bytes(usize::MAX).budget(Duration::from_secs(600))
}

#[test]
fn a_dump_of_a_hundred_thousand_contexts_needs_the_memory_for_one() {
    const CONTEXTS: u64 = 100_000;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _many = Many::new(0..CONTEXTS, 1);
    type Write = fn(&DumpOptions, &mut Sieve) -> io::Result<DumpCounts>;
    let forms: [(&str, Write); 3] = [
        ("text", |options, out| options.write_text(out)),
        ("json", |options, out| options.write_json(out)),
        ("ndjson", |options, out| options.write_ndjson(out)),
    ];
    for (form, write) in forms {
        let mut out = Sieve::default();
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let counts = write(&unlimited(), &mut out).expect("it takes everything");
        let peak = MEMORY.peak_usage().saturating_sub(before);
        assert!(peak < 8 << 20, "{form}: {peak} bytes");
        assert_eq!((counts.contexts, counts.values), (CONTEXTS as usize, CONTEXTS as usize), "{form}");
        assert_eq!((counts.left_out, counts.values_left_out, counts.busy), (0, 0, 0), "{form}");
        assert!(out.bytes > 10 << 20 && out.largest < 4 << 10, "{form} comes in pieces");
    }
}

#[test]
fn a_dump_of_too_many_contexts_keeps_to_its_time_and_says_what_it_left_out() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let many = Many::new(0..100_000, 1);
    let budget = Duration::from_millis(20);
    let mut json = Vec::new();
    let started = Instant::now();
    unlimited().budget(budget).write_json(&mut json).expect("it takes everything");
    let took = started.elapsed();
    assert!(took < budget + Duration::from_secs(1), "{took:?}");
    let json: Value = serde_json::from_slice(&json).expect("it is JSON");
    let count = |name: &str| json["counts"][name].as_u64().expect("a count");
    assert!(count("left_out") > 0 && json["complete"] == false, "{}", json["counts"]);
    assert_eq!(json["limits_met"], serde_json::json!(["budget_us"]));
    assert!(count("contexts") + count("left_out") >= many.0.len() as u64);
}

/// How much exactly is the business of a benchmark, on a quiet machine: `cargo bench --bench budgets -- crowded`.
#[test]
fn writers_are_neither_stopped_nor_slowed_by_a_dump_in_a_loop() {
    use writers::{Dumper, Shared, pace};
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _many = Many::new(0..100_000, 1);
    let (shared, time) = (Shared::default(), Duration::from_millis(50));
    let paces: Vec<_> = thread::scope(|scope| {
        let dumper = Dumper::start(scope, &shared);
        let turn = |_| (pace(&KEYS[0], time), dumper.during(|| pace(&KEYS[0], time)));
        let paces = (0..20).map(turn).collect();
        dumper.end();
        paces
    });
    // What else is at work on the machine meets some turns more than others.
    let middle = |mut paces: Vec<f64>| {
        paces.sort_by(f64::total_cmp);
        paces[paces.len() / 2]
    };
    let (alone, dumped) = paces.into_iter().unzip();
    let (alone, dumped) = (middle(alone), middle(dumped));
    assert!(dumped < alone * 1.5, "{dumped} ns for a write, {alone} ns without the dump");
}

/// What is written quickly is what serializes: one is made by hand, the other by serde.
#[test]
fn the_json_is_the_same_through_serialize() {
    static NAMED: Key<&str> = Key::new("dump test", "na\"med").display();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _many = Many::new(0..3, 2);
    NAMED.set("a \"text\"\n\u{1b}");
    let namespace = get_thread_ctx().namespace("dump test");
    namespace.insert_secret("secret", 1).expect("nobody has it");
    namespace.insert_opaque("opaque", 1).expect("nobody has it");
    namespace.insert("long", "x".repeat(100)).expect("nobody has it");
    let dump = unlimited().stale_after(Duration::ZERO).max_value_bytes(50).take();
    assert_eq!(dump.to_json(), serde_json::to_string(&dump).expect("it is JSON"));
    assert_eq!(dump.counts().contexts, 4);
    let (mut json, mut lines) = (Vec::new(), Vec::new());
    dump.write_json(&mut json).expect("memory takes everything");
    assert_eq!(json, dump.to_json().into_bytes());
    dump.write_ndjson(&mut lines).expect("memory takes everything");
    let lines: Vec<Value> = lines
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    let json: Value = serde_json::from_slice(&json).expect("it is JSON");
    assert_eq!(Some(&lines[1..]), json["contexts"].as_array().map(Vec::as_slice));
    assert_eq!(lines[0]["counts"], json["counts"]);
    get_thread_ctx().clear();
}
