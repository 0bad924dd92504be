//! The watchdog: what it raises an alarm for, how often, and how it ends.

#![cfg(not(any(loom, shuttle)))]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use threadctx::{
    Alarm, Key, State, Watchdog, WatchdogGuard, exit_thread_ctx, get_thread_ctx, stats, watchdog,
};

use worker::Worker;

#[cfg(unix)]
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/forks.rs"]
#[expect(unsafe_code, reason = "forks")]
mod forks;
#[path = "support/patience.rs"]
mod patience;
#[cfg(unix)]
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/solo.rs"]
#[expect(unsafe_code, reason = "calls into the C library")]
mod solo;
#[allow(dead_code, reason = "this file needs a part of it")]
#[path = "support/worker.rs"]
mod worker;

/// Short, so that tests are; what must not be stuck is written far more often.
const LIMIT: Duration = Duration::from_millis(60);
/// Too long for a test to see it through.
const LONG: Duration = Duration::from_secs(3_600);
/// What a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends its alarms here.
fn alarms_of(watchdog: Watchdog) -> (WatchdogGuard, Receiver<Alarm>) {
    let (send, alarms) = mpsc::channel();
    let guard = watchdog.to(move |alarm| drop(send.send(alarm))).expect("there is room for a thread");
    (guard, alarms)
}

fn next(alarms: &Receiver<Alarm>) -> Alarm {
    alarms.recv_timeout(PATIENCE).expect("an alarm is due")
}

#[test]
fn what_has_not_moved_is_marked_and_what_moves_is_not() {
    static STEP: Key<u64> = Key::new("watchdog", "moves").debug();
    static OVER: AtomicBool = AtomicBool::new(false);
    let moving = thread::spawn(|| {
        while !OVER.load(Ordering::SeqCst) {
            STEP.set(2);
            thread::yield_now();
        }
    });
    let stuck = Worker::with(thread::Builder::new().name("stuck".to_owned()));
    stuck.run(|| STEP.set(1));
    let handle = stuck.handle();
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP));
    let alarm = next(&alarms);
    OVER.store(true, Ordering::SeqCst);
    moving.join().expect("it does not panic");
    let (ident, ago) = alarm.stuck().next().expect("somebody is");
    assert_eq!((ident, alarm.stuck().count()), (handle.ident(), 1));
    assert!(ago >= LIMIT, "{ago:?}");
    let text = alarm.to_string();
    let line = text.lines().next().expect("there is one");
    assert!(line.starts_with("threadctx: \"stuck\"") && line.contains("watchdog.moves"), "{text}");
    let marked: Vec<_> = text.lines().filter(|line| line.starts_with('"') && line.ends_with("!!!")).collect();
    assert!(marked.len() == 1 && marked[0].starts_with("\"stuck\""), "{text}");
    let findings: Vec<_> = alarm.dump().findings().iter().filter(|it| it.code() == "unmoved").collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].ident(), handle.ident());
    assert!(text.contains("! \"stuck\""), "{text}");
}

#[test]
fn one_that_took_its_value_out_is_left_alone() {
    static STEP: Key<u64> = Key::new("watchdog", "taken").debug();
    let (idle, stuck) = (Worker::start(), Worker::start());
    idle.run(|| STEP.set(1));
    stuck.run(|| STEP.set(1));
    idle.run(|| STEP.take());
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP));
    let stuck = stuck.handle().ident();
    assert_eq!(next(&alarms).stuck().map(|(ident, _)| ident).collect::<Vec<_>>(), [stuck]);
}

