//! Promise 2: the owner never waits for a reader, and readers see whole values only. (`tests/stalls.rs` stops readers and
//! owners in the middle.)

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use threadctx::{ContextRef, Key, get_thread_ctx};

use crate::support::{leaked::leaked, watchdog::within_a_minute};

/// A value that shows if it was read while it was written: all its parts are the same.
#[derive(Clone, Debug)]
struct Whole([u64; 8]);

impl Whole {
    fn new(n: u64) -> Self {
        Self([n; 8])
    }

    fn number(&self) -> u64 {
        assert!(self.0.iter().all(|part| *part == self.0[0]), "torn: {self:?}");
        self.0[0]
    }
}

const WRITES: u64 = 5_000;

/// What a reader kept, with what it saw in it.
#[derive(Default)]
struct Keepsakes {
    counts: Vec<(Arc<Whole>, u64)>,
    weak: Vec<(Weak<Whole>, u64)>,
}

impl Keepsakes {
    fn keep(&mut self, value: Arc<Whole>) {
        let number = value.number();
        self.weak.push((Arc::downgrade(&value), number));
        if number % 3 == 0 {
            self.counts.push((value, number));
        }
        if self.weak.len() > 50 {
            self.check();
        }
    }

    /// None of them may have changed since it was seen.
    fn check(&mut self) {
        for (weak, number) in self.weak.drain(..) {
            assert!(weak.upgrade().is_none_or(|value| value.number() == number));
        }
        for (value, number) in self.counts.drain(..) {
            assert_eq!(value.number(), number);
        }
    }
}

/// Writes 1, 2, 3... with `write` while three others read with `read`. No read may find nothing, or go back.
fn write_while_others_read(
    write: impl Fn(u64) + Send + 'static,
    read: impl Fn(&ContextRef) -> Option<Arc<Whole>> + Sync,
) {
    let done = &AtomicBool::new(false);
    let me = &get_thread_ctx().handle();
    let read = &read;
    write(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(move || {
                let (mut last, mut kept) = (0, Keepsakes::default());
                while !done.load(Ordering::Relaxed) {
                    let value = read(me).expect("there is a value at any time");
                    let number = value.number();
                    assert!((last..=WRITES).contains(&number), "{number} after {last}");
                    last = number;
                    kept.keep(value);
                }
                kept.check();
            });
        }
        (1..=WRITES).for_each(write);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(read(me).unwrap().number(), WRITES);
}

#[test]
fn no_reader_finds_a_key_absent_or_torn_while_it_is_set() {
    static KEY: Key<Whole> = Key::new("writes", "set");
    within_a_minute(|| write_while_others_read(|n| KEY.set(Whole::new(n)), |me| KEY.get_in(me)));
}

#[test]
fn no_reader_finds_a_key_absent_or_torn_between_two_replaces() {
    static KEY: Key<Whole> = Key::new("writes", "replace");
    within_a_minute(|| {
        let write = |n: u64| {
            let former = KEY.replace(Whole::new(n));
            assert_eq!(former.map(|former| former.number()), n.checked_sub(1));
        };
        write_while_others_read(write, |me| KEY.get_in(me));
    });
}

#[test]
fn no_reader_finds_a_key_absent_or_torn_while_it_is_updated() {
    static KEY: Key<Whole> = Key::new("writes", "update").init(|| Whole::new(0));
    within_a_minute(|| {
        let write = |n: u64| KEY.update(|value| *value = Whole::new(n)).unwrap();
        write_while_others_read(write, |me| KEY.get_in(me));
    });
}

#[test]
fn the_owner_writes_inside_with_while_others_read() {
    static KEY: Key<Whole> = Key::new("writes", "with");
    within_a_minute(|| {
        let write = |n: u64| {
            let inside = KEY.with(|before| {
                KEY.set(Whole::new(n));
                assert_eq!(before.number(), n - 1);
            });
            if inside.is_none() {
                KEY.set(Whole::new(n));
            }
        };
        write_while_others_read(write, |me| KEY.get_in(me));
    });
}

#[test]
fn no_reader_finds_a_name_absent_or_torn_while_it_is_inserted_again() {
    within_a_minute(|| {
        let write =
            |n: u64| drop(get_thread_ctx().namespace("writes").insert("name", Whole::new(n)).unwrap());
        write_while_others_read(write, |me| me.namespace("writes").get("name").unwrap());
    });
}

