//! Promise 5: exit is orderly. (Exact counts are in `tests/alone`.)

use std::{
    sync::{Arc, Barrier, Mutex, mpsc},
    thread::{self, ThreadId},
};

use threadctx::{Ident, Key, State, context, contexts, exit_thread_ctx, get_thread_ctx, stats};

use crate::support::{
    marked::{at_exit, mark},
    said::all_said,
    tracked::{Drops, Tracked},
    watchdog::within_a_minute,
    worker::Worker,
};

const NS: &str = "exit";

/// What happened, in order.
#[derive(Clone, Default)]
struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn value(&self, name: &'static str) -> Noted {
        Noted { name, trace: self.clone() }
    }
}

/// A value that notes its hook and its drop.
struct Noted {
    name: &'static str,
    trace: Trace,
}

impl Noted {
    fn hook(&self) {
        self.trace.note(format!("hook of {}", self.name));
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.trace.note(format!("drop of {}", self.name));
    }
}

impl std::fmt::Debug for Noted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Runs `code` on a thread of its own, its exit included.
fn in_a_thread<R: Send + 'static>(code: impl FnOnce() -> R + Send + 'static) -> R {
    within_a_minute(code)
}

#[test]
fn hooks_run_last_registered_first_then_values_end_newest_first() {
    static OLD: Key<Noted> = Key::new(NS, "old").on_exit(Noted::hook);
    static MIDDLE: Key<Noted> = Key::new(NS, "middle");
    static NEW: Key<Noted> = Key::new(NS, "new").on_exit(Noted::hook);
    let trace = Trace::default();
    let for_all = |what: &'static str| at_exit("order", move |_| _ = OLD.with(|old| old.trace.note(what)));
    let _hooks = [for_all("first hook of all"), for_all("second hook of all")];
    let given = trace.clone();
    in_a_thread(move || {
        mark("order");
        let ctx = get_thread_ctx();
        let trace = given;
        // The order of filling counts, not the order in which keys were first used.
        NEW.set(trace.value("new, too early"));
        drop(NEW.take());
        OLD.set(trace.value("old"));
        ctx.namespace(NS).insert("name", trace.value("name")).unwrap();
        MIDDLE.set(trace.value("middle"));
        ctx.on_exit({
            let trace = trace.clone();
            move |_| trace.note("first hook")
        });
        NEW.set(trace.value("new"));
        ctx.on_exit({
            let trace = trace.clone();
            move |_| trace.note("second hook")
        });
    });
    let expected = [
        "drop of new, too early",
        "second hook",
        "first hook",
        "second hook of all",
        "first hook of all",
        "hook of new",
        "drop of new",
        "drop of middle",
        "drop of name",
        "hook of old",
        "drop of old",
    ];
    assert_eq!(trace.seen(), expected);
}