#[test]
fn one_that_is_exiting_is_left_alone() {
    static STEP: Key<u64> = Key::new("watchdog", "exiting").debug();
    static HANDLES: Mutex<Vec<threadctx::ContextRef>> = Mutex::new(Vec::new());
    let (end, over) = mpsc::channel::<()>();
    let (send, ready) = mpsc::channel();
    let exiting = thread::spawn(move || {
        STEP.set(1);
        get_thread_ctx().on_exit(move |ctx| {
            send.send(ctx.handle()).expect("we wait");
            over.recv().expect_err("it hangs up");
        });
    });
    let handle = ready.recv().expect("it comes");
    assert_eq!((handle.state(), STEP.get_in(&handle).is_some()), (State::Exiting, true));
    HANDLES.lock().expect("nobody panics").push(handle.clone());
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP).at_most_every(Duration::ZERO));
    for _ in 0..3 {
        assert!(next(&alarms).stuck().all(|(ident, _)| ident == stuck.handle().ident()));
    }
    drop(end);
    exiting.join().expect("it does not panic");
}

/// It was written before anybody noted when, and again afterwards.
#[test]
fn a_key_that_no_dump_shows_can_be_watched() {
    static STEP: Key<u64> = Key::new("watchdog", "opaque");
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP).at_most_every(Duration::ZERO));
    let before = next(&alarms);
    assert_eq!(before.stuck().count(), 1);
    stuck.run(|| STEP.set(2));
    let written = Instant::now();
    let after = loop {
        let alarm = next(&alarms);
        if alarm.stuck().any(|(_, ago)| ago <= written.elapsed()) {
            break alarm;
        }
        assert!(written.elapsed() < PATIENCE, "the write was not noted");
    };
    assert!(after.stuck().all(|(_, ago)| ago >= LIMIT));
    assert!(written.elapsed() >= LIMIT - Duration::from_millis(10), "the coarse clock is not that coarse");
}

#[test]
fn a_name_that_a_key_goes_by_is_watched_though_it_was_put_in_by_name() {
    static STEP: Key<u64> = Key::new("watchdog", "by-name");
    let stuck = Worker::start();
    stuck.run(|| {
        get_thread_ctx().namespace("watchdog").insert("by-name", 1_u64).expect("the name is free");
    });
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP));
    assert_eq!(next(&alarms).stuck().next().map(|(ident, _)| ident), Some(stuck.handle().ident()));
}

#[test]
fn in_a_namespace_the_last_write_to_any_value_counts() {
    let (moving, stuck) = (Worker::start(), Worker::start());
    for worker in [&moving, &stuck] {
        worker.run(|| {
            let job = get_thread_ctx().namespace("watchdog-any");
            job.insert("name", "it").expect("the name is free");
            job.insert("step", 0_u64).expect("the name is free");
            job.insert_opaque("opaque", 0_u64).expect("the name is free");
        });
    }
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).namespace("watchdog-an*"));
    let alarm = loop {
        moving.run(|| get_thread_ctx().namespace("watchdog-any").insert("step", 1_u64).expect("a u64"));
        match alarms.try_recv() {
            Ok(alarm) => break alarm,
            Err(_) => thread::yield_now(),
        }
    };
    let idents: Vec<_> = alarm.stuck().map(|(ident, _)| ident).collect();
    assert_eq!(idents, [stuck.handle().ident()]);
    assert!(alarm.to_string().contains("watchdog-an*.* was not written for"));
}

/// Another watchdog is the clock: it alarms every few limits.
#[test]
fn there_are_no_more_alarms_than_were_asked_for() {
    static STEP: Key<u64> = Key::new("watchdog", "rate").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (_seldom, few) = alarms_of(watchdog(LIMIT / 4).key(&STEP).at_most_every(LONG));
    let interval = LIMIT / 2;
    let (_often, many) = alarms_of(watchdog(LIMIT / 4).key(&STEP).at_most_every(interval));
    let begun = Instant::now();
    (0..8).for_each(|_| drop(next(&many)));
    assert!(begun.elapsed() >= interval * 7 - Duration::from_millis(5), "{:?}", begun.elapsed());
    drop(next(&few));
    assert!(few.try_recv().is_err(), "one in an hour is enough");
}