#[test]
fn a_reader_sees_a_name_throughout_the_first_use_of_the_key_that_takes_it_over() {
    within_a_minute(|| {
        let done = AtomicBool::new(false);
        let names: Vec<&str> = (0..500).map(|n| &*format!("taken over {n}").leak()).collect();
        let namespace = get_thread_ctx().namespace("writes");
        names.iter().for_each(|name| drop(namespace.insert(name, 5_u64).unwrap()));
        let me = &get_thread_ctx().handle();
        let read = |name| me.namespace("writes").get::<u64>(name).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    names[400..]
                        .iter()
                        .for_each(|name| assert_eq!(read(name).as_deref(), Some(&5), "{name}"));
                }
            });
            for name in &names {
                let key: &Key<u64> = leaked(Key::new("writes", name));
                assert_eq!(key.cloned(), Some(5));
            }
            done.store(true, Ordering::Relaxed);
        });
    });
}

#[test]
fn a_weak_that_is_upgraded_after_a_write_never_gives_a_changed_value() {
    static KEY: Key<Whole> = Key::new("writes", "weak");
    KEY.set(Whole::new(1));
    let me = get_thread_ctx().handle();
    let weak = thread::spawn(move || Arc::downgrade(&KEY.get_in(&me).unwrap())).join().unwrap();
    // One count, as far as anybody can see: and yet the value is not the owner's alone.
    KEY.set(Whole::new(2));
    assert!(weak.upgrade().is_none_or(|value| value.number() == 1));
    assert_eq!(KEY.cloned().unwrap().number(), 2);
}

#[test]
fn a_weak_that_is_upgraded_at_any_moment_of_a_write_never_gives_a_changed_value() {
    static KEY: Key<Whole> = Key::new("writes", "weak race");
    within_a_minute(|| {
        let done = &AtomicBool::new(false);
        KEY.set(Whole::new(0));
        let me = &get_thread_ctx().handle();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        let value = KEY.get_in(me).unwrap();
                        let (number, weak) = (value.number(), Arc::downgrade(&value));
                        drop(value);
                        while let Some(again) = weak.upgrade() {
                            assert_eq!(again.number(), number);
                            if done.load(Ordering::Relaxed) {
                                break;
                            }
                        }
                    }
                });
            }
            (1..=WRITES).for_each(|n| KEY.set(Whole::new(n)));
            done.store(true, Ordering::Relaxed);
        });
    });
}

/// After this the value is in place and nobody but the key has ever had it: the next write could overwrite it.
fn put_in_place(key: &'static Key<Whole>, n: u64) {
    for _ in 0..3 {
        key.set(Whole::new(n));
    }
}

#[test]
fn whoever_was_handed_a_value_that_was_written_in_place_keeps_it_as_it_was() {
    static KEY: Key<Whole> = Key::new("writes", "handed out").debug();
    type Give = fn(&ContextRef) -> Arc<Whole>;
    let ways: &[(&str, Give)] = &[
        ("get", |_| KEY.get().unwrap()),
        ("get_or_init", |_| KEY.get_or_init(|| panic!("there is one"))),
        ("get_or_try_init", |_| KEY.get_or_try_init(|| Err(())).unwrap()),
        ("get_in", |me| KEY.get_in(me).unwrap()),
        ("iter", |me| KEY.iter().find(|(ident, _)| *ident == me.ident()).unwrap().1),
        ("by name", |_| get_thread_ctx().namespace("writes").get("handed out").unwrap().unwrap()),
        ("by name from elsewhere", |me| me.namespace("writes").get("handed out").unwrap().unwrap()),
        ("get_or_insert_with", |_| {
            let namespace = get_thread_ctx().namespace("writes");
            namespace.get_or_insert_with("handed out", || panic!("there is one")).unwrap()
        }),
    ];
    let me = get_thread_ctx().handle();
    for (way, give) in ways {
        for keeps_weak_only in [false, true] {
            put_in_place(&KEY, 1);
            let given = give(&me);
            let weak = Arc::downgrade(&given);
            let kept = (!keeps_weak_only).then_some(given);
            KEY.set(Whole::new(2));
            KEY.set(Whole::new(3));
            assert!(kept.is_none_or(|value| value.number() == 1), "{way}");
            assert!(weak.upgrade().is_none_or(|value| value.number() == 1), "{way}, weak");
        }
    }
}

