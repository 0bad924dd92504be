//! A dump stops nobody, keeps nothing, and a renderer may do what it likes.

use std::{
    fmt,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use serde_json::Value;
use threadctx::{Dump, DumpOptions, Key, context, exit_thread_ctx, get_thread_ctx};

use super::{of, parsed, value};
use crate::support::{
    tracked::{Drops, Tracked},
    watchdog::within_a_minute,
    worker::Worker,
};

#[test]
fn while_a_renderer_waits_for_a_lock_of_its_owner_the_owner_and_everybody_else_goes_on() {
    /// Its text is behind a lock that its owner holds for long.
    #[derive(Clone)]
    struct Guarded(Arc<Mutex<u8>>, mpsc::Sender<()>);
    impl fmt::Debug for Guarded {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let _ = self.1.send(());
            write!(f, "{}", self.0.lock().unwrap())
        }
    }
    static KEY: Key<Guarded> = Key::new("calm lock", "key").debug();
    within_a_minute(|| {
        let (asked, wait) = mpsc::channel();
        let number = Arc::new(Mutex::new(1));
        let guarded = Guarded(Arc::clone(&number), asked);
        KEY.set(guarded.clone());
        let mut held = number.lock().unwrap();
        let dumper = thread::spawn(|| of("calm lock"));
        wait.recv().unwrap();
        // The dumper is in the renderer now. Whatever the owner and others do, nothing of ours is in their way.
        KEY.set(guarded.clone());
        drop(KEY.take());
        KEY.scope(guarded, || ());
        get_thread_ctx().namespace("calm lock").insert("name", 1).unwrap();
        Worker::start().run(|| {
            get_thread_ctx().namespace("calm lock, others").insert("name", 1).unwrap();
            assert!(exit_thread_ctx());
            _ = get_thread_ctx();
        });
        assert!(exit_thread_ctx());
        assert!(context(thread::current().id()).is_none());
        assert_eq!(parsed(&of("calm lock, others"))["counts"]["contexts"], 0);
        *held = 2;
        drop(held);
        assert_eq!(value(&dumper.join().unwrap(), "key")["value"], "2");
    });
}

#[test]
fn a_value_that_is_written_while_it_is_rendered_stays_as_it_was_found() {
    /// Looks at its number twice, and in between lets its owner write: on the thread of that name, since other tests may dump
    /// it as well.
    struct Twice(u8, Arc<[Barrier; 2]>);
    impl fmt::Debug for Twice {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            if thread::current().name() == Some("calm twice") {
                self.1.iter().for_each(|barrier| _ = barrier.wait());
            }
            write!(f, " {}", self.0)
        }
    }
    static KEY: Key<Twice> = Key::new("calm twice", "key").debug();
    within_a_minute(|| {
        let barriers = Arc::new([Barrier::new(2), Barrier::new(2)]);
        KEY.set(Twice(1, Arc::clone(&barriers)));
        let named = thread::Builder::new().name("calm twice".to_owned());
        let dumper = named.spawn(|| of("calm twice")).unwrap();
        barriers[0].wait();
        KEY.set(Twice(2, Arc::clone(&barriers)));
        barriers[1].wait();
        assert_eq!(value(&dumper.join().unwrap(), "key")["value"], "1 1");
        KEY.take();
    });
}

#[test]
fn a_dump_may_be_taken_while_values_are_written_and_threads_come_and_go() {
    static KEY: Key<u64> = Key::new("calm storm", "key").debug();
    within_a_minute(|| {
        let done = &AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        for n in 0..50 {
                            KEY.set(n);
                            let namespace = get_thread_ctx().namespace("calm storm");
                            namespace.insert("name", vec![n; 5]).unwrap();
                            if n % 7 == 0 {
                                namespace.remove("name");
                            }
                        }
                        exit_thread_ctx();
                    }
                });
            }
            let (mut dumps, mut shown) = (0, 0);
            while dumps < 200 || shown == 0 {
                dumps += 1;
                let json = parsed(&of("calm storm"));
                for context in json["contexts"].as_array().unwrap() {
                    let values = context["values"].as_array().unwrap().iter();
                    shown += values.filter(|value| is_shown(value)).count();
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// Whether a value of the storm's is shown, and not busy: its owner may have lost its core in the middle of a write.
fn is_shown(value: &Value) -> bool {
    let text = value["value"].as_str().unwrap();
    match (value["problem"].as_str(), value["name"].as_str().unwrap()) {
        (Some(problem), _) => assert_eq!((problem, text), ("busy", "<busy>")),
        (None, "key") => drop(text.parse::<u64>().unwrap()),
        (None, _) => assert!(text.starts_with('['), "{text}"),
    }
    value.get("problem").is_none()
}

#[test]
fn two_dumps_whose_renderers_wait_for_each_other_do_not_lock_each_other_out() {
    struct Meets(Arc<Barrier>);
    impl fmt::Debug for Meets {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.wait();
            f.write_str("met")
        }
    }
    within_a_minute(|| {
        let meets = Meets(Arc::new(Barrier::new(2)));
        get_thread_ctx().namespace("calm meets").insert("name", meets).unwrap();
        let dumps = [0, 1].map(|_| thread::spawn(|| of("calm meets")));
        for dump in dumps {
            assert_eq!(value(&dump.join().unwrap(), "name")["value"], "met");
        }
    });
}

#[test]
fn a_renderer_that_ends_its_own_context_or_takes_its_own_value_is_shown_all_the_same() {
    struct Leaves(bool);
    static KEY: Key<Leaves> = Key::new("calm leaves", "key").debug();
    impl fmt::Debug for Leaves {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0 {
                exit_thread_ctx();
            } else {
                drop(KEY.take());
            }
            f.write_str("left")
        }
    }
    for exits in [false, true] {
        thread::spawn(move || {
            KEY.set(Leaves(exits));
            let dump: Dump = get_thread_ctx().handle().dump();
            assert_eq!(value(&dump, "key")["value"], "left");
            assert!(KEY.get().is_none());
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_dump_keeps_no_value_alive() {
    static KEY: Key<Tracked> = Key::new("calm kept", "key").debug();
    let drops = Drops::default();
    let worker = Worker::start();
    let number = drops.value(0);
    worker.run(|| KEY.set(number));
    let dump = of("calm kept");
    worker.end();
    assert_eq!(drops.numbers(), [0]);
    assert_eq!(value(&dump, "key")["value"], "Tracked(0)");
}

#[test]
fn a_drop_that_panics_on_the_dumper_does_not_stop_the_dump() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("expected");
        }
    }
    // The owner takes the value while the dump renders it, so that the last count is the dumper's.
    static KEY: Key<Bomb> = Key::new("calm bomb", "key").debug();
    impl fmt::Debug for Bomb {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            drop(KEY.take());
            f.write_str("bomb")
        }
    }
    let dump = thread::spawn(|| {
        KEY.set(Bomb);
        let before = threadctx::stats().drop_panics;
        let dump = DumpOptions::new().namespace("calm bomb").take();
        assert!(threadctx::stats().drop_panics > before);
        dump
    });
    assert_eq!(value(&dump.join().unwrap(), "key")["value"], "bomb");
}