/// Its thread holds the sender: that goes when the thread does.
#[test]
fn it_ends_at_once_when_its_guard_drops() {
    static STEP: Key<u64> = Key::new("watchdog", "ends").debug();
    let (guard, alarms) = alarms_of(watchdog(LONG).key(&STEP));
    let dropped = Instant::now();
    drop(guard);
    assert_eq!(alarms.recv_timeout(PATIENCE).err(), Some(RecvTimeoutError::Disconnected));
    assert!(dropped.elapsed() < LONG);
}

#[test]
fn it_ends_at_once_while_it_waits_for_the_next_alarm_to_be_allowed() {
    static STEP: Key<u64> = Key::new("watchdog", "ends-late").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP).at_most_every(LONG));
    drop(next(&alarms));
    drop(guard);
    assert_eq!(alarms.recv_timeout(PATIENCE).err(), Some(RecvTimeoutError::Disconnected));
}

/// Nobody waits for the other.
#[test]
fn a_guard_may_drop_under_a_lock_that_the_outlet_wants() {
    static STEP: Key<u64> = Key::new("watchdog", "locks").debug();
    static LOCK: Mutex<()> = Mutex::new(());
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (send, called) = mpsc::channel();
    let outlet = move |_| {
        send.send(()).expect("we wait");
        drop(LOCK.lock());
    };
    let held = LOCK.lock();
    let guard = watchdog(LIMIT).key(&STEP).to(outlet).expect("there is room for a thread");
    called.recv_timeout(PATIENCE).expect("an alarm is due");
    drop(guard);
    drop(held);
    assert_eq!(called.recv_timeout(PATIENCE).err(), Some(RecvTimeoutError::Disconnected));
}

#[test]
fn a_guard_may_drop_in_the_outlet_itself() {
    static STEP: Key<u64> = Key::new("watchdog", "itself").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let (send, called) = mpsc::channel();
    let own = Arc::new(Mutex::new(None));
    let outlet = {
        let own = Arc::clone(&own);
        move |_| {
            drop::<Option<WatchdogGuard>>(own.lock().expect("nobody panics").take());
            send.send(()).expect("we wait");
        }
    };
    let mut empty = own.lock().expect("nobody panics");
    *empty = Some(watchdog(LIMIT).key(&STEP).to(outlet).expect("there is room for a thread"));
    drop(empty);
    called.recv_timeout(PATIENCE).expect("an alarm is due");
    assert_eq!(called.recv_timeout(PATIENCE).err(), Some(RecvTimeoutError::Disconnected));
}

#[cfg(unix)]
#[test]
fn in_a_forked_child_nothing_is_watched_and_the_guard_may_drop() {
    static STEP: Key<u64> = Key::new("watchdog", "fork").debug();
    let (guard, alarms) = alarms_of(watchdog(LONG).key(&STEP));
    forks::in_child(|| {
        drop(guard);
        assert!(alarms.try_recv().is_err());
        let (guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP));
        STEP.set(1);
        assert_eq!(next(&alarms).stuck().count(), 1, "one of its own it can have");
        drop(guard);
    });
}

#[test]
fn an_outlet_that_panics_is_called_again() {
    static STEP: Key<u64> = Key::new("watchdog", "panics").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let panics = stats().hook_panics;
    let (send, called) = mpsc::channel();
    let outlet = move |_| {
        send.send(()).expect("we wait");
        std::panic::resume_unwind(Box::new("no"));
    };
    let watchdog = watchdog(LIMIT / 4).key(&STEP).at_most_every(Duration::ZERO);
    let _guard = watchdog.to(outlet).expect("there is room for a thread");
    (0..3).for_each(|_| called.recv_timeout(PATIENCE).expect("an alarm is due"));
    assert!(stats().hook_panics >= panics + 2);
}