#[test]
fn whoever_made_a_value_keeps_it_as_it_was_when_the_next_one_is_written() {
    static KEY: Key<Whole> = Key::new("writes", "made");
    let namespace = get_thread_ctx().namespace("writes");
    let ways: &[(&str, &dyn Fn() -> Arc<Whole>)] = &[
        ("get_or_init", &|| KEY.get_or_init(|| Whole::new(1))),
        ("get_or_try_init", &|| KEY.get_or_try_init(|| Ok::<_, ()>(Whole::new(1))).unwrap()),
        ("get_or_insert_with", &|| namespace.get_or_insert_with("made", || Whole::new(1)).unwrap()),
        ("get_or_insert_with of a name", &|| {
            let made = namespace.get_or_insert_with("a name", || Whole::new(1)).unwrap();
            drop(namespace.insert("a name", Whole::new(2)).unwrap());
            made
        }),
    ];
    for (way, make) in ways {
        put_in_place(&KEY, 9);
        drop(KEY.take());
        let made = make();
        KEY.set(Whole::new(2));
        KEY.set(Whole::new(3));
        assert_eq!(made.number(), 1, "{way}");
    }
}

#[test]
fn a_value_that_a_scope_put_back_is_not_overwritten_under_those_who_have_it() {
    static KEY: Key<Whole> = Key::new("writes", "put back");
    type End = fn(threadctx::Scope<Whole>);
    let ends: [End; 2] = [drop, |scope| _ = KEY.with(|_| drop(scope))];
    for end in ends {
        put_in_place(&KEY, 1);
        let kept = KEY.get().unwrap();
        let scope = KEY.enter(Whole::new(2));
        put_in_place(&KEY, 3);
        end(scope);
        assert!(Arc::ptr_eq(&kept, &KEY.get().unwrap()));
        KEY.set(Whole::new(4));
        KEY.set(Whole::new(5));
        assert_eq!(kept.number(), 1);

        // The same where nobody has asked for it again in between.
        put_in_place(&KEY, 1);
        let kept = KEY.get().unwrap();
        let scope = KEY.enter(Whole::new(2));
        put_in_place(&KEY, 3);
        end(scope);
        KEY.set(Whole::new(4));
        KEY.set(Whole::new(5));
        assert_eq!(kept.number(), 1);
    }
}

#[test]
fn a_borrow_of_a_value_that_was_written_in_place_stays_as_it_is() {
    static KEY: Key<Whole> = Key::new("writes", "borrowed in place");
    let writes: &[fn()] = &[
        || KEY.set(Whole::new(2)),
        || drop(KEY.replace(Whole::new(2))),
        || drop(KEY.take()),
        || KEY.update(|value| *value = Whole::new(2)).unwrap(),
        || KEY.scope(Whole::new(2), || KEY.set(Whole::new(3))),
        || drop(get_thread_ctx().namespace("writes").insert("borrowed in place", Whole::new(2)).unwrap()),
        || get_thread_ctx().clear(),
        || _ = threadctx::exit_thread_ctx(),
    ];
    for one in writes {
        for other in writes {
            put_in_place(&KEY, 1);
            KEY.with(|outer| {
                one();
                put_in_place(&KEY, 4);
                KEY.with(|inner| {
                    other();
                    KEY.set(Whole::new(5));
                    KEY.set(Whole::new(6));
                    assert_eq!((outer.number(), inner.number()), (1, 4));
                });
                KEY.set(Whole::new(7));
                assert_eq!(outer.number(), 1);
            });
            assert_eq!(KEY.cloned().unwrap().number(), 7);
        }
    }
}

#[test]
fn readers_that_keep_every_value_cost_the_owner_none_of_them() {
    static KEY: Key<Whole> = Key::new("writes", "kept");
    KEY.set(Whole::new(0));
    let me = get_thread_ctx().handle();
    let kept: Vec<_> = (1..=200)
        .map(|n| {
            let value = KEY.get_in(&me).unwrap();
            KEY.set(Whole::new(n));
            value
        })
        .collect();
    assert!(kept.iter().zip(0..).all(|(value, n)| value.number() == n));
}