#[test]
fn every_hook_still_finds_every_value() {
    static KEY: Key<u8> = Key::new(NS, "readable");
    let (tell, told) = mpsc::channel();
    let found = || {
        let by_name = get_thread_ctx().namespace(NS).get::<u8>("readable by name").unwrap();
        (KEY.cloned(), by_name.as_deref().copied())
    };
    let for_all = tell.clone();
    let _hook = at_exit("readable", move |_| for_all.send(found()).unwrap());
    in_a_thread(move || {
        mark("readable");
        let ctx = get_thread_ctx();
        for _ in 0..2 {
            let tell = tell.clone();
            ctx.on_exit(move |_| tell.send(found()).unwrap());
        }
        KEY.set(1);
        ctx.namespace(NS).insert("readable by name", 2_u8).unwrap();
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [(Some(1), Some(2)); 3]);
}

#[test]
fn the_drop_of_a_newer_value_finds_the_older_ones_and_not_itself_nor_newer_ones() {
    static OLDEST: Key<Looks> = Key::new(NS, "oldest");
    static MIDDLE: Key<Looks> = Key::new(NS, "middle of three").on_exit(|looks| looks.look("hook"));
    static NEWEST: Key<Looks> = Key::new(NS, "newest");
    struct Looks(mpsc::Sender<(&'static str, [bool; 3])>, &'static str);
    impl Looks {
        fn look(&self, what: &'static str) {
            let there = [&OLDEST, &MIDDLE, &NEWEST].map(|key| key.get().is_some());
            self.0.send((what, there)).unwrap();
        }
    }
    impl Drop for Looks {
        fn drop(&mut self) {
            self.look(self.1);
        }
    }
    let (tell, told) = mpsc::channel();
    in_a_thread(move || {
        OLDEST.set(Looks(tell.clone(), "oldest"));
        MIDDLE.set(Looks(tell.clone(), "middle"));
        NEWEST.set(Looks(tell, "newest"));
    });
    let seen = all_said(&told);
    let expected = [
        ("newest", [true, true, false]),
        ("hook", [true, true, false]),
        ("middle", [true, false, false]),
        ("oldest", [false, false, false]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn a_value_that_was_overwritten_keeps_its_turn() {
    // What counts is when the slot was filled: a service that others build upon stays older than they are.
    static BASE: Key<Noted> = Key::new(NS, "base");
    static USER: Key<Noted> = Key::new(NS, "user of base");
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        BASE.set(given.value("base"));
        USER.set(given.value("user"));
        BASE.set(given.value("new base"));
    });
    assert_eq!(trace.seen(), ["drop of base", "drop of user", "drop of new base"]);
}

#[test]
fn a_value_by_name_keeps_its_turn_when_its_key_is_used_later() {
    static USER: Key<Noted> = Key::new(NS, "user of a name");
    static NAMED: Key<Noted> = Key::new(NS, "first a name");
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        get_thread_ctx().namespace(NS).insert("first a name", given.value("base")).unwrap();
        USER.set(given.value("user"));
        // A read must not make the base the newest value.
        assert!(NAMED.get().is_some());
    });
    assert_eq!(trace.seen(), ["drop of user", "drop of base"]);
}

#[test]
fn the_hook_of_a_key_runs_for_a_value_that_was_put_in_by_name() {
    static KEY: Key<Noted> = Key::new(NS, "by name").on_exit(Noted::hook);
    assert!(KEY.check().is_ok());
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || drop(get_thread_ctx().namespace(NS).insert("by name", given.value("name")).unwrap()));
    assert_eq!(trace.seen(), ["hook of name", "drop of name"]);
}

#[test]
fn the_hook_of_a_key_runs_for_a_value_by_name_that_was_there_before_the_keys_first_use() {
    static KEY: Key<Noted> = Key::new(NS, "by name before").on_exit(Noted::hook);
    let trace = Trace::default();
    let worker = Worker::start();
    let value = trace.value("name");
    worker.run(|| drop(get_thread_ctx().namespace(NS).insert("by name before", value).unwrap()));
    // The first use is another thread's; from here on the worker's value is the key's.
    assert_eq!(KEY.get_in(&worker.handle()).unwrap().name, "name");
    worker.end();
    assert_eq!(trace.seen(), ["hook of name", "drop of name"]);
}

#[test]
fn a_key_without_a_value_has_no_hook_to_run_and_a_clear_is_no_exit() {
    static EMPTY: Key<Noted> = Key::new(NS, "no value").on_exit(|_| panic!("there is no value"));
    static CLEARED: Key<Noted> = Key::new(NS, "cleared").on_exit(Noted::hook);
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        EMPTY.set(given.value("taken"));
        drop(EMPTY.take());
        CLEARED.set(given.value("cleared"));
        get_thread_ctx().clear();
    });
    assert_eq!(trace.seen(), ["drop of taken", "drop of cleared"]);
}