#[test]
fn a_secret_is_watched_and_not_told() {
    static TOKEN: Key<String> = Key::new("watchdog", "token").secret();
    let stuck = Worker::start();
    stuck.run(|| TOKEN.set("hunter2".to_owned()));
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&TOKEN));
    let alarm = next(&alarms);
    let told = format!("{alarm} {alarm:?} {}", alarm.dump().to_json());
    assert!(told.contains("token") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_key_of_another_type_is_refused_with_both_types() {
    static ONE: Key<u8> = Key::new("watchdog", "clash");
    static OTHER: Key<String> = Key::new("watchdog", "clash");
    ONE.set(1);
    let refused = watchdog(LONG).key(&OTHER).to_stderr().expect_err("they clash");
    let text = refused.to_string();
    assert!(text.contains("`u8`") && text.contains("`alloc::string::String`"), "{text}");
}

/// The file is there as a whole: the look may come at any moment.
#[test]
fn an_alarm_goes_to_a_file_as_text_or_json() {
    static STEP: Key<u64> = Key::new("watchdog", "file").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    for (name, begins, ends) in [("stuck.txt", "threadctx: ", "\n"), ("stuck.json", "{", "}")] {
        let path = std::env::temp_dir().join(format!("threadctx-{}-{name}", std::process::id()));
        let watchdog = watchdog(LIMIT / 4).key(&STEP).at_most_every(Duration::ZERO);
        let guard = watchdog.to_file(&path).expect("there is room for a thread");
        let mut looks = 0;
        while looks < 20 {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            assert!(
                text.starts_with(begins)
                    && text.ends_with(ends)
                    && text.contains("unmoved") == (begins == "{")
            );
            looks += 1;
        }
        drop(guard);
        std::fs::remove_file(&path).expect("it is there");
    }
}

#[test]
fn it_takes_no_context_of_its_own() {
    static STEP: Key<u64> = Key::new("watchdog", "own").debug();
    let stuck = Worker::start();
    stuck.run(|| STEP.set(1));
    let seen = Arc::new(Mutex::new(None));
    let (send, alarms) = mpsc::channel();
    let outlet = {
        let seen = Arc::clone(&seen);
        move |_: Alarm| {
            let mine = thread::current().id();
            *seen.lock().expect("nobody panics") = Some((mine, threadctx::context(mine).is_some()));
            let _ = send.send(());
        }
    };
    let _guard = watchdog(LIMIT).key(&STEP).to(outlet).expect("there is room for a thread");
    alarms.recv_timeout(PATIENCE).expect("an alarm is due");
    assert!(seen.lock().expect("nobody panics").is_some_and(|(_, has_context)| !has_context));
    exit_thread_ctx();
}

/// A value that is stuck, moves and is stuck again is one cause for alarms in a while, as one that stays stuck is.
#[test]
fn a_value_that_moves_between_two_alarms_does_not_bring_the_second_one_nearer() {
    static STEP: Key<u64> = Key::new("watchdog", "flaps").debug();
    let worker = Worker::start();
    worker.run(|| STEP.set(1));
    let (_guard, alarms) = alarms_of(watchdog(LIMIT).key(&STEP).at_most_every(LONG));
    next(&alarms);
    for step in 2..5 {
        worker.run(move || STEP.set(step));
        let more = alarms.recv_timeout(LIMIT * 3);
        assert!(matches!(more, Err(RecvTimeoutError::Timeout)), "one alarm in an hour: {more:?}");
    }
}

#[test]
fn the_second_key_and_the_second_namespace_are_watched_as_the_first_are() {
    static FIRST: Key<u64> = Key::new("watchdog first", "step").debug();
    static SECOND: Key<u64> = Key::new("watchdog second", "step").debug();
    let worker = Worker::start();
    worker.run(|| SECOND.set(1));
    let watch = || watchdog(LIMIT);
    for watched in
        [watch().key(&FIRST).key(&SECOND), watch().namespace("watchdog fir*").namespace("watchdog sec*")]
    {
        let (_guard, alarms) = alarms_of(watched);
        let alarm = next(&alarms);
        assert_eq!(alarm.stuck().map(|(ident, _)| ident).collect::<Vec<_>>(), [worker.handle().ident()]);
        assert!(alarm.to_string().contains("watchdog sec"), "{alarm}");
    }
}

/// While the process is stopped no thread can write, so none is stuck; one that does not write afterwards is.
#[cfg(unix)]
#[test]
fn a_process_that_was_stopped_is_not_taken_for_a_stuck_one() {
    static MOVES: Key<u64> = Key::new("watchdog", "moves on").debug();
    solo::alone(|| {
        const LIMIT: Duration = Duration::from_millis(500);
        let (send, halt) = mpsc::channel::<()>();
        let worker = thread::spawn(move || {
            while halt.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                MOVES.set(1);
            }
            let _ = halt.recv();
        });
        let watched = watchdog(LIMIT).key(&MOVES).at_most_every(Duration::from_millis(1));
        let (_guard, alarms) = alarms_of(watched);
        for _ in 0..2 {
            let me = std::process::id();
            let script = format!("sleep 0.2; kill -STOP {me}; sleep 1.2; kill -CONT {me}");
            let stopped = std::process::Command::new("sh").args(["-c", &script]).status();
            assert!(stopped.expect("there is a shell").success());
            let alarm = alarms.recv_timeout(LIMIT / 2);
            assert!(matches!(alarm, Err(RecvTimeoutError::Timeout)), "{alarm:?}");
        }
        // From now on it is stuck.
        send.send(()).expect("it waits");
        next(&alarms);
        drop(send);
        worker.join().expect("it ends");
    });
}

