//! Promise 2 at its hardest: a thread that is stopped in the middle of a read, or of a write, stops nobody else.
//!
//! A signal stops a thread at whatever instruction it is. Often enough that is one inside the protocol. The allocator here
//! has no lock: else a thread stopped inside it would hold up others, and not by our doing.

#![cfg(all(unix, not(loom)))]
#![expect(unsafe_code, reason = "signals, and an allocator")]

#[path = "support/patience.rs"]
mod patience;
#[path = "support/watchdog.rs"]
mod watchdog;

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    hint,
    os::unix::thread::JoinHandleExt,
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use threadctx::{ContextRef, DumpOptions, Key, get_thread_ctx};
use watchdog::within_a_minute;

/// Hands out memory once and never takes it back.
struct Bump {
    memory: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

const SIZE: usize = 256 << 20;

#[global_allocator]
static ALLOCATOR: Bump = Bump { memory: UnsafeCell::new([0; SIZE]), used: AtomicUsize::new(0) };

// SAFETY: each byte is handed out once, by the addition.
unsafe impl Sync for Bump {}

// SAFETY: as above; what is handed out is large and aligned enough.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.get().cast::<u8>();
        let asked = layout.size() + layout.align();
        let at = self.used.fetch_add(asked, Ordering::Relaxed);
        if at + asked > SIZE {
            return ptr::null_mut();
        }
        let unaligned = start.wrapping_add(at);
        unaligned.wrapping_add(unaligned.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// More than any dump here needs, so that none leaves something out for want of time on a busy machine.
const AMPLE: Duration = Duration::from_secs(30);

/// How often a thread was told to stop, has stopped, and was told to go on.
static TOLD: AtomicUsize = AtomicUsize::new(0);
static STOPPED: AtomicUsize = AtomicUsize::new(0);
static GO_ON: AtomicUsize = AtomicUsize::new(0);

extern "C" fn stop(_: libc::c_int) {
    let time = TOLD.load(Ordering::SeqCst);
    STOPPED.store(time, Ordering::SeqCst);
    while GO_ON.load(Ordering::SeqCst) < time {
        hint::spin_loop();
    }
}

/// Starts a thread that does `work` again and again; stops it `times` times, wherever it is, and does `meanwhile` then.
fn while_stopped(
    times: usize,
    work: impl Fn() + Send + 'static,
    mut meanwhile: impl FnMut(usize, &ContextRef) + Send + 'static,
) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    within_a_minute(move || {
        static DONE: AtomicBool = AtomicBool::new(false);
        static ROUNDS: AtomicUsize = AtomicUsize::new(0);
        DONE.store(false, Ordering::SeqCst);
        // SAFETY: the handler only uses atomics.
        unsafe { libc::signal(libc::SIGUSR1, stop as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        let (give, given) = mpsc::channel();
        let thread = thread::spawn(move || {
            work();
            give.send(get_thread_ctx().handle()).unwrap();
            while !DONE.load(Ordering::Relaxed) {
                work();
                ROUNDS.fetch_add(1, Ordering::SeqCst);
            }
        });
        let context = given.recv().unwrap();
        for time in 0..times {
            let told = TOLD.fetch_add(1, Ordering::SeqCst) + 1;
            // SAFETY: the thread has not been joined.
            assert_eq!(unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) }, 0);
            while STOPPED.load(Ordering::SeqCst) < told {
                thread::yield_now();
            }
            meanwhile(time, &context);
            GO_ON.store(told, Ordering::SeqCst);
            // It must get on a little, and not by the same number of steps each time.
            let rounds = ROUNDS.load(Ordering::SeqCst);
            while ROUNDS.load(Ordering::SeqCst) < rounds + 2 {
                hint::spin_loop();
            }
            (0..time * 7 % 97).for_each(|_| hint::spin_loop());
        }
        DONE.store(true, Ordering::SeqCst);
        thread.join().unwrap();
    });
}

#[test]
fn a_reader_stopped_in_the_middle_does_not_stop_the_owners_writes() {
    static KEY: Key<[u64; 4]> = Key::new("stalls, reader", "key").debug();
    // The owner is this thread, so the stopping is another's: it asks for writes and waits for them.
    KEY.set([0; 4]);
    let me = get_thread_ctx().handle();
    let read = move || {
        let value = KEY.get_in(&me).expect("there is a value at any time");
        assert!(value.iter().all(|part| *part == value[0]), "torn: {value:?}");
    };
    let (ask, asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let stopper = thread::spawn(move || {
        while_stopped(300, read, move |time, _| {
            ask.send(time as u64).unwrap();
            told.recv().unwrap();
        });
    });
    for n in asked {
        KEY.set([n; 4]);
        drop(KEY.replace([n + 1; 4]));
        KEY.with(|before| {
            KEY.set([n + 2; 4]);
            assert_eq!(*before, [n + 1; 4]);
        });
        KEY.update(|value| *value = [n + 3; 4]);
        KEY.scope([n + 4; 4], || KEY.set([n + 5; 4]));
        assert_eq!(KEY.cloned(), Some([n + 3; 4]));
        tell.send(()).unwrap();
    }
    stopper.join().unwrap();
}

#[test]
fn an_owner_stopped_in_the_middle_of_a_write_does_not_stop_a_dump() {
    static KEY: Key<u64> = Key::new("stalls, owner", "key").debug();
    while_stopped(
        200,
        || {
            static N: AtomicUsize = AtomicUsize::new(0);
            KEY.set(N.fetch_add(1, Ordering::Relaxed) as u64);
        },
        move |_, _| {
            let dump = DumpOptions::new().budget(AMPLE).namespace("stalls, owner").take().to_json();
            let json: serde_json::Value = serde_json::from_str(&dump).unwrap();
            let values = json["contexts"][0]["values"].as_array().unwrap();
            let value =
                values.iter().find(|value| value["name"] == "key").expect("it is listed, busy or not");
            let value = value["value"].as_str().unwrap();
            if value == "<busy>" {
                assert!(json["counts"]["busy"].as_u64() > Some(0));
                assert_eq!(json["complete"], false);
            } else {
                assert!(value.parse::<u64>().is_ok());
            }
        },
    );
}

#[test]
fn an_owner_stopped_while_it_writes_a_name_is_not_left_out_in_silence() {
    while_stopped(
        400,
        || {
            let namespace = get_thread_ctx().namespace("stalls by name");
            drop(namespace.insert("name", 1_u64).unwrap());
        },
        |_, _| {
            let dump = DumpOptions::new().budget(AMPLE).namespace("stalls by name").take();
            let json: serde_json::Value = serde_json::from_str(&dump.to_json()).unwrap();
            let values = json["contexts"][0]["values"].as_array().map_or(0, Vec::len);
            assert!(values == 1 || !dump.is_complete(), "not there, and not said: {json}");
        },
    );
}

#[test]
fn an_owner_stopped_anywhere_does_not_stop_others_from_coming_reading_and_going() {
    static KEY: Key<u64> = Key::new("stalls, others", "key");
    while_stopped(
        150,
        || {
            KEY.set(1);
            get_thread_ctx().namespace("stalls, others").insert("name", 1).unwrap();
            get_thread_ctx().clear();
        },
        |time, context| {
            // Not the stopped thread's values: a read of those may wait for the write in which it was stopped.
            static OWN: Key<usize> = Key::new("stalls, own", "key");
            thread::spawn(move || OWN.set(time)).join().unwrap();
            assert!(threadctx::contexts().iter().any(|live| live.ident() == context.ident()));
            assert!(threadctx::context(context.ident()).is_some());
            assert_eq!(context.state(), threadctx::State::Running);
        },
    );
}

/// Whoever makes a key visible waits for an owner in a write of it, and holds no lock of the registry meanwhile.
#[test]
fn an_owner_stopped_in_a_write_of_a_key_that_becomes_visible_stops_nobody_else() {
    const KEYS: usize = 40;
    /// More threads than the registry has locks, so that some need the stopped thread's.
    const OTHERS: usize = 64;
    type Large = [u64; 512];
    fn keys(kind: fn(Key<Large>) -> Key<Large>) -> &'static [Key<Large>] {
        let keys = (0..KEYS).map(|n| kind(Key::new("stalls, visible", format!("{n}").leak())));
        keys.collect::<Vec<_>>().leak()
    }
    static PRESENT: AtomicUsize = AtomicUsize::new(0);
    let (opaque, visible) = (keys(|key| key), keys(Key::debug));
    let (declaring, declared) = mpsc::channel();
    while_stopped(
        KEYS,
        move || opaque[PRESENT.load(Ordering::SeqCst)].set([1; 512]),
        move |time, _| {
            declaring.send(thread::spawn(move || visible[time].set([2; 512]))).unwrap();
            // By now it waits, if the owner was stopped in a write.
            thread::sleep(Duration::from_millis(5));
            let others: Vec<_> = (0..OTHERS).map(|_| thread::spawn(|| _ = get_thread_ctx())).collect();
            others.into_iter().for_each(|other| other.join().unwrap());
            PRESENT.store((time + 1).min(KEYS - 1), Ordering::SeqCst);
        },
    );
    declared.iter().for_each(|thread: thread::JoinHandle<()>| thread.join().unwrap());
}