#[test]
fn a_panic_in_one_hook_or_drop_stops_none_of_the_others_and_is_counted() {
    struct Bomb(Trace, &'static str);
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.note(self.1);
            panic!("expected");
        }
    }
    static OLD: Key<Noted> = Key::new(NS, "beside panics").on_exit(|noted| {
        noted.hook();
        panic!("expected");
    });
    static NEW: Key<Bomb> = Key::new(NS, "panics").on_exit(|_| panic!("expected"));
    let trace = Trace::default();
    let _hooks = [0, 1].map(|_| {
        at_exit("panics", |_| {
            OLD.with(|old| old.trace.note("hook of all"));
            panic!("expected");
        })
    });
    let before = stats();
    let given = trace.clone();
    in_a_thread(move || {
        mark("panics");
        let ctx = get_thread_ctx();
        OLD.set(given.value("old"));
        ctx.namespace(NS).insert_opaque("bomb", Bomb(given.clone(), "drop of name")).unwrap();
        NEW.set(Bomb(given.clone(), "drop of new"));
        for _ in 0..2 {
            let trace = given.clone();
            ctx.on_exit(move |_| {
                trace.note("hook");
                panic!("expected");
            });
        }
    });
    let expected = [
        "hook",
        "hook",
        "hook of all",
        "hook of all",
        "drop of new",
        "drop of name",
        "hook of old",
        "drop of old",
    ];
    assert_eq!(trace.seen(), expected);
    let after = stats();
    assert!(after.hook_panics >= before.hook_panics + 6);
    assert!(after.drop_panics >= before.drop_panics + 2);
}

#[test]
fn a_payload_that_panics_in_its_own_drop_is_contained_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("expected, and again");
        }
    }
    let drops = Drops::default();
    let value = drops.value(0);
    static KEY: Key<Tracked> = Key::new(NS, "beside a payload");
    in_a_thread(move || {
        KEY.set(value);
        get_thread_ctx().on_exit(|_| std::panic::panic_any(Bomb));
    });
    assert_eq!(drops.numbers(), [0]);
}

#[test]
fn what_hooks_and_drops_create_is_cleaned_before_the_thread_is_over() {
    static FIRST: Key<Chain> = Key::new(NS, "chain 1").on_exit(|chain| chain.0.note("hook 1"));
    static SECOND: Key<Chain> = Key::new(NS, "chain 2").on_exit(|chain| chain.0.note("hook 2"));
    struct Chain(Trace, u8);
    impl Drop for Chain {
        fn drop(&mut self) {
            self.0.note(format!("drop {}", self.1));
            let trace = self.0.clone();
            match self.1 {
                1 => SECOND.set(Self(trace, 2)),
                2 => get_thread_ctx().on_exit(move |ctx| {
                    trace.note("hook 3");
                    ctx.namespace(NS).insert_opaque("chain 3", Self(trace, 3)).unwrap();
                }),
                _ => (),
            }
        }
    }
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        get_thread_ctx().on_exit(move |_| {
            given.note("hook 0");
            FIRST.set(Chain(given, 1));
        });
    });
    assert_eq!(trace.seen(), ["hook 0", "hook 1", "drop 1", "hook 2", "drop 2", "hook 3", "drop 3"]);
}

#[test]
fn what_a_hook_creates_waits_for_the_next_round_and_the_hooks_of_all_run_in_the_first_only() {
    static OLD: Key<Noted> = Key::new(NS, "before the rounds").on_exit(Noted::hook);
    static LATE: Key<Noted> = Key::new(NS, "in the rounds").on_exit(Noted::hook);
    let trace = Trace::default();
    let noted = trace.clone();
    let _hook = at_exit("rounds", move |_| noted.note("hook of all"));
    let given = trace.clone();
    in_a_thread(move || {
        mark("rounds");
        OLD.set(given.value("old"));
        get_thread_ctx().on_exit(move |ctx| {
            LATE.set(given.value("late"));
            ctx.on_exit(move |_| given.note("late hook"));
        });
    });
    let expected = ["hook of all", "hook of old", "drop of old", "late hook", "hook of late", "drop of late"];
    assert_eq!(trace.seen(), expected);
}