/// The process is stopped in the outlet itself, so that no sleep of the watchdog's says so.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "calls into the C library")]
#[test]
fn a_process_that_was_stopped_during_an_alarm_is_not_taken_for_a_stuck_one() {
    static STUCK: Key<u64> = Key::new("watchdog", "stuck for good").debug();
    static MOVES: Key<u64> = Key::new("watchdog", "moves with the processor").debug();
    const LIMIT: Duration = Duration::from_millis(600);
    /// What this thread has had of the processor.
    fn ran() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a time of ours.
        assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }
    solo::alone(|| {
        let halt = Arc::new(AtomicBool::new(false));
        let worker = thread::spawn({
            let halt = Arc::clone(&halt);
            move || {
                while !halt.load(Ordering::Relaxed) {
                    MOVES.set(1);
                    let begun = ran();
                    while ran() - begun < Duration::from_millis(100) {}
                }
            }
        });
        let me = std::process::id();
        let (send, alarms) = mpsc::channel();
        let watched = watchdog(LIMIT).key(&STUCK).key(&MOVES).at_most_every(Duration::from_millis(1));
        let mut alarmed = 0;
        let guard = watched.to(move |alarm| {
            let accused: Vec<_> = alarm.stuck().map(|(ident, _)| ident).collect();
            let _ = send.send(accused);
            alarmed += 1;
            if alarmed > 2 {
                return;
            }
            let script = format!(
                "until grep -q '^State:.T' /proc/{me}/status; do test -d /proc/{me} || exit; sleep 0.01; done; \
                 sleep 1; kill -CONT {me}"
            );
            let mut goes_on =
                std::process::Command::new("sh").args(["-c", &script]).spawn().expect("there is a shell");
            // SAFETY: two numbers.
            assert_eq!(unsafe { libc::kill(me as i32, libc::SIGSTOP) }, 0);
            assert!(goes_on.wait().expect("it ends").success());
        });
        let _guard = guard.expect("there is room for a thread");
        STUCK.set(1);
        for _ in 0..3 {
            assert_eq!(alarms.recv_timeout(PATIENCE).expect("one is due"), [get_thread_ctx().ident()]);
        }
        halt.store(true, Ordering::Relaxed);
        worker.join().expect("it ends");
    });
}