#[test]
fn a_hook_that_replaces_its_own_value_gives_the_new_one_its_own_hook() {
    static KEY: Key<Noted> = Key::new(NS, "replaced in hook").on_exit(|noted| {
        noted.hook();
        if noted.name == "first" {
            KEY.set(noted.trace.value("second"));
        }
    });
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || KEY.set(given.value("first")));
    assert_eq!(trace.seen(), ["hook of first", "drop of first", "hook of second", "drop of second"]);
}

#[test]
fn a_hook_that_takes_its_own_value_ends_it() {
    static KEY: Key<Noted> = Key::new(NS, "taken in hook").on_exit(|noted| {
        noted.hook();
        drop(KEY.take());
        noted.trace.note("still readable");
    });
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || KEY.set(given.value("value")));
    assert_eq!(trace.seen(), ["hook of value", "still readable", "drop of value"]);
}

#[test]
fn an_exiting_context_is_seen_as_exiting_by_others_until_it_is_gone() {
    static KEY: Key<u8> = Key::new(NS, "seen exiting");
    static DROPS_SLOWLY: Key<Stops> = Key::new(NS, "stops");
    struct Stops(Arc<Barrier>);
    impl Drop for Stops {
        fn drop(&mut self) {
            self.0.wait();
            self.0.wait();
        }
    }
    within_a_minute(|| {
        let stop = Arc::new(Barrier::new(2));
        let (give, given) = mpsc::channel();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                KEY.set(1);
                DROPS_SLOWLY.set(Stops(Arc::clone(&stop)));
                get_thread_ctx().on_exit(move |_| {
                    stop.wait();
                    stop.wait();
                });
                give.send(get_thread_ctx().handle()).unwrap();
            }
        });
        let seen = given.recv().unwrap();
        for _ in ["in the hook", "in the drop of the newest value"] {
            stop.wait();
            assert_eq!(seen.state(), State::Exiting);
            assert_eq!(context(seen.ident()).unwrap().state(), State::Exiting);
            assert!(contexts().iter().any(|live| live.ident() == seen.ident()));
            assert_eq!(KEY.get_in(&seen).as_deref(), Some(&1), "older values are still there");
            assert!(KEY.iter().any(|(ident, _)| ident == seen.ident()));
            assert!(seen.dump().to_string().contains("exiting"));
            stop.wait();
        }
        thread.join().unwrap();
        assert_eq!(seen.state(), State::Exited);
        assert!(context(seen.ident()).is_none());
        assert!(contexts().iter().all(|live| live.ident() != seen.ident()));
        assert_eq!(KEY.get_in(&seen), None);
    });
}

#[test]
fn hooks_run_once_on_the_exiting_thread_after_its_body_and_before_its_join() {
    static KEY: Key<Where> = Key::new(NS, "where").on_exit(|place| place.note("key"));
    #[derive(Clone)]
    struct Where(Trace, ThreadId);
    impl Where {
        fn note(&self, what: &str) {
            assert_eq!(thread::current().id(), self.1);
            assert_eq!(get_thread_ctx().ident(), Ident::Thread(self.1));
            self.0.note(what);
        }
    }
    let trace = Trace::default();
    let _hook = at_exit("where", |ctx| {
        _ = KEY.with(|place| {
            assert_eq!(ctx.ident(), Ident::Thread(place.1));
            place.note("all");
        });
    });
    let given = trace.clone();
    thread::spawn(move || {
        mark("where");
        let place = Where(given.clone(), thread::current().id());
        KEY.set(place.clone());
        get_thread_ctx().on_exit(move |_| place.note("own"));
        given.note("body");
    })
    .join()
    .unwrap();
    assert_eq!(trace.seen(), ["body", "own", "all", "key"]);
}

#[test]
fn a_hook_that_is_removed_does_not_run_and_one_kept_for_ever_does() {
    static KEY: Key<Trace> = Key::new(NS, "removed");
    let hook = |what: &'static str| at_exit("removed", move |_| _ = KEY.with(|trace| trace.note(what)));
    let trace = Trace::default();
    let (removed, kept) = (hook("removed"), hook("kept"));
    hook("for ever").forever();
    drop(removed);
    let given = trace.clone();
    in_a_thread(move || {
        mark("removed");
        KEY.set(given);
    });
    assert_eq!(trace.seen(), ["for ever", "kept"]);
    drop(kept);
}

#[test]
fn an_exit_asked_for_runs_everything_at_once_and_once() {
    static KEY: Key<Noted> = Key::new(NS, "asked for").on_exit(Noted::hook);
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        let trace = given;
        KEY.set(trace.value("value"));
        get_thread_ctx().on_exit({
            let trace = trace.clone();
            move |_| trace.note("hook")
        });
        let before = get_thread_ctx().handle();
        assert!(exit_thread_ctx());
        assert_eq!(trace.seen(), ["hook", "hook of value", "drop of value"]);
        assert_eq!(before.state(), State::Exited);
        assert!(context(before.ident()).is_none());
        assert!(!exit_thread_ctx(), "there is nothing left to exit");
    });
    assert_eq!(trace.seen().len(), 3, "nothing ran again at the end of the thread");
}

#[test]
fn after_an_exit_asked_for_a_thread_starts_afresh_under_the_same_ident() {
    static KEY: Key<Noted> = Key::new(NS, "afresh").on_exit(Noted::hook);
    let trace = Trace::default();
    let given = trace.clone();
    in_a_thread(move || {
        KEY.set(given.value("first"));
        let first = get_thread_ctx().handle();
        assert!(exit_thread_ctx());
        assert!(KEY.get().is_none());
        let second = get_thread_ctx().handle();
        assert_eq!(second.ident(), first.ident());
        assert_eq!((first.state(), second.state()), (State::Exited, State::Running));
        assert!(get_thread_ctx().namespaces().is_empty());
        KEY.set(given.value("second"));
        assert!(KEY.get_in(&first).is_none());
        assert!(KEY.get_in(&context(first.ident()).unwrap()).is_some());
    });
    // The second exit is the thread's own.
    assert_eq!(trace.seen(), ["hook of first", "drop of first", "hook of second", "drop of second"]);
}

#[test]
fn there_is_nothing_to_exit_on_a_thread_that_never_wrote() {
    in_a_thread(|| assert!(!exit_thread_ctx()));
}

#[test]
fn an_exit_asked_for_during_an_exit_is_refused() {
    static KEY: Key<Asks> = Key::new(NS, "asks").on_exit(Asks::ask);
    struct Asks(mpsc::Sender<bool>);
    impl Asks {
        fn ask(&self) {
            self.0.send(exit_thread_ctx()).unwrap();
        }
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            self.ask();
        }
    }
    let _hook = at_exit("asks", |_| _ = KEY.with(Asks::ask));
    for ends_by_itself in [false, true] {
        let (tell, told) = mpsc::channel();
        in_a_thread(move || {
            mark("asks");
            KEY.set(Asks(tell.clone()));
            get_thread_ctx().on_exit(move |_| Asks(tell).ask());
            assert!(ends_by_itself || exit_thread_ctx());
        });
        // The context's hook and the drop of what it moved in, the hook of all, the key's, and the value's drop.
        assert_eq!(all_said(&told), [false; 5]);
    }
}

#[test]
fn an_exit_inside_with_leaves_the_borrowed_value_until_the_borrow_ends() {
    static KEY: Key<Tracked> = Key::new(NS, "inside with").on_exit(|_| ());
    let drops = Drops::default();
    let (one, two) = (drops.value(0), drops.value(1));
    let seen = drops.clone();
    in_a_thread(move || {
        KEY.set(one);
        KEY.with(|outer| {
            KEY.with(|inner| {
                let over = get_thread_ctx().handle();
                assert!(exit_thread_ctx());
                assert_eq!((outer.number, inner.number), (0, 0));
                assert!(seen.numbers().is_empty());
                assert!(KEY.get().is_none());
                assert_eq!(over.state(), State::Exited);
                assert!(KEY.get_in(&over).is_none());
            });
            assert!(seen.numbers().is_empty(), "the outer borrow goes on");
            KEY.set(two);
            assert_eq!(outer.number, 0);
        });
        assert_eq!(seen.numbers(), [0], "it waited for the end of the borrow and no longer");
        assert_eq!(KEY.with(|value| value.number), Some(1));
    });
    drops.assert_each_once(2);
}

#[test]
fn an_exit_inside_borrows_of_two_keys_leaves_both_until_each_ends() {
    static ONE: Key<Tracked> = Key::new(NS, "outer borrow");
    static TWO: Key<Tracked> = Key::new(NS, "inner borrow");
    let drops = Drops::default();
    let (one, two) = (drops.value(0), drops.value(1));
    let seen = drops.clone();
    in_a_thread(move || {
        ONE.set(one);
        TWO.set(two);
        ONE.with(|outer| {
            TWO.with(|inner| {
                assert!(exit_thread_ctx());
                assert_eq!((outer.number, inner.number), (0, 1));
            });
            assert_eq!(outer.number, 0);
            assert!(!seen.numbers().contains(&0));
        });
        seen.assert_each_once(2);
    });
}

#[test]
fn a_panic_after_an_exit_inside_with_still_drops_the_borrowed_value() {
    static KEY: Key<Tracked> = Key::new(NS, "panic inside with");
    let drops = Drops::default();
    let value = drops.value(0);
    let thread = thread::spawn(move || {
        KEY.set(value);
        KEY.with(|_| {
            assert!(exit_thread_ctx());
            panic!("expected");
        });
    });
    assert!(thread.join().is_err());
    drops.assert_each_once(1);
}

#[test]
fn an_exit_inside_a_scope_ends_it_and_the_scope_restores_nothing() {
    static KEY: Key<Tracked> = Key::new(NS, "inside a scope");
    let drops = Drops::default();
    let values = drops.clone();
    let before = stats().scopes_misplaced;
    in_a_thread(move || {
        KEY.set(values.value(0));
        KEY.scope(values.value(1), || {
            assert!(exit_thread_ctx());
            assert!(KEY.get().is_none());
        });
        assert!(KEY.get().is_none(), "the value from before belongs to a context that is over");
        values.assert_each_once(2);
        KEY.scope(values.value(2), || {
            assert!(exit_thread_ctx());
            KEY.set(values.value(3));
        });
        assert_eq!(KEY.with(|value| value.number), Some(3), "nor does it touch what came after");
    });
    assert!(stats().scopes_misplaced >= before + 2);
    drops.assert_each_once(4);
}

#[test]
fn an_exit_asked_for_makes_a_scoped_thread_orderly_before_its_scope_returns() {
    // A scope of threads returns before the threads' locals are dropped; asking is the way to have it earlier.
    static KEY: Key<Tracked> = Key::new(NS, "scoped");
    let drops = &Drops::default();
    thread::scope(|scope| {
        for number in 0..4 {
            scope.spawn(move || {
                KEY.set(drops.value(number));
                assert!(exit_thread_ctx());
            });
        }
    });
    drops.assert_each_once(4);
}

#[test]
fn an_exit_inside_an_update_or_an_initialiser_is_an_exit_and_no_more() {
    static KEY: Key<u8> = Key::new(NS, "inside update");
    static MADE: Key<u8> = Key::new(NS, "inside init").init(|| {
        exit_thread_ctx();
        5
    });
    in_a_thread(|| {
        KEY.set(1);
        assert_eq!(KEY.update(|value| (*value += 1, exit_thread_ctx())), Some(((), true)));
        assert_eq!(MADE.cloned(), Some(5));
        let made = KEY.get_or_init(|| {
            exit_thread_ctx();
            9
        });
        assert_eq!(*made, 9);
    });
}
